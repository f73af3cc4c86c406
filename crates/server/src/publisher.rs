//! Publishing from inside: wills that are due, `$SYS`, and programs that embed the broker.
//!
//! The Broker itself never delivers; what it wants published goes through here, as the messages of
//! any other publisher do: retained ones are stored first, then offered along the routes. What the retained
//! store refuses is not published at all if its publisher can be told, as a program is; a will or a figure of
//! `$SYS` is delivered and not kept, as the message of a client at QoS 0 is.

use crate::broker_handle::BrokerHandle;
use crate::desk::at_desk;
use crate::notices::{Kind, Notices};
use aldis_broker::{Answer, Command, Due};
use aldis_packet::{QoS, Quoted};
use aldis_session::{
    Act, Counters, Denial, Identity, Memory, Offering, Publication, RefuseReason, RetainedLimit, Stamp,
    deliver,
};
use aldis_store::Origin;
use bytes::Bytes;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of a PUBLISH beside its topic and payload, with no properties: the fixed header, the length
/// of the topic and a packet identifier.
const HEADER: usize = 5 + 2 + 2 + 1;

/// A way to publish without a connection.
#[derive(Clone)]
pub struct Publisher {
    broker: BrokerHandle,
    identity: Option<Identity>,
}

/// Why a message was not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishError {
    /// The topic name is not valid.
    Topic(aldis_topic::TopicError),
    /// The topic name is longer than `limits.topic_bytes`.
    TopicTooLong,
    /// The message is larger than `limits.packet_size`.
    TooLarge,
    /// The publisher may not publish there.
    NotAuthorized(Denial),
    /// The retained store is at this limit, and the message was delivered to nobody.
    RetainedFull(RetainedLimit),
    /// The broker is gone.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Topic(error) => write!(f, "the topic name cannot be used: {error}"),
            PublishError::TopicTooLong => f.write_str("the topic name is longer than limits.topic_bytes"),
            PublishError::TooLarge => f.write_str("the message is larger than limits.packet_size"),
            PublishError::NotAuthorized(denial) => denial.fmt(f),
            PublishError::RetainedFull(limit) => limit.fmt(f),
            PublishError::Closed => f.write_str("the broker has shut down"),
        }
    }
}

impl std::error::Error for PublishError {}

/// A message to publish from inside.
#[derive(Debug, Clone)]
pub struct Message {
    /// Topic name.
    pub topic: String,
    /// Application payload.
    pub payload: Bytes,
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
}

impl Message {
    /// A message at QoS 0 that is not retained.
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Message {
        Message { topic: topic.into(), payload: payload.into(), qos: QoS::AtMostOnce, retain: false }
    }

    /// The same message at another quality of service.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Message {
        self.qos = qos;
        self
    }

    /// The same message, retained.
    #[must_use]
    pub fn retained(mut self) -> Message {
        self.retain = true;
        self
    }
}

impl Publisher {
    /// A publisher that speaks for `identity`, or for the broker itself.
    pub(crate) fn new(broker: BrokerHandle, identity: Option<Identity>) -> Publisher {
        Publisher { broker, identity }
    }

