//! The Broker as it was: rebuilt from the fold when the broker starts.
//!
//! Sessions that had a connection when the broker ended are without one from now on, as if it had been lost at the
//! start: their expiry and the delay of their wills run from here. What has passed meanwhile on the clock on the wall
//! comes due in the first steps.

use crate::broker::{Broker, Entry, WillHeld};
use crate::population::add;
use crate::routes::Entry as RouteEntry;
use crate::subscription_list::SubscriptionList;
use crate::timers::Timer;
use aldis_packet::{ProtocolVersion, Will};
use aldis_session::{
    Away, ClientTerms, Delivery, Group, Identity, Kept, Memory, Outbound, Publication, Rights, Session,
    Share, Subscription, Terms, kept_terms,
};
use aldis_store::{DeliveryState, Fold, OwedWill, SessionState, Standing, WillState};
use aldis_topic::TopicFilter;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// Levels of a filter that was taken once: whatever the limit is now.
const ANY_LEVELS: usize = usize::MAX;

/// The messages that a fold has at hand ([`Fold::at_hand`]), by their number.
pub type Bodies = HashMap<u64, Arc<Publication>>;

/// Shared subscriptions by their number.
type Groups = BTreeMap<u64, Arc<Group>>;

impl<R> Broker<R> {
    /// Takes over what the log knows. To be called before any command; `bodies` are the messages that `fold` has at
    /// hand.
    pub fn restore(&mut self, fold: &Fold, bodies: &Bodies, rights: Option<&Arc<dyn Rights>>, now: Instant) {
        self.bench.begin(now, false);
        self.numbers = self.numbers.max(fold.last_session);
        let groups = self.restore_groups(fold, bodies);
        for (topic, message) in &fold.retained {
            if let Some(publication) = bodies.get(message).filter(|publication| *publication.topic == **topic)
            {
                self.retained.restore(Arc::clone(publication), &self.counters);
                self.time_retained(publication);
            }
        }
        for (number, state) in &fold.sessions {
            self.restore_session(*number, state, fold, (bodies, &groups), rights);
        }
        // One that ends at once must not be the last member of a shared subscription whose others are still to come.
        for (number, state) in &fold.sessions {
            self.restore_times(*number, state);
        }
        for OwedWill { client_id, user_name, will } in fold.wills.values() {
            let identity = identity(client_id, user_name.as_deref(), rights);
            self.publish_will(self.will_held(will, identity));
        }
        self.bench.finish();
    }

    fn restore_session(
        &mut self,
        number: u64,
        state: &SessionState,
        fold: &Fold,
        found: (&Bodies, &Groups),
        rights: Option<&Arc<dyn Rights>>,
    ) {
        let identity = identity(&state.client_id, state.user_name.as_deref(), rights);
        let mut outbound = Outbound::new(identity.clone(), TERMS, Arc::clone(&self.limits));
        let journal = Arc::clone(&self.journal);
        let mut are_away = false;
        let deliveries = state.deliveries.iter().filter_map(|(number, state)| {
            let waits = state.standing == Standing::Queued;
            if !(waits && are_away)
                && let Some(delivery) = delivery_of(number, state, found)
            {
                return Some(Kept::Here(delivery, state.standing));
            }
            // What waits behind those that were read is on disk only.
            are_away |= waits;
            let (_, length) = fold.body(state.message).filter(|_| waits)?;
            let expires_at = fold.expires_at(state.message).and_then(|at| journal.instant(at));
            Some(Kept::Away(number, Away { size: length, expires_at }))
        });
        outbound.restore(deliveries, (state.last_number, state.next_slot), &mut self.bench);
        let session = Session::new(number, outbound);
        for packet_id in &state.held {
            session.inbound.lock().restore(*packet_id, &self.counters);
        }
        self.by_client_id.insert(Arc::clone(&session.client_id), number);
        let will = state.will.as_ref().map(|will| Box::new(self.will_held(will, identity)));
        let entry = Entry {
            session: Arc::clone(&session),
            connection: None,
            newcomer: None,
            subscriptions: SubscriptionList::default(),
            subscribing: None,
            session_expiry: state.session_expiry,
            lasting: true,
            expires: None,
            will,
            memory: Memory::of(state.client_id.len(), &self.counters),
        };
        self.entries.insert(number, Box::new(entry));
        add(&self.population.sessions);
        self.restore_subscriptions(&session, state);
    }

