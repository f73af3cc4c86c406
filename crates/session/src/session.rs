//! A session: what the broker keeps for one client id, connected or not.

use crate::group::Group;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::outbox::{Outbox, State};
use crate::rights::Act;
use crate::workbench::Workbench;
use aldis_store::Found;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

/// Shared subscriptions asked in one visit; the others come with the next.
const GROUPS_AT_ONCE: usize = 256;

/// Shared subscriptions by their number.
type Groups = BTreeMap<u64, Arc<Group>>;

/// One session. It is made by the Broker, found by publishers through routes, and lent to the
/// Client that holds its connection.
pub struct Session {
    /// Number of this session, never used again: a clean start makes a new one.
    pub number: u64,
    /// Client id.
    pub client_id: Arc<str>,
    /// The receiving half. Only the Client of the connection locks it, for a read batch at a time;
    /// it lies here so that it survives a Client that ends without a word.
    pub inbound: Mutex<Inbound>,
    /// The sending half. Publishers lock it to append, its Client to acknowledge, the Broker to
    /// attach and detach: nanoseconds each, never across a system call (law 2).
    pub outbox: Mutex<Outbox>,
    /// Shared subscriptions that this session is a member of, by number. A lock, because the Broker
    /// writes what the Client reads when it connects; `None` for the many that have none.
    groups: Mutex<Option<Box<Groups>>>,
}

impl Session {
    /// A new session without a connection.
    pub fn new(number: u64, mut outbound: Outbound) -> Arc<Session> {
        Arc::new_cyclic(|me| {
            (outbound.recording.session, outbound.recording.me) = (number, Weak::clone(me));
            Session {
                number,
                client_id: Arc::clone(&outbound.identity.client_id),
                inbound: Mutex::default(),
                outbox: Mutex::new(Outbox::new(outbound)),
                groups: Mutex::default(),
            }
        })
    }

    /// The log has come as far as the session waited for: what is durable now leaves.
    pub fn committed(self: &Arc<Self>, bench: &mut Workbench) {
        let dirty = self.outbox.lock().committed(bench);
        if dirty {
            bench.owe(self);
        }
    }

    /// What waited on disk has been read: it is sent, or waits in memory.
    pub fn found(self: &Arc<Self>, found: &Found, bench: &mut Workbench) {
        let mut outbox = self.outbox.lock();
        outbox.take_in(found, bench);
        let dirty = outbox.committed(bench);
        drop(outbox);
        if dirty {
            bench.owe(self);
        }
    }

    /// A connection begins: CONNACK leaves before anything else [MQTT-3.2.0-1], then what was in flight and
    /// what waits, and its shared subscriptions are asked for messages.
    pub fn begin(self: &Arc<Self>, connection: u32, connack: &[u8], bench: &mut Workbench) {
        if self.outbox.lock().begin(connection, connack, bench) {
            bench.owe(self);
        }
        self.inbound.lock().connection_begins(bench.counters());
        let lasts = self.lasts();
        for group in self.groups() {
            group.online(self.number, lasts);
            self.outbox.lock().work_for(&group);
        }
        self.pull_from_groups(bench);
    }

    /// Goes on with a long queue, then takes messages from the shared subscriptions that have some or wait for a word, while there is
    /// room for them.
    pub fn pull_from_groups(self: &Arc<Self>, bench: &mut Workbench) {
        let mut outbox = self.outbox.lock();
        if outbox.refill_on(bench) {
            bench.owe(self);
        }
        let count = outbox.groups_with_work().min(GROUPS_AT_ONCE);
        drop(outbox);
        for _ in 0..count {
            // One at a time, in turn: what a full window leaves comes first next time.
            let Some(group) = self.outbox.lock().next_group() else { return };
            group.pull(self, bench);
        }
    }

    /// Whether the session outlives its connection.
    pub(crate) fn lasts(&self) -> bool {
        self.outbox.lock().outbound.terms.lasting
    }

    /// Whether a connection is attached.
    pub(crate) fn is_online(&self) -> bool {
        !matches!(self.outbox.lock().state(), State::Offline | State::Closed)
    }

    /// The shared subscriptions of this session.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.lock().iter().flat_map(|groups| groups.values().cloned()).collect()
    }

    /// How many shared subscriptions it is a member of.
    pub fn group_count(&self) -> usize {
        self.groups.lock().as_ref().map_or(0, |groups| groups.len())
    }

    /// Notes membership of a shared subscription.
    pub fn add_group(&self, group: &Arc<Group>) {
        self.groups.lock().get_or_insert_default().insert(group.number, Arc::clone(group));
    }

    /// Forgets membership of a shared subscription.
    pub fn remove_group(&self, number: u64) {
        let mut groups = self.groups.lock();
        if let Some(known) = groups.as_mut() {
            known.remove(&number);
            if known.is_empty() {
                *groups = None;
            }
        }
        drop(groups);
        self.outbox.lock().no_work_for(number);
    }

    /// Whether this client may receive from a topic.
    pub(crate) fn may_receive(&self, topic: &str) -> bool {
        self.outbox.lock().outbound.identity.may(Act::Receive, topic)
    }

    /// A shared subscription has messages: the Client of this session is woken to take some.
    pub(crate) fn tell_group_work(&self, group: &Arc<Group>) {
        let mut outbox = self.outbox.lock();
        if planted!(GroupForgotten) {
            return;
        }
        outbox.work_for(group);
        outbox.wake();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} {:?})", self.number, self.client_id)
    }
}
