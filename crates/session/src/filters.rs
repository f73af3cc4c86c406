//! The topic filters of SUBSCRIBE and UNSUBSCRIBE, checked before the Broker hears of them.
//!
//! How many subscriptions a session has is the Broker's to know, and so to refuse.

use crate::counters::FilterReason;
use crate::limits::Limits;
use crate::rights::{Act, Denial, Identity};
use crate::violation::Violation;
use crate::workbench::Workbench;
use aldis_packet::{
    PacketId, PacketType, ProtocolVersion, ReasonCode, Subscribe, SubscriptionOptions, Unsubscribe,
};
use aldis_topic::{TopicError, TopicFilter};
use std::fmt;

/// Why a filter that the standard allows is refused; `Display` is the end of a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterRefusal {
    /// The client may not subscribe to it.
    NotAuthorized(Denial),
    /// The session has so many subscriptions already.
    Subscriptions {
        /// `limits.subscriptions`.
        limit: usize,
    },
    /// The session has so many shared subscriptions already.
    SharedSubscriptions {
        /// `limits.shared_subscriptions`.
        limit: usize,
    },
    /// What is held for all clients together is above the watermark.
    Watermark {
        /// `limits.memory_watermark`.
        limit: usize,
    },
    /// It has too many levels, `$share/name/` not counted.
    Levels {
        /// How many.
        levels: usize,
        /// `limits.topic_levels`.
        limit: usize,
    },
    /// It begins with `$share/` and is no shared subscription. MQTT 5 forbids it; in 3.x it would be a filter
    /// like any other, if this broker did not have shared subscriptions there, too.
    Share(TopicError),
    /// It is too long.
    Bytes {
        /// How long.
        bytes: usize,
        /// `limits.topic_bytes`.
        limit: usize,
    },
}

impl FilterRefusal {
    /// What it is counted as.
    pub fn reason(&self) -> FilterReason {
        match self {
            FilterRefusal::NotAuthorized(_) => FilterReason::NotAuthorized,
            FilterRefusal::Subscriptions { .. } => FilterReason::Subscriptions,
            FilterRefusal::SharedSubscriptions { .. } => FilterReason::SharedSubscriptions,
            FilterRefusal::Watermark { .. } => FilterReason::MemoryWatermark,
            FilterRefusal::Levels { .. } => FilterReason::TopicLevels,
            FilterRefusal::Share(_) => FilterReason::Share,
            FilterRefusal::Bytes { .. } => FilterReason::TopicBytes,
        }
    }

    /// What the client is told in words about its filter of that number, counted from 1.
    fn words_about(&self, number: usize) -> String {
        match self {
            FilterRefusal::NotAuthorized(denial) => format!("filter {number}: {}", denial.words_for_client()),
            other => format!("filter {number}: {other}"),
        }
    }

    /// What the client is told.
    pub fn code(&self) -> ReasonCode {
        match self {
            FilterRefusal::NotAuthorized(_) => ReasonCode::NotAuthorized,
            FilterRefusal::Subscriptions { .. }
            | FilterRefusal::SharedSubscriptions { .. }
            | FilterRefusal::Watermark { .. } => ReasonCode::QuotaExceeded,
            FilterRefusal::Levels { .. } | FilterRefusal::Bytes { .. } | FilterRefusal::Share(_) => {
                ReasonCode::TopicFilterInvalid
            }
        }
    }
}

impl fmt::Display for FilterRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterRefusal::NotAuthorized(denial) => denial.fmt(f),
            FilterRefusal::Subscriptions { limit } => {
                write!(f, "it would be one more than limits.subscriptions, which is {limit}")
            }
            FilterRefusal::SharedSubscriptions { limit } => {
                write!(f, "it would be one more than limits.shared_subscriptions, which is {limit}")
            }
            FilterRefusal::Watermark { limit } => {
                write!(f, "limits.memory_watermark ({limit} bytes) is reached by all that is held")
            }
            FilterRefusal::Levels { levels, limit } => {
                write!(f, "it has {levels} levels, and limits.topic_levels is {limit}")
            }
            FilterRefusal::Share(error) => write!(f, "it is no shared subscription: {}", error.what),
            FilterRefusal::Bytes { bytes, limit } => {
                write!(f, "it has {bytes} bytes, and limits.topic_bytes is {limit}")
            }
        }
    }
}

