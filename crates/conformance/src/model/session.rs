//! What is kept for a client id, across its connections (4.1): subscriptions, messages on their way, the will.

use crate::wire::{Publish, Will};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A message that the broker owns.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// As it came, without what belongs to the connection it came on: packet identifier, topic alias.
    pub(super) publish: Publish,
    /// Whose it is.
    pub(super) publisher: Vec<u8>,
    pub(super) arrived: Instant,
    /// Its Message Expiry Interval.
    pub(super) expiry: Option<Duration>,
}

impl Message {
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expiry.is_some_and(|expiry| now >= self.arrived + expiry)
    }
}

/// One subscription of a session.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The filter as the client sent it, which is its name.
    pub(super) filter: Vec<u8>,
    /// Of a shared subscription: its share name.
    pub(super) share: Option<Vec<u8>>,
    /// What a topic has to match: the filter, without `$share/NAME/`.
    pub(super) matched: Vec<u8>,
    /// The QoS that was granted.
    pub(super) qos: u8,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) identifier: Option<u32>,
    /// Until then messages pass it by. No rule needs that; a broken one does.
    pub(super) deaf_until: Option<Instant>,
}

/// A message on its way to one subscriber.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub(super) message: Message,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) identifiers: Vec<u32>,
    /// The filter of the shared subscription it was chosen for.
    pub(super) shared: Option<Vec<u8>>,
}

/// What an exchange of QoS 1 or 2 waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// PUBLISH is sent, or to be sent again; PUBACK or PUBREC has to come.
    Publish,
    /// PUBREL is sent, or to be sent again; PUBCOMP has to come.
    Release,
}

/// An exchange that has begun.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) packet_id: u16,
    pub(super) outgoing: Outgoing,
    pub(super) step: Step,
    /// Whether its packet was sent on the connection there is now.
    pub(super) sent: bool,
}

/// How long a session lasts when its connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasting {
    /// It ends with the connection.
    Connection,
    For(Duration),
    Forever,
}

/// The state of one client id.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Option<u64>,
    pub(super) since: Instant,
    pub(super) subscriptions: Vec<Held>,
    /// What waits for its turn.
    pub(super) queue: VecDeque<Outgoing>,
    /// What waits for an acknowledgement, oldest first.
    pub(super) in_flight: Vec<InFlight>,
    /// The QoS 2 packet identifiers of the client that it has not released.
    pub(super) received: Vec<u16>,
    /// Packet identifiers whose exchange is over. No rule needs them; broken ones do.
    pub(super) finished: Vec<u16>,
    /// Topic aliases of an earlier connection. No rule needs them; a broken one does.
    pub(super) old_aliases: BTreeMap<u16, Vec<u8>>,
    pub(super) old_aliases_out: BTreeMap<Vec<u8>, u16>,
    pub(super) will: Option<Will>,
    /// When the will is to be published.
    pub(super) will_due: Option<Instant>,
    pub(super) lasting: Lasting,
    /// When the session ends.
    pub(super) ends: Option<Instant>,
    last_id: u16,
}

impl Session {
    pub(super) fn new(connection: u64, now: Instant) -> Self {
        Self {
            connection: Some(connection),
            since: now,
            subscriptions: Vec::new(),
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            received: Vec::new(),
            finished: Vec::new(),
            old_aliases: BTreeMap::new(),
            old_aliases_out: BTreeMap::new(),
            will: None,
            will_due: None,
            lasting: Lasting::Connection,
            ends: None,
            last_id: 0,
        }
    }

    /// A packet identifier that no exchange of this session uses; one that does not pass over those in use may.
    pub(super) fn new_packet_id(&mut self, passes_over: bool) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !passes_over || self.in_flight.iter().all(|one| one.packet_id != self.last_id) {
                return self.last_id;
            }
        }
    }

    /// How many exchanges the connection's send quota pays for (4.9).
    pub(super) fn unacknowledged(&self) -> usize {
        self.in_flight.iter().filter(|one| one.sent).count()
    }
}
