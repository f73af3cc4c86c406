//! A shared subscription: one of its members gets each message.
//!
//! The members take turns; one that can send nothing now is passed over. With nobody able to take a
//! message the group keeps it in a bounded queue of its own, and a member that frees its window
//! takes from there. The mutex is one of the two locks of the data path (law 2): it is held to
//! choose or to move one message, and released before an Outbox is locked. A member that was
//! refused and freed itself in between is not lost: `freed` counts, so an old refusal cannot
//! overwrite newer readiness; whoever leaves a message in the queue tells every member that is
//! ready; and a member that refused or was told comes by itself as soon as it has room. While a member
//! carries a message from the queue to its Outbox, newer ones go behind it into the queue, for that member
//! comes back for more: so a group of one keeps the order of its publishers (law 7).

use crate::counters::{Counters, DropReason, Ledger};
use crate::limits::Limits;
use crate::line::{Line, Waiting};
use crate::memory::Memory;
use crate::outbound::Offered;
use crate::publication::{Offering, Publication};
use crate::remains::Discarded;
use crate::rights::{Act, Identity};
use crate::route::Subscription;
use crate::session::Session;
use crate::share::Share;
use crate::workbench::Workbench;
use aldis_packet::QoS;
use aldis_store::Record;
use parking_lot::{Mutex, MutexGuard};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::time::Instant;

/// What it is to offer a message to a group, and to keep it there, in steps of work: several locks, each as
/// much as asking a session.
const OFFER: usize = 4;
/// Messages looked at under one hold of the lock, for one that a member may receive.
const LOOKS: usize = 64;
/// Holds of the lock in one visit of a member that finds nothing; then others come first.
const VISITS: usize = 16;
/// What a group with one member takes beside itself, roughly: its places in the tables of the Broker, of its
/// members and of the routes.
const PLACES: usize = 500;

impl Waiting for Arc<Publication> {
    fn weight(&self) -> usize {
        Publication::weight(self) + Waiting::place(self)
    }
    fn place(&self) -> usize {
        size_of::<(u64, Arc<Publication>)>()
    }
    fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }
}

struct Member {
    subscription: Arc<Subscription>,
    online: bool,
    /// Its session outlives its connection.
    lasts: bool,
    /// How often the member said that it has room.
    freed: u64,
    /// Up to here it was shown what waits, and may not receive it; and how many had come back by then.
    shown: u64,
    returns: u64,
}

struct Inner {
    /// By the number of the session.
    members: BTreeMap<u64, Member>,
    /// Those that can take a message, as far as is known.
    ready: BTreeSet<u64>,
    online: usize,
    /// The member that was chosen last.
    last: u64,
    queue: Line<Arc<Publication>>,
    /// The number given last.
    numbers: u64,
    /// How many messages came back to the queue.
    returns: u64,
    /// Messages that members carry from the queue to their Outbox.
    in_transit: usize,
    ledger: Ledger,
}

/// A message on its way from the queue to the Outbox of a member.
#[derive(Debug)]
pub struct Carried {
    number: u64,
    publication: Arc<Publication>,
    subscription: Arc<Subscription>,
}

/// What a member finds when it looks for a message.
enum Found {
    Message(Carried),
    Nothing,
    /// Nothing so far, and there is more to look at.
    More,
}

/// A shared subscription: a share name together with a filter.
pub struct Group {
    /// Number of this group, never used again.
    pub number: u64,
    /// The filter with `$share/name/`.
    pub filter: Arc<str>,
    limits: Arc<Limits>,
    /// What the group itself takes, whatever waits in it.
    _memory: Memory,
    /// Members whose sessions outlive their connections. Changed under the lock.
    lasting: AtomicUsize,
    /// The log knows the group.
    recorded: AtomicBool,
    // Held for nanoseconds; taken by publishers, members, and the Broker when membership changes.
    inner: Mutex<Inner>,
}

