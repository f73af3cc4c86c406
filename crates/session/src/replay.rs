//! Retained messages on their way to a new subscription.
//!
//! A replay belongs to the session and goes on after a reconnect. It is fed in bounded steps by
//! whoever holds the retained store for reading, so that a copy sent here is the newest at that
//! moment and never follows a newer live message (law 13).

use crate::delivery::{SubscriptionIds, Terms};
use crate::outbound::{Offered, Passage};
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

impl Replay {
    /// Whether it is the newest of its subscription, and not ended.
    fn goes_on(&self) -> bool {
        self.number == self.subscription.replay_number()
    }
}

/// The replays of a session, which come one after the other. One that has ended by its subscription is
/// passed over when its turn comes, so that a hundred thousand of them need no search.
#[derive(Debug, Default)]
pub(crate) struct Replays(Option<Box<InTurn>>);

/// Boxed by whoever holds it, because nearly nobody has any.
#[derive(Debug, Default)]
struct InTurn {
    replays: VecDeque<Replay>,
    /// At this length the ones that have ended are looked for.
    clean_up_at: usize,
}

/// Replays that may have ended without being passed over yet, beyond as many as there are.
const SPARE: usize = 32;

impl Replays {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn push(&mut self, replay: Replay) {
        let InTurn { replays, clean_up_at } = &mut **self.0.get_or_insert_default();
        replays.push_back(replay);
        if replays.len() > *clean_up_at {
            replays.retain(Replay::goes_on);
            *clean_up_at = 2 * replays.len() + SPARE;
        }
    }

    fn first(&mut self) -> Option<&mut Replay> {
        while let Some(in_turn) = &mut self.0 {
            match in_turn.replays.front() {
                Some(replay) if replay.goes_on() => break,
                Some(_) => drop(in_turn.replays.pop_front()),
                None => self.0 = None,
            }
        }
        self.0.as_mut()?.replays.front_mut()
    }

    fn pop(&mut self) {
        if let Some(in_turn) = &mut self.0 {
            in_turn.replays.pop_front();
        }
        self.first();
    }
}

impl Outbox {
    /// Begins a replay, anew if one for the same subscription is under way.
    pub fn start_replay(&mut self, subscription: Arc<Subscription>) {
        let number = subscription.next_replay();
        self.replays.push(Replay { subscription, cursor: None, number });
        // A long SUBSCRIBE may come to its end under a later connection, which does not wait for its answer.
        self.wake();
    }

    /// Ends the replay for a subscription that is gone.
    pub fn stop_replay(&mut self, subscription: &Arc<Subscription>) {
        subscription.next_replay();
    }

    /// Replays in the list, some of which may have ended.
    pub fn waiting_replays(&self) -> usize {
        self.replays.0.as_ref().map_or(0, |in_turn| in_turn.replays.len())
    }

    /// The replay that goes on next.
    pub fn next_replay(&mut self) -> Option<Replay> {
        self.replays.first().cloned()
    }

    /// Remembers how far the first replay came; `None` when it is complete.
    pub fn replayed(&mut self, cursor: Option<Cursor>, bench: &Workbench) {
        match (cursor, self.replays.first()) {
            (Some(cursor), Some(replay)) => replay.cursor = Some(cursor),
            (None, Some(replay)) => {
                self.outbound.record_replayed(replay.subscription.filter.as_str(), bench);
                self.replays.pop();
            }
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
        if self.passage() != Passage::Open || self.outbound.has_backlog() {
            return (Offered::Full, false);
        }
        let mut ids = SubscriptionIds::None;
        if let Some(id) = options.subscription_id {
            ids.add(id);
        }
        let terms = Terms { qos, retain: true, ids, share: None };
        let offering = Offering { retain: true, ..Offering::of(publication) };
        let was_open = publication.stamp.open().is_some();
        let (offered, dirty) = self.offer(&offering, terms, true, bench);
        bench.close_copy(publication, was_open);
        if offered == Offered::Full {
            self.refused();
        }
        (offered, dirty)
    }
}