    /// Publishes a message; when this returns it is offered to every subscriber there is.
    ///
    /// # Errors
    /// A topic name that is not valid, and what [`PublishError`] names besides.
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let limits = self.broker.limits();
        aldis_topic::check_topic_name(&message.topic, limits.topic_levels).map_err(PublishError::Topic)?;
        if message.topic.len() > limits.topic_bytes {
            return Err(PublishError::TopicTooLong);
        }
        if HEADER + message.topic.len() + message.payload.len() > limits.packet_size {
            return Err(PublishError::TooLarge);
        }
        let publication = Publication {
            topic: Arc::from(message.topic),
            payload: message.payload,
            properties: Bytes::new(),
            qos: message.qos,
            retain: message.retain,
            expires_at: None,
            publisher: self.identity.as_ref().map(|identity| Arc::clone(&identity.client_id)),
            memory: Memory::default(),
            stamp: Stamp::default(),
        };
        let publications = [Arc::new(publication.counted(&self.broker.counters))];
        let refused = self.store(&publications).await?;
        if let Some((_, limit)) = refused.first() {
            at_desk(&self.broker, |desk| desk.bench.tally.refuse(RefuseReason::RetainedFull));
            return Err(PublishError::RetainedFull(*limit));
        }
        self.deliver(&publications, Origin::Nothing);
        Ok(())
    }

    /// What it counts with.
    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.broker.counters
    }

    /// Publishes several for somebody who cannot be told of a limit: all are delivered. Answers which of
    /// them, by position, the retained store did not take, and which limit is in the way.
    pub(crate) async fn publish_all(
        &self,
        publications: &[Arc<Publication>],
        origin: Origin,
    ) -> Result<Vec<(usize, RetainedLimit)>, PublishError> {
        let refused = self.store(publications).await?;
        at_desk(&self.broker, |desk| desk.bench.tally.not_retained += refused.len() as u64);
        self.deliver(publications, origin);
        Ok(refused)
    }

    /// Stores those that are retained, by one command; answers which are refused, and why.
    async fn store(
        &self,
        publications: &[Arc<Publication>],
    ) -> Result<Vec<(usize, RetainedLimit)>, PublishError> {
        if self.broker.is_closed() {
            return Err(PublishError::Closed);
        }
        for publication in publications {
            self.authorize(publication)?;
        }
        let retained: Vec<_> = publications
            .iter()
            .enumerate()
            .filter(|(_, publication)| publication.retain)
            .map(|(position, publication)| (position, Arc::clone(publication)))
            .collect();
        if retained.is_empty() {
            return Ok(Vec::new());
        }
        match self.broker.ask(|reply| Command::Retain { publications: retained, reply }).await {
            Some(Answer::Retained(refused)) => Ok(refused),
            _ => Err(PublishError::Closed),
        }
    }

    /// Offers them to all that their topics lead to.
    fn deliver(&self, publications: &[Arc<Publication>], origin: Origin) {
        at_desk(&self.broker, |desk| {
            for publication in publications {
                deliver(&Offering::of(publication), origin, &*self.broker.routes, &mut desk.bench);
            }
        });
    }

    fn authorize(&self, publication: &Publication) -> Result<(), PublishError> {
        let Some(identity) = &self.identity else { return Ok(()) };
        // A policy that panics about one will must not keep all others from being published.
        let judge = || identity.judge(Act::Publish, &publication.topic);
        let judged = catch_unwind(AssertUnwindSafe(judge)).unwrap_or(Err(Denial::Panic));
        judged.map_err(|denial| {
            at_desk(&self.broker, |desk| desk.bench.tally.refuse(RefuseReason::NotAuthorized));
            PublishError::NotAuthorized(denial)
        })
    }
}

/// Publishes wills as they come due, for as long as the broker runs. The rights of their owner are
/// asked again: they may have changed since it connected. One that the retained store refuses has a line in
/// the log, and is delivered all the same: its owner cannot be told.
pub(crate) async fn publish_due(broker: BrokerHandle, notices: Arc<Notices>) {
    while let Some(Answer::Due(due)) = broker.ask(|reply| Command::TakeDue { reply }).await {
        for Due { number, identity, publication } in due {
            let origin = if number == 0 { Origin::Nothing } else { Origin::Will { will: number } };
            let (client_id, topic) = (Arc::clone(&identity.client_id), Arc::clone(&publication.topic));
            let publisher = Publisher::new(broker.clone(), Some(identity));
            let why = match publisher.publish_all(&[publication], origin).await {
                Ok(refused) => {
                    broker.population.wills.fetch_add(1, Relaxed);
                    refused.first().map(|(_, limit)| limit.to_string())
                }
                Err(error) => {
                    broker.forget_will(number);
                    Some(error.to_string())
                }
            };
            if let Some(why) = why {
                notices.warn(
                    Kind::WillNotPublished,
                    format_args!(
                        "refused: client {}, its will to {}: {why}",
                        Quoted(&client_id),
                        Quoted(&topic)
                    ),
                );
            }
            // There may be thousands at once, each for many subscribers: others come between.
            tokio::task::yield_now().await;
        }
    }
}
