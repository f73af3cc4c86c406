//! Each planted fault is noticed within a thousand seeds, by the checker that is there for it; and the same seeds
//! pass when nothing is planted. `cargo test --release -p aldis-sim --features planted-faults`.

#![cfg(feature = "planted-faults")]

use aldis_sim::faults::{FAULTS, first_failure};

/// Seeds that each fault has to show itself in.
const SEEDS: u64 = 1_000;

#[test]
fn each_planted_fault_is_noticed_by_the_checker_meant_for_it() {
    let mut wrong = Vec::new();
    for (fault, meant) in FAULTS {
        let Some((seed, outcome)) = first_failure(Some(fault), 0, SEEDS) else {
            wrong.push(format!("{fault:?} is never noticed"));
            continue;
        };
        let failure = outcome.failure.unwrap();
        println!("{fault:?}: seed {seed}, {}: {}", failure.checker, failure.what);
        if failure.checker != meant {
            wrong.push(format!("{fault:?} is noticed by {} first, and {meant} is meant for it", failure.checker));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_same_seeds_pass_when_nothing_is_planted() {
    if let Some((seed, outcome)) = first_failure(None, 0, SEEDS) {
        panic!("seed {seed}: {:?}", outcome.failure);
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
