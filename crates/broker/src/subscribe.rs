//! Subscribing and unsubscribing: the routes are changed here and nowhere else.
//!
//! A packet may carry thousands of filters. They are handled 64 at a time, and other commands get
//! their turn in between; the answer is given when the last one is visible to every publisher.

use crate::broker::{Broker, Entry};
use crate::chore::Chore;
use crate::command::Answer;
use crate::population::{add, subtract};
use crate::routes::{Entry as RouteEntry, group_key};
use aldis_packet::{PacketType, ReasonCode, RetainHandling, SubscriptionOptions};
use aldis_session::{
    Counters, FilterRefusal, Group, Limits, Session, Subscribing, Subscription, Unsubscribing, planted,
};
use aldis_store::{Record, Sequence};
use aldis_topic::TopicFilter;
use std::collections::VecDeque;
use std::sync::Arc;

/// Filters handled in one step, and so the longest that the routes are held for writing.
const FILTERS_A_STEP: usize = 64;

/// Subscriptions that a session gets at the memory watermark, too, if their filters are not longer than this:
/// clients that connect anew, as they do after a fault, are served.
const SUBSCRIPTIONS_AT_LEAST: usize = 16;
const FILTER_AT_LEAST: usize = 256;

/// What is asked of one filter.
enum Wish {
    Subscribe(SubscriptionOptions),
    Unsubscribe,
}

/// A SUBSCRIBE or UNSUBSCRIBE on its way through the Broker.
pub(crate) struct SubscribeChore<R> {
    session: u64,
    filters: VecDeque<(Result<TopicFilter, ReasonCode>, Wish)>,
    subscription_id: Option<u32>,
    reasons: Vec<u8>,
    /// Sequence of the last record made for it.
    pub(crate) recorded: Sequence,
    reply: R,
}

impl<R> SubscribeChore<R> {
    pub(crate) fn subscribe(session: u64, subscribing: Subscribing, reply: R) -> SubscribeChore<R> {
        let filters = subscribing.filters.into_iter();
        SubscribeChore {
            session,
            filters: filters.map(|(filter, options)| (filter, Wish::Subscribe(options))).collect(),
            subscription_id: subscribing.subscription_id,
            reasons: Vec::new(),
            recorded: 0,
            reply,
        }
    }

    pub(crate) fn unsubscribe(session: u64, unsubscribing: Unsubscribing, reply: R) -> SubscribeChore<R> {
        let filters = unsubscribing.filters.into_iter();
        SubscribeChore {
            session,
            filters: filters.map(|filter| (filter, Wish::Unsubscribe)).collect(),
            subscription_id: None,
            reasons: Vec::new(),
            recorded: 0,
            reply,
        }
    }
}

impl<R> Broker<R> {
    /// Begins with a SUBSCRIBE or UNSUBSCRIBE, behind those of the same session that are under way.
    pub(crate) fn begin_subscribe(&mut self, chore: SubscribeChore<R>) {
        let entry = self.entries.get_mut(&chore.session);
        match entry.and_then(|entry| entry.subscribing.as_mut()) {
            Some(waiting) => waiting.push_back(chore),
            None => self.subscribe(chore),
        }
    }

    /// The next one of the session comes when one is done.
    fn next_subscribe(&mut self, session: u64) {
        let Some(entry) = self.entries.get_mut(&session) else { return };
        match entry.subscribing.as_mut().and_then(|waiting| waiting.pop_front()) {
            Some(next) => self.chores.push_back(Chore::Subscribe(next)),
            None => entry.subscribing = None,
        }
    }

