//! Log lines that clients could cause by the thousand: the first of a kind at once, then a sum every
//! ten seconds for as long as something was held back, and what is left when the server stops.
//!
//! A line of one [`Kind`] never holds back one of another. With `-v` nothing is held back. Nothing is
//! counted here for metrics, and messages that subscribers lose are the business of `drop_log`.

mod kind;

pub(crate) use kind::Kind;

use crate::clock;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// How long lines of a kind are held back after one was written.
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// Whether everything is written as it happens.
pub(crate) fn is_verbose() -> bool {
    tracing::enabled!(target: "aldis", tracing::Level::DEBUG)
}

/// The lines that wait, by kind. As many entries as there are kinds, at most.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    // Taken by whoever is refused something and by the timer, not by a message that goes its way; held
    // to look into the map, and not while a line is written.
    windows: Mutex<BTreeMap<Kind, Window>>,
    /// The first window has opened: there is something to wait for.
    opened: Notify,
}

/// The ten seconds after a line.
#[derive(Debug)]
struct Window {
    ends: Instant,
    held_back: u64,
}

impl Notices {
    /// Writes a line of this kind, or counts it for the next sum.
    pub(crate) fn warn(&self, kind: Kind, line: fmt::Arguments<'_>) {
        if is_verbose() || self.opens(kind, clock::now()) {
            tracing::warn!(target: "aldis", "{line}");
        }
    }

    fn opens(&self, kind: Kind, now: Instant) -> bool {
        let mut windows = self.windows.lock();
        if let Some(window) = windows.get_mut(&kind) {
            window.held_back += 1;
            return false;
        }
        if windows.is_empty() {
            self.opened.notify_one();
        }
        windows.insert(kind, Window { ends: now + EVERY, held_back: 0 });
        true
    }

    /// Writes the sums as they come due, for as long as the server runs. It sleeps until one does: a
    /// broker that refuses nobody is not woken.
    pub(crate) async fn run(&self) {
        loop {
            let due = self.sum_up(clock::now());
            match due {
                // Windows are equally long, so one that opens meanwhile ends later.
                Some(due) => sleep_until(due.into()).await,
                None => self.opened.notified().await,
            }
        }
    }

    /// Writes the sums that are due at `now`, and answers when the next will be.
    fn sum_up(&self, now: Instant) -> Option<Instant> {
        let mut sums = Vec::new();
        let next = {
            let mut windows = self.windows.lock();
            windows.retain(|kind, window| {
                if window.ends > now {
                    return true;
                }
                let held_back = std::mem::take(&mut window.held_back);
                sums.extend((held_back > 0).then_some((*kind, held_back)));
                window.ends = now + EVERY;
                held_back > 0
            });
            windows.values().map(|window| window.ends).min()
        };
        write(&sums);
        next
    }

    /// Writes what was held back and has not come due: the server stops.
    pub(crate) fn write_rest(&self) {
        let windows = std::mem::take(&mut *self.windows.lock());
        let rest = windows.into_iter().map(|(kind, window)| (kind, window.held_back));
        write(&rest.filter(|(_, held_back)| *held_back > 0).collect::<Vec<_>>());
    }
}

fn write(sums: &[(Kind, u64)]) {
    for (kind, held_back) in sums {
        tracing::warn!(target: "aldis", "{kind}: {held_back} more within {} s", EVERY.as_secs());
    }
}
