//! Virtual time, and who does what when.
//!
//! Time is a number of microseconds. It passes only from one entry of the agenda to the next: nobody waits for
//! it, and an hour costs nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Microseconds since the start of a run.
pub type Time = u64;

/// Microseconds of a millisecond.
pub const MILLI: Time = 1_000;
/// Microseconds of a second.
pub const SECOND: Time = 1_000_000;

/// Somebody who takes steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// The Broker's loop.
    Broker,
    /// The in-process publisher of wills.
    Publisher,
    /// The broker's side of the connection with this number.
    Task(usize),
    /// Outboxes that were given away to be written.
    Part(usize),
    /// The model client with this number.
    Client(usize),
    /// The look at the keep alive of the connection with this number.
    KeepAlive(usize),
    /// The call to look for expired messages.
    Sweep,
    /// Somebody stops the machine for seconds.
    Standstill,
    /// The committer of the log.
    Commit,
    /// Whoever lets those go on that wait for a commit.
    Release,
}

/// How an actor stands towards the agenda.
#[derive(Debug, Default)]
struct Status {
    /// When it comes next.
    at: Option<Time>,
    /// It is in the middle of a step.
    busy: bool,
    /// It was called meanwhile.
    called: bool,
}

/// Who comes when.
#[derive(Debug, Default)]
pub struct Agenda {
    entries: BinaryHeap<Reverse<(Time, u64, Actor)>>,
    statuses: BTreeMap<Actor, Status>,
    arrivals: u64,
}

impl Agenda {
    /// Lets `actor` take a step at `at`, or earlier if it would anyway.
    pub fn call(&mut self, actor: Actor, at: Time) {
        let status = self.statuses.entry(actor).or_default();
        if status.busy {
            status.called = true;
        } else if status.at.is_none_or(|known| at < known) {
            status.at = Some(at);
            self.arrivals += 1;
            self.entries.push(Reverse((at, self.arrivals, actor)));
        }
    }

    /// Takes the next actor that comes at `limit` at the latest, and when. It is busy from now on.
    pub fn next(&mut self, limit: Time) -> Option<(Time, Actor)> {
        while let Some(&Reverse((at, _, actor))) = self.entries.peek() {
            let status = self.statuses.entry(actor).or_default();
            if status.at != Some(at) || status.busy {
                self.entries.pop();
                continue;
            }
            if at > limit {
                return None;
            }
            self.entries.pop();
            status.at = None;
            status.busy = true;
            return Some((at, actor));
        }
        None
    }

    /// When the next one comes.
    pub fn peek(&mut self) -> Option<Time> {
        while let Some(&Reverse((at, _, actor))) = self.entries.peek() {
            if self.statuses.get(&actor).is_some_and(|status| status.at == Some(at) && !status.busy) {
                return Some(at);
            }
            self.entries.pop();
        }
        None
    }

    /// The step of `actor` is over; true if somebody called it meanwhile.
    pub fn done(&mut self, actor: Actor) -> bool {
        let status = self.statuses.entry(actor).or_default();
        status.busy = false;
        std::mem::take(&mut status.called)
    }
}
