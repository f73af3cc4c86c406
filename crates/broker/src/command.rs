//! What can be asked of the Broker, and what it says: the closed lists.

use aldis_session::{
    Ending, Identity, Negotiated, Publication, RetainedLimit, Session, Subscribing, Unsubscribing, Violation,
    Wire,
};
use aldis_store::Sequence;
use std::sync::Arc;

/// What can happen to the Broker. `R` is where an answer goes: a channel in the server, a number in
/// a test.
pub enum Command<R> {
    /// An accepted CONNECT wants its session.
    Connect {
        /// What was granted.
        negotiated: Box<Negotiated>,
        /// Who it is.
        identity: Identity,
        /// Where the bytes of the connection go.
        wire: Arc<dyn Wire>,
        /// Whether it is refused unless its client id is connected: there is no place for one more
        /// connection, but for one instead of another there is.
        take_over_only: bool,
        /// Answered by [`Answer::Connected`] or [`Answer::Refused`].
        reply: R,
    },
    /// A connection has ended.
    Detach {
        /// Number of the session.
        session: u64,
        /// Number of the connection within it.
        connection: u32,
        /// How it ended.
        ending: Ending,
    },
    /// A SUBSCRIBE of a connected session.
    Subscribe {
        /// The session.
        session: u64,
        /// What it asks for.
        subscribing: Subscribing,
        /// Answered by [`Answer::Reasons`] once the routes are visible.
        reply: R,
    },
    /// An UNSUBSCRIBE of a connected session.
    Unsubscribe {
        /// The session.
        session: u64,
        /// What it no longer wants.
        unsubscribing: Unsubscribing,
        /// Answered by [`Answer::Reasons`] once nothing more is added.
        reply: R,
    },
    /// Retained messages of one read batch, each with its position in that batch.
    Retain {
        /// What is stored; an empty payload removes.
        publications: Vec<(usize, Arc<Publication>)>,
        /// Answered by [`Answer::Retained`].
        reply: R,
    },
    /// Messages that expired in some queue are to be found: whoever runs the Broker says so now and then.
    Sweep,
    /// The in-process publisher asks for wills that are due.
    TakeDue {
        /// Answered by [`Answer::Due`] as soon as there are some.
        reply: R,
    },
    /// Every connection is told that the broker shuts down, and nobody new is taken.
    Shutdown,
}

/// What the Broker answers.
#[derive(Debug)]
pub enum Answer {
    /// The session is attached; its CONNACK may go out.
    Connected(Connected),
    /// No session for this connection.
    Refused(Violation),
    /// A reason code for each filter, in order.
    Reasons(Vec<u8>),
    /// Positions of the retained messages that were refused, ascending, with the limit that refused them.
    Retained(Vec<(usize, RetainedLimit)>),
    /// Messages to publish.
    Due(Vec<Due>),
}

/// An attached session.
#[derive(Debug)]
pub struct Connected {
    /// The session.
    pub session: Arc<Session>,
    /// Number of the connection within the session.
    pub connection: u32,
    /// Whether the session existed before [MQTT-3.2.2-3].
    pub session_present: bool,
}

/// A will that is due, with the identity that it is published under.
#[derive(Debug)]
pub struct Due {
    /// Its number in the log; 0 if it is not recorded.
    pub number: u64,
    /// Who it belonged to.
    pub identity: Identity,
    /// The message.
    pub publication: Arc<Publication>,
}

/// What the Broker wants done.
#[derive(Debug)]
pub enum Effect<R> {
    /// Give this answer, when the log is committed up to the sequence (laws 8 and 9).
    Answer(R, Answer, Sequence),
}
