//! A conformance suite for any MQTT broker that listens on a TCP port.
//!
//! `statement` holds the normative statements of the two standards, `cases` the tests of them by identifier,
//! `grid` the malformed packets that follow from a table of what is allowed. A test plays on a `Stage`: it
//! opens connections, each a `Peer`, speaks through `wire`, and returns an `Outcome`. `runner` runs them
//! side by side and gives each statement its `Verdict`. `model` is a small broker that can be told to break one
//! rule at a time: with it the suite shows that each test fails when its statement is broken.
//!
//! Nothing of Aldis is used here, so that an error of the broker cannot hide itself.
#![allow(clippy::disallowed_methods, reason = "the rules on clocks and sleeping are for the broker's crates")]
#![allow(
    clippy::missing_errors_doc,
    reason = "every fallible function returns an Outcome, which says what was seen"
)]

pub mod cases;
pub mod command;
pub mod grid;
pub mod model;
pub mod offers;
pub mod outcome;
pub mod peer;
pub mod probe;
pub mod report;
pub mod runner;
pub mod scram;
pub mod stage;
pub mod statement;
pub mod web_socket;
pub mod wire;

pub use offers::{Feature, NotOffered};
pub use outcome::{Fault, Outcome, Verdict};
pub use peer::Peer;
pub use runner::Case;
pub use stage::{Doors, Stage};
pub use wire::Version;
