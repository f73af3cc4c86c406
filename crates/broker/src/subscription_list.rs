//! The subscriptions of one session, by filter: a short sorted list for the many sessions that have
//! one or two, a tree for the few that have thousands.

use aldis_session::Subscription;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Subscriptions kept in a list before a tree takes over.
const FEW: usize = 16;

#[derive(Debug)]
pub(crate) enum SubscriptionList {
    Few(Vec<Arc<Subscription>>),
    Many(BTreeMap<Arc<str>, Arc<Subscription>>),
}

impl Default for SubscriptionList {
    fn default() -> Self {
        SubscriptionList::Few(Vec::new())
    }
}

impl SubscriptionList {
    pub(crate) fn len(&self) -> usize {
        match self {
            SubscriptionList::Few(list) => list.len(),
            SubscriptionList::Many(tree) => tree.len(),
        }
    }

    /// The subscription with exactly this filter.
    pub(crate) fn get(&self, filter: &str) -> Option<&Arc<Subscription>> {
        match self {
            SubscriptionList::Few(list) => list.iter().find(|known| known.filter.as_str() == filter),
            SubscriptionList::Many(tree) => tree.get(filter),
        }
    }

    /// One of them, if there is one.
    pub(crate) fn any(&self) -> Option<&Arc<Subscription>> {
        match self {
            SubscriptionList::Few(list) => list.first(),
            SubscriptionList::Many(tree) => tree.first_key_value().map(|(_, one)| one),
        }
    }

    /// Adds a subscription whose filter is not in the list.
    pub(crate) fn insert(&mut self, subscription: Arc<Subscription>) {
        match self {
            SubscriptionList::Few(list) if list.len() < FEW => {
                list.reserve_exact(1);
                list.push(subscription);
            }
            SubscriptionList::Few(list) => {
                let all = list.drain(..).chain([subscription]);
                let tree = all.map(|one| (Arc::clone(one.filter.text()), one)).collect();
                *self = SubscriptionList::Many(tree);
            }
            SubscriptionList::Many(tree) => {
                tree.insert(Arc::clone(subscription.filter.text()), subscription);
            }
        }
    }

    /// Takes out the subscription with exactly this filter [MQTT-3.10.4-1].
    pub(crate) fn remove(&mut self, filter: &str) -> Option<Arc<Subscription>> {
        match self {
            SubscriptionList::Few(list) => {
                let position = list.iter().position(|known| known.filter.as_str() == filter)?;
                Some(list.remove(position))
            }
            SubscriptionList::Many(tree) => tree.remove(filter),
        }
    }

    pub(crate) fn into_all(self) -> VecDeque<Arc<Subscription>> {
        match self {
            SubscriptionList::Few(list) => list.into(),
            SubscriptionList::Many(tree) => tree.into_values().collect(),
        }
    }
}
