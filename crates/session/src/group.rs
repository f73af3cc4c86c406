//! A shared subscription: one of its members gets each message.
//!
//! The members take turns; one that can send nothing now is passed over. With nobody able to take a
//! message the group keeps it in a bounded queue of its own, and a member that frees its window
//! takes from there. The mutex is one of the two locks of the data path (law 2): it is held to
//! choose or to move one message, and released before an Outbox is locked. A member that was
//! refused and freed itself in between is not lost: `freed` counts, so an old refusal cannot
//! overwrite newer readiness, and whoever queues a message wakes a member that is ready.

use crate::counters::{DropReason, Ledger};
use crate::limits::Limits;
use crate::outbound::Offered;
use crate::publication::{Offering, Publication};
use crate::route::Subscription;
use crate::session::Session;
use crate::workbench::Workbench;
use aldis_packet::QoS;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

struct Member {
    subscription: Arc<Subscription>,
    online: bool,
    ready: bool,
    /// How often the member said that it has room.
    freed: u64,
}

#[derive(Default)]
struct Inner {
    members: Vec<Member>,
    next: usize,
    queue: VecDeque<Arc<Publication>>,
    bytes: usize,
    ledger: Ledger,
}

/// A shared subscription: a share name together with a filter.
pub struct Group {
    /// Number of this group, never used again.
    pub number: u64,
    /// The filter with `$share/name/`.
    pub filter: Arc<str>,
    limits: Arc<Limits>,
    // Held for nanoseconds; taken by publishers, members, and the Broker when membership changes.
    inner: Mutex<Inner>,
}

impl Group {
    /// A group without members.
    pub fn new(number: u64, filter: Arc<str>, limits: Arc<Limits>) -> Group {
        Group { number, filter, limits, inner: Mutex::default() }
    }

    /// Offers a message to one member, or keeps it.
    pub fn offer(self: &Arc<Self>, offering: &Offering<'_>, bench: &mut Workbench) {
        let mut inner = self.inner.lock();
        if inner.queue.is_empty() {
            for _ in 0..inner.members.len() {
                let Some((subscription, freed)) = inner.choose() else { break };
                drop(inner);
                match subscription.session.offer_shared(&subscription, self, offering, bench) {
                    Offered::Full | Offered::NotConcerned => {}
                    _ => return,
                }
                inner = self.inner.lock();
                inner.refused(subscription.session.number, freed);
            }
        }
        self.keep(&mut inner, offering, bench);
        let ready = inner.ready_for_work();
        drop(inner);
        tell(ready);
    }

    fn keep(&self, inner: &mut Inner, offering: &Offering<'_>, bench: &mut Workbench) {
        inner.offered(bench);
        let weight = offering.weight();
        let reason = if offering.qos == QoS::AtMostOnce && !inner.members.iter().any(|member| member.online) {
            Some(DropReason::NoMember)
        } else if inner.queue.len() >= self.limits.queue_messages
            || inner.bytes + weight > self.limits.queue_bytes
        {
            Some(DropReason::QueueFull)
        } else if bench.memory_full {
            Some(DropReason::MemoryWatermark)
        } else {
            None
        };
        if let Some(reason) = reason {
            inner.ledger.drop_delivery(reason, 1, &mut bench.tally);
            return;
        }
        inner.queue.push_back(Arc::clone(offering.publication()));
        inner.bytes += weight;
        bench.tally.waiting += 1;
        bench.tally.queued_bytes += weight as i64;
    }

    /// The member of this session has room: it takes from the queue what it can send now.
    pub fn pull(self: &Arc<Self>, session: &Arc<Session>, bench: &mut Workbench) {
        loop {
            let mut inner = self.inner.lock();
            let Some(member) = inner.member(session.number) else { return };
            member.freed += 1;
            (member.ready, member.online) = (true, true);
            let subscription = Arc::clone(&member.subscription);
            let Some(publication) = inner.queue.pop_front() else { return };
            inner.left(&publication, bench);
            drop(inner);
            if publication.expired(bench.now) {
                self.inner.lock().expire(bench);
                continue;
            }
            let offering = Offering::of(&publication);
            match session.offer_shared(&subscription, self, &offering, bench) {
                Offered::Full | Offered::NotConcerned => {
                    let mut inner = self.inner.lock();
                    inner.back(publication, bench);
                    if let Some(member) = inner.member(session.number) {
                        member.ready = false;
                    }
                    let ready = inner.ready_for_work();
                    drop(inner);
                    tell(ready);
                    return;
                }
                _ => {}
            }
        }
    }

