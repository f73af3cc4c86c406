//! What happens at a certain time: sessions expire, delayed wills come due, retained messages
//! expire. One ordered map; nothing is looked at before its time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The session expires.
    Session(u64),
    /// The will of the session is published.
    Will(u64),
    /// The retained message of the topic may have expired.
    Retained(Arc<str>),
}

/// Finds a timer again to cancel it.
pub(crate) type TimerKey = (Instant, u64);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<TimerKey, Timer>,
    set: u64,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) -> TimerKey {
        self.set += 1;
        self.due.insert((at, self.set), timer);
        (at, self.set)
    }

    pub(crate) fn cancel(&mut self, key: TimerKey) {
        self.due.remove(&key);
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes one timer whose time has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }
}
