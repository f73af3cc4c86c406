//! `cargo xtask bench --durable`: what it costs that acknowledged messages are on disk, beside the bare disk,
//! beside Aldis without a disk, and beside Mosquitto in its safest settings.
//!
//! The load comes from `durable` in `bench/mqload`; here is who runs when, on which folder, and what that cost the
//! broker. Parts are run in turn, round after round, since a shared disk drifts even more than a shared processor;
//! ratios are taken within a round.

mod broker;
mod cost;
mod document;
mod load;
mod options;
mod parts;
mod rows;

use super::figures::Spread;
use crate::process::run;
use crate::repository;
use options::{Options, Part};
use parts::Bench;
use rows::Rows;
use std::path::Path;
use std::process::Command;

/// Runs the subcommand; true when nothing went wrong. A goal that is missed is shown, not failed: the disk is shared.
pub(super) fn main(given: Vec<String>) -> Result<bool, String> {
    let Some(options) = Options::read(given)? else {
        println!("{}", options::HELP);
        return Ok(true);
    };
    let root = repository::root()?;
    build(&root, &options)?;
    let bench = Bench::new(&root, &options)?;
    let load = cost::load_average();
    let mut rows = Rows::default();
    for round in 1..=options.rounds {
        for part in Part::ALL.into_iter().filter(|part| options.wants(*part)) {
            println!("round {round}, {}", part.name());
            match part {
                Part::Publish => bench.publish(&mut rows)?,
                Part::Life => bench.life(&mut rows)?,
                Part::Latency => bench.latency(&mut rows)?,
                Part::Restart => bench.restart(&mut rows)?,
            }
        }
    }
    let tables = document::tables(&rows, &options, bench.has_mosquitto());
    println!("\n{tables}");
    rows.faults.iter().for_each(|fault| println!("FAULT: {fault}"));
    match (options.writes_document(), rows.faults.is_empty()) {
        (true, true) => document::write(&root, &tables, &options, load)?,
        (true, false) => {
            println!("the document stays as it was: figures of a broker with faults mean nothing")
        }
        (false, _) => {}
    }
    Ok(rows.faults.is_empty())
}

fn build(root: &Path, options: &Options) -> Result<(), String> {
    super::build_load(root)?;
    if options.aldis.is_none() {
        run(Command::new("cargo").args(["build", "--release", "--package", "aldis"]).current_dir(root))?;
    }
    Ok(())
}
