//! `cargo xtask sim`: builds the simulator in release mode and hands its options over.
//!
//! What the options are, `crates/sim` says (`cargo xtask sim --help`).

use crate::process::run;
use crate::repository;
use std::process::Command;

/// Seeds that every change is tried with, and those of a long run.
const SEEDS: [&str; 2] = ["20000", "100000"];

/// Runs the subcommand; true when nothing was found.
pub(crate) fn main(given: &[String]) -> Result<bool, String> {
    let mut cargo = simulator()?;
    let status = cargo.args(given).status().map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(status.success())
}

/// The simulator, without options.
fn simulator() -> Result<Command, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--release", "--package", "aldis-sim", "--"]);
    cargo.current_dir(repository::root()?);
    Ok(cargo)
}

/// The stage of `cargo xtask test`: many seeds, then the proof that planted faults are noticed.
pub(crate) fn stage(is_long: bool) -> Result<String, String> {
    let seeds = if is_long { SEEDS[1] } else { SEEDS[0] };
    run(simulator()?.args(["--seeds", seeds]))?;
    let mut planted = Command::new("cargo");
    planted.args(["test", "--release", "--package", "aldis-sim", "--features", "planted-faults"]);
    planted.args(["--test", "planted_faults"]).current_dir(repository::root()?);
    run(&mut planted)?;
    Ok(format!("{seeds} seeds"))
}
