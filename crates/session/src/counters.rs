//! What the broker counts, and the only function that drops a message.
//!
//! Two shapes of the same numbers: [`Counters`] are the totals of the whole broker, atomics that
//! anyone may read at any time; a [`Tally`] is the part that one read batch adds, plain integers
//! posted to the totals once at its end, so that the data path touches no shared counter for a
//! single message. The [`Ledger`] is the account of one subscriber (law 10):
//!
//! `offered = completed + in flight + waiting + expired + dropped`
//!
//! Nothing here decides anything; the code that drops a message says why and calls
//! [`Ledger::drop_delivery`].

use aldis_packet::QoS;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Why one copy of a message did not reach its subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// The queue of the client held `limits.queue_messages` or `limits.queue_bytes` already.
    QueueFull,
    /// What is held for all clients together was above `limits.memory_watermark`.
    MemoryWatermark,
    /// A QoS 0 message for a client that is offline.
    Offline,
    /// Larger than the maximum packet size of the client [MQTT-3.1.2-25].
    TooLarge,
    /// The client may not receive from this topic.
    NotAuthorized,
    /// The session ended while a message of QoS 1 or 2 waited or was in flight: one that was to arrive.
    SessionEnded,
    /// The same with a message of QoS 0, which nobody relies on.
    SessionEndedQos0,
    /// QoS 0, handed to a connection that closed before it was written.
    ConnectionClosed,
    /// The client answered PUBACK or PUBREC with a reason code of 0x80 or more.
    RefusedByClient,
    /// A shared subscription without a member that could take a QoS 0 message.
    NoMember,
    /// It waited on disk, and cannot be read any more.
    StoreDamaged,
}

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: [DropReason; 11] = [
        DropReason::QueueFull,
        DropReason::MemoryWatermark,
        DropReason::Offline,
        DropReason::TooLarge,
        DropReason::NotAuthorized,
        DropReason::SessionEnded,
        DropReason::SessionEndedQos0,
        DropReason::ConnectionClosed,
        DropReason::RefusedByClient,
        DropReason::NoMember,
        DropReason::StoreDamaged,
    ];

    /// The reason as metrics and log lines name it.
    pub fn name(self) -> &'static str {
        match self {
            DropReason::QueueFull => "queue_full",
            DropReason::MemoryWatermark => "memory_watermark",
            DropReason::Offline => "offline",
            DropReason::TooLarge => "too_large",
            DropReason::NotAuthorized => "not_authorized",
            DropReason::SessionEnded => "session_ended",
            DropReason::SessionEndedQos0 => "session_ended_qos0",
            DropReason::ConnectionClosed => "connection_closed",
            DropReason::RefusedByClient => "refused_by_client",
            DropReason::NoMember => "no_member",
            DropReason::StoreDamaged => "store_damaged",
        }
    }

    /// The reason for a message of this quality of service whose session has ended.
    pub fn session_ended(qos: QoS) -> DropReason {
        if qos == QoS::AtMostOnce { DropReason::SessionEndedQos0 } else { DropReason::SessionEnded }
    }
}

/// Why a publication was not routed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum RefuseReason {
    /// The publisher may not publish to this topic.
    NotAuthorized,
    /// The retained store is at its limit.
    RetainedFull,
    /// A QoS 2 PUBLISH with an identifier that is not released yet: a repeat, not a new message.
    Repeated,
    /// It would have to be recorded, and the store takes nothing: its disk is full, or it has failed.
    StoreRefuses,
}

impl RefuseReason {
    /// Every reason, in the order of its number.
    pub const ALL: [RefuseReason; 4] = [
        RefuseReason::NotAuthorized,
        RefuseReason::RetainedFull,
        RefuseReason::Repeated,
        RefuseReason::StoreRefuses,
    ];

    /// The reason as metrics and log lines name it.
    pub fn name(self) -> &'static str {
        match self {
            RefuseReason::NotAuthorized => "not_authorized",
            RefuseReason::RetainedFull => "retained_full",
            RefuseReason::Repeated => "repeated",
            RefuseReason::StoreRefuses => "store_refuses",
        }
    }
}