    /// Handles the next filters; what is left becomes a chore.
    pub(crate) fn subscribe(&mut self, mut chore: SubscribeChore<R>) {
        let step: Vec<_> = chore.filters.drain(..chore.filters.len().min(FILTERS_A_STEP)).collect();
        let mut added: Vec<(TopicFilter, RouteEntry)> = Vec::new();
        let mut removed: Vec<Arc<Subscription>> = Vec::new();
        for (filter, wish) in step {
            let reason = match (filter, wish) {
                (Err(reason), _) => reason,
                (Ok(filter), Wish::Subscribe(options)) => {
                    self.add_subscription(chore.session, filter, options, chore.subscription_id, &mut added)
                }
                (Ok(filter), Wish::Unsubscribe) => {
                    self.remove_subscription(chore.session, &filter, &mut removed)
                }
            };
            chore.reasons.push(reason.value());
        }
        if !added.is_empty() {
            self.routes.write(&self.counters, |trie| {
                for (filter, entry) in added {
                    trie.insert(filter.filter(), entry);
                }
            });
        }
        self.take_out(&removed);
        if chore.filters.is_empty() {
            self.answer(chore.reply, Answer::Reasons(chore.reasons));
            self.next_subscribe(chore.session);
        } else {
            if let Some(entry) = self.entries.get_mut(&chore.session) {
                entry.subscribing.get_or_insert_default();
            }
            chore.recorded = self.recorded;
            self.chores.push_back(Chore::Subscribe(chore));
        }
    }

