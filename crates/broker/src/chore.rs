//! Work that is too large for one step: it is done piece by piece, and commands get their turn between.
//!
//! Each chore is a queue of things that are alike and a bound on how many of them one step takes. What is
//! done with each is decided elsewhere.

use crate::broker::Broker;
use crate::command::Answer;
use crate::subscribe::SubscribeChore;
use crate::timers::Timer;
use aldis_session::{
    Discarded, GivenBack, Group, Publication, Remains, RetainedLimit, Session, Subscription,
};
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

/// Routes of an ended session removed in one step.
const ROUTES_A_STEP: usize = 64;
/// Retained messages stored in one step, and so the longest that the store is held for writing.
const RETAINED_A_STEP: usize = 64;
/// Messages of an ended session seen to in one step.
const MESSAGES_A_STEP: usize = 256;
/// Queues looked into for expired messages in one step.
const QUEUES_A_STEP: usize = 64;

/// Work that is too large for one step.
pub(crate) enum Chore<R> {
    /// Routes of a session that has ended are removed.
    RemoveRoutes(VecDeque<Arc<Subscription>>),
    /// A long SUBSCRIBE or UNSUBSCRIBE.
    Subscribe(SubscribeChore<R>),
    /// A read full of retained messages.
    Retain(RetainChore<R>),
    /// Messages of a session that has ended.
    Settle(Arc<Session>, Remains),
    /// Messages that are counted as dropped already.
    Discard(Discarded),
    /// A look into every queue for messages that have expired.
    Sweep(Swept),
}

/// How far a sweep has come.
pub(crate) enum Swept {
    /// To the session with this number.
    Sessions(u64),
    /// To the shared subscription with this filter.
    Groups(Arc<str>),
}

/// Retained messages of one read batch on their way into the store.
pub(crate) struct RetainChore<R> {
    publications: VecDeque<(usize, Arc<Publication>)>,
    refused: Vec<(usize, RetainedLimit)>,
    reply: R,
}

impl<R> RetainChore<R> {
    pub(crate) fn new(publications: Vec<(usize, Arc<Publication>)>, reply: R) -> RetainChore<R> {
        RetainChore { publications: publications.into(), refused: Vec::new(), reply }
    }
}

impl<R> Broker<R> {
    pub(crate) fn go_on(&mut self, chore: Chore<R>) {
        match chore {
            Chore::RemoveRoutes(subscriptions) => self.remove_routes(subscriptions),
            Chore::Subscribe(chore) => {
                self.recorded = chore.recorded;
                self.subscribe(chore);
            }
            // Its records are closed by whoever publishes, and waited for there.
            Chore::Retain(chore) => self.retain(chore),
            Chore::Settle(session, remains) => self.settle(session, remains),
            Chore::Discard(discarded) => self.discard(discarded),
            Chore::Sweep(swept) => self.sweep(swept),
        }
    }

    pub(crate) fn remove_routes(&mut self, mut subscriptions: VecDeque<Arc<Subscription>>) {
        let step: Vec<_> = subscriptions.drain(..subscriptions.len().min(ROUTES_A_STEP)).collect();
        self.take_out(&step);
        if !subscriptions.is_empty() {
            self.chores.push_back(Chore::RemoveRoutes(subscriptions));
        }
    }

    /// Stores the next retained messages; answers when the last one is in.
    pub(crate) fn retain(&mut self, mut chore: RetainChore<R>) {
        let step = chore.publications.len().min(RETAINED_A_STEP);
        let step: Vec<_> = chore.publications.drain(..step).collect();
        let refused = self.retained.store(&step, &self.limits, &self.counters, &self.journal);
        for (position, publication) in &step {
            if refused.binary_search_by_key(position, |(at, _)| *at).is_err() {
                self.time_retained(publication);
            }
        }
        chore.refused.extend(refused);
        if chore.publications.is_empty() {
            self.answer(chore.reply, Answer::Retained(chore.refused));
        } else {
            self.chores.push_back(Chore::Retain(chore));
        }
    }

    /// One timer for each retained topic whose message expires, however often it is replaced.
    pub(crate) fn time_retained(&mut self, publication: &Publication) {
        if let Some(key) = self.retained_timers.remove(&publication.topic) {
            self.timers.cancel(key);
        }
        if let Some(at) = publication.expires_at.filter(|_| !publication.payload.is_empty()) {
            let key = self.timers.set(at, Timer::Retained(Arc::clone(&publication.topic)));
            self.retained_timers.insert(Arc::clone(&publication.topic), key);
        }
    }

    /// Drops the next messages of a session that has ended, or gives them back to their groups.
    pub(crate) fn settle(&mut self, session: Arc<Session>, mut remains: Remains) {
        let given_back = {
            let ledger = &mut session.outbox.lock().outbound.ledger;
            remains.settle(MESSAGES_A_STEP, ledger, &mut self.bench)
        };
        let mut by_group: BTreeMap<u64, (Arc<Group>, Vec<_>)> = BTreeMap::new();
        for GivenBack { share, publication } in given_back {
            let group = by_group.entry(share.group.number);
            let (_, publications) = group.or_insert_with(|| (share.group, Vec::new()));
            publications.push((share.number, publication));
        }
        for (group, publications) in by_group.into_values() {
            group.take_back(publications, &mut self.bench);
        }
        if !remains.is_empty() {
            self.chores.push_back(Chore::Settle(session, remains));
        }
    }

    pub(crate) fn discard(&mut self, mut discarded: Discarded) {
        if !discarded.give_up(MESSAGES_A_STEP) {
            self.chores.push_back(Chore::Discard(discarded));
        }
    }

    pub(crate) fn begin_sweep(&mut self) {
        if !self.sweeping {
            self.sweeping = true;
            self.chores.push_back(Chore::Sweep(Swept::Sessions(0)));
        }
    }

    /// Takes expired messages out of the next queues. One that has very many keeps its turn.
    fn sweep(&mut self, swept: Swept) {
        let next = match swept {
            Swept::Sessions(mut to) => {
                let mut looked = 0;
                for (number, entry) in self.entries.range((Excluded(to), Unbounded)).take(QUEUES_A_STEP) {
                    looked += 1;
                    if entry.session.outbox.lock().expire_waiting(MESSAGES_A_STEP, &mut self.bench) {
                        break;
                    }
                    to = *number;
                }
                Some(if looked == 0 { Swept::Groups(Arc::from("")) } else { Swept::Sessions(to) })
            }
            Swept::Groups(mut to) => {
                let mut looked = 0;
                let after = (Excluded(Arc::clone(&to)), Unbounded);
                for (filter, group) in self.groups.range(after).take(QUEUES_A_STEP) {
                    looked += 1;
                    if group.expire_waiting(MESSAGES_A_STEP, &mut self.bench) {
                        break;
                    }
                    to = Arc::clone(filter);
                }
                (looked > 0).then_some(Swept::Groups(to))
            }
        };
        self.sweeping = next.is_some();
        self.chores.extend(next.map(Chore::Sweep));
    }
}
