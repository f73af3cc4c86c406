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

/// One seed may fail after a few steps of a few clients, and have little that can be left out; so several are shrunk.
#[test]
fn failing_seeds_are_told_in_shorter_stories() {
    plant(Some(Fault::NoDup));
    let checker = |failure: &Option<Failure>| failure.as_ref().map(|failure| failure.checker);
    let failing = (0..SEEDS).map(|seed| (seed, run(seed, &Cut::default(), true)));
    let failing = failing.filter(|(_, whole)| checker(&whole.failure) == Some("repeats")).take(6);
    let stories: Vec<_> = failing
        .map(|(seed, whole)| {
            let shrunk = shrink(seed, Cut::default(), whole.clone());
            let again = run(seed, &shrunk.cut, true);
            let left_out = shrunk.cut.clients.len() + shrunk.cut.features.len();
            (checker(&again.failure), left_out, again.story.len(), whole.story.len())
        })
        .collect();
    plant(None);
    assert_eq!(stories.len(), 6);
    for (checker, left_out, shorter, whole) in &stories {
        assert_eq!(*checker, Some("repeats"), "what is left out takes the failure along: {stories:?}");
        assert!(*left_out > 5 && shorter < whole || shorter == whole, "{stories:?}");
    }
    let [shorter, whole] =
        [stories.iter().map(|story| story.2).sum::<usize>(), stories.iter().map(|story| story.3).sum()];
    assert!(shorter * 2 < whole, "{stories:?}");
}
