//! Log lines about dropped messages: the first of a reason at once, then a sum every ten seconds.

use crate::rate_limit::RateLimit;
use crate::server::Doors;
use aldis_session::DropReason;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How often the counters are looked at; "at once" means within this time.
const LOOK: Duration = Duration::from_secs(1);

/// What an operator can do about a reason.
fn way_out(reason: DropReason) -> &'static str {
    match reason {
        DropReason::QueueFull => {
            "a client is slower than what it subscribes to; see limits.queue_messages and limits.queue_bytes"
        }
        DropReason::MemoryWatermark => "all queues together are at limits.memory_watermark",
        DropReason::TooLarge => "a client's maximum packet size is smaller than the message",
        DropReason::NotAuthorized => "a client may not receive from a topic it subscribes to",
        DropReason::SessionEnded => {
            "sessions ended or expired with messages of QoS 1 or 2 waiting or in flight"
        }
        DropReason::SessionEndedQos0 => "sessions ended with messages of QoS 0 waiting",
        DropReason::ConnectionClosed => "connections closed before QoS 0 messages were written",
        DropReason::RefusedByClient => "a client answered with a reason code of 0x80 or more",
        DropReason::NoMember => "a shared subscription had no member online for QoS 0 messages",
        DropReason::Offline => "QoS 0 messages for clients that are offline; see limits.queue_qos0",
    }
}

/// Reasons that are the ordinary course of things at QoS 0, and only counted.
fn ordinary(reason: DropReason) -> bool {
    matches!(reason, DropReason::Offline | DropReason::ConnectionClosed | DropReason::SessionEndedQos0)
}

/// Looks at the counters for as long as the server runs.
pub(crate) async fn run(doors: Arc<Doors>) {
    let counters = &doors.broker.counters;
    let mut written = DropReason::ALL.map(|_| 0);
    let limits = DropReason::ALL.map(|_| RateLimit::default());
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let each = DropReason::ALL.iter().zip(&counters.dropped).zip(written.iter_mut().zip(&limits));
        for ((reason, total), (written, limit)) in each {
            let total = total.load(Relaxed);
            if total > *written && !ordinary(*reason) && limit.allow().is_some() {
                let count = total - *written;
                *written = total;
                tracing::warn!(target: "aldis", "dropped {count} messages: {}: {}", reason.name(), way_out(*reason));
            }
        }
    }
}
