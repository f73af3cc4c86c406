//! Every target for a moment: the entries of the corpus, and inputs made of them from a fixed seed, so that the
//! same run fails tomorrow. `cargo xtask fuzz` goes on for as long as one likes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use aldis_fuzz::run::{Length, run};
use aldis_fuzz::{TARGETS, Target, corpus};
use std::collections::BTreeSet;

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// So many inputs as take about two seconds without optimisation.
fn a_moment_of(name: &str, inputs: u64) {
    let ran = run(target(name), 1, Length::Inputs(inputs)).unwrap_or_else(|finding| panic!("{finding}"));
    assert!(ran.corpus > 0 && ran.inputs == inputs, "{ran:?}");
}

#[test]
fn decoder() {
    a_moment_of("decoder", 1_000_000);
}

#[test]
fn stream() {
    a_moment_of("stream", 60_000);
}

#[test]
fn topics() {
    a_moment_of("topics", 400_000);
}

#[test]
fn trie() {
    a_moment_of("trie", 8_000);
}

#[test]
fn retained() {
    a_moment_of("retained", 8_000);
}

#[test]
fn outbox() {
    a_moment_of("outbox", 25_000);
}

#[test]
fn conversation() {
    a_moment_of("conversation", 6_000);
}

#[test]
fn configuration() {
    a_moment_of("configuration", 6_000);
}

#[test]
fn passwords() {
    a_moment_of("passwords", 60_000);
}

/// A target without a test above would rest.
#[test]
fn every_target_has_its_moment_and_its_corpus() {
    let source = include_str!("bounded.rs");
    for target in TARGETS {
        let call = format!("a_moment_of(\"{}\", ", target.name);
        assert!(source.contains(&call), "{} is not run", target.name);
        let entries = corpus::entries(target.name).unwrap();
        let small = entries.iter().all(|(_, input)| input.len() <= 2_000);
        assert!((4..=80).contains(&entries.len()) && small, "{}: {} entries", target.name, entries.len());
    }
    let folders = corpus::folder("").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let folders: BTreeSet<String> = folders.map(|name| name.into_string().unwrap()).collect();
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, names, "a folder for each target and no other");
}

/// An entry says by its name what it is: the hash of its bytes, or what was found with it.
#[test]
fn entries_are_named_by_their_bytes_or_by_what_was_wrong() {
    for target in TARGETS {
        for (name, input) in corpus::entries(target.name).unwrap() {
            let is_finding = name.strip_prefix("found-").is_some_and(|cause| cause.contains('-'));
            assert!(is_finding || name == corpus::name(&input), "{}/{name}", target.name);
        }
    }
}
