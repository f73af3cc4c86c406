//! Where a topic leads.

mod overlap;

use crate::counters::{Counters, DropReason};
use crate::delivery::{SubscriptionIds, Terms};
use crate::group::Group;
use crate::memory::Memory;
use crate::outbound::Offered;
use crate::publication::Offering;
use crate::rights::Act;
use crate::session::Session;
use crate::share::Share;
use crate::workbench::Workbench;
use aldis_packet::{QoS, SubscriptionOptions};
use aldis_topic::TopicFilter;
use overlap::{Changes, Overlap};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// One subscription of one session. Its options can be replaced and it can be ended while
/// publishers hold routes that lead to it: both happen under the lock of the session's Outbox,
/// under which they are read, too.
pub struct Subscription {
    /// Whose it is.
    pub session: Arc<Session>,
    /// The filter.
    pub filter: TopicFilter,
    packed: AtomicU64,
    /// How many replays of retained messages were begun or ended for it.
    replays: AtomicU32,
    /// Shared with the other subscriptions of the session.
    changes: Changes,
    /// Its share of the memory that is counted as held: until it ends, whoever remembers it then.
    memory: Mutex<Memory>,
}

/// The options of a subscription at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Whether it still exists.
    pub active: bool,
    /// Highest quality of service.
    pub qos: QoS,
    /// Whether the client's own messages are left out [MQTT-3.8.3-3].
    pub no_local: bool,
    /// Whether RETAIN goes out as it came in [MQTT-3.3.1-13].
    pub retain_as_published: bool,
    /// Subscription identifier.
    pub subscription_id: Option<u32>,
}

/// Bytes of a subscription itself, in the tables of its session and of its node.
const OWN_BYTES: usize = 200;
/// Subscriptions that a route may lead to for every connection to keep it. A larger one is kept by each thread
/// instead: ten thousand connections that each remember ten thousand are gigabytes.
const SMALL_ROUTE: usize = 16;
/// Bytes of their filters, which an idle connection would keep although they have ended.
const SMALL_FILTERS: usize = 2 << 10;

const ACTIVE: u64 = 1 << 40;
const NO_LOCAL: u64 = 1 << 41;
const AS_PUBLISHED: u64 = 1 << 42;
const QOS_SHIFT: u32 = 44;
const ID_MASK: u64 = 0xffff_ffff;

impl Subscription {
    /// A subscription that is active from now on.
    pub fn new(
        session: Arc<Session>,
        filter: TopicFilter,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
    ) -> Subscription {
        let packed = AtomicU64::new(pack(options, subscription_id));
        Subscription {
            session,
            filter,
            packed,
            replays: AtomicU32::new(0),
            changes: Changes::default(),
            memory: Mutex::default(),
        }
    }

    /// The same subscription, counted as held memory from now on and until it ends. What its filter adds to
    /// the trie is counted there, since filters share it.
    #[must_use]
    pub fn counted(mut self, counters: &Arc<Counters>) -> Subscription {
        let bytes = OWN_BYTES + 2 * self.filter.as_str().len();
        self.memory = Mutex::new(Memory::of(bytes, counters));
        self
    }

    /// The same subscription, with others of its session: what all of them ask for together need not be
    /// worked out for each message ([`Overlap`]).
    #[must_use]
    pub fn beside(mut self, other: Option<&Arc<Subscription>>) -> Subscription {
        if let Some(other) = other {
            self.changes = other.changes.clone();
        }
        self
    }