impl Group {
    /// A group without members. What it takes is counted as held.
    pub fn new(number: u64, filter: Arc<str>, limits: Arc<Limits>, counters: &Arc<Counters>) -> Group {
        let inner = Inner {
            members: BTreeMap::new(),
            ready: BTreeSet::new(),
            online: 0,
            last: 0,
            queue: Line::default(),
            numbers: 0,
            returns: 0,
            in_transit: 0,
            ledger: Ledger::default(),
        };
        let _memory = Memory::of(size_of::<Group>() + filter.len() + PLACES, counters);
        let (lasting, recorded) = (AtomicUsize::new(0), AtomicBool::new(false));
        Group { number, filter, limits, _memory, lasting, recorded, inner: Mutex::new(inner) }
    }

    /// Puts back what a start found in the log: messages by their places, and the last place that was used.
    pub fn restore(
        &self,
        waiting: impl IntoIterator<Item = (u64, Arc<Publication>)>,
        last: u64,
        bench: &mut Workbench,
    ) {
        self.set_recorded();
        let mut inner = self.inner.lock();
        inner.numbers = last;
        for (number, publication) in waiting {
            inner.offered(bench);
            inner.waits(number, publication, bench);
        }
    }

    /// Members whose sessions outlive their connections.
    pub(crate) fn lasting(&self) -> usize {
        self.lasting.load(Relaxed)
    }

    /// Whether the log knows the group.
    pub(crate) fn is_recorded(&self) -> bool {
        self.recorded.load(Acquire)
    }

    /// The log knows the group from here on.
    pub(crate) fn set_recorded(&self) {
        self.recorded.store(true, Release);
    }

    /// Whether a message would be recorded for one of the members.
    pub(crate) fn is_lasting(&self, offering: &Offering<'_>) -> bool {
        let members =
            self.inner.lock().members.values().map(|one| Arc::clone(&one.subscription)).collect::<Vec<_>>();
        members.iter().any(|subscription| subscription.is_lasting(offering))
    }

