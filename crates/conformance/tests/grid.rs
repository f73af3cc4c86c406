//! The grid of malformed packets is tried with the model: a broker that keeps every rule passes it, whether it says
//! why it closes or not, and one that breaks a rule which cases of the grid name fails some of those.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is a test")]

use aldis_conformance::grid::{self, GridCase};
use aldis_conformance::model::{Manner, Model, PLANTS, Rule};
use aldis_conformance::{Doors, Version};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Of the grid, which has tens of thousands of cases, one in so many. It goes whole against brokers.
const ONE_IN: usize = 11;
/// How many rules are broken at a time.
const SIDE_BY_SIDE: usize = 8;

fn failures(broken: Option<Rule>, manner: Manner, cases: &[GridCase], patience: Duration) -> Vec<String> {
    let model = Model::start(broken, manner).unwrap();
    let doors = Doors { patience, ..model.doors() };
    let played = grid::play(cases, &doors, "grid", |_| ());
    let wrong = played.iter().filter(|one| one.outcome.is_err());
    wrong.map(|one| format!("{}: {:?}", one.case.name, one.outcome)).collect()
}

fn cases(from: usize) -> Vec<GridCase> {
    Version::ALL.into_iter().flat_map(grid::cases).skip(from).step_by(ONE_IN).collect()
}

#[test]
fn a_broker_that_says_why_passes() {
    let wrong = failures(None, Manner::OneCopy, &cases(0), Duration::from_secs(30));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_broker_that_says_nothing_passes() {
    // It does not grant QoS 2, without which some states cannot be reached.
    let mut wrong = failures(None, Manner::Sparing, &cases(3), Duration::from_secs(30));
    wrong.retain(|one| !one.contains("NotShown(\"the broker grants QoS [1] where [2]"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// AUTH is refused from a client that named no method, as those of the grid are, whatever is in it.
const HIDDEN: [&str; 2] = ["MQTT-3.15.1-1", "MQTT-3.15.2-1"];

#[test]
fn a_broken_rule_that_the_grid_names_fails_a_case() {
    let mut named: BTreeMap<(Version, &str), Vec<GridCase>> = BTreeMap::new();
    for case in Version::ALL.into_iter().flat_map(grid::cases) {
        if let Some(clause) = case.clause.filter(|clause| !HIDDEN.contains(clause)) {
            named.entry((case.version, clause)).or_default().push(case);
        }
    }
    let named: Vec<_> = named.into_iter().collect();
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(((version, clause), cases)) = named.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !is_caught(*version, clause, cases) {
                        missed.lock().unwrap().push(*clause);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "no case that names them caught these: {missed:?}");
}

/// Whether some of the cases fail when the rule is broken, in one of the ways there are.
fn is_caught(version: Version, clause: &str, cases: &[GridCase]) -> bool {
    let some: Vec<_> = cases.iter().step_by(cases.len() / 64 + 1).cloned().collect();
    let mut rules = PLANTS.iter().filter(|rule| rule.version() == version && rule.id() == clause);
    rules.any(|rule| {
        let found = failures(Some(*rule), Manner::OneCopy, &some, Duration::from_millis(500));
        found.iter().take(1).for_each(|one| println!("{rule:?} fails {one}"));
        !found.is_empty()
    })
}