/// A SUBSCRIBE whose filters are checked.
#[derive(Debug)]
pub struct Subscribing {
    /// Packet identifier, repeated in SUBACK [MQTT-3.8.4-2].
    pub packet_id: PacketId,
    /// Each filter with its options, or the reason code it is refused with, in the order received.
    pub filters: Vec<(Result<TopicFilter, ReasonCode>, SubscriptionOptions)>,
    /// Subscription identifier of all of them.
    pub subscription_id: Option<u32>,
    /// What is against the first one that is refused here, in words for the client.
    pub refusal: Option<String>,
}

/// An UNSUBSCRIBE whose filters are checked.
#[derive(Debug)]
pub struct Unsubscribing {
    /// Packet identifier, repeated in UNSUBACK [MQTT-3.10.4-5].
    pub packet_id: PacketId,
    /// Each filter, or the reason code it is answered with, in the order received.
    pub filters: Vec<Result<TopicFilter, ReasonCode>>,
    /// What is against the first one that is refused here, in words for the client.
    pub refusal: Option<String>,
}

impl Subscribing {
    /// Checks the filters of a SUBSCRIBE, and whether `identity` may subscribe to them; those that
    /// are refused are counted and reported at `bench`.
    ///
    /// # Errors
    /// A filter that the standard forbids: the packet is malformed as a whole.
    pub fn check(
        subscribe: Subscribe,
        version: ProtocolVersion,
        identity: &Identity,
        limits: &Limits,
        bench: &mut Workbench,
    ) -> Result<Subscribing, Violation> {
        let mut refusal = None;
        let filters = subscribe.filters.into_iter().zip(1..).map(|((text, options), number)| {
            let filter = parse(&text, version, limits)?.and_then(|filter| {
                let judged = identity.judge(Act::Subscribe, filter.filter());
                judged.map_err(FilterRefusal::NotAuthorized).map(|()| filter)
            });
            let filter = filter.map_err(|why| {
                bench.refuse_filter(&identity.client_id, PacketType::Subscribe, &text, &why);
                refusal.get_or_insert_with(|| why.words_about(number));
                why.code()
            });
            Ok((filter, options))
        });
        let filters = filters.collect::<Result<_, Violation>>()?;
        let Subscribe { packet_id, subscription_id, .. } = subscribe;
        Ok(Subscribing { packet_id, filters, subscription_id, refusal })
    }
}

impl Unsubscribing {
    /// Checks the filters of an UNSUBSCRIBE of `client_id`; those that are refused are counted and
    /// reported at `bench`.
    ///
    /// # Errors
    /// A filter that the standard forbids: the packet is malformed as a whole.
    pub fn check(
        unsubscribe: Unsubscribe,
        version: ProtocolVersion,
        client_id: &str,
        limits: &Limits,
        bench: &mut Workbench,
    ) -> Result<Unsubscribing, Violation> {
        let mut refusal = None;
        let filters = unsubscribe.filters.iter().zip(1..).map(|(text, number)| {
            Ok(parse(text, version, limits)?.map_err(|why| {
                bench.refuse_filter(client_id, PacketType::Unsubscribe, text, &why);
                refusal.get_or_insert_with(|| why.words_about(number));
                why.code()
            }))
        });
        let filters = filters.collect::<Result<_, Violation>>()?;
        Ok(Unsubscribing { packet_id: unsubscribe.packet_id, filters, refusal })
    }
}

/// The filter; or what is against one that only this broker's limits refuse.
fn parse(
    text: &str,
    version: ProtocolVersion,
    limits: &Limits,
) -> Result<Result<TopicFilter, FilterRefusal>, Violation> {
    if text.len() > limits.topic_bytes {
        return Ok(Err(FilterRefusal::Bytes { bytes: text.len(), limit: limits.topic_bytes }));
    }
    match TopicFilter::parse(text, limits.topic_levels) {
        Ok(filter) => Ok(Ok(filter)),
        Err(error) if error.is_limit() => {
            Ok(Err(FilterRefusal::Levels { levels: levels(text), limit: limits.topic_levels }))
        }
        Err(error) if error.is_about_sharing() && version != ProtocolVersion::V5 => {
            Ok(Err(FilterRefusal::Share(error)))
        }
        Err(error) => Err(Violation::new(ReasonCode::MalformedPacket, error.clause, error.what)),
    }
}

/// Levels of a filter as the limit counts them: without `$share/name/`.
fn levels(text: &str) -> usize {
    let skipped = if text.starts_with("$share/") { 2 } else { 0 };
    text.split('/').count().saturating_sub(skipped)
}
