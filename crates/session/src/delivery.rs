//! One copy of a message for one subscriber, and what its subscriptions ask of it.

use crate::publication::{Offering, Publication};
use crate::share::Share;
use aldis_packet::QoS;
use std::sync::Arc;

/// Subscription identifiers that go with a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SubscriptionIds {
    /// None, as for nearly every delivery.
    #[default]
    None,
    /// The identifier of the one subscription.
    One([u32; 1]),
    /// Identifiers of overlapping subscriptions [MQTT-3.3.4-4].
    Many(Vec<u32>),
}

impl SubscriptionIds {
    /// The identifiers as a slice.
    pub fn as_slice(&self) -> &[u32] {
        match self {
            SubscriptionIds::None => &[],
            SubscriptionIds::One(id) => id,
            SubscriptionIds::Many(ids) => ids,
        }
    }

    /// Adds one more identifier.
    pub fn add(&mut self, id: u32) {
        match self {
            SubscriptionIds::None => *self = SubscriptionIds::One([id]),
            SubscriptionIds::One([first]) => *self = SubscriptionIds::Many(vec![*first, id]),
            SubscriptionIds::Many(ids) => ids.push(id),
        }
    }
}

/// How a message is to be delivered: what the matching subscriptions of one session ask together.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The lower of the published and the highest granted quality of service.
    pub qos: QoS,
    /// RETAIN flag of the copy.
    pub retain: bool,
    /// Subscription identifiers of the copy.
    pub ids: SubscriptionIds,
    /// The place in the shared subscription that chose this session, if one did.
    pub share: Option<Share>,
}

impl Terms {
    /// Bytes of the place of a delivery on these terms, in a queue or window.
    pub fn place(&self) -> usize {
        size_of::<Delivery>() + size_of_val(self.ids.as_slice())
    }
}

/// A delivery that is kept: it waits in a queue or is in flight.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub publication: Arc<Publication>,
    /// How it is delivered.
    pub terms: Terms,
    /// Its number among the deliveries of the session that are recorded; 0 if it is not.
    pub number: u64,
}

impl Delivery {
    /// Bytes that keeping it stands for: the message, as if nobody shared it, and its place.
    pub fn weight(&self) -> usize {
        self.publication.weight() + self.place()
    }

    /// Bytes of its place in a queue or window, which it shares with nobody.
    pub fn place(&self) -> usize {
        self.terms.place()
    }

    /// The message as it is offered.
    pub fn offering(&self) -> Offering<'_> {
        Offering::of(&self.publication)
    }
}
