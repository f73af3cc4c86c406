//! One copy of a message for one subscriber, and what its subscriptions ask of it.

use crate::group::Group;
use crate::publication::{Offering, Publication};
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
    Many(Box<[u32]>),
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
        *self = match self {
            SubscriptionIds::None => SubscriptionIds::One([id]),
            SubscriptionIds::One([first]) => SubscriptionIds::Many(Box::new([*first, id])),
            SubscriptionIds::Many(ids) => SubscriptionIds::Many(ids.iter().copied().chain([id]).collect()),
        };
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
    /// The shared subscription that chose this session, if one did.
    pub group: Option<Arc<Group>>,
}

/// A delivery that is kept: it waits in a queue or is in flight.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message.
    pub publication: Arc<Publication>,
    /// How it is delivered.
    pub terms: Terms,
}

impl Delivery {
    /// The message as it is offered.
    pub fn offering(&self) -> Offering<'_> {
        Offering::of(&self.publication)
    }
}
