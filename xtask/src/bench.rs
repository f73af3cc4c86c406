//! `cargo xtask bench`: what a message costs the broker, beside what it costs a bare relay, run after
//! run in turn.
//!
//! The load comes from `bench/mqload`; here is only who runs when, and what becomes of the figures. A
//! shared machine's speed drifts over minutes: so ratios are taken within a round, and of those the
//! median and the spread are told, never a single figure.

mod broker;
mod document;
mod durable;
mod figures;
mod options;
mod workloads;

use crate::process::run;
use crate::repository;
use broker::{Bench, Broker};
use figures::{Idle, Measured, Series};
use options::Options;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use workloads::{WORKLOADS, Workload};

const RELAY: &str = "relay";
const ALDIS: &str = "aldis";

/// Runs of each broker in each workload, in the order in which they were made.
type Runs = BTreeMap<(&'static str, String), Vec<Measured>>;

/// Runs the subcommand; true when the broker under test lost and reordered nothing, and costs no more than is
/// allowed at present.
pub(crate) fn main(mut given: Vec<String>) -> Result<bool, String> {
    if given.iter().any(|option| option == "--durable") {
        given.retain(|option| option != "--durable");
        return durable::main(given);
    }
    let Some(options) = Options::read(given)? else {
        println!("{}", options::HELP);
        return Ok(true);
    };
    let root = repository::root()?;
    build(&root, &options)?;
    let bench = Bench::new(&root, &options)?;
    let brokers = brokers(&options);
    let chosen: Vec<&Workload> =
        WORKLOADS.iter().filter(|workload| options.wants_messages(workload)).collect();

    let mut runs = Runs::new();
    let mut idle_runs: BTreeMap<String, Vec<Idle>> = BTreeMap::new();
    for round in 0..options.rounds {
        for workload in &chosen {
            // Every second round the other way about, so that a drift favours nobody.
            let mut order: Vec<&Broker> = brokers.iter().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for broker in order {
                let measured = bench.messages(broker, workload)?;
                println!("round {} {:12} {:8} {measured}", round + 1, workload.name, broker.name);
                runs.entry((workload.name, broker.name.clone())).or_default().push(measured);
            }
        }
        for broker in brokers.iter().filter(|broker| broker.name != RELAY && options.wants(workloads::IDLE)) {
            idle_runs.entry(broker.name.clone()).or_default().push(bench.idle(broker)?);
        }
    }
    let idle: Vec<(String, Idle)> =
        idle_runs.into_iter().map(|(name, rounds)| (name, Idle::median(&rounds))).collect();

    let series: Vec<Series> =
        chosen.iter().filter_map(|workload| Series::of(workload, &runs, &brokers)).collect();
    let tables = document::tables(&series, &idle, &options);
    println!("\n{tables}");
    let faults = faults(&runs, &idle);
    faults.iter().for_each(|fault| println!("FAULT: {fault}"));
    let excess: Vec<String> = series
        .iter()
        .filter_map(Series::excess)
        .chain(idle.iter().filter(|(name, _)| name == ALDIS).filter_map(|(_, idle)| idle.excess()))
        .collect();
    excess.iter().for_each(|excess| println!("TOO MUCH: {excess}"));
    match (options.writes_document(), faults.is_empty()) {
        (true, true) => document::write(&root, &tables, &options)?,
        (true, false) => {
            println!("the document stays as it was: figures of a broker with faults mean nothing")
        }
        (false, _) => {}
    }
    Ok(faults.is_empty() && excess.is_empty())
}

fn brokers(options: &Options) -> Vec<Broker> {
    let relay = Broker {
        name: RELAY.to_owned(),
        command_line: "target/mqload/release/relay --port {port}".to_owned(),
    };
    let aldis = Broker { name: ALDIS.to_owned(), command_line: options.command_line.clone() };
    let others =
        options.also.iter().map(|(name, line)| Broker { name: name.clone(), command_line: line.clone() });
    [relay, aldis].into_iter().chain(others).collect()
}

/// The load generators and the relay.
fn build_load(root: &Path) -> Result<(), String> {
    let mqload =
        ["build", "--release", "--manifest-path", "bench/mqload/Cargo.toml", "--target-dir", "target/mqload"];
    run(Command::new("cargo").args(mqload).current_dir(root))
}

fn build(root: &Path, options: &Options) -> Result<(), String> {
    build_load(root)?;
    if options.builds_aldis {
        run(Command::new("cargo")
            .args(["build", "--profile", "dist", "--package", "aldis"])
            .current_dir(root))?;
    }
    Ok(())
}

/// What the broker under test may never do: lose, reorder, stall, or fail a run.
fn faults(runs: &Runs, idle: &[(String, Idle)]) -> Vec<String> {
    let mut faults = Vec::new();
    for ((workload, broker), measured) in runs.iter().filter(|((_, broker), _)| broker == ALDIS) {
        for (round, run) in (1..).zip(measured) {
            faults.extend(run.fault().map(|fault| format!("{broker}, {workload}, round {round}: {fault}")));
        }
    }
    let errors =
        idle.iter().filter(|(broker, _)| broker == ALDIS).filter_map(|(_, idle)| idle.error.as_ref());
    faults.extend(errors.map(|error| format!("{ALDIS}, {}: {error}", workloads::IDLE)));
    faults
}
