//! Whole exchanges: a request, and the answers that belong to it. What else arrives meanwhile is kept, and comes
//! from [`Client::receive`] afterwards, in order. None of them has a limit of time; a caller who wants one wraps
//! the future in `tokio::time::timeout`. An exchange that is broken off like that loses no packet: the answers
//! that were not awaited come from `receive` as well. Not here: repetition after a reconnect.

use crate::client::Client;
use crate::error::ClientError;
use crate::message::Message;
use crate::outgoing::Outgoing;
use crate::received::Received;
use aldis_packet::{Ack, AckKind, Packet, PacketId, QoS, ReasonCode, Suback, SubscriptionOptions, Unsuback};
use std::ops::ControlFlow;
use tokio::io::{AsyncRead, AsyncWrite};

/// The errors are those of [`Client::receive`] and of [`Client::publish`], and
/// [`ClientError::Disconnected`] if the broker sends DISCONNECT instead of an answer.
impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Publishes and waits until the broker has taken the message over: for nothing at QoS 0, PUBACK at QoS 1,
    /// PUBREC and PUBCOMP at QoS 2 (section 4.3). Gives the broker's reason code, Success before MQTT 5.
    ///
    /// # Errors
    /// If there is no answer; an answer that refuses the message is none.
    pub async fn publish_and_wait(&mut self, message: Outgoing) -> Result<ReasonCode, ClientError> {
        let qos = message.qos;
        let Some(packet_id) = self.publish(message).await? else {
            return Ok(ReasonCode::Success);
        };
        if qos == QoS::AtLeastOnce {
            return Ok(self.wait_for_ack(AckKind::Puback, packet_id).await?.reason);
        }
        let pubrec = self.wait_for_ack(AckKind::Pubrec, packet_id).await?;
        if pubrec.reason.is_error() {
            return Ok(pubrec.reason);
        }
        self.send_ack(AckKind::Pubrel, packet_id, ReasonCode::Success).await?;
        let pubcomp = self.wait_for_ack(AckKind::Pubcomp, packet_id).await?;
        Ok(if pubcomp.reason.is_error() { pubcomp.reason } else { pubrec.reason })
    }

    /// Subscribes and waits for the SUBACK, which has a code for each filter. `subscription_id` is 1 to
    /// 268,435,455, in MQTT 5 only.
    ///
    /// # Errors
    /// If there is no answer; an answer that refuses filters is none.
    pub async fn subscribe(
        &mut self,
        filters: &[(&str, SubscriptionOptions)],
        subscription_id: Option<u32>,
    ) -> Result<Suback, ClientError> {
        let packet_id = self.send_subscribe(filters, subscription_id).await?;
        let wanted = |packet| match packet {
            Received::Suback(suback) if suback.packet_id == packet_id => ControlFlow::Break(suback),
            other => ControlFlow::Continue(other),
        };
        self.inbound.wait_for(&mut self.stream, wanted).await
    }

    /// Unsubscribes and waits for the UNSUBACK, which in MQTT 5 has a code for each filter.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn unsubscribe(&mut self, filters: &[&str]) -> Result<Unsuback, ClientError> {
        let packet_id = self.send_unsubscribe(filters).await?;
        let wanted = |packet| match packet {
            Received::Unsuback(unsuback) if unsuback.packet_id == packet_id => ControlFlow::Break(unsuback),
            other => ControlFlow::Continue(other),
        };
        self.inbound.wait_for(&mut self.stream, wanted).await
    }

    /// Sends PINGREQ and waits for PINGRESP. Everything that was published before has been read by the broker
    /// then.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ping(&mut self) -> Result<(), ClientError> {
        self.send(&Packet::Pingreq).await?;
        let wanted = |packet| match packet {
            Received::Pingresp => ControlFlow::Break(()),
            other => ControlFlow::Continue(other),
        };
        self.inbound.wait_for(&mut self.stream, wanted).await
    }

    /// Acknowledges a message: not at all at QoS 0, with PUBACK at QoS 1; at QoS 2 with PUBREC, then it waits
    /// for PUBREL and sends PUBCOMP. In other ways, or in wrong ones: [`Client::send_ack`].
    ///
    /// # Errors
    /// If there is no PUBREL.
    pub async fn acknowledge(&mut self, message: &Message) -> Result<(), ClientError> {
        let Some(packet_id) = message.packet_id else {
            return Ok(());
        };
        if message.qos == QoS::AtLeastOnce {
            return self.send_ack(AckKind::Puback, packet_id, ReasonCode::Success).await;
        }
        self.send_ack(AckKind::Pubrec, packet_id, ReasonCode::Success).await?;
        self.wait_for_ack(AckKind::Pubrel, packet_id).await?;
        self.send_ack(AckKind::Pubcomp, packet_id, ReasonCode::Success).await
    }

    async fn wait_for_ack(&mut self, kind: AckKind, packet_id: PacketId) -> Result<Ack, ClientError> {
        let wanted = |packet| match packet {
            Received::Ack(ack) if ack.kind == kind && ack.packet_id == packet_id => ControlFlow::Break(ack),
            other => ControlFlow::Continue(other),
        };
        self.inbound.wait_for(&mut self.stream, wanted).await
    }
}
