//! The project's own tools, started as `cargo xtask`: `test` runs every test, `tidy` holds the style,
//! `bench` measures what a message costs, `conformance` tests any broker by the statements of the standards,
//! `fuzz` runs the fuzz targets.
//!
//! Nothing here is part of the broker, and the broker needs nothing of it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to a terminal")]
#![allow(clippy::disallowed_methods, reason = "the rules on clocks and sleeping are for the broker's crates")]

mod arguments;
mod bench;
mod conformance;
mod fuzz;
mod markers;
mod process;
mod repository;
mod sim;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "cargo xtask COMMAND [OPTIONS]

COMMAND
  test    build the broker and run every test there is, real clients included
  tidy    check the rules of style that a machine can check
  sim     run the simulator: many clients and the broker in one thread, with one seed
  bench   measure the broker against a bare relay and write docs/performance.md
  conformance
          test any broker against every statement of MQTT 3.1.1 and 5.0
  fuzz    run the fuzz targets for as long as you like

`cargo xtask COMMAND --help` tells the options of one.";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let outcome = match command.as_deref() {
        Some("test") => test::main(rest),
        Some("tidy") => tidy::main(rest),
        Some("sim") => sim::main(&rest),
        Some("bench") => bench::main(rest),
        Some("conformance") => conformance::main(rest),
        Some("fuzz") => fuzz::main(rest),
        Some("--help" | "-h" | "help") | None => {
            println!("{HELP}");
            Ok(true)
        }
        Some(other) => Err(format!(
            "there is no command `{other}`; there are test, tidy, sim, bench, conformance and fuzz"
        )),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