    /// Messages that wait for a member.
    pub fn queued(&self) -> usize {
        self.inner.lock().queue.len()
    }

    // ---- membership, changed by the Broker alone ----

    /// Adds a member, or leaves it as it is if the session is one already.
    pub fn join(&self, subscription: &Arc<Subscription>) {
        let mut inner = self.inner.lock();
        if inner.member(subscription.session.number).is_none() {
            inner.members.push(Member {
                subscription: Arc::clone(subscription),
                online: true,
                ready: true,
                freed: 0,
            });
        }
    }

    /// Removes a member; true if none is left. What waits then is dropped and counted.
    pub fn leave(&self, session: u64, bench: &mut Workbench) -> bool {
        let mut inner = self.inner.lock();
        inner.members.retain(|member| member.subscription.session.number != session);
        if inner.members.is_empty() {
            while let Some(publication) = inner.queue.pop_front() {
                inner.left(&publication, bench);
                inner.offered(bench);
                inner.ledger.drop_delivery(DropReason::SessionEnded, 1, &mut bench.tally);
            }
        }
        inner.members.is_empty()
    }

    /// A member went offline: nothing new is begun with it.
    pub fn offline(&self, session: u64) {
        let mut inner = self.inner.lock();
        if let Some(member) = inner.member(session) {
            (member.online, member.ready) = (false, false);
        }
    }

    /// Messages come back from a member whose session ended: they go to the front, in their order.
    pub fn take_back(&self, publications: Vec<Arc<Publication>>, bench: &mut Workbench) {
        let mut inner = self.inner.lock();
        for publication in publications.into_iter().rev() {
            inner.back(publication, bench);
        }
        let ready = inner.ready_for_work();
        drop(inner);
        tell(ready);
    }
}

/// Tells a member that messages wait for whoever has room.
fn tell(ready: Option<Arc<Subscription>>) {
    if let Some(subscription) = ready {
        subscription.session.tell_group_work();
    }
}

impl Inner {
    fn member(&mut self, session: u64) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.subscription.session.number == session)
    }

    /// The next member in turn that is ready.
    fn choose(&mut self) -> Option<(Arc<Subscription>, u64)> {
        let count = self.members.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            if let Some(member) = self.members.get(index)
                && member.ready
            {
                self.next = (index + 1) % count;
                return Some((Arc::clone(&member.subscription), member.freed));
            }
        }
        None
    }

    /// A member could take nothing; it is passed over until it says that it has room, unless it has
    /// said so since it was chosen.
    fn refused(&mut self, session: u64, freed: u64) {
        if let Some(member) = self.member(session)
            && member.freed == freed
        {
            member.ready = false;
        }
    }

    /// A message leaves the queue, to a member or for good.
    fn left(&mut self, publication: &Publication, bench: &mut Workbench) {
        self.ledger.offered -= 1;
        self.bytes -= publication.weight();
        bench.tally.offered -= 1;
        bench.tally.waiting -= 1;
        bench.tally.queued_bytes -= publication.weight() as i64;
    }

    /// A message goes to the front of the queue.
    fn back(&mut self, publication: Arc<Publication>, bench: &mut Workbench) {
        self.ledger.offered += 1;
        self.bytes += publication.weight();
        bench.tally.offered += 1;
        bench.tally.waiting += 1;
        bench.tally.queued_bytes += publication.weight() as i64;
        self.queue.push_front(publication);
    }

    fn offered(&mut self, bench: &mut Workbench) {
        self.ledger.offered += 1;
        bench.tally.offered += 1;
    }

    fn expire(&mut self, bench: &mut Workbench) {
        self.offered(bench);
        self.ledger.expired += 1;
        bench.tally.expired += 1;
    }

    /// A member that has room while messages wait: it is to be told, after the group is unlocked.
    fn ready_for_work(&self) -> Option<Arc<Subscription>> {
        let ready = self.members.iter().find(|member| member.ready && !self.queue.is_empty());
        ready.map(|member| Arc::clone(&member.subscription))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?})", self.filter)
    }
}