    /// Shared subscriptions with what waits in them; their members come with their sessions.
    fn restore_groups(&mut self, fold: &Fold, bodies: &Bodies) -> Groups {
        let mut groups = Groups::new();
        for (number, state) in &fold.groups {
            let filter: Arc<str> = Arc::from(&*state.filter);
            let limits = Arc::clone(&self.limits);
            let group = Arc::new(Group::new(*number, Arc::clone(&filter), limits, &self.counters));
            let body = |message| bodies.get(message).map(Arc::clone);
            let waiting = state.queue.iter().filter_map(|(place, message)| Some((*place, body(message)?)));
            group.restore(waiting, state.last, &mut self.bench);
            self.groups.insert(filter, Arc::clone(&group));
            groups.insert(*number, group);
        }
        groups
    }

    fn restore_subscriptions(&mut self, session: &Arc<Session>, state: &SessionState) {
        let mut added = Vec::new();
        for (text, known) in &state.subscriptions {
            // What was taken once is a filter.
            let Ok(filter) = TopicFilter::parse(text, ANY_LEVELS) else { continue };
            let Some(entry) = self.entries.get_mut(&session.number) else { return };
            let (options, id) = (known.options, known.subscription_id);
            let new = Subscription::new(Arc::clone(session), filter.clone(), options, id);
            let subscription = Arc::new(new.counted(&self.counters).beside(entry.subscriptions.any()));
            entry.subscriptions.insert(Arc::clone(&subscription));
            add(&self.population.subscriptions);
            if known.replays {
                session.outbox.lock().start_replay(Arc::clone(&subscription));
            }
            if filter.share_group().is_some() {
                add(&self.population.shared_subscriptions);
                if let Some(group) = self.join_group(&filter, session, &subscription) {
                    added.push((filter, RouteEntry::Shared(group)));
                }
            } else {
                added.push((filter, RouteEntry::One(subscription)));
            }
        }
        if added.is_empty() {
            return;
        }
        self.routes.write(&self.counters, |trie| {
            for (filter, entry) in added {
                trie.insert(filter.filter(), entry);
            }
        });
    }

    /// Its expiry and the delay of its will run on, or from now on.
    fn restore_times(&mut self, number: u64, state: &SessionState) {
        let now = self.bench.now;
        if state.left_at.is_none() {
            return self.after_detach(number);
        }
        let left_at = state.left_at.unwrap_or_default();
        let after = |seconds: u32| {
            let at = left_at.saturating_add(u64::from(seconds) * 1000);
            self.journal.instant(at).map(|at| at.max(now))
        };
        let expires = (state.session_expiry != u32::MAX).then(|| after(state.session_expiry)).flatten();
        let will = state.will.as_ref().and_then(|will| after(will.delay));
        let expires = expires.map(|at| self.timers.set(at, Timer::Session(number)));
        let will = will.map(|at| self.timers.set(at, Timer::Will(number)));
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.expires = expires;
        if let Some(held) = &mut entry.will {
            held.timer = will;
        }
    }

    fn will_held(&self, will: &WillState, identity: Identity) -> WillHeld {
        let number = will.number;
        let will = Will {
            qos: will.qos,
            retain: will.retain,
            topic: String::from(&*will.topic),
            payload: Bytes::copy_from_slice(&will.payload),
            delay: will.delay,
            message_expiry: will.message_expiry,
            forwarded: Bytes::copy_from_slice(&will.properties),
        };
        let bytes = will.topic.len() + will.payload.len() + will.forwarded.len();
        WillHeld { number, will, memory: Memory::of(bytes, &self.counters), identity, timer: None }
    }
}

/// What a session may be sent while nobody is connected, which is nothing: the next connection brings its own terms.
const TERMS: ClientTerms = ClientTerms {
    version: ProtocolVersion::V5,
    receive_maximum: u16::MAX,
    maximum_packet_size: u32::MAX,
    topic_alias_maximum: 0,
    problem_information: true,
    lasting: true,
};

fn identity(client_id: &str, user_name: Option<&str>, rights: Option<&Arc<dyn Rights>>) -> Identity {
    Identity { client_id: Arc::from(client_id), user_name: user_name.map(Arc::from), rights: rights.cloned() }
}

fn delivery_of(number: u64, state: &DeliveryState, (bodies, groups): (&Bodies, &Groups)) -> Option<Delivery> {
    let publication = Arc::clone(bodies.get(&state.message)?);
    let share = state.share().and_then(|place| {
        let group = Arc::clone(groups.get(&place.group)?);
        Some(Share { group, number: place.number })
    });
    let terms = Terms { share, ..kept_terms(state) };
    Some(Delivery { publication, terms, number })
}