    /// Offers a message to one member, or keeps it.
    pub fn offer(self: &Arc<Self>, offering: &Offering<'_>, bench: &mut Workbench) {
        bench.works(OFFER);
        let mut inner = self.inner.lock();
        if inner.queue.is_empty() && inner.in_transit == 0 {
            for _ in 0..inner.members.len() {
                let Some((subscription, freed)) = inner.choose() else { break };
                let share = self.share(inner.next_number());
                drop(inner);
                let offered = subscription.session.offer_shared(&subscription, share, offering, bench);
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
        let allowed = self.reaches_somebody(offering.topic, bench);
        let mut inner = self.inner.lock();
        self.keep(&mut inner, offering, allowed, bench);
        if inner.in_transit == 0 {
            self.tell(inner, None);
        }
    }

    /// Whether any member, ready or not, may receive from this topic (law 11).
    fn reaches_somebody(&self, topic: &str, bench: &mut Workbench) -> bool {
        let mut after = 0;
        loop {
            bench.works(1);
            let next = self.inner.lock().members.range(after..).next().map(|(number, member)| {
                after = number + 1;
                Arc::clone(&member.subscription)
            });
            match next {
                None => return false,
                Some(subscription) if subscription.session.may_receive(topic) => return true,
                Some(_) => {}
            }
        }
    }

    fn keep(&self, inner: &mut Inner, offering: &Offering<'_>, allowed: bool, bench: &mut Workbench) {
        inner.offered(bench);
        if inner.queue.len() >= self.limits.queue_messages || bench.memory_full {
            self.expire(inner, LOOKS, bench);
        }
        let nobody = inner.members.is_empty() || (offering.qos == QoS::AtMostOnce && inner.online == 0);
        let reason = if nobody {
            Some(DropReason::NoMember)
        } else if !allowed {
            Some(DropReason::NotAuthorized)
        } else if inner.queue.len() >= self.limits.queue_messages
            || inner.queue.bytes() + offering.weight() > self.limits.queue_bytes
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
        let publication = Arc::clone(offering.publication(bench.counters()));
        let number = inner.next_number();
        if offering.qos != QoS::AtMostOnce && self.is_kept(bench) {
            self.record(number, &publication, bench);
        }
        inner.waits(number, publication, bench);
    }

    /// A place in this group.
    fn share(self: &Arc<Self>, number: u64) -> Share {
        Share { group: Arc::clone(self), number }
    }

    /// The member of this session has room: it takes from the queue what it can send now.
    pub fn pull(self: &Arc<Self>, session: &Arc<Session>, bench: &mut Workbench) {
        let mut has_carried = false;
        while let Some(carried) = self.take(session, has_carried, bench) {
            has_carried = true;
            if !self.deliver(carried, session, bench) {
                return;
            }
        }
    }

    /// The first half of a pull: a message leaves the queue for this member, which has to
    /// [`deliver`](Group::deliver) it. With nothing to take the member is ready from now on. `has_carried`
    /// says that it took one before in this pull.
    pub fn take(
        self: &Arc<Self>,
        session: &Arc<Session>,
        has_carried: bool,
        bench: &mut Workbench,
    ) -> Option<Carried> {
        let identity = session.outbox.lock().outbound.identity.clone();
        for _ in 0..VISITS {
            let mut inner = self.inner.lock();
            self.expire(&mut inner, LOOKS, bench);
            match inner.find(session.number, &identity) {
                Found::Message(carried) => {
                    inner.leaves(&carried.publication, bench);
                    inner.in_transit += 1;
                    return Some(carried);
                }
                // Publishers left to this member what came while it carried one.
                Found::Nothing if has_carried => {
                    self.tell(inner, Some(session.number));
                    return None;
                }
                Found::Nothing => {
                    inner.is_ready(session.number);
                    return None;
                }
                Found::More => {}
            }
        }
        if has_carried {
            self.tell(self.inner.lock(), None);
        }
        session.tell_group_work(self);
        None
    }

    /// The second half: the message goes to the member's Outbox, or back to where it stood. True if the member
    /// may take another.
    pub fn deliver(
        self: &Arc<Self>,
        carried: Carried,
        session: &Arc<Session>,
        bench: &mut Workbench,
    ) -> bool {
        let Carried { number, publication, subscription } = carried;
        let offering = Offering::of(&publication);
        let was_open = publication.stamp.open().is_some();
        let offered = session.offer_shared(&subscription, self.share(number), &offering, bench);
        bench.close_copy(&publication, was_open);
        let mut inner = self.inner.lock();
        inner.in_transit -= 1;
        if !matches!(offered, Offered::Full | Offered::NotConcerned) {
            return true;
        }
        inner.comes_back(number, publication, bench);
        inner.ready.remove(&session.number);
        // A member that was refused by its rights or its UNSUBSCRIBE waits for no room.
        let looked = (offered == Offered::NotConcerned).then_some(session.number);
        self.tell(inner, looked);
        false
    }

    /// Takes up to `count` messages out of the queue that expired in it; true if there may be more.
    pub fn expire_waiting(&self, count: usize, bench: &mut Workbench) -> bool {
        self.expire(&mut self.inner.lock(), count, bench)
    }

    /// Takes out what expired while it waited, up to `count` messages [MQTT-3.3.2-5]; true if there may be
    /// more.
    fn expire(&self, inner: &mut Inner, count: usize, bench: &mut Workbench) -> bool {
        for _ in 0..count {
            let Some((number, publication)) = inner.queue.take_expired(bench.now) else { return false };
            self.record_done(number, &publication, bench);
            inner.leaves(&publication, bench);
            inner.offered(bench);
            inner.ledger.expired += 1;
            bench.tally.expired += 1;
        }
        true
    }

    /// Whether it has any member.
    pub fn has_members(&self) -> bool {
        !self.inner.lock().members.is_empty()
    }

    /// Messages that wait for a member.
    pub fn queued(&self) -> usize {
        self.inner.lock().queue.len()
    }

    /// Tells every member that is ready if messages wait: each takes some as soon as it has room, and is
    /// ready again when it finds no more. `looked` has just looked for itself, and is ready.
    fn tell(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>, looked: Option<u64>) {
        let mut told = Vec::new();
        if !inner.queue.is_empty() {
            let mut ready = std::mem::take(&mut inner.ready);
            looked.map(|looked| ready.remove(&looked));
            let member = |number: &u64| inner.members.get(number);
            told = ready.iter().filter_map(member).map(|member| Arc::clone(&member.subscription)).collect();
        }
        if let Some(looked) = looked {
            inner.is_ready(looked);
        }
        drop(inner);
        for subscription in told {
            subscription.session.tell_group_work(self);
        }
    }

    // ---- membership, changed by the Broker alone ----

    /// Adds a member, or leaves it as it is if the session is one already.
    pub fn join(self: &Arc<Self>, subscription: &Arc<Subscription>) {
        let number = subscription.session.number;
        // A long SUBSCRIBE may come to its end after its connection.
        let (online, lasts) = (subscription.session.is_online(), subscription.session.lasts());
        let mut inner = self.inner.lock();
        if let Entry::Vacant(place) = inner.members.entry(number) {
            let subscription = Arc::clone(subscription);
            place.insert(Member { subscription, online, lasts, freed: 0, shown: 0, returns: 0 });
            self.lasting.fetch_add(usize::from(lasts), Relaxed);
            inner.online += usize::from(online);
            inner.is_ready(number);
        }
        self.tell(inner, None);
    }

    /// Removes a member. With none left, what waits is dropped and counted, and its memory is left to
    /// the caller; the group is no more.
    pub fn leave(self: &Arc<Self>, session: u64, bench: &mut Workbench) -> Option<Discarded> {
        let mut inner = self.inner.lock();
        inner.is_offline(session);
        let left = inner.members.remove(&session);
        self.lasting.fetch_sub(usize::from(left.is_some_and(|member| member.lasts)), Relaxed);
        if !inner.members.is_empty() {
            self.tell(inner, None);
            return None;
        }
        if self.is_recorded() {
            bench.journal.append(&Record::GroupEnd { group: self.number });
        }
        let queue = std::mem::take(&mut inner.queue);
        let count = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        inner.ledger.drop_delivery(DropReason::SessionEnded, count, &mut bench.tally);
        bench.tally.waiting -= i64::from(count);
        bench.tally.queued_bytes -= queue.bytes() as i64;
        bench.tally.held_bytes -= queue.own_bytes() as i64;
        Some(Discarded::of_group(queue))
    }

    /// A member has a connection again: messages of QoS 0 wait for it, too. `lasts` says whether its session
    /// outlives this one.
    pub fn online(&self, session: u64, lasts: bool) {
        let mut inner = self.inner.lock();
        let Some(member) = inner.members.get_mut(&session) else { return };
        if std::mem::replace(&mut member.lasts, lasts) != lasts {
            let more = if lasts { 1 } else { usize::MAX };
            self.lasting.fetch_add(more, Relaxed);
        }
        if !std::mem::replace(&mut member.online, true) {
            inner.online += 1;
        }
    }

    /// A member went offline: nothing new is begun with it.
    pub fn offline(self: &Arc<Self>, session: u64) {
        let mut inner = self.inner.lock();
        inner.is_offline(session);
        self.tell(inner, None);
    }

    /// Messages come back from a member whose session ended, each to the place of its number. With nobody
    /// left they are dropped and counted.
    pub fn take_back(self: &Arc<Self>, publications: Vec<(u64, Arc<Publication>)>, bench: &mut Workbench) {
        let mut inner = self.inner.lock();
        for (number, publication) in publications {
            inner.comes_back(number, publication, bench);
        }
        self.tell(inner, None);
    }
}

impl Inner {
    /// The next member in turn that is ready.
    fn choose(&mut self) -> Option<(Arc<Subscription>, u64)> {
        let after = self.ready.range(self.last + 1..).next().or_else(|| self.ready.first());
        let number = *after?;
        self.last = number;
        self.members.get(&number).map(|member| (Arc::clone(&member.subscription), member.freed))
    }

    /// The first message that a member may receive, of the next ones that it was not shown yet. The member
    /// says by this that it has room.
    fn find(&mut self, session: u64, identity: &Identity) -> Found {
        let Some(member) = self.members.get_mut(&session) else { return Found::Nothing };
        member.freed += 1;
        if member.returns != self.returns {
            // What came back may stand before what it was shown.
            (member.shown, member.returns) = (0, self.returns);
        }
        if !member.online {
            member.online = true;
            self.online += 1;
        }
        let (mut next, more) = self.queue.from(member.shown, LOOKS);
        let allowed = next.find(|(_, publication)| identity.may(Act::Receive, &publication.topic));
        let allowed = allowed.map(|(number, _)| number);
        drop(next);
        let Some(number) = allowed else {
            member.shown = more.unwrap_or(self.numbers + 1);
            return if more.is_some() { Found::More } else { Found::Nothing };
        };
        member.shown = number;
        let subscription = Arc::clone(&member.subscription);
        match self.queue.take(number) {
            Some(publication) => Found::Message(Carried { number, publication, subscription }),
            None => Found::Nothing,
        }
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn is_ready(&mut self, session: u64) {
        if self.members.get(&session).is_some_and(|member| member.online) {
            self.ready.insert(session);
        }
    }

    fn is_offline(&mut self, session: u64) {
        self.ready.remove(&session);
        if let Some(member) = self.members.get_mut(&session) {
            self.online -= usize::from(std::mem::take(&mut member.online));
            // Its rights may be others when it comes again.
            member.shown = 0;
        }
    }

    /// A member could take nothing; it is passed over until it says that it has room, unless it has
    /// said so since it was chosen.
    fn refused(&mut self, session: u64, freed: u64) {
        if self.members.get(&session).is_some_and(|member| member.freed == freed) {
            self.ready.remove(&session);
        }
    }

    /// A message stands in the queue from now on.
    fn waits(&mut self, number: u64, publication: Arc<Publication>, bench: &mut Workbench) {
        bench.tally.waiting += 1;
        bench.tally.queued_bytes += Waiting::weight(&publication) as i64;
        bench.tally.held_bytes += Waiting::place(&publication) as i64;
        self.queue.put(number, publication);
    }

    /// A message has left the queue, to a member or for good.
    fn leaves(&mut self, publication: &Arc<Publication>, bench: &mut Workbench) {
        self.ledger.offered -= 1;
        bench.tally.offered -= 1;
        bench.tally.waiting -= 1;
        bench.tally.queued_bytes -= Waiting::weight(publication) as i64;
        bench.tally.held_bytes -= Waiting::place(publication) as i64;
    }

    /// A message comes back, to the place of its number. With nobody left it is dropped and counted.
    fn comes_back(&mut self, number: u64, publication: Arc<Publication>, bench: &mut Workbench) {
        self.offered(bench);
        if self.members.is_empty() {
            let reason = DropReason::session_ended(publication.qos);
            return self.ledger.drop_delivery(reason, 1, &mut bench.tally);
        }
        self.returns += 1;
        self.waits(number, publication, bench);
    }

    fn offered(&mut self, bench: &mut Workbench) {
        self.ledger.offered += 1;
        bench.tally.offered += 1;
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({:?})", self.filter)
    }
}
