//! Overlapping subscriptions of one session that one topic matches, and what they ask for together.
//!
//! A session may have tens of thousands of filters that match one topic. Each of their messages asks the
//! same of all of them, so the answer is worked out once, when the route is resolved, and holds until one
//! of the session's subscriptions changes. Not here: which subscriptions overlap, which the routes find.

use super::{Subscription, terms};
use crate::delivery::{SubscriptionIds, Terms};
use crate::publication::Offering;
use aldis_packet::QoS;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often the subscriptions of one session changed: one count that all of them share.
#[derive(Default, Clone)]
pub(super) struct Changes(Arc<AtomicU64>);

impl Changes {
    /// Options were replaced, or a subscription ended. To be called behind the change.
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Several subscriptions of one session: one delivery for all of them.
#[derive(Debug)]
pub struct Overlap {
    subscriptions: Box<[Arc<Subscription>]>,
    /// `None` if they do not share a count of changes: then they are asked one by one.
    summary: Option<Summary>,
}

/// What subscriptions ask for together, as long as nothing changes.
#[derive(Debug)]
struct Summary {
    changes: u64,
    /// Of messages that other clients publish.
    from_others: Option<Asked>,
    /// Of messages that the client publishes itself, if that is something else.
    from_itself: Option<Option<Asked>>,
}

#[derive(Debug)]
struct Asked {
    qos: QoS,
    as_published: bool,
    ids: SubscriptionIds,
}

impl Overlap {
    /// Subscriptions that are all of one session.
    pub fn new(subscriptions: Vec<Arc<Subscription>>) -> Overlap {
        let summary = subscriptions.first().and_then(|first| {
            let share = |one: &Arc<Subscription>| Arc::ptr_eq(&one.changes.0, &first.changes.0);
            // The count comes first: whatever changes meanwhile makes it an old one.
            let changes = first.changes.count();
            subscriptions.iter().all(share).then(|| Summary::of(&subscriptions, changes))
        });
        Overlap { subscriptions: subscriptions.into(), summary }
    }

    pub(super) fn subscriptions(&self) -> &[Arc<Subscription>] {
        &self.subscriptions
    }

    /// The summary, unless something changed since.
    fn summary(&self) -> Option<&Summary> {
        let changes = self.subscriptions.first()?.changes.count();
        self.summary.as_ref().filter(|summary| summary.changes == changes)
    }

    /// How much work it is to offer a message to them.
    pub(super) fn work(&self) -> usize {
        match self.summary() {
            Some(summary) => 1 + summary.from_others.as_ref().map_or(0, |asked| asked.ids.as_slice().len()),
            None => self.subscriptions.len(),
        }
    }

    /// What they ask for together; `None` if no one asks. To be called under the lock of the session's
    /// Outbox, under which they change.
    pub(super) fn terms(&self, offering: &Offering<'_>, client_id: &Arc<str>) -> Option<Terms> {
        let Some(summary) = self.summary() else { return terms(&self.subscriptions, offering, client_id) };
        let asked = match &summary.from_itself {
            Some(asked) if offering.publisher == Some(client_id) => asked,
            _ => &summary.from_others,
        };
        asked.as_ref().map(|asked| Terms {
            qos: asked.qos.min(offering.qos),
            retain: offering.retain && asked.as_published,
            ids: asked.ids.clone(),
            share: None,
        })
    }
}

impl Summary {
    fn of(subscriptions: &[Arc<Subscription>], changes: u64) -> Summary {
        let some_are_not_local = subscriptions.iter().any(|one| one.options().no_local);
        Summary {
            changes,
            from_others: Asked::by(subscriptions, false),
            from_itself: some_are_not_local.then(|| Asked::by(subscriptions, true)),
        }
    }
}

impl Asked {
    fn by(subscriptions: &[Arc<Subscription>], local: bool) -> Option<Asked> {
        let mut asked: Option<Asked> = None;
        for options in subscriptions.iter().map(|subscription| subscription.options()) {
            if !options.active || (options.no_local && local) {
                continue;
            }
            let (qos, as_published) = (options.qos, options.retain_as_published);
            let asked = asked.get_or_insert(Asked { qos, as_published, ids: SubscriptionIds::None });
            asked.qos = asked.qos.max(qos);
            asked.as_published |= as_published;
            if let Some(id) = options.subscription_id {
                asked.ids.add(id);
            }
        }
        asked
    }
}
