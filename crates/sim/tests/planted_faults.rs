//! Each planted fault is noticed within a thousand seeds, by the checker that is there for it; and the same seeds
//! pass when nothing is planted. `cargo test --release -p aldis-sim --features planted-faults`.

#![cfg(feature = "planted-faults")]

use aldis_session::planted::{Fault, plant};
use aldis_sim::faults::{FAULTS, notice};
use aldis_sim::plan::Cut;
use aldis_sim::run::run;
use aldis_sim::shrink::shrink;
use aldis_sim::watch::Failure;

/// Seeds that each fault has to show itself in.
const SEEDS: u64 = 1_000;

#[test]
fn each_planted_fault_is_noticed_by_the_checker_meant_for_it() {
    let mut wrong = Vec::new();
    for (fault, meant) in FAULTS {
        let noticed = notice(fault, meant, SEEDS);
        match &noticed.by_its_own {
            Some((seed, what)) => println!("{fault:?}: seed {seed}, {meant}: {what}"),
            None => wrong.push(format!("{fault:?} is never noticed by {meant}, but by {:?}", noticed.before)),
        }
        if noticed.before.contains("panic") {
            wrong.push(format!("{fault:?} ends in a panic"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_seeds_pass_when_nothing_is_planted() {
    for seed in 0..SEEDS {
        assert_eq!(run(seed, &Cut::default(), false).failure, None, "seed {seed}");
    }
}

#[test]
fn every_checker_has_a_fault_to_notice() {
    let checkers = aldis_sim::checkers::all();
    for checker in &checkers {
        let name = checker.name();
        assert!(FAULTS.iter().any(|(_, meant)| *meant == name), "no planted fault is meant for {name}");
    }
}

#[test]
fn a_failing_seed_is_told_in_a_shorter_story() {
    let (seed, _) = notice(Fault::NoDup, "repeats", SEEDS).by_its_own.unwrap();
    plant(Some(Fault::NoDup));
    let whole = run(seed, &Cut::default(), true);
    let shrunk = shrink(seed, Cut::default(), whole.clone());
    let again = run(seed, &shrunk.cut, true);
    plant(None);
    let checker = |failure: Option<Failure>| failure.map(|failure| failure.checker);
    assert_eq!(checker(again.failure), Some("repeats"));
    assert!(shrunk.cut.clients.len() + shrunk.cut.features.len() > 5, "{:?}", shrunk.cut);
    assert!(again.story.len() * 2 < whole.story.len(), "{} of {}", again.story.len(), whole.story.len());
}
