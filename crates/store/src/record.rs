//! What the broker must not forget: durable state is a fold over these ([`Fold`](crate::Fold)).
//!
//! A record is made by whoever owns the state it is about, and staged before any other task can see the effect, so
//! that the order of the log is the order of what happened. Sessions are named by a number that is never used again,
//! never by client id: a record that was on its way while its session was replaced by a clean start refers to a
//! session that is gone.
//!
//! A message is several records. Each of its *targets* is recorded by whoever owns the target ([`Record::Queue`],
//! [`Record::Share`], [`Record::Retain`]), the last one is its [`Record::Put`], which holds its body and closes it: targets of a message
//! that was never closed count for nothing. So the message, where it goes and the packet identifier that its publisher
//! used are there together or not at all, and whoever delivers needs to know one target at a time.

use aldis_packet::{PacketId, QoS, SubscriptionOptions};
use std::borrow::Cow;

/// Wall-clock time: milliseconds since 1970 began.
pub type Wall = u64;

/// A will as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WillRecord<'a> {
    /// Number of the will, never used again.
    pub number: u64,
    /// Topic name.
    pub topic: &'a str,
    /// Application payload.
    pub payload: &'a [u8],
    /// Encoded MQTT 5 properties that are passed on.
    pub properties: &'a [u8],
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Will delay interval in seconds.
    pub delay: u32,
    /// Message expiry interval in seconds, if it has one.
    pub message_expiry: Option<u32>,
}

/// What a message came from that must not happen twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nothing that is kept: QoS 0 or 1, or a publisher whose session does not last.
    Nothing,
    /// A QoS 2 PUBLISH of a lasting session: its packet identifier is taken until it is released.
    Inbound {
        /// Number of the publisher's session.
        session: u64,
        /// Packet identifier that the publisher used.
        packet_id: PacketId,
    },
    /// A will, which is not published again.
    Will {
        /// Number of the will.
        will: u64,
    },
}

/// A message with its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put<'a> {
    /// Number of the message, never used again.
    pub message: u64,
    /// What it came from.
    pub origin: Origin,
    /// Client id of its publisher; `None` for messages of the broker itself.
    pub publisher: Option<&'a str>,
    /// Topic name.
    pub topic: &'a str,
    /// Encoded MQTT 5 properties that are passed on.
    pub properties: &'a [u8],
    /// Application payload.
    pub payload: &'a [u8],
    /// Quality of service that it was published with.
    pub qos: QoS,
    /// RETAIN flag that it was published with.
    pub retain: bool,
    /// When it expires, if it does.
    pub expires_at: Option<Wall>,
}

/// A message that a session is to receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue<'a> {
    /// Number of the session.
    pub session: u64,
    /// Place in the order of what the session receives; never used again in it.
    pub number: u64,
    /// Number of the message.
    pub message: u64,
    /// Quality of service of this copy, 1 or 2.
    pub qos: QoS,
    /// RETAIN flag of this copy.
    pub retain: bool,
    /// Subscription identifiers of this copy.
    pub ids: Cow<'a, [u32]>,
    /// Slot of the in-flight window that it was given at once.
    pub slot: Option<u64>,
    /// The shared subscription that chose the session, and its place there: it leaves that place, and goes back to it if
    /// the session ends before it had it.
    pub share: Option<SharePlace>,
}

/// A place in the queue of a shared subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharePlace {
    /// Number of the shared subscription.
    pub group: u64,
    /// SharePlace in the order of what it receives; never used again in it.
    pub number: u64,
}

