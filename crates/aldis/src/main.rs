//! The `aldis` binary: arguments in, exit code out.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use aldis::arguments::{Arguments, Command};
use aldis::{announcement, configuration, run, store_command};
use clap::Parser;

#[cfg(feature = "planted-no-sync")]
compile_error!("a broker that does not sync is the example `aldis-no-sync`, and never the binary");

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Command::Store(command)) = &arguments.command {
        return store_command::run(command).unwrap_or_else(|error| refuse(&error));
    }
    let config = match configuration::load(&arguments) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    if arguments.check_config {
        // A closed standard output does not make the configuration worse.
        let _ = writeln!(io::stdout(), "{}", announcement::summary(&config));
        return ExitCode::SUCCESS;
    }
    run::run(&arguments, config).unwrap_or_else(|error| refuse(&error))
}

/// One sentence with the way out, and exit code 1.
fn refuse(error: &dyn Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "aldis: {error}");
    ExitCode::FAILURE
}
