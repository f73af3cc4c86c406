//! How often each kind of thing happened. A kind that never happened in all seeds of a run fails it: a checker
//! that is never tried proves nothing.

use aldis_broker::Population;
use aldis_session::{Counters, DropReason, FilterReason, RefuseReason};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

/// Counts by kind.
#[derive(Debug, Default, Clone)]
pub struct Census(pub BTreeMap<&'static str, u64>);

impl Census {
    /// It happened once more.
    pub fn count(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// It happened so many times.
    pub fn add(&mut self, kind: &'static str, times: u64) {
        if times > 0 {
            *self.0.entry(kind).or_default() += times;
        }
    }

    /// Adds what the broker has counted itself.
    pub fn count_broker(&mut self, counters: &Counters, population: &Population) {
        for reason in DropReason::ALL {
            self.add(dropped(reason), counters.dropped[reason as usize].load(Relaxed));
        }
        for reason in RefuseReason::ALL {
            self.add(refused(reason), counters.refused[reason as usize].load(Relaxed));
        }
        for reason in FilterReason::ALL {
            self.add(filter_refused(reason), counters.filters_refused[reason as usize].load(Relaxed));
        }
        self.add("a message expired", counters.expired.load(Relaxed));
        self.add("a retained message was delivered and not kept", counters.not_retained.load(Relaxed));
        self.add("a session expired", population.expired.load(Relaxed) as u64);
        self.add("a take-over", population.taken_over.load(Relaxed) as u64);
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Census) {
        for (kind, times) in &other.0 {
            self.add(kind, *times);
        }
    }
}

fn dropped(reason: DropReason) -> &'static str {
    match reason {
        DropReason::QueueFull => "dropped: queue_full",
        DropReason::MemoryWatermark => "dropped: memory_watermark",
        DropReason::Offline => "dropped: offline",
        DropReason::TooLarge => "dropped: too_large",
        DropReason::NotAuthorized => "dropped: not_authorized",
        DropReason::SessionEnded => "dropped: session_ended",
        DropReason::SessionEndedQos0 => "dropped: session_ended_qos0",
        DropReason::ConnectionClosed => "dropped: connection_closed",
        DropReason::RefusedByClient => "dropped: refused_by_client",
        DropReason::NoMember => "dropped: no_member",
        DropReason::StoreDamaged => "dropped: store_damaged",
    }
}

fn refused(reason: RefuseReason) -> &'static str {
    match reason {
        RefuseReason::NotAuthorized => "refused: not_authorized",
        RefuseReason::RetainedFull => "refused: retained_full",
        RefuseReason::Repeated => "refused: repeated",
        RefuseReason::StoreRefuses => "refused: store_refuses",
    }
}

fn filter_refused(reason: FilterReason) -> &'static str {
    match reason {
        FilterReason::NotAuthorized => "filter refused: not_authorized",
        FilterReason::Subscriptions => "filter refused: subscriptions",
        FilterReason::SharedSubscriptions => "filter refused: shared_subscriptions",
        FilterReason::TopicLevels => "filter refused: topic_levels",
        FilterReason::TopicBytes => "filter refused: topic_bytes",
        FilterReason::MemoryWatermark => "filter refused: memory_watermark",
        FilterReason::Share => "filter refused: share",
    }
}
