//! Subscribing from inside: a program that embeds the broker receives messages without a socket.
//!
//! A [`Subscriber`] is a client like any other, at the other end of a connection in memory: so
//! everything the broker does for clients (windows, queues, limits, retained messages, shared
//! subscriptions) holds for it, and there is no second way for a message to leave.
//!
//! Not here: publishing (`publisher`), and anything that outlives the connection. The session of a
//! subscriber ends with it; who wants a lasting one connects a client of its own over
//! [`Server::connect`].

use crate::server::Server;
use crate::transport::memory::MemoryStream;
use aldis_client::{Client, ClientError, Message, Options, Received};
use aldis_packet::{Ack, AckKind, Connack, PacketId, QoS, ReasonCode, SubscriptionOptions};
use aldis_topic::{TopicError, TopicFilter};
use std::collections::VecDeque;
use std::fmt;

/// Bytes that fit into each direction of the connection. What does not fit waits in the Outbox of
/// the session, and is counted and limited there.
const CAPACITY: usize = 64 << 10;

/// Why there is no subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscribeError {
    /// The topic filter is not valid, or has more levels than `limits.topic_levels`.
    Filter(TopicError),
    /// The policy that the server was built with does not allow it.
    NotAuthorized,
    /// The broker refuses the subscription for another reason, said as in a SUBACK (section 3.9.3).
    Refused(ReasonCode),
    /// As many connections as `limits.connections` are open; a subscriber counts as one.
    TooManyConnections,
    /// The broker shuts down.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubscribeError::Filter(error) => write!(f, "the topic filter cannot be used: {error}"),
            SubscribeError::NotAuthorized => f.write_str("the subscriber may not subscribe to this filter"),
            SubscribeError::Refused(reason) => write!(f, "the broker refuses the subscription: {reason}"),
            SubscribeError::TooManyConnections => {
                f.write_str("limits.connections are open, and a subscriber needs one: raise the limit")
            }
            SubscribeError::Closed => f.write_str("the broker shuts down"),
        }
    }
}

impl std::error::Error for SubscribeError {}

impl Server {
    /// Subscribes to a topic filter without a socket: retained messages first, then everything that
    /// is published from now on, at `qos` or at what it was published with if that is lower. When
    /// this returns, the subscription is visible to every publisher.
    ///
    /// The filter may be a shared subscription, `$share/name/filter`. A policy given to
    /// [`ServerBuilder::rights`](crate::ServerBuilder::rights) is asked as for every client: with a
    /// client id that the broker assigns, and no user name.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub async fn subscribe(&self, filter: &str, qos: QoS) -> Result<Subscriber, SubscribeError> {
        let levels = self.doors.broker.limits().topic_levels;
        TopicFilter::parse(filter, levels).map_err(SubscribeError::Filter)?;
        let lost = |error| self.lost(&error);
        let (mut client, _) =
            Client::connect(self.connect(CAPACITY), Options::new("")).await.map_err(lost)?;
        let options = SubscriptionOptions::new(qos);
        let suback = client.subscribe(&[(filter, options)], None).await.map_err(lost)?;
        let reason = suback.reasons.first().and_then(|code| ReasonCode::from_u8(*code));
        match reason {
            Some(ReasonCode::NotAuthorized) => Err(SubscribeError::NotAuthorized),
            Some(reason) if reason.is_error() => Err(SubscribeError::Refused(reason)),
            _ => Ok(Subscriber { client: Some(client), owed: VecDeque::new(), unreleased: 0 }),
        }
    }

    /// Why the connection of a subscriber did not last until its SUBACK.
    fn lost(&self, error: &ClientError) -> SubscribeError {
        match error {
            _ if self.doors.is_closing() => SubscribeError::Closed,
            ClientError::Closed => SubscribeError::TooManyConnections,
            ClientError::Refused(connack) if is_for_want_of_a_place(connack) => {
                SubscribeError::TooManyConnections
            }
            ClientError::Refused(connack) => SubscribeError::Refused(connack.reason),
            ClientError::Disconnected(disconnect) => SubscribeError::Refused(disconnect.reason),
            _ => SubscribeError::Refused(ReasonCode::UnspecifiedError),
        }
    }
}