/// One change of durable state, borrowed from where it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// A lasting session was attached to a connection, made new if it was not known.
    Connect {
        /// Number of the session.
        session: u64,
        /// Its client id.
        client_id: &'a str,
        /// User name that was verified.
        user_name: Option<&'a str>,
        /// Session expiry interval in seconds; `u32::MAX` never expires.
        session_expiry: u32,
        /// Its will, instead of any that it had.
        will: Option<WillRecord<'a>>,
    },
    /// The connection of a lasting session ended; its expiry and the delay of its will run from here.
    Disconnect {
        /// Number of the session.
        session: u64,
        /// Session expiry interval in force from here, in seconds.
        session_expiry: u32,
        /// Whether its will is still to be published.
        will: bool,
        /// When.
        at: Wall,
    },
    /// A session ended: everything that names it is void.
    End {
        /// Number of the session.
        session: u64,
    },
    /// A subscription was made or its options replaced.
    Subscribe {
        /// Number of the session.
        session: u64,
        /// The filter as the client wrote it, `$share/name/` included.
        filter: &'a str,
        /// Its options.
        options: SubscriptionOptions,
        /// Its subscription identifier.
        subscription_id: Option<u32>,
        /// Whether retained messages are on their way for it, until [`Record::Replayed`].
        replays: bool,
    },
    /// A subscription was ended.
    Unsubscribe {
        /// Number of the session.
        session: u64,
        /// The filter as the client wrote it.
        filter: &'a str,
    },
    /// All retained messages for a subscription are with its session.
    Replayed {
        /// Number of the session.
        session: u64,
        /// The filter as the client wrote it.
        filter: &'a str,
    },
    /// A target of a message: a session.
    Queue(Queue<'a>),
    /// A target of a message: the retained message of its topic is set, or removed.
    Retain {
        /// Number of the message.
        message: u64,
        /// Topic name.
        topic: &'a str,
        /// Whether it removes what is retained.
        removes: bool,
    },
    /// A shared subscription, before anything that names it.
    Group {
        /// Its number, never used again.
        group: u64,
        /// The filter as its members wrote it, `$share/name/` included.
        filter: &'a str,
        /// The last place that was used in it.
        last: u64,
    },
    /// A target of a message: it waits in a shared subscription, or is with a member whose session is not kept.
    Share {
        /// Where.
        place: SharePlace,
        /// Number of the message.
        message: u64,
    },
    /// A shared subscription is done with a message, for all of its members.
    ShareDone {
        /// Where it waited.
        place: SharePlace,
    },
    /// A shared subscription has no member left: what waits there is void.
    GroupEnd {
        /// Its number.
        group: u64,
    },
    /// A message with its body; it closes the message.
    Put(Put<'a>),
    /// The retained message of a topic expired.
    Unretain {
        /// Topic name.
        topic: &'a str,
    },
    /// A message that waited was given a slot of the in-flight window, and with it a packet identifier.
    Sent {
        /// Number of the session.
        session: u64,
        /// Its number in the session.
        number: u64,
        /// Slot of the window.
        slot: u64,
    },
    /// PUBREC has come for a message: only PUBREL is sent for it from now on.
    Received {
        /// Number of the session.
        session: u64,
        /// Its number in the session.
        number: u64,
    },
    /// A session is done with a message: it was acknowledged, or dropped and counted.
    Done {
        /// Number of the session.
        session: u64,
        /// Its number in the session.
        number: u64,
    },
    /// PUBREL has come from a publisher: its packet identifier is free again.
    Released {
        /// Number of the publisher's session.
        session: u64,
        /// Packet identifier.
        packet_id: PacketId,
    },
    /// The will of a session is due: it is owed, whatever becomes of the session.
    WillDue {
        /// Number of the session.
        session: u64,
    },
    /// A will was published without any lasting target, or is not published at all.
    WillSent {
        /// Number of the will.
        will: u64,
    },
    /// The body of a message again, in another place of the log; nothing else changes.
    Moved(Put<'a>),
    /// What time it was.
    Clock {
        /// Wall-clock time.
        at: Wall,
    },
    /// Only in checkpoints: where the body of a message lies.
    Located {
        /// Number of the message.
        message: u64,
        /// Number of the segment.
        segment: u64,
        /// Bytes from its beginning.
        offset: u64,
        /// Length of the record there.
        length: u32,
        /// When the message expires, if it does.
        expires_at: Option<Wall>,
    },
    /// Only in checkpoints: a packet identifier that a publisher has not released.
    Held {
        /// Number of the publisher's session.
        session: u64,
        /// Packet identifier.
        packet_id: PacketId,
    },
    /// Only in checkpoints: a will that is owed.
    Owed {
        /// Client id of whose will it is.
        client_id: &'a str,
        /// User name that was verified.
        user_name: Option<&'a str>,
        /// The will.
        will: WillRecord<'a>,
    },
    /// Only in checkpoints: numbers of a session that are used up.
    Used {
        /// Number of the session.
        session: u64,
        /// The last number of a message in it.
        number: u64,
        /// The slot of the window that comes next.
        slot: u64,
    },
    /// Only in checkpoints: numbers of the store that are used up.
    Numbers {
        /// The last number of a session.
        session: u64,
        /// The last number of a message.
        message: u64,
    },
}
