//! What the broker must not forget: durable state is a fold over these.
//!
//! A record is made by whoever owns the state it is about, and staged before any other task can see
//! the effect, so that the order of the log is the order of what happened. Sessions are named by a
//! number that is never used again, never by client id: a record that was on its way while its
//! session was replaced by a clean start refers to a session that is gone.

use aldis_packet::{QoS, SubscriptionOptions};

/// One change of durable state, borrowed from where it happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record<'a> {
    /// A lasting session was attached to a connection, made new if it was not known.
    Connect {
        /// Number of the session.
        session: u64,
        /// Its client id.
        client_id: &'a str,
        /// Session expiry interval in seconds; `u32::MAX` never expires.
        session_expiry: u32,
    },
    /// The connection of a lasting session ended; its expiry runs from here.
    Disconnect {
        /// Number of the session.
        session: u64,
        /// Session expiry interval in force from here, in seconds.
        session_expiry: u32,
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
    },
    /// A subscription was ended.
    Unsubscribe {
        /// Number of the session.
        session: u64,
        /// The filter as the client wrote it.
        filter: &'a str,
    },
    /// The retained message of a topic was set, or removed by an empty payload.
    Retain {
        /// Topic name.
        topic: &'a str,
        /// Application payload; empty removes.
        payload: &'a [u8],
        /// Encoded MQTT 5 properties that are passed on.
        properties: &'a [u8],
        /// Quality of service that it was published with.
        qos: QoS,
    },
    /// The will of a lasting session was published, and is not published again.
    WillSent {
        /// Number of the session.
        session: u64,
    },
}
