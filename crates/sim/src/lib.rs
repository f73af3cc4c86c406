//! The simulator: many clients, the Broker, its Outboxes and wires in one thread, with virtual time and one seed.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "a run that meets the impossible stops at once, and its seed is told"
)]
#![allow(missing_docs, reason = "names of fields that say what they are")]

pub mod agenda;
pub mod census;
pub mod checkers;
pub mod disk;
#[cfg(feature = "planted-faults")]
pub mod faults;
pub mod ground;
pub mod kinds;
pub mod many;
pub mod model;
pub mod plan;
pub mod probe;
pub mod random;
pub mod run;
pub mod seams;
pub mod shell;
pub mod shrink;
pub mod stage;
pub mod store;
pub mod tap;
pub mod watch;
pub mod wire;
pub mod world;