    /// Ends whatever replay is under way for it and numbers the next. To be called under the lock of the
    /// session's Outbox.
    pub(crate) fn next_replay(&self) -> u32 {
        self.replays.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// The number of the replay that is not ended.
    pub(crate) fn replay_number(&self) -> u32 {
        self.replays.load(Relaxed)
    }

    /// The options now.
    #[inline]
    pub fn options(&self) -> Granted {
        let packed = self.packed.load(Relaxed);
        let id = (packed & ID_MASK) as u32;
        Granted {
            active: packed & ACTIVE != 0,
            qos: match packed >> QOS_SHIFT & 3 {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            },
            no_local: packed & NO_LOCAL != 0,
            retain_as_published: packed & AS_PUBLISHED != 0,
            subscription_id: (id != 0).then_some(id),
        }
    }

    /// Replaces the options in place, so that no message is lost meanwhile [MQTT-3.8.4-4]. To be
    /// called under the lock of the session's Outbox; whether they are others now.
    pub fn replace(&self, options: SubscriptionOptions, subscription_id: Option<u32>) -> bool {
        let packed = pack(options, subscription_id);
        let changes = self.packed.swap(packed, Relaxed) != packed;
        if changes {
            self.changes.add_one();
        }
        changes
    }

    /// Whether a message would be recorded for this subscription.
    pub(crate) fn is_lasting(&self, offering: &Offering<'_>) -> bool {
        let qos = self.options().qos.min(offering.qos);
        qos != QoS::AtMostOnce && self.session.lasts()
    }

    /// Ends it: a publisher that resolved its route a moment ago adds nothing more [MQTT-3.10.4-2], and
    /// publishers that keep such a route make it count as held no longer. To be called under the lock of the
    /// session's Outbox.
    pub fn end(&self) {
        *self.memory.lock() = Memory::default();
        if planted!(OldRouteUsed) {
            return;
        }
        self.packed.fetch_and(!ACTIVE, Relaxed);
        self.changes.add_one();
    }
}

fn pack(options: SubscriptionOptions, subscription_id: Option<u32>) -> u64 {
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    ACTIVE
        | flag(options.no_local, NO_LOCAL)
        | flag(options.retain_as_published, AS_PUBLISHED)
        | (options.qos as u64) << QOS_SHIFT
        | u64::from(subscription_id.unwrap_or(0))
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Subscription({:?} of {:?}, {:?})",
            self.filter.as_str(),
            self.session.client_id,
            self.options()
        )
    }
}

/// Somebody that a topic leads to.
#[derive(Debug, Clone)]
pub enum Target {
    /// One subscription of a session.
    One(Arc<Subscription>),
    /// Overlapping subscriptions of one session: one delivery for all of them.
    Overlap(Arc<Overlap>),
    /// A shared subscription: one of its members.
    Group(Arc<Group>),
}

impl Target {
    /// Overlapping subscriptions that are all of one session.
    pub fn overlap(subscriptions: Vec<Arc<Subscription>>) -> Target {
        Target::Overlap(Arc::new(Overlap::new(subscriptions)))
    }
}

/// All targets of one topic, as resolved at one generation of the routes.
#[derive(Debug, Default)]
pub struct Route {
    /// Each session and each shared subscription once.
    pub targets: Vec<Target>,
    /// Steps it took to find them.
    pub steps: usize,
}

/// Who knows where topics lead.
pub trait Router {
    /// Changes whenever any route may have changed. A route is valid while this is what it was
    /// before the route was resolved.
    fn generation(&self) -> u64;
    /// Resolves a topic name.
    fn resolve(&self, topic: &str) -> Arc<Route>;
}

impl Route {
    /// Whether it leads to so few subscriptions that every connection may keep it.
    pub(crate) fn is_small(&self) -> bool {
        let text = |subscription: &Arc<Subscription>| subscription.filter.as_str().len();
        let (mut count, mut bytes) = (0, 0);
        for target in self.targets.iter().take(SMALL_ROUTE + 1) {
            let (more, longer) = match target {
                Target::One(subscription) => (1, text(subscription)),
                Target::Group(group) => (1, group.filter.len()),
                Target::Overlap(overlap) => {
                    let subscriptions = overlap.subscriptions();
                    (subscriptions.len(), subscriptions.iter().take(SMALL_ROUTE + 1).map(text).sum())
                }
            };
            (count, bytes) = (count + more, bytes + longer);
        }
        count <= SMALL_ROUTE && bytes <= SMALL_FILTERS
    }

    /// Whether a message reaches somebody that it would be recorded for.
    pub(crate) fn reaches_lasting(&self, offering: &Offering<'_>) -> bool {
        self.targets.iter().any(|target| match target {
            Target::One(subscription) => subscription.is_lasting(offering),
            Target::Overlap(overlap) => overlap.subscriptions().iter().any(|one| one.is_lasting(offering)),
            Target::Group(group) => group.is_lasting(offering),
        })
    }

