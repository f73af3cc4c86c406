//! Every bound that one client can run into, with its default and the reason for it.
//!
//! A limit is a number here and a consequence elsewhere: what happens when it is reached is decided
//! where it is reached, with the reason code of the standard, a counter and a log line. Nothing in
//! this module acts.

use aldis_store::Head;
use std::fmt;
use std::time::Duration;

/// The bounds of a broker. `Default` gives the values that `aldis` starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at one time. 100,000: a few kilobytes each, so about a gigabyte at the most.
    pub connections: usize,
    /// Sessions in all, with a connection or without. 1,000,000: a fleet, at a kilobyte or two each.
    pub sessions: usize,
    /// Largest packet taken or sent, in bytes, fixed header included. 1 MiB: pictures and firmware
    /// chunks pass, and a thousand clients that announce one cannot exhaust a small machine.
    pub packet_size: usize,
    /// Largest first packet (CONNECT), in bytes. 256 KiB: room for every will that is worth
    /// sending, small enough for strangers, and only buffered as it arrives.
    pub first_packet_size: usize,
    /// How long a new connection may take until its CONNECT is whole. 10 s: slow radio links need
    /// seconds, an idle flood should not get minutes.
    pub first_packet_timeout: Duration,
    /// User properties in one packet. 256: hundreds are in use, tens of thousands are an attack.
    pub user_properties: usize,
    /// Levels of a topic name or filter. 128: deeper ones are a way to burn memory and time.
    pub topic_levels: usize,
    /// Bytes of a topic name or filter. 65,535 is all that the standard can express.
    pub topic_bytes: usize,
    /// Topic filters in one SUBSCRIBE or UNSUBSCRIBE. 10,000: all of a large gateway at once, while a packet
    /// full of the shortest ones would hold twenty times its size in memory until its turn comes.
    pub filters_in_packet: usize,
    /// Subscriptions of one session. 100,000: more than any gateway has been seen to hold.
    pub subscriptions: usize,
    /// Shared subscriptions of one session, which count among its subscriptions, too. 1,000: whoever shares work
    /// shares a few topics, and each is seen to whenever its member connects.
    pub shared_subscriptions: usize,
    /// PUBLISH packets of QoS 1 and 2 that may be in flight towards one client, whatever its own
    /// receive maximum. 1,000: fills fast links, bounds what a reconnect has to send again.
    pub in_flight: u16,
    /// Receive maximum announced to MQTT 5 clients and enforced on them. 1,000, as above.
    pub receive_maximum: u16,
    /// Messages that wait for one client. 100,000: a night of telemetry at one a second.
    pub queue_messages: usize,
    /// Bytes of the messages that wait for one client, and, beside them, of those that are in flight to it and
    /// kept to be sent again. 64 MiB.
    pub queue_bytes: usize,
    /// Of the messages that wait for one client and are on disk, how many are in memory, too: the next ones, of half a
    /// kilobyte each at most on average. 512: more than a socket takes at once.
    pub queue_in_memory: usize,
    /// Whether QoS 0 messages wait for a client that is offline. No: the standard lets them go,
    /// and a device that comes back wants the newest reading, not the oldest.
    pub queue_qos0: bool,
    /// Retained messages in all. No limit of its own by default: the memory watermark bounds them.
    pub retained_messages: usize,
    /// Bytes of all retained messages. No limit of its own by default.
    pub retained_bytes: usize,
    /// Longest session expiry interval granted, in seconds; `u32::MAX` is "never expires".
    pub session_expiry_max: u32,
    /// Session expiry interval of MQTT 3.x sessions that are not clean, in seconds. 30 days: long
    /// enough for a holiday, short enough that forgotten test clients do not queue for ever.
    pub session_expiry_default: u32,
    /// Longest keep alive granted, in seconds; a longer one, or none, is lowered to it in MQTT 5
    /// (server keep alive) and enforced silently in 3.x. 0 is "no cap".
    pub keep_alive_max: u16,
    /// Topic aliases that a MQTT 5 client may use towards the broker. 16: an alias costs its topic
    /// in memory for each connection.
    pub topic_alias_maximum: u16,
    /// Topic aliases that the broker uses towards one client that allows them. 16, as above.
    pub topic_aliases_out: u16,
    /// Encoded bytes that wait in one Outbox for its socket before deliveries queue instead.
    /// 256 KiB: two full reads of a publisher, more than a socket takes at once.
    pub outbox_bytes: usize,
    /// Encoded acknowledgements and other answers that a client may leave unread before it is
    /// disconnected with 0x97. 1 MiB is a quarter of a million of them.
    pub answers_bytes: usize,
    /// Bytes held for all clients together (messages, each once, places in queues, unread bytes, wills,
    /// subscriptions) above which publishers are slowed, nothing more is queued, and no filter beyond the
    /// first few of a session is added; retained messages get three quarters of it. 512 MiB; the binary sets half of the
    /// machine's memory.
    pub memory_watermark: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 100_000,
            sessions: 1_000_000,
            packet_size: 1 << 20,
            first_packet_size: 256 << 10,
            first_packet_timeout: Duration::from_secs(10),
            user_properties: 256,
            topic_levels: 128,
            topic_bytes: 65_535,
            filters_in_packet: 10_000,
            subscriptions: 100_000,
            shared_subscriptions: 1_000,
            in_flight: 1_000,
            receive_maximum: 1_000,
            queue_messages: 100_000,
            queue_bytes: 64 << 20,
            queue_in_memory: Head::default().messages,
            queue_qos0: false,
            retained_messages: usize::MAX,
            retained_bytes: usize::MAX,
            session_expiry_max: u32::MAX,
            session_expiry_default: 30 * 24 * 3600,
            keep_alive_max: 0,
            topic_alias_maximum: 16,
            topic_aliases_out: 16,
            outbox_bytes: 256 << 10,
            answers_bytes: 1 << 20,
            memory_watermark: 512 << 20,
        }
    }
}

impl Limits {
    /// How much of a queue that is on disk is in memory, too.
    #[must_use]
    pub fn queue_head(&self) -> Head {
        let messages = self.queue_in_memory.max(1);
        Head { messages, bytes: messages.saturating_mul(512) }
    }
}

/// The limit that a message runs into which would be retained, with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetainedLimit {
    /// `limits.retained_messages`.
    Messages(usize),
    /// `limits.retained_bytes`.
    Bytes(usize),
    /// `limits.memory_watermark`.
    Watermark(usize),
    /// What retained messages may take of it: three quarters, so that they cannot keep all others from
    /// queueing for good.
    WatermarkShare(usize),
    /// The store takes nothing at the moment.
    Store,
}

impl fmt::Display for RetainedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RetainedLimit::Messages(limit) => write!(f, "limits.retained_messages ({limit}) is reached"),
            RetainedLimit::Bytes(limit) => write!(f, "limits.retained_bytes ({limit}) is reached"),
            RetainedLimit::Watermark(limit) => {
                write!(f, "limits.memory_watermark ({limit} bytes) is reached by all that is held")
            }
            RetainedLimit::Store => {
                f.write_str("the store takes nothing: its disk is full, or it has failed")
            }
            RetainedLimit::WatermarkShare(limit) => {
                write!(f, "three quarters of limits.memory_watermark ({limit} bytes) are retained messages")
            }
        }
    }
}
