//! Runs one scenario with rumqttc: `NAME VERSION` (311 or 5), like the programs in the other `with_*`.
//!
//! `tests/clients/run.py` starts it and says in the environment where the broker is; `--host`, `--port`
//! and `--scenario` do the same by hand. The exit code is 0 if the scenario holds, 1 if it does not (one
//! line on standard error says why), anything else if the scenario itself is broken.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "run.py reads what this program prints")]

mod connection;
mod delivery;
mod expect;
mod features;
mod message;
mod peer;
mod state;
mod tree;

use expect::{Outcome, Settings};
use peer::Run;
use std::pin::Pin;
use std::process::ExitCode;

/// A scenario that runs.
type Running<'run> = Pin<Box<dyn Future<Output = Outcome> + 'run>>;

/// What starts a scenario.
type Scenario = fn(&Run) -> Running<'_>;

/// Every scenario by its name; `run.py` has the same list, with the versions of each.
const SCENARIOS: [(&str, Scenario); 19] = [
    ("qos", |run| Box::pin(delivery::qos(run))),
    ("large", |run| Box::pin(delivery::large(run))),
    ("overlap", |run| Box::pin(delivery::overlap(run))),
    ("shared", |run| Box::pin(delivery::shared(run))),
    ("request-response", |run| Box::pin(delivery::request_response(run))),
    ("many", |run| Box::pin(delivery::many(run))),
    ("topic-alias", |run| Box::pin(delivery::topic_alias(run))),
    ("retained", |run| Box::pin(state::retained(run))),
    ("will", |run| Box::pin(state::will(run))),
    ("will-delay", |run| Box::pin(state::will_delay(run))),
    ("session", |run| Box::pin(state::session(run))),
    ("redelivery", |run| Box::pin(state::redelivery(run))),
    ("exactly-once", |run| Box::pin(state::exactly_once(run))),
    ("unsubscribe", |run| Box::pin(state::unsubscribe(run))),
    ("take-over", |run| Box::pin(state::take_over(run))),
    ("properties", |run| Box::pin(features::properties(run))),
    ("expiry", |run| Box::pin(features::expiry(run))),
    ("subscribe-options", |run| Box::pin(features::subscribe_options(run))),
    ("subscription-identifiers", |run| Box::pin(features::subscription_identifiers(run))),
];

const USAGE: &str = "usage: [--host HOST] [--port PORT] [--scenario] NAME VERSION, or retained-tree COUNT VERSION, \
or --list";

fn main() -> ExitCode {
    let given: Vec<String> = std::env::args().skip(1).collect();
    if given == ["--list"] {
        SCENARIOS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let outcome = prepare(given).and_then(|(scenario, run)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        Ok(runtime.block_on(async {
            let outcome = scenario(&run).await;
            // What goes wrong first is what is reported.
            let cleaned = peer::clean_up(&run).await;
            outcome.and(cleaned)
        }))
    });
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

/// Reads the command line and the environment.
fn prepare(given: Vec<String>) -> Result<(Scenario, Run), String> {
    let mut settings = Settings::from_environment()?;
    let mut words = Vec::new();
    let mut given = given.into_iter();
    while let Some(word) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--host" => settings.host = value()?,
            "--port" => settings.port = expect::parsed("--port", &value()?)?,
            "--scenario" => words.insert(0, value()?),
            _ => words.push(word),
        }
    }
    let mut tree_size = 0;
    let (scenario, version): (Scenario, _) = match words.as_slice() {
        [name, count, version] if name == "retained-tree" => {
            tree_size = expect::parsed("COUNT", count)?;
            (|run| Box::pin(tree::read(run)), version)
        }
        [name, version] => {
            let found = SCENARIOS.iter().find(|(known, _)| known == name);
            (found.ok_or_else(|| format!("no scenario is called {name}"))?.1, version)
        }
        _ => return Err(USAGE.to_owned()),
    };
    let is_five = match version.as_str() {
        "311" => false,
        "5" => true,
        _ => return Err(format!("rumqttc speaks 311 and 5, not {version}")),
    };
    Ok((scenario, Run::new(settings, is_five, tree_size)))
}
