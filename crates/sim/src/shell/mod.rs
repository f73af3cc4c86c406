//! The broker's side of the run: what `aldis-server` is in Tokio, as machines that take one step at a time.
//!
//! Every place where the server locks, reads, writes, sends a command or waits is a step of its own here, so
//! that the agenda can put any step of anybody else in between. What is decided in a step is decided by the pure
//! crates, as in the server; the names are those of the server's files.

pub mod ask;
pub mod broker_task;
pub mod client;
pub mod desk;
pub mod ending;
pub mod greeting;
pub mod keep_alive;
pub mod publisher;
pub mod reader;

use crate::agenda::Time;

/// What an actor waits for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interest {
    /// The bell of its connection.
    pub bell: bool,
    /// Bytes from the client, or the end of them.
    pub readable: bool,
    /// Room for bytes to the client.
    pub writable: bool,
    /// The answer to this question.
    pub answer: Option<u64>,
    /// A place for a command.
    pub place: bool,
    /// A time.
    pub until: Option<Time>,
}

/// What an actor does after a step.
#[derive(Debug, Clone, Copy)]
pub enum Then {
    /// Comes again soon.
    Again,
    /// Waits.
    Sleep(Interest),
    /// Is done for good.
    Over,
}
