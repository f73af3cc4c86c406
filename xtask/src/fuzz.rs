//! `cargo xtask fuzz`: the fuzz targets for as long as one likes, in release mode. What they are and how they
//! run is in the crate `aldis-fuzz`; this starts it.

use crate::repository;
use std::process::Command;

/// Runs the subcommand; true when nothing was found.
pub(crate) fn main(given: Vec<String>) -> Result<bool, String> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--release", "--package", "aldis-fuzz", "--"]).args(given);
    let status = command.current_dir(repository::root()?).status();
    status.map(|status| status.success()).map_err(|error| format!("cannot run cargo: {error}"))
}
