//! What the server has counted, read at one moment: plain numbers for `$SYS` and for metrics.
//!
//! Reading stops nobody: the one lock that it takes, for the connections, is held to copy four
//! numbers. Figures that belong together may therefore differ by what was on its way while they were
//! read; when nothing is, they fit (law 10):
//! `offered = completed + in flight + waiting + expired + dropped`.

use crate::clock;
use crate::server::Doors;
use aldis_packet::PacketType;
use aldis_session::{DropReason, FilterReason, RefuseReason};
use aldis_store::{Condition, Written};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Numbers since the start of the server, and how many there are of a thing now. Named as in
/// `aldis_session::Counters` and `aldis_broker::Population`, where each is explained.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub(crate) uptime_seconds: u64,
    /// By packet type.
    pub(crate) packets_received: [u64; 16],
    /// By packet type.
    pub(crate) packets_sent: [u64; 16],
    /// By packet type.
    pub(crate) packet_bytes_received: [u64; 16],
    /// By packet type.
    pub(crate) packet_bytes_sent: [u64; 16],
    /// By [`DropReason`].
    pub(crate) dropped: [u64; DropReason::ALL.len()],
    /// By [`RefuseReason`].
    pub(crate) refused: [u64; RefuseReason::ALL.len()],
    /// By [`FilterReason`].
    pub(crate) filters_refused: [u64; FilterReason::ALL.len()],
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) publish_bytes_received: u64,
    pub(crate) publish_bytes_sent: u64,
    pub(crate) not_retained: u64,
    pub(crate) no_subscriber: u64,
    pub(crate) routed: u64,
    pub(crate) offered: u64,
    pub(crate) completed: u64,
    pub(crate) expired: u64,
    pub(crate) waiting: u64,
    pub(crate) in_flight: u64,
    pub(crate) queued_bytes: u64,
    pub(crate) held_bytes: u64,
    pub(crate) retained_messages: u64,
    pub(crate) retained_bytes: u64,
    /// 0 takes everything, or keeps nothing; 1 its disk is full; 2 it has failed.
    pub(crate) store_condition: u64,
    pub(crate) store_written: Written,
    pub(crate) sessions: u64,
    pub(crate) connected: u64,
    pub(crate) connected_maximum: u64,
    pub(crate) sessions_expired: u64,
    pub(crate) taken_over: u64,
    /// Shared ones included.
    pub(crate) subscriptions: u64,
    pub(crate) shared_subscriptions: u64,
    pub(crate) wills: u64,
    /// Connections open, whether greeted or not.
    pub(crate) open: u64,
    pub(crate) accepted: u64,
    pub(crate) turned_away: u64,
    pub(crate) first_packet_timeouts: u64,
    /// Connections refused or ended by the broker, by reason code.
    pub(crate) ended: Vec<(String, u64)>,
    pub(crate) memory_watermark: u64,
    pub(crate) memory_full: bool,
}

impl Snapshot {
    /// Reads everything.
    pub(crate) fn take(doors: &Doors) -> Snapshot {
        let (broker, places) = (&doors.broker, doors.places.counts());
        let (counters, population, retained) = (&broker.counters, &broker.population, &broker.retained);
        Snapshot {
            uptime_seconds: doors.clock.millis(clock::now()) / 1000,
            packets_received: counters.packets_received.each_ref().map(total),
            packets_sent: counters.packets_sent.each_ref().map(total),
            packet_bytes_received: counters.packet_bytes_received.each_ref().map(total),
            packet_bytes_sent: counters.packet_bytes_sent.each_ref().map(total),
            dropped: counters.dropped.each_ref().map(total),
            refused: counters.refused.each_ref().map(total),
            filters_refused: counters.filters_refused.each_ref().map(total),
            bytes_received: total(&counters.bytes_received),
            bytes_sent: total(&counters.bytes_sent),
            publish_bytes_received: total(&counters.publish_bytes_received),
            publish_bytes_sent: total(&counters.publish_bytes_sent),
            not_retained: total(&counters.not_retained),
            no_subscriber: total(&counters.no_subscriber),
            routed: total(&counters.routed),
            offered: level(&counters.offered),
            completed: total(&counters.completed),
            expired: total(&counters.expired),
            waiting: level(&counters.waiting),
            in_flight: level(&counters.in_flight),
            queued_bytes: level(&counters.queued_bytes),
            held_bytes: level(&counters.held_bytes),
            retained_messages: retained.messages() as u64,
            retained_bytes: retained.bytes() as u64,
            store_condition: match broker.journal.condition() {
                Condition::Good => 0,
                Condition::Full => 1,
                Condition::Failed => 2,
            },
            store_written: broker.journal.written(),
            sessions: size(&population.sessions),
            connected: size(&population.connected),
            connected_maximum: size(&population.connected_maximum),
            sessions_expired: size(&population.expired),
            taken_over: size(&population.taken_over),
            subscriptions: size(&population.subscriptions),
            shared_subscriptions: size(&population.shared_subscriptions),
            wills: size(&population.wills),
            open: places.open() as u64,
            accepted: places.accepted,
            turned_away: places.turned_away,
            first_packet_timeouts: total(&doors.first_packet_timeouts),
            ended: doors.ended.counts(),
            memory_watermark: broker.limits().memory_watermark as u64,
            memory_full: broker.memory_full(),
        }
    }

    /// Packets of one type received.
    pub(crate) fn received(&self, packet_type: PacketType) -> u64 {
        of_type(&self.packets_received, packet_type)
    }

    /// Packets of one type sent.
    pub(crate) fn sent(&self, packet_type: PacketType) -> u64 {
        of_type(&self.packets_sent, packet_type)
    }

    /// Bytes of the packets of one type received.
    pub(crate) fn received_bytes(&self, packet_type: PacketType) -> u64 {
        of_type(&self.packet_bytes_received, packet_type)
    }

    /// Bytes of the packets of one type sent.
    pub(crate) fn sent_bytes(&self, packet_type: PacketType) -> u64 {
        of_type(&self.packet_bytes_sent, packet_type)
    }

    /// Deliveries dropped for one reason.
    pub(crate) fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Deliveries dropped because of a limit: what Mosquitto counts as dropped. QoS 0 for a client
    /// that is offline, for one, is the ordinary course of things.
    pub(crate) fn dropped_by_limits(&self) -> u64 {
        let limits = [DropReason::QueueFull, DropReason::MemoryWatermark, DropReason::TooLarge];
        limits.into_iter().map(|reason| self.dropped_for(reason)).sum()
    }
}

fn of_type(by_type: &[u64; 16], packet_type: PacketType) -> u64 {
    by_type.get(packet_type as usize).copied().unwrap_or(0)
}

fn total(count: &AtomicU64) -> u64 {
    count.load(Relaxed)
}

/// A level may be below zero for a moment: what one thread took away, another has yet to post.
fn level(count: &AtomicI64) -> u64 {
    u64::try_from(count.load(Relaxed)).unwrap_or(0)
}

fn size(count: &AtomicUsize) -> u64 {
    count.load(Relaxed) as u64
}