/// Why a filter of a SUBSCRIBE or an UNSUBSCRIBE was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum FilterReason {
    /// The client may not subscribe to it.
    NotAuthorized,
    /// The session has `limits.subscriptions` already.
    Subscriptions,
    /// The session has `limits.shared_subscriptions` already.
    SharedSubscriptions,
    /// It has more levels than `limits.topic_levels`.
    TopicLevels,
    /// It is longer than `limits.topic_bytes`.
    TopicBytes,
    /// What is held for all clients is above `limits.memory_watermark`.
    MemoryWatermark,
    /// It begins with `$share/` and is no shared subscription; in 3.x.
    Share,
}

impl FilterReason {
    /// Every reason, in the order of its number.
    pub const ALL: [FilterReason; 7] = [
        FilterReason::NotAuthorized,
        FilterReason::Subscriptions,
        FilterReason::SharedSubscriptions,
        FilterReason::TopicLevels,
        FilterReason::TopicBytes,
        FilterReason::MemoryWatermark,
        FilterReason::Share,
    ];

    /// The reason as metrics name it: that of a limit is the name of the limit.
    pub fn name(self) -> &'static str {
        match self {
            FilterReason::NotAuthorized => "not_authorized",
            FilterReason::Subscriptions => "subscriptions",
            FilterReason::SharedSubscriptions => "shared_subscriptions",
            FilterReason::TopicLevels => "topic_levels",
            FilterReason::TopicBytes => "topic_bytes",
            FilterReason::MemoryWatermark => "memory_watermark",
            FilterReason::Share => "share",
        }
    }
}

const FILTER_REFUSALS: usize = FilterReason::ALL.len();
const DROPS: usize = DropReason::ALL.len();
const REFUSALS: usize = RefuseReason::ALL.len();