    /// Offers a message to every target; false if there is none.
    pub fn deliver(&self, offering: &Offering<'_>, bench: &mut Workbench) -> bool {
        if self.targets.is_empty() {
            bench.tally.no_subscriber += 1;
            return false;
        }
        bench.tally.routed += 1;
        for target in &self.targets {
            match target {
                Target::One(subscription) => {
                    subscription.session.offer(std::slice::from_ref(subscription), offering, bench);
                }
                Target::Overlap(overlap) => {
                    if let Some(first) = overlap.subscriptions().first() {
                        bench.works(overlap.work());
                        let asks = |client_id: &_| overlap.terms(offering, client_id);
                        first.session.offer_for(asks, offering, None, bench);
                    }
                }
                Target::Group(group) => group.offer(offering, bench),
            }
        }
        true
    }
}

/// What the active ones of `subscriptions` ask for together; `None` if no one asks.
#[inline]
fn terms(
    subscriptions: &[Arc<Subscription>],
    offering: &Offering<'_>,
    client_id: &Arc<str>,
) -> Option<Terms> {
    let mut terms: Option<Terms> = None;
    for subscription in subscriptions {
        let options = subscription.options();
        if !options.active || (options.no_local && offering.publisher == Some(client_id)) {
            continue;
        }
        let qos = options.qos.min(offering.qos);
        let retain = offering.retain && options.retain_as_published;
        let terms =
            terms.get_or_insert_with(|| Terms { qos, retain, ids: SubscriptionIds::None, share: None });
        terms.qos = terms.qos.max(qos);
        terms.retain |= retain;
        if let Some(id) = options.subscription_id {
            terms.ids.add(id);
        }
    }
    terms
}

impl Session {
    /// Offers a message for the `subscriptions` of this session that match it: one delivery at the
    /// highest quality of service, with all identifiers [MQTT-3.3.4-2] [MQTT-3.3.4-4].
    #[inline]
    pub fn offer(
        self: &Arc<Self>,
        subscriptions: &[Arc<Subscription>],
        offering: &Offering<'_>,
        bench: &mut Workbench,
    ) -> Offered {
        bench.works(subscriptions.len());
        self.offer_for(|client_id| terms(subscriptions, offering, client_id), offering, None, bench)
    }

    /// Offers a message to this member of a shared subscription; `Full` if it cannot be sent now.
    pub fn offer_shared(
        self: &Arc<Self>,
        subscription: &Arc<Subscription>,
        share: Share,
        offering: &Offering<'_>,
        bench: &mut Workbench,
    ) -> Offered {
        bench.works(1);
        let asks = |client_id: &_| terms(std::slice::from_ref(subscription), offering, client_id);
        self.offer_for(asks, offering, Some(share), bench)
    }

    #[inline]
    fn offer_for(
        self: &Arc<Self>,
        asks: impl FnOnce(&Arc<str>) -> Option<Terms>,
        offering: &Offering<'_>,
        share: Option<Share>,
        bench: &mut Workbench,
    ) -> Offered {
        let mut outbox = self.outbox.lock();
        let Some(mut terms) = asks(&self.client_id) else {
            return Offered::NotConcerned;
        };
        if !outbox.outbound.identity.may(Act::Receive, offering.topic) && !planted!(RightsNotAsked) {
            if share.is_some() {
                return Offered::NotConcerned;
            }
            outbox.outbound.ledger.offered += 1;
            bench.tally.offered += 1;
            return outbox.outbound.drop_one(DropReason::NotAuthorized, bench);
        }
        let group = share.as_ref().map(|share| Arc::clone(&share.group));
        terms.share = share;
        let (offered, dirty) = outbox.offer(offering, terms, group.is_some(), bench);
        if let (Offered::Full, Some(group)) = (offered, &group) {
            // The group waits for a word as soon as there is room.
            outbox.refused();
            outbox.work_for(group);
        }
        drop(outbox);
        if dirty {
            bench.dirty.push(Arc::clone(self));
        }
        offered
    }
}
