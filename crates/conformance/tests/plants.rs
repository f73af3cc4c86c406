//! The suite is tested with a model that keeps every rule, and with models that break one rule each: every test
//! passes against the first, and of each plant a test of exactly that rule fails.
//!
//! `unproven.tsv` lists the rules that have a test and no plant which fails it. The list is compared, so that it
//! changes only when somebody means it to.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it is a test")]

use aldis_conformance::model::{Manner, Model, PLANTS, Rule};
use aldis_conformance::runner::{Case, Played, play};
use aldis_conformance::{Doors, Fault, Version, cases, statement};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How many plants are tried at a time. They wait more than they work.
const SIDE_BY_SIDE: usize = 32;
/// How long a test waits for what a broken model does not do. The model itself answers in milliseconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The same for tests that wait for what the standard delays.
const LONG_PATIENCE: Duration = Duration::from_secs(8);

fn played(broken: Option<Rule>, manner: Manner, cases: &[Case], patience: Duration) -> Vec<Played> {
    let model = Model::start(broken, manner).unwrap();
    let doors = Doors { patience, ..model.doors() };
    play(cases, &doors, "c", |_| ())
}

/// The model keeps both ways that overlapping subscriptions may be served, one at a time; a test that cannot see
/// its statement in one sees it in the other.
#[test]
fn every_test_passes_where_every_rule_is_kept() {
    let all = cases::all();
    let first = played(None, Manner::OneCopy, &all, Duration::from_secs(30));
    let (passed, rest): (Vec<_>, Vec<_>) = first.into_iter().partition(|one| one.outcome == Ok(()));
    let (unseen, mut wrong): (Vec<_>, Vec<_>) =
        rest.into_iter().partition(|one| matches!(one.outcome, Err(Fault::NotShown(_))));
    let again: Vec<Case> = unseen.iter().map(|one| one.case).collect();
    let second = played(None, Manner::CopyEach, &again, Duration::from_secs(30));
    wrong.extend(second.into_iter().filter(|one| one.outcome != Ok(())));
    let lines: Vec<_> = wrong.iter().map(|one| format!("{:?}: {:?}", one.case, one.outcome)).collect();
    assert!(wrong.is_empty(), "{} passed at once, and these did not:\n{}", passed.len(), lines.join("\n"));
}

/// A broker that offers less breaks no rule: tests do not see what they are about, and none fails.
#[test]
fn no_test_asks_for_more_than_the_standards_do() {
    let all = cases::all();
    let played = played(None, Manner::Sparing, &all, Duration::from_secs(30));
    let wrong = played.iter().filter(|one| matches!(one.outcome, Err(Fault::Failed(_))));
    let lines: Vec<_> = wrong.map(|one| format!("{:?}: {:?}", one.case, one.outcome)).collect();
    assert!(lines.is_empty(), "these failed:\n{}", lines.join("\n"));
}

/// The tests that fail with little patience although no rule is broken. Their failing then proves nothing, so they
/// get more.
fn slow(all: &[Case]) -> Vec<Case> {
    let at_once = played(None, Manner::OneCopy, all, PATIENCE);
    at_once
        .into_iter()
        .filter(|one| matches!(one.outcome, Err(Fault::Failed(_))))
        .map(|one| one.case)
        .collect()
}

/// The tests of a broken rule that fail, with what they say.
fn catchers(rule: Rule, all: &[Case], slow: &[Case]) -> Vec<(Case, String)> {
    let own = all.iter().filter(|case| case.version == rule.version() && case.id == rule.id());
    let (patient, quick): (Vec<Case>, Vec<Case>) =
        own.copied().partition(|case| slow.iter().any(|one| is(one, case)));
    let mut found = Vec::new();
    for (cases, patience) in [(quick, PATIENCE), (patient, LONG_PATIENCE)] {
        let one = played(Some(rule), Manner::OneCopy, &cases, patience);
        let blind: Vec<Case> = one
            .iter()
            .filter(|one| matches!(one.outcome, Err(Fault::NotShown(_))))
            .map(|one| one.case)
            .collect();
        let each = played(Some(rule), Manner::CopyEach, &blind, patience);
        found.extend(one.into_iter().chain(each).filter_map(|one| match one.outcome {
            Err(Fault::Failed(why)) => Some((one.case, why)),
            _ => None,
        }));
    }
    found
}

fn is(one: &Case, other: &Case) -> bool {
    (one.version, one.id, one.name) == (other.version, other.id, other.name)
}

/// Each plant is caught by a test of its rule, and each test catches a plant: one that catches none may be a test
/// that cannot fail. With `--nocapture` it is told what caught what.
#[test]
fn every_broken_rule_fails_a_test_of_its_own() {
    let all = cases::all();
    let slow = slow(&all);
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let caught: Mutex<Vec<Case>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(rule) = PLANTS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = catchers(*rule, &all, &slow);
                    if found.is_empty() {
                        missed.lock().unwrap().push(format!("{rule:?}"));
                    }
                    for (case, why) in found {
                        println!("{rule:?} fails {}: {why}", case.name);
                        caught.lock().unwrap().push(case);
                    }
                }
            });
        }
    });
    let (missed, caught) = (missed.into_inner().unwrap(), caught.into_inner().unwrap());
    let idle: Vec<_> = all.iter().filter(|case| !caught.iter().any(|one| is(one, case))).collect();
    println!("{} plants, {} tests, {} of them slow", PLANTS.len(), all.len(), slow.len());
    assert!(missed.is_empty(), "no test of their own caught these:\n{}", missed.join("\n"));
    assert!(idle.is_empty(), "these tests caught nothing:\n{idle:#?}");
}

/// The names that the model asks for, and no others, are its plants.
#[test]
fn the_plants_are_what_the_model_asks_for() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model");
    let mut asked = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if ["plants.rs", "rule.rs"].iter().any(|other| file.ends_with(other)) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for (place, _) in text.match_indices("\"MQTT-") {
            let (before, name) = text.split_at(place);
            let name = name.split('"').nth(1).unwrap();
            let version = if before.ends_with("V311(") { Version::V311 } else { Version::V5 };
            asked.insert((version, name.to_owned()));
        }
    }
    let named = |rule: &Rule| (rule.version(), rule.name().to_owned());
    assert_eq!(asked, PLANTS.iter().map(named).collect());
}

/// A plant is a statement that can be seen from outside.
#[test]
fn every_plant_is_a_testable_statement() {
    for rule in PLANTS {
        let found = statement::statement(rule.version(), rule.id());
        assert!(found.is_some_and(|found| found.testable_from_outside), "{rule:?}");
    }
}

#[test]
fn what_is_unproven_is_listed() {
    let listed: BTreeMap<(String, String), String> = include_str!("../unproven.tsv")
        .lines()
        .skip(1)
        .map(|line| {
            let [version, id, why] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            ((version.to_owned(), id.to_owned()), why.to_owned())
        })
        .collect();
    let mut found = Vec::new();
    for version in [Version::V311, Version::V5] {
        for statement in statement::statements(version).filter(|statement| statement.testable_from_outside) {
            if Rule::planted(version, statement.id).is_none() {
                found.push((version.name().to_owned(), statement.id.to_owned()));
            }
        }
    }
    found.sort();
    let names: Vec<_> = listed.keys().cloned().collect();
    assert_eq!(names, found, "unproven.tsv lists the rules without a plant, and no others");
    assert!(listed.values().all(|why| why.len() > 10), "each line says why");
}
