//! Log lines about dropped messages: the first of a reason at once, then a sum every ten seconds, and
//! what is left when the server stops.
//!
//! Nothing on the way of a message writes here: the counters are looked at once a second.

use crate::notices::{EVERY, is_verbose};
use crate::server::Doors;
use aldis_session::{Counters, DropReason};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How often the counters are looked at; "at once" means within this time.
const LOOK: Duration = Duration::from_secs(1);

/// What has been said so far.
#[derive(Debug, Default)]
pub(crate) struct DropLog {
    reasons: [Said; DropReason::ALL.len()],
}

#[derive(Debug, Default)]
struct Said {
    dropped: u64,
    /// No line before this.
    next: Option<Instant>,
}

impl DropLog {
    fn look(&mut self, counters: &Counters, now: Instant, everything: bool) {
        let totals = DropReason::ALL.iter().zip(&counters.dropped);
        for ((reason, total), said) in totals.zip(&mut self.reasons) {
            let total = total.load(Relaxed);
            let held_back = !everything && said.next.is_some_and(|next| now < next);
            if total <= said.dropped || is_ordinary(*reason) || held_back {
                continue;
            }
            let count = total - said.dropped;
            *said = Said { dropped: total, next: now.checked_add(EVERY) };
            let messages = if count == 1 { "message" } else { "messages" };
            tracing::warn!(target: "aldis", "dropped {count} {messages}: {}: {}", reason.name(), way_out(*reason));
        }
    }

    /// Says what was not said yet: the server stops.
    pub(crate) fn write_rest(&mut self, counters: &Counters, now: Instant) {
        self.look(counters, now, true);
    }
}

/// What an operator can do about a reason.
fn way_out(reason: DropReason) -> &'static str {
    match reason {
        DropReason::QueueFull => {
            "a client is slower than what it subscribes to; see limits.queue_messages and limits.queue_bytes"
        }
        DropReason::MemoryWatermark => {
            "queued and retained messages together, with all else that is held, are at limits.memory_watermark; \
             raise it, or lower the limits of queues and retained messages"
        }
        DropReason::TooLarge => "a client's maximum packet size is smaller than the message",
        DropReason::NotAuthorized => "a client may not receive from a topic it subscribes to",
        DropReason::SessionEnded => {
            "sessions ended or expired with messages of QoS 1 or 2 waiting or in flight"
        }
        DropReason::SessionEndedQos0 => "sessions ended with messages of QoS 0 waiting",
        DropReason::ConnectionClosed => "connections closed before QoS 0 messages were written",
        DropReason::RefusedByClient => "a client answered with a reason code of 0x80 or more",
        DropReason::NoMember => "a shared subscription had no member online for QoS 0 messages",
        DropReason::StoreDamaged => "what waited in the store is damaged; see `aldis store verify`",
        DropReason::Offline => "QoS 0 messages for clients that are offline; see limits.queue_qos0",
    }
}

/// Reasons that are the ordinary course of things at QoS 0, and only counted.
fn is_ordinary(reason: DropReason) -> bool {
    use DropReason::{ConnectionClosed, Offline, SessionEndedQos0};
    matches!(reason, Offline | ConnectionClosed | SessionEndedQos0)
}

/// Looks at the counters for as long as the server runs.
pub(crate) async fn run(doors: Arc<Doors>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = look.tick().await.into_std();
        doors.drop_log.lock().look(&doors.broker.counters, now, is_verbose());
    }
}
