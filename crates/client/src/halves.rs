//! The two directions of a connection, for two tasks. Not here: exchanges, which need both.

use crate::error::ClientError;
use crate::inbound::Inbound;
use crate::message::Message;
use crate::outbound::Outbound;
use crate::outgoing::Outgoing;
use crate::received::Received;
use aldis_packet::{Ack, AckKind, Disconnect, Packet, PacketId, ReasonCode, SubscriptionOptions};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// The way out of a connection, see [`Client::split`](crate::Client::split). Its methods are those of
/// [`Client`](crate::Client) and fail in the same way. A packet identifier becomes free when the [`Receiver`]
/// gets the acknowledgement. The connection ends when both halves are dropped.
#[derive(Debug)]
pub struct Sender<W> {
    stream: W,
    outbound: Outbound,
}

/// The way in, see [`Client::split`](crate::Client::split). Its methods are those of
/// [`Client`](crate::Client), fail in the same way, and are cancel-safe.
#[derive(Debug)]
pub struct Receiver<R> {
    stream: R,
    inbound: Inbound,
}

impl<W: AsyncWrite + Unpin> Sender<W> {
    pub(crate) fn new(stream: W, outbound: Outbound) -> Sender<W> {
        Sender { stream, outbound }
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// As [`Client::send`](crate::Client::send).
    pub async fn send(&mut self, packet: &Packet<'_>) -> Result<(), ClientError> {
        self.outbound.send(&mut self.stream, packet).await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As [`Client::send`](crate::Client::send).
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.outbound.send_bytes(&mut self.stream, bytes).await
    }

    /// Sends an acknowledgement without properties.
    ///
    /// # Errors
    /// As [`Client::send`](crate::Client::send).
    pub async fn send_ack(
        &mut self,
        kind: AckKind,
        packet_id: PacketId,
        reason: ReasonCode,
    ) -> Result<(), ClientError> {
        self.send(&Packet::Ack(Ack::new(kind, packet_id, reason))).await
    }

    /// Sends a PUBLISH; gives the packet identifier at QoS 1 and 2.
    ///
    /// # Errors
    /// As [`Client::publish`](crate::Client::publish).
    pub async fn publish(&mut self, message: Outgoing) -> Result<Option<PacketId>, ClientError> {
        self.outbound.publish(&mut self.stream, &message).await
    }

    /// Sends a SUBSCRIBE; gives its packet identifier.
    ///
    /// # Errors
    /// As [`Client::publish`](crate::Client::publish).
    pub async fn send_subscribe(
        &mut self,
        filters: &[(&str, SubscriptionOptions)],
        subscription_id: Option<u32>,
    ) -> Result<PacketId, ClientError> {
        self.outbound.subscribe(&mut self.stream, filters, subscription_id).await
    }

    /// Sends an UNSUBSCRIBE; gives its packet identifier.
    ///
    /// # Errors
    /// As [`Client::publish`](crate::Client::publish).
    pub async fn send_unsubscribe(&mut self, filters: &[&str]) -> Result<PacketId, ClientError> {
        self.outbound.unsubscribe(&mut self.stream, filters).await
    }

    /// Sends a DISCONNECT and closes the way out. The [`Receiver`] should be read until it fails.
    ///
    /// # Errors
    /// As [`Client::send`](crate::Client::send).
    pub async fn disconnect_with(mut self, disconnect: Disconnect) -> Result<(), ClientError> {
        self.send(&Packet::Disconnect(Box::new(disconnect))).await?;
        self.stream.shutdown().await?;
        Ok(())
    }
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    pub(crate) fn new(stream: R, inbound: Inbound) -> Receiver<R> {
        Receiver { stream, inbound }
    }

    /// The next packet.
    ///
    /// # Errors
    /// As [`Client::receive`](crate::Client::receive).
    pub async fn receive(&mut self) -> Result<Received, ClientError> {
        self.inbound.receive(&mut self.stream).await
    }

    /// The next packet, `None` if none is complete within this time.
    ///
    /// # Errors
    /// As [`Client::receive`](crate::Client::receive).
    pub async fn receive_within(&mut self, time: Duration) -> Result<Option<Received>, ClientError> {
        timeout(time, self.receive()).await.ok().transpose()
    }

    /// The next PUBLISH. Other packets stay for [`Receiver::receive`].
    ///
    /// # Errors
    /// As [`Client::next_message`](crate::Client::next_message).
    pub async fn next_message(&mut self) -> Result<Message, ClientError> {
        self.inbound.next_message(&mut self.stream).await
    }
}