    fn add_subscription(
        &mut self,
        session: u64,
        filter: TopicFilter,
        options: SubscriptionOptions,
        subscription_id: Option<u32>,
        added: &mut Vec<(TopicFilter, RouteEntry)>,
    ) -> ReasonCode {
        let Some(entry) = self.entries.get_mut(&session) else { return ReasonCode::UnspecifiedError };
        let known = entry.subscriptions.get(filter.text()).cloned();
        let is_new = known.is_none();
        let refusal = refusal(entry, &filter, &self.limits, &self.counters);
        if let Some(why) = refusal.filter(|_| is_new) {
            let client_id = &entry.session.client_id;
            self.bench.refuse_filter(client_id, PacketType::Subscribe, filter.as_str(), &why);
            return why.code();
        }
        let (session, lasting) = (Arc::clone(&entry.session), entry.lasting);
        let subscription = known.unwrap_or_else(|| {
            let session = Arc::clone(&session);
            let new = Subscription::new(session, filter.clone(), options, subscription_id);
            Arc::new(new.counted(&self.counters).beside(entry.subscriptions.any()))
        });
        let replays = {
            let mut outbox = session.outbox.lock();
            if subscription.replace(options, subscription_id) {
                // Not to find the way anew, but for what overlapping subscriptions ask for together.
                self.routes.outdate();
            }
            let replay = match options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => is_new,
                RetainHandling::DoNotSend => false,
            };
            // [MQTT-3.3.1-9] to -11; a shared subscription is sent no retained messages.
            let replays = replay && filter.share_group().is_none() && self.retained.messages() > 0;
            if replays {
                outbox.start_replay(Arc::clone(&subscription));
            }
            replays
        };
        if is_new {
            entry.subscriptions.insert(Arc::clone(&subscription));
        }
        self.bench.observer.subscribed(&session.client_id, filter.as_str(), options.qos);
        let (number, text) = (session.number, filter.as_str());
        let record = Record::Subscribe { session: number, filter: text, options, subscription_id, replays };
        self.record(lasting, &record);
        if is_new {
            add(&self.population.subscriptions);
            if filter.share_group().is_some() {
                add(&self.population.shared_subscriptions);
                if let Some(group) = self.join_group(&filter, &session, &subscription) {
                    added.push((filter, RouteEntry::Shared(group)));
                }
            } else {
                added.push((filter, RouteEntry::One(subscription)));
            }
        }
        granted(options)
    }

    /// Makes the session a member; answers the group if it is new and has to be routed to.
    pub(crate) fn join_group(
        &mut self,
        filter: &TopicFilter,
        session: &Arc<Session>,
        subscription: &Arc<Subscription>,
    ) -> Option<Arc<Group>> {
        let (group, is_new) = match self.groups.get(filter.text()) {
            // What a start found has no member at first.
            Some(group) => (Arc::clone(group), !group.has_members()),
            None => {
                let number = self.next_number();
                let (text, limits) = (Arc::clone(filter.text()), Arc::clone(&self.limits));
                let group = Arc::new(Group::new(number, text, limits, &self.counters));
                self.groups.insert(Arc::clone(filter.text()), Arc::clone(&group));
                (group, true)
            }
        };
        session.add_group(&group);
        group.join(subscription);
        is_new.then_some(group)
    }

    fn remove_subscription(
        &mut self,
        session: u64,
        filter: &TopicFilter,
        removed: &mut Vec<Arc<Subscription>>,
    ) -> ReasonCode {
        let Some(entry) = self.entries.get_mut(&session) else { return ReasonCode::NoSubscriptionExisted };
        // Compared byte by byte with the filter as the client wrote it [MQTT-3.10.4-1].
        let found = entry.subscriptions.remove(filter.text());
        let reason = if found.is_some() { ReasonCode::Success } else { ReasonCode::NoSubscriptionExisted };
        self.bench.observer.unsubscribed(&entry.session.client_id, filter.as_str(), reason);
        let Some(subscription) = found else { return reason };
        if !planted!(UnsubscribedGoesOn) {
            removed.push(subscription);
        }
        let lasting = entry.lasting;
        self.record(lasting, &Record::Unsubscribe { session, filter: filter.as_str() });
        reason
    }

    /// Ends subscriptions and takes them out of the routes.
    pub(crate) fn take_out(&mut self, subscriptions: &[Arc<Subscription>]) {
        if subscriptions.is_empty() {
            return;
        }
        let mut out: Vec<(&str, u64)> = Vec::with_capacity(subscriptions.len());
        for subscription in subscriptions {
            let mut outbox = subscription.session.outbox.lock();
            subscription.end();
            outbox.stop_replay(subscription);
            drop(outbox);
            subtract(&self.population.subscriptions);
            if subscription.filter.share_group().is_none() {
                out.push((subscription.filter.filter(), subscription.session.number));
                continue;
            }
            subtract(&self.population.shared_subscriptions);
            if let Some(key) = self.leave_group(subscription) {
                out.push((subscription.filter.filter(), key));
            }
        }
        self.routes.write(&self.counters, |trie| {
            for (filter, key) in out {
                trie.remove(filter, key);
            }
        });
    }

    /// Ends a membership; answers the key of the group in the routes if nobody is left in it.
    fn leave_group(&mut self, subscription: &Arc<Subscription>) -> Option<u64> {
        let group = Arc::clone(self.groups.get(subscription.filter.text())?);
        subscription.session.remove_group(group.number);
        let discarded = group.leave(subscription.session.number, &mut self.bench)?;
        self.discard(discarded);
        self.groups.remove(subscription.filter.text());
        Some(group_key(group.number))
    }
}

/// What is against one more subscription of this session, if anything is.
fn refusal<R>(
    entry: &Entry<R>,
    filter: &TopicFilter,
    limits: &Limits,
    counters: &Counters,
) -> Option<FilterRefusal> {
    let count = entry.subscriptions.len();
    let is_shared = filter.share_group().is_some();
    let is_small = count < SUBSCRIPTIONS_AT_LEAST && filter.text().len() <= FILTER_AT_LEAST;
    if count >= limits.subscriptions {
        Some(FilterRefusal::Subscriptions { limit: limits.subscriptions })
    } else if is_shared && entry.session.group_count() >= limits.shared_subscriptions {
        Some(FilterRefusal::SharedSubscriptions { limit: limits.shared_subscriptions })
    } else if !is_small && counters.holds_more_than(limits.memory_watermark) {
        Some(FilterRefusal::Watermark { limit: limits.memory_watermark })
    } else {
        None
    }
}

fn granted(options: SubscriptionOptions) -> ReasonCode {
    let granted = ReasonCode::from_u8(options.qos as u8);
    granted.filter(|reason| reason.valid_in(PacketType::Suback)).unwrap_or(ReasonCode::Success)
}
