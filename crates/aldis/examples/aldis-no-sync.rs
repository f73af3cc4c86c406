//! The broker with a store that does not sync, for `tests/blackbox/power_loss.py`, which has to find it out.
//!
//! It is no way to run Aldis: built by `cargo build --example aldis-no-sync --features planted-no-sync` and by nothing
//! else.

use aldis::arguments::Arguments;
use aldis::{configuration, run};
use clap::Parser;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let config = configuration::load(&arguments)?;
    Ok(run::run(&arguments, config)?)
}
