//! Keep alive: who was not heard for one and a half times its interval is ended [MQTT-3.1.2-24].
//!
//! Connections have no timer of their own. They stand in one heap by the earliest time at which
//! they could be late; when that time comes the connection says when it was last heard, and is
//! either ended or put back. So an idle connection costs one look for each interval.

use crate::clock::{self, Clock};
use crate::link::Link;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often the heap is looked at, and so the most that a connection is ended late.
const TICK: Duration = Duration::from_millis(250);

struct Watched {
    /// When the connection is late if nothing was heard, in milliseconds of the clock.
    at: u64,
    /// One and a half times its keep alive, in milliseconds.
    patience: u64,
    link: Weak<Link>,
}

impl PartialEq for Watched {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}
impl Eq for Watched {}
impl PartialOrd for Watched {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Watched {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// All connections with a keep alive.
#[derive(Default)]
pub(crate) struct KeepAlive {
    // Taken for one push by a connection that begins, and each tick for what is due.
    watched: Mutex<BinaryHeap<Reverse<Watched>>>,
}

impl KeepAlive {
    /// Watches a connection with a keep alive of `seconds`; 0 is none.
    pub(crate) fn watch(&self, link: &Arc<Link>, seconds: u16) {
        if seconds == 0 {
            return;
        }
        let patience = u64::from(seconds) * 1500;
        let watched = Watched { at: link.last_heard() + patience, patience, link: Arc::downgrade(link) };
        self.watched.lock().push(Reverse(watched));
    }

    fn look(&self, now: u64) {
        let mut watched = self.watched.lock();
        while watched.peek().is_some_and(|Reverse(first)| first.at <= now) {
            let Some(Reverse(mut first)) = watched.pop() else { return };
            let Some(link) = first.link.upgrade() else { continue };
            let at = link.last_heard() + first.patience;
            if at <= now {
                link.call_silent();
            } else {
                first.at = at;
                watched.push(Reverse(first));
            }
        }
    }

    /// Looks at the heap for as long as the server runs.
    pub(crate) async fn run(self: Arc<Self>, clock: Clock) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look(clock.millis(clock::now()));
        }
    }
}
