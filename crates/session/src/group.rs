//! A shared subscription: one of its members gets each message.
//!
//! The members take turns; one that can send nothing now is passed over. With nobody able to take a
//! message the group keeps it in a bounded queue of its own, and a member that frees its window
//! takes from there. The mutex is one of the two locks of the data path (law 2): it is held to
//! choose or to move one message, and released before an Outbox is locked. A member that was
//! refused and freed itself in between is not lost: `freed` counts, so an old refusal cannot
//! overwrite newer readiness; whoever leaves a message in the queue tells every member that is
//! ready; and a member that refused or was told comes by itself as soon as it has room.

use crate::counters::{DropReason, Ledger};
use crate::limits::Limits;
use crate::outbound::Offered;
use crate::publication::{Offering, Publication};
use crate::rights::Act;
use crate::route::Subscription;
use crate::session::Session;
use crate::workbench::Workbench;
use aldis_packet::QoS;
use parking_lot::{Mutex, MutexGuard};
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
                let offered = subscription.session.offer_shared(&subscription, self, offering, bench);
                if !matches!(offered, Offered::Full | Offered::NotConcerned) {
                    return;
                }
                inner = self.inner.lock();
                if offered == Offered::Full {
                    inner.refused(subscription.session.number, freed);
                }
            }
        }
        drop(inner);
        let allowed = self.reaches_somebody(offering.topic);
        let mut inner = self.inner.lock();
        self.keep(&mut inner, offering, allowed, bench);
        tell(inner);
    }

    /// Whether any member, ready or not, may receive from this topic (law 11).
    fn reaches_somebody(&self, topic: &str) -> bool {
        let member = |index: usize| Some(Arc::clone(&self.inner.lock().members.get(index)?.subscription));
        (0..).map_while(member).any(|subscription| subscription.session.may_receive(topic))
    }

    fn keep(&self, inner: &mut Inner, offering: &Offering<'_>, allowed: bool, bench: &mut Workbench) {
        inner.offered(bench);
        let weight = offering.weight();
        let nobody = inner.members.is_empty()
            || (offering.qos == QoS::AtMostOnce && !inner.members.iter().any(|member| member.online));
        let reason = if nobody {
            Some(DropReason::NoMember)
        } else if !allowed {
            Some(DropReason::NotAuthorized)
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
        let identity = session.outbox.lock().outbound.identity.clone();
        loop {
            let mut inner = self.inner.lock();
            let Some(member) = inner.member(session.number) else { return };
            member.freed += 1;
            (member.ready, member.online) = (true, true);
            let subscription = Arc::clone(&member.subscription);
            let mut queue = inner.queue.iter();
            let first = queue.position(|publication| identity.may(Act::Receive, &publication.topic));
            let Some(publication) = first.and_then(|first| inner.queue.remove(first)) else { return };
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
                    return tell(inner);
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
        tell(inner);
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
            return true;
        }
        tell(inner);
        false
    }

    /// A member went offline: nothing new is begun with it.
    pub fn offline(&self, session: u64) {
        let mut inner = self.inner.lock();
        if let Some(member) = inner.member(session) {
            (member.online, member.ready) = (false, false);
        }
        tell(inner);
    }

    /// Messages come back from a member whose session ended: they go to the front, in their order.
    /// With nobody left they are dropped and counted.
    pub fn take_back(&self, publications: Vec<Arc<Publication>>, bench: &mut Workbench) {
        let mut inner = self.inner.lock();
        for publication in publications.into_iter().rev() {
            if inner.members.is_empty() {
                inner.offered(bench);
                inner.ledger.drop_delivery(DropReason::SessionEnded, 1, &mut bench.tally);
            } else {
                inner.back(publication, bench);
            }
        }
        tell(inner);
    }
}

/// Tells every member that is ready if messages wait: each takes some as soon as it has room, and is
/// ready again when it finds no more.
fn tell(mut inner: MutexGuard<'_, Inner>) {
    if inner.queue.is_empty() {
        return;
    }
    let ready = inner.members.iter_mut().filter(|member| member.ready);
    let told = ready.map(|member| {
        member.ready = false;
        Arc::clone(&member.subscription)
    });
    let told: Vec<_> = told.collect();
    drop(inner);
    for subscription in told {
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
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?})", self.filter)
    }
}