macro_rules! counted {
    (
        arrays { $($(#[$array_doc:meta])* $array:ident : $len:expr),* $(,)? }
        long_arrays { $($(#[$long_doc:meta])* $long:ident : $long_len:expr),* $(,)? }
        sums { $($(#[$sum_doc:meta])* $sum:ident),* $(,)? }
        levels { $($(#[$level_doc:meta])* $level:ident),* $(,)? }
    ) => {
        /// The totals of the broker since its start. Reading is free of locks; figures that belong
        /// together may differ by what is on its way.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$array_doc])* pub $array: [AtomicU64; $len],)*
            $($(#[$long_doc])* pub $long: [AtomicU64; $long_len],)*
            $($(#[$sum_doc])* pub $sum: AtomicU64,)*
            $($(#[$level_doc])* pub $level: AtomicI64,)*
        }

        /// What one read batch adds to the [`Counters`].
        #[derive(Debug, Default)]
        pub struct Tally {
            $($(#[$array_doc])* pub $array: [u32; $len],)*
            $($(#[$long_doc])* pub $long: [u64; $long_len],)*
            $($(#[$sum_doc])* pub $sum: u64,)*
            $($(#[$level_doc])* pub $level: i64,)*
        }

        impl Tally {
            /// Adds what was gathered to the totals and starts again from nothing.
            pub fn post(&mut self, counters: &Counters) {
                $(for (more, total) in self.$array.iter_mut().zip(&counters.$array) {
                    if *more != 0 {
                        total.fetch_add(u64::from(std::mem::take(more)), Relaxed);
                    }
                })*
                $(for (more, total) in self.$long.iter_mut().zip(&counters.$long) {
                    if *more != 0 {
                        total.fetch_add(std::mem::take(more), Relaxed);
                    }
                })*
                $(if self.$sum != 0 {
                    counters.$sum.fetch_add(std::mem::take(&mut self.$sum), Relaxed);
                })*
                $(if self.$level != 0 {
                    counters.$level.fetch_add(std::mem::take(&mut self.$level), Relaxed);
                })*
            }
        }
    };
}

counted! {
    arrays {
        /// Packets received, by packet type (its number in the fixed header).
        packets_received: 16,
        /// Packets handed to connections, by packet type.
        packets_sent: 16,
        /// Deliveries dropped, by [`DropReason`].
        dropped: DROPS,
        /// Publications refused, by [`RefuseReason`].
        refused: REFUSALS,
        /// Filters of SUBSCRIBE and UNSUBSCRIBE refused, by [`FilterReason`].
        filters_refused: FILTER_REFUSALS,
    }
    long_arrays {
        /// Bytes of the packets received, fixed headers included, by packet type.
        packet_bytes_received: 16,
        /// Bytes of the packets handed to connections, by packet type.
        packet_bytes_sent: 16,
    }
    sums {
        /// Bytes read from connections.
        bytes_received,
        /// Bytes written to connections.
        bytes_sent,
        /// Payload bytes of the PUBLISH packets received.
        publish_bytes_received,
        /// Payload bytes of the PUBLISH packets handed to connections.
        publish_bytes_sent,
        /// Retained publications of clients that cannot be told of a limit: delivered and not retained.
        not_retained,
        /// Publications that no subscription matched.
        no_subscriber,
        /// Publications routed to at least one target.
        routed,
        /// Deliveries completed: QoS 0 written, QoS 1 PUBACK, QoS 2 PUBCOMP.
        completed,
        /// Deliveries that expired before they were sent.
        expired,
    }
    levels {
        /// Deliveries offered to subscribers. (Falls when a shared subscription takes one back.)
        offered,
        /// Deliveries that wait in queues or, at QoS 0, for their socket.
        waiting,
        /// Deliveries in flight: sent at QoS 1 or 2 and not completed.
        in_flight,
        /// Bytes of messages that wait in queues, a message counted for each queue it waits in.
        queued_bytes,
        /// Bytes of memory held for clients: messages that anybody keeps, each once; places in queues and
        /// windows; bytes that a client does not read; wills, subscriptions, aliases.
        held_bytes,
    }
}

impl Counters {
    /// Whether more than so many bytes of memory are held for clients.
    pub fn holds_more_than(&self, bytes: usize) -> bool {
        usize::try_from(self.held_bytes.load(Relaxed)).is_ok_and(|held| held > bytes)
    }
}

impl Tally {
    /// Counts a publication that is not routed.
    pub fn refuse(&mut self, reason: RefuseReason) {
        if let Some(count) = self.refused.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Counts a filter that is refused.
    pub fn refuse_filter(&mut self, reason: FilterReason) {
        if let Some(count) = self.filters_refused.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// Counts a packet received, by its type number, and its bytes.
    #[inline]
    pub fn received(&mut self, packet_type: u8, bytes: usize) {
        let place = usize::from(packet_type & 15);
        if let (Some(count), Some(sum)) =
            (self.packets_received.get_mut(place), self.packet_bytes_received.get_mut(place))
        {
            *count += 1;
            *sum += bytes as u64;
        }
    }

    /// Counts a packet handed to a connection, by its type number, and its bytes.
    #[inline]
    pub fn sent(&mut self, packet_type: u8, bytes: usize) {
        let place = usize::from(packet_type & 15);
        if let (Some(count), Some(sum)) =
            (self.packets_sent.get_mut(place), self.packet_bytes_sent.get_mut(place))
        {
            *count += 1;
            *sum += bytes as u64;
        }
    }
}

/// The account of one subscriber. Numbers are messages.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Deliveries offered to this subscriber.
    pub offered: u64,
    /// Deliveries completed.
    pub completed: u64,
    /// Deliveries that expired before they were sent.
    pub expired: u64,
    dropped: Option<Box<[u32; DROPS]>>,
}

impl Ledger {
    /// The one place where a message is dropped: `count` deliveries, for `reason`.
    pub fn drop_delivery(&mut self, reason: DropReason, count: u32, tally: &mut Tally) {
        if count == 0 {
            return;
        }
        let mine = self.dropped.get_or_insert_default();
        if let (Some(mine), Some(all)) =
            (mine.get_mut(reason as usize), tally.dropped.get_mut(reason as usize))
        {
            *mine = mine.saturating_add(count);
            *all += if planted!(DropCountedTwice) { 2 * count } else { count };
        }
    }

    /// How many deliveries were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped
            .as_ref()
            .and_then(|by_reason| by_reason.get(reason as usize))
            .map_or(0, |n| u64::from(*n))
    }

    /// How many deliveries were dropped in all.
    pub fn dropped_in_all(&self) -> u64 {
        self.dropped.as_ref().map_or(0, |by_reason| by_reason.iter().map(|n| u64::from(*n)).sum())
    }
}
