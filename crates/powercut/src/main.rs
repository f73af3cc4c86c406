//! `aldis-powercut FOLDER` mounts a file system that loses power there, and obeys its standard input, line by line (see
//! `aldis_powercut::control`). It ends with its input.

use aldis_powercut::control::obey;
use aldis_powercut::mount::{Mounted, Power};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let folders: Vec<String> = std::env::args().skip(1).collect();
    let done = match folders.as_slice() {
        [folder] => serve(Path::new(folder)),
        _ => Err(io::Error::other("aldis-powercut FOLDER")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "aldis-powercut: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(folder: &Path) -> io::Result<()> {
    let power = Power::default();
    let mounted = Mounted::new(power.clone(), folder)?;
    say("mounted")?;
    for line in io::stdin().lock().lines() {
        say(&obey(&power, &line?).unwrap_or_else(|what| format!("error: {what}")))?;
    }
    power.restore();
    mounted.end()
}

fn say(words: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{words}")?;
    output.flush()
}