/// Whether `limits.connections` is why: the limit of sessions has the same code.
fn is_for_want_of_a_place(connack: &Connack) -> bool {
    let words = connack.properties.reason_string.as_deref();
    connack.reason == ReasonCode::QuotaExceeded
        && words.is_some_and(|words| words.contains("limits.connections"))
}

/// A subscription inside the process, made by [`Server::subscribe`].
///
/// A message of QoS 1 or 2 is acknowledged when the next one is asked for: so whoever has not called
/// [`Subscriber::recv`] again is still at work on it. A subscriber that is slow keeps its window
/// full, and what comes meanwhile waits in its queue, up to `limits.queue_messages` and
/// `limits.queue_bytes`; what is beyond is dropped and counted, as for every client.
///
/// It does not keep the server alive, and need not be closed: dropping it ends the subscription.
pub struct Subscriber {
    /// Taken away at the end, so that the broker does not wait for this side to close.
    client: Option<Client<MemoryStream>>,
    /// Acknowledgements that are not sent yet, in order: that of the message given out last, and
    /// what answers the broker's PUBRELs.
    owed: VecDeque<(AckKind, PacketId)>,
    /// QoS 2 messages whose PUBREL has not come yet.
    unreleased: usize,
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.client.is_some();
        f.debug_struct("Subscriber").field("open", &open).field("owed", &self.owed).finish_non_exhaustive()
    }
}

impl Subscriber {
    /// The next message; `None` when the broker has shut down, now and for ever after. What the
    /// broker had sent before it shut down comes first.
    ///
    /// Cancel-safe: if the future is dropped before its end, no message is lost.
    pub async fn recv(&mut self) -> Option<Message> {
        match self.next().await {
            Ok(message) => return Some(message),
            Err(error) if error.is_closed() => {}
            Err(error) => tracing::warn!(target: "aldis", "a subscriber in this process ends: {error}"),
        }
        self.client = None;
        None
    }

    async fn next(&mut self) -> Result<Message, ClientError> {
        loop {
            let Some(message) = self.step().await? else { continue };
            if let Some(packet_id) = message.packet_id {
                let exactly_once = message.qos == QoS::ExactlyOnce;
                let kind = if exactly_once { AckKind::Pubrec } else { AckKind::Puback };
                self.owed.push_back((kind, packet_id));
                self.unreleased += usize::from(exactly_once);
            }
            return Ok(message);
        }
    }

    /// Sends what is owed and takes in one packet; gives it out if it is a message.
    async fn step(&mut self) -> Result<Option<Message>, ClientError> {
        let client = self.client.as_mut().ok_or(ClientError::Closed)?;
        // An error means that the broker has closed; what it had sent before can still be received.
        let _ = settle(client, &mut self.owed).await;
        match client.receive().await? {
            Received::Publish(message) => Ok(Some(message)),
            Received::Ack(Ack { kind: AckKind::Pubrel, packet_id, .. }) => {
                self.owed.push_back((AckKind::Pubcomp, packet_id));
                self.unreleased = self.unreleased.saturating_sub(1);
                Ok(None)
            }
            Received::Disconnect(disconnect) => Err(ClientError::Disconnected(disconnect)),
            _ => Ok(None),
        }
    }

    /// Ends the subscription: what was received is acknowledged to the end, and the broker has heard
    /// of the end when this returns. What was not received is dropped with the session, and counted.
    pub async fn close(mut self) {
        // Messages that come meanwhile are received by nobody, so nobody acknowledges them.
        while self.unreleased > 0 && self.step().await.is_ok() {}
        let Some(mut client) = self.client.take() else { return };
        if settle(&mut client, &mut self.owed).await.is_ok() {
            // An error means that the broker has ended it already.
            let _ = client.disconnect().await;
        }
    }
}

/// Sends what is owed. Cancel-safe: an acknowledgement leaves the list in the same poll in which it
/// is encoded, behind everything that was begun before.
async fn settle(
    client: &mut Client<MemoryStream>,
    owed: &mut VecDeque<(AckKind, PacketId)>,
) -> Result<(), ClientError> {
    loop {
        client.send_bytes(&[]).await?;
        let Some((kind, packet_id)) = owed.pop_front() else { return Ok(()) };
        client.send_ack(kind, packet_id, ReasonCode::Success).await?;
    }
}
