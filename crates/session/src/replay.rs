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
use std::sync::Arc;

/// An unfinished replay: for which subscription, and how far it came.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The new subscription.
    pub subscription: Arc<Subscription>,
    /// Everything up to here is done.
    pub cursor: Option<Cursor>,
}

impl Outbox {
    /// Begins a replay, anew if one for the same subscription is under way.
    pub fn start_replay(&mut self, subscription: Arc<Subscription>) {
        self.stop_replay(&subscription);
        self.replays.push(Replay { subscription, cursor: None });
    }

    /// Ends the replay for a subscription that is gone.
    pub fn stop_replay(&mut self, subscription: &Arc<Subscription>) {
        self.replays.retain(|replay| !Arc::ptr_eq(&replay.subscription, subscription));
    }

    /// The replay that goes on next.
    pub fn next_replay(&self) -> Option<Replay> {
        self.replays.first().cloned()
    }

    /// Remembers how far the first replay came; `None` when it is complete.
    pub fn replayed(&mut self, cursor: Option<Cursor>) {
        match (cursor, self.replays.first_mut()) {
            (Some(cursor), Some(replay)) => replay.cursor = Some(cursor),
            (None, Some(_)) => drop(self.replays.remove(0)),
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
            self.replay_waits = !self.outbound.has_room();
        }
        (offered, dirty)
    }
}
