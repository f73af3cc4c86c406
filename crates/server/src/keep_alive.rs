//! Keep alive: who was not heard for one and a half times its interval is ended [MQTT-3.1.2-22].
//!
//! Connections have no timer of their own. They stand in one map by the earliest time at which
//! they could be late; when that time comes the connection says when it was last heard, and is
//! either ended or put back. So an idle connection costs one look for each interval. Time in which the
//! broker itself does not read is not counted: nobody is silent who is not listened to.

use crate::clock::{self, Clock};
use crate::link::Link;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often the map is looked at, and so the most that a connection is ended late.
const TICK: Duration = Duration::from_millis(250);

struct Watched {
    /// One and a half times its keep alive, in milliseconds.
    patience: u64,
    link: Weak<Link>,
}

/// When a connection is late if nothing was heard, in milliseconds of the clock, and which it is.
type Place = (u64, usize);

/// All connections with a keep alive.
#[derive(Default)]
pub(crate) struct KeepAlive {
    // Taken for one insertion or removal by a connection that begins or ends, and each tick for
    // what is due.
    watched: Mutex<BTreeMap<Place, Watched>>,
}

impl KeepAlive {
    /// Watches a connection with a keep alive of `seconds`, from `now` on; 0 is none.
    pub(crate) fn watch(&self, link: &Arc<Link>, seconds: u16, now: u64) {
        if seconds == 0 {
            return;
        }
        link.heard(now);
        let patience = u64::from(seconds) * 1500;
        let place = place(link, now + patience);
        self.watched.lock().insert(place, Watched { patience, link: Arc::downgrade(link) });
    }

    /// The connection has ended.
    pub(crate) fn forget(&self, link: &Arc<Link>) {
        let mut watched = self.watched.lock();
        watched.remove(&(link.watched_at.load(Relaxed), Arc::as_ptr(link).addr()));
    }

    fn look(&self, now: u64) {
        let mut watched = self.watched.lock();
        while watched.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            let Some((_, first)) = watched.pop_first() else { return };
            let Some(link) = first.link.upgrade() else { continue };
            let at = link.last_heard().unwrap_or(now) + first.patience;
            if at <= now {
                link.call_silent();
            } else {
                watched.insert(place(&link, at), first);
            }
        }
    }

    /// Looks at the map for as long as the server runs.
    pub(crate) async fn run(self: Arc<Self>, clock: Clock) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.look(clock.millis(clock::now()));
        }
    }
}

/// The place of a connection, which it remembers, to be forgotten when it ends. Always taken under
/// the lock of the map, or before the connection is in it.
fn place(link: &Arc<Link>, at: u64) -> Place {
    link.watched_at.store(at, Relaxed);
    (at, Arc::as_ptr(link).addr())
}
