//! Fuzz targets: plain functions over bytes that panic when Aldis breaks a promise.
//!
//! A target compares a part of Aldis with something that others wrote or that is too simple to be wrong: a
//! decoder from the registry, a list, a map, an account that must add up. The same functions run for a moment
//! with every test run, for as long as one likes with `cargo xtask fuzz`, and under a coverage-guided fuzzer
//! (the folder `fuzz`). Nothing here is part of the broker.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a target says what it found by a panic"
)]
#![allow(
    clippy::duplicate_mod,
    reason = "two parts of the tests of `session` each bring the wire they are written on"
)]
#![allow(clippy::disallowed_methods, reason = "the rules on clocks are for the broker's crates")]

pub mod choices;
pub mod configuration;
pub mod conversation;
pub mod corpus;
pub mod decoder;
pub mod differences;
pub mod mutate;
pub mod naive;
pub mod ours;
pub mod outbox;
pub mod passwords;
pub mod random;
pub mod reading;
pub mod retained;
pub mod run;
pub mod stream;
pub mod theirs;
pub mod topics;
pub mod trie;

/// A part of Aldis, and what can go wrong with it.
pub struct Target {
    /// Its name on the command line, and of its folder of corpus entries.
    pub name: &'static str,
    /// What it holds.
    pub holds: &'static str,
    /// The target.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "decoder",
        holds: "a packet means what another decoder reads in it",
        run: decoder::decoder,
    },
    Target { name: "stream", holds: "any split of the bytes gives the same packets", run: stream::stream },
    Target { name: "topics", holds: "names and filters are what section 4.7 says", run: topics::topics },
    Target { name: "trie", holds: "the subscription trie is a list that is quick", run: trie::trie },
    Target {
        name: "retained",
        holds: "the tree of retained messages is a map that is quick",
        run: retained::retained,
    },
    Target {
        name: "outbox",
        holds: "law 10, and what a client may see, over any operations",
        run: outbox::outbox,
    },
    Target {
        name: "conversation",
        holds: "any split of what a client sends has the same effect",
        run: conversation::conversation,
    },
    Target {
        name: "configuration",
        holds: "any text is settings, or an error that helps",
        run: configuration::configuration,
    },
    Target {
        name: "passwords",
        holds: "any bytes are users, or an error that shows no secret",
        run: passwords::passwords,
    },
];
