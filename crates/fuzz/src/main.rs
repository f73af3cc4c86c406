//! Runs the fuzz targets for as long as one likes: `cargo xtask fuzz` starts it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to a terminal")]

use aldis_fuzz::run::{Finding, Length, attempt, run};
use aldis_fuzz::{TARGETS, Target, corpus};
use clap::Parser;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Fuzz targets of Aldis, on stable Rust and without a look at coverage
#[derive(Parser)]
#[command(name = "cargo xtask fuzz")]
struct Options {
    /// One target instead of all
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,
    /// Another seed, other inputs
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run the target on this file alone
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
    /// Say which targets there are
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        TARGETS.iter().for_each(|target| println!("{:14} {}", target.name, target.holds));
        return ExitCode::SUCCESS;
    }
    match fuzz(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("fuzz: {why}");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(options: &Options) -> Result<bool, String> {
    let is_meant = |target: &&Target| options.target.as_ref().is_none_or(|name| name == target.name);
    let targets: Vec<&Target> = TARGETS.iter().filter(is_meant).collect();
    if targets.is_empty() {
        return Err("there is no such target; --list names them".to_owned());
    }
    if let Some(file) = &options.input {
        let input = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
        return Ok(targets.iter().all(|target| is_fine(target, &input)));
    }
    let mut found = false;
    for target in targets {
        match run(target, options.seed, Length::Time(Duration::from_secs(options.seconds))) {
            Ok(ran) => println!(
                "{:14} {} entries of the corpus, {} inputs, nothing found",
                target.name, ran.corpus, ran.inputs
            ),
            Err(finding) => {
                found = true;
                println!("{finding}");
                match keep(&finding) {
                    Ok(file) => println!("kept as {}", file.display()),
                    Err(error) => eprintln!("fuzz: the input could not be kept: {error}"),
                }
            }
        }
    }
    Ok(!found)
}

fn is_fine(target: &Target, input: &[u8]) -> bool {
    let outcome = attempt(target, input);
    println!("{}: {}", target.name, outcome.as_ref().err().map_or("nothing found", String::as_str));
    outcome.is_ok()
}

/// Puts a finding into the corpus, where every later run begins with it.
fn keep(finding: &Finding) -> io::Result<PathBuf> {
    let folder = corpus::folder(finding.target);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(format!("found-{}", corpus::name(&finding.input)));
    std::fs::write(&file, &finding.input)?;
    Ok(file)
}
