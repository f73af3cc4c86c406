//! Retained messages on their way to a new subscription.
//!
//! A replay belongs to the session and goes on after a reconnect. It is fed in bounded steps by
//! whoever holds the retained store for reading, so that a copy sent here is the newest at that
//! moment and never follows a newer live message (law 13).

use crate::delivery::{SubscriptionIds, Terms};
use crate::outbound::{Line, Offered};
use crate::outbox::Outbox;
use crate::publication::{Offering, Publication};
use crate::rights::Act;
use crate::route::Subscription;
use crate::workbench::Workbench;
use aldis_topic::Cursor;
use std::collections::VecDeque;
use std::sync::Arc;

/// An unfinished replay: for which subscription, and how far it came.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The new subscription.
    pub subscription: Arc<Subscription>,
    /// Everything up to here is done.
    pub cursor: Option<Cursor>,
    /// Which replay of its subscription it is: one that began later, or an UNSUBSCRIBE, ends it.
    number: u32,
}

/// The replays of a session, which come one after the other. One that has ended by its subscription is
/// passed over when its turn comes, so that a hundred thousand of them need no search.
#[derive(Debug, Default)]
pub(crate) struct Replays(Option<Box<Waiting>>);

/// In turn. Boxed by whoever holds it, because nearly nobody has any.
#[derive(Debug, Default)]
struct Waiting(VecDeque<Replay>);

impl Replays {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn push(&mut self, replay: Replay) {
        self.0.get_or_insert_default().0.push_back(replay);
    }

    fn first(&mut self) -> Option<&mut Replay> {
        while let Some(waiting) = &mut self.0 {
            match waiting.0.front() {
                Some(replay) if replay.number == replay.subscription.replay_number() => break,
                Some(_) => drop(waiting.0.pop_front()),
                None => self.0 = None,
            }
        }
        self.0.as_mut()?.0.front_mut()
    }

    fn pop(&mut self) {
        if let Some(waiting) = &mut self.0 {
            waiting.0.pop_front();
        }
        self.first();
    }
}

impl Outbox {
    /// Begins a replay, anew if one for the same subscription is under way.
    pub fn start_replay(&mut self, subscription: Arc<Subscription>) {
        let number = subscription.next_replay();
        self.replays.push(Replay { subscription, cursor: None, number });
    }

    /// Ends the replay for a subscription that is gone.
    pub fn stop_replay(&mut self, subscription: &Arc<Subscription>) {
        subscription.next_replay();
    }

    /// The replay that goes on next.
    pub fn next_replay(&mut self) -> Option<Replay> {
        self.replays.first().cloned()
    }

    /// Remembers how far the first replay came; `None` when it is complete.
    pub fn replayed(&mut self, cursor: Option<Cursor>) {
        match (cursor, self.replays.first()) {
            (Some(cursor), Some(replay)) => replay.cursor = Some(cursor),
            (None, Some(_)) => self.replays.pop(),
            (_, None) => {}
        }
    }

    /// Offers a retained message for a new subscription, with RETAIN set. `Full` means that it was
    /// not taken and comes again. The second value says whether the caller now has to flush.
    pub fn offer_retained(
        &mut self,
        publication: &Arc<Publication>,
        subscription: &Subscription,
        bench: &mut Workbench,
    ) -> (Offered, bool) {
        let options = subscription.options();
        let own = publication.publisher.as_ref() == Some(&self.outbound.identity.client_id);
        if !options.active || (options.no_local && own) {
            return (Offered::NotConcerned, false);
        }
        if !self.outbound.identity.may(Act::Receive, &publication.topic) {
            return (Offered::NotConcerned, false);
        }
        let qos = options.qos.min(publication.qos);
        // Behind whatever waits, at any QoS: an older value in the queue must not come after this one.
        if self.line() != Line::Open || self.outbound.has_backlog() {
            return (Offered::Full, false);
        }
        let mut ids = SubscriptionIds::None;
        if let Some(id) = options.subscription_id {
            ids.add(id);
        }
        let terms = Terms { qos, retain: true, ids, group: None };
        let offering = Offering { retain: true, ..Offering::of(publication) };
        let (offered, dirty) = self.offer(&offering, terms, true, bench);
        if offered == Offered::Full {
            // For the window, or for memory: an acknowledgement is the next time to try.
            self.replay_waits = self.outbound.in_flight() > 0;
        }
        (offered, dirty)
    }
}
