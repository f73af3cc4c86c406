//! A session: what the broker keeps for one client id, connected or not.

use crate::group::Group;
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::outbox::Outbox;
use crate::rights::Act;
use crate::workbench::Workbench;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

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
    /// Shared subscriptions that this session is a member of; the Broker writes, its Client reads.
    groups: Mutex<Vec<Arc<Group>>>,
}

impl Session {
    /// A new session without a connection.
    pub fn new(number: u64, outbound: Outbound) -> Session {
        Session {
            number,
            client_id: Arc::clone(&outbound.identity.client_id),
            inbound: Mutex::default(),
            outbox: Mutex::new(Outbox::new(outbound)),
            groups: Mutex::default(),
        }
    }

    /// Takes work from the shared subscriptions of this session while there is room for it.
    pub fn pull_from_groups(self: &Arc<Self>, bench: &mut Workbench) {
        self.outbox.lock().group_work = false;
        let groups = self.groups.lock().clone();
        for group in &groups {
            group.pull(self, bench);
        }
    }

    /// Whether this session is a member of a shared subscription.
    pub fn has_groups(&self) -> bool {
        !self.groups.lock().is_empty()
    }

    /// The shared subscriptions of this session.
    pub fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.lock().clone()
    }

    /// Notes membership of a shared subscription.
    pub fn add_group(&self, group: &Arc<Group>) {
        let mut groups = self.groups.lock();
        if !groups.iter().any(|known| known.number == group.number) {
            groups.push(Arc::clone(group));
        }
    }

    /// Forgets membership of a shared subscription.
    pub fn remove_group(&self, number: u64) {
        self.groups.lock().retain(|group| group.number != number);
    }

    /// Whether this client may receive from a topic.
    pub(crate) fn may_receive(&self, topic: &str) -> bool {
        self.outbox.lock().outbound.identity.may(Act::Receive, topic)
    }

    /// A shared subscription has messages: the Client of this session is woken to take some.
    pub(crate) fn tell_group_work(&self) {
        let mut outbox = self.outbox.lock();
        outbox.group_work = true;
        outbox.wake();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} {:?})", self.number, self.client_id)
    }
}
