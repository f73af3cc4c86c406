//! The topic filters of SUBSCRIBE and UNSUBSCRIBE, checked before the Broker hears of them.

use crate::limits::Limits;
use crate::rights::{Act, Identity};
use crate::violation::Violation;
use crate::workbench::Observer;
use aldis_packet::{PacketId, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe};
use aldis_topic::TopicFilter;

/// A SUBSCRIBE whose filters are checked.
#[derive(Debug)]
pub struct Subscribing {
    /// Packet identifier, repeated in SUBACK [MQTT-3.8.4-2].
    pub packet_id: PacketId,
    /// Each filter with its options, or the reason code it is refused with, in the order received.
    pub filters: Vec<(Result<TopicFilter, ReasonCode>, SubscriptionOptions)>,
    /// Subscription identifier of all of them.
    pub subscription_id: Option<u32>,
}

/// An UNSUBSCRIBE whose filters are checked.
#[derive(Debug)]
pub struct Unsubscribing {
    /// Packet identifier, repeated in UNSUBACK [MQTT-3.10.4-5].
    pub packet_id: PacketId,
    /// Each filter, or the reason code it is answered with, in the order received.
    pub filters: Vec<Result<TopicFilter, ReasonCode>>,
}

impl Subscribing {
    /// Checks the filters of a SUBSCRIBE, and whether `identity` may subscribe to them; `observer`
    /// hears of those that are refused.
    ///
    /// # Errors
    /// A filter that the standard forbids: the packet is malformed as a whole.
    pub fn check(
        subscribe: Subscribe,
        identity: &Identity,
        limits: &Limits,
        observer: &dyn Observer,
    ) -> Result<Subscribing, Violation> {
        let filters = subscribe.filters.into_iter().map(|(text, options)| {
            let filter = match parse(&text, limits)? {
                Ok(filter) if !identity.may(Act::Subscribe, filter.filter()) => {
                    Err(ReasonCode::NotAuthorized)
                }
                parsed => parsed,
            };
            if let Err(reason) = filter {
                observer.refused_filter(&identity.client_id, &text, reason);
            }
            Ok((filter, options))
        });
        Ok(Subscribing {
            packet_id: subscribe.packet_id,
            filters: filters.collect::<Result<_, Violation>>()?,
            subscription_id: subscribe.subscription_id,
        })
    }
}

impl Unsubscribing {
    /// Checks the filters of an UNSUBSCRIBE.
    ///
    /// # Errors
    /// A filter that the standard forbids: the packet is malformed as a whole.
    pub fn check(unsubscribe: Unsubscribe, limits: &Limits) -> Result<Unsubscribing, Violation> {
        let filters = unsubscribe.filters.iter().map(|text| parse(text, limits));
        Ok(Unsubscribing {
            packet_id: unsubscribe.packet_id,
            filters: filters.collect::<Result<_, Violation>>()?,
        })
    }
}

/// The filter; the reason code for one that only this broker's limits refuse.
fn parse(text: &str, limits: &Limits) -> Result<Result<TopicFilter, ReasonCode>, Violation> {
    if text.len() > limits.topic_bytes {
        return Ok(Err(ReasonCode::TopicFilterInvalid));
    }
    match TopicFilter::parse(text, limits.topic_levels) {
        Ok(filter) => Ok(Ok(filter)),
        Err(error) if error.is_limit() => Ok(Err(ReasonCode::TopicFilterInvalid)),
        Err(error) => Err(Violation::new(ReasonCode::MalformedPacket, error.clause, error.what)),
    }
}
