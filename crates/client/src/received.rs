//! A packet from the broker, owned. Not here: the bytes it came from (`inbound`).

use crate::message::Message;
use aldis_packet::{Ack, AckKind, Auth, Connack, Disconnect, PacketId, PacketType, Suback, Unsuback};

/// What a broker can send.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub enum Received {
    Publish(Message),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack),
    Suback(Suback),
    Unsuback(Unsuback),
    Connack(Box<Connack>),
    Pingresp,
    /// Only in MQTT 5.
    Disconnect(Box<Disconnect>),
    /// Only in MQTT 5.
    Auth(Box<Auth>),
}

impl Received {
    /// The type in the fixed header.
    #[must_use]
    pub fn packet_type(&self) -> PacketType {
        match self {
            Received::Publish(_) => PacketType::Publish,
            Received::Ack(ack) => ack.kind.packet_type(),
            Received::Suback(_) => PacketType::Suback,
            Received::Unsuback(_) => PacketType::Unsuback,
            Received::Connack(_) => PacketType::Connack,
            Received::Pingresp => PacketType::Pingresp,
            Received::Disconnect(_) => PacketType::Disconnect,
            Received::Auth(_) => PacketType::Auth,
        }
    }

    /// The message, if it is one.
    #[must_use]
    pub fn into_message(self) -> Option<Message> {
        match self {
            Received::Publish(message) => Some(message),
            _ => None,
        }
    }

    /// The packet identifier that is free again after this packet, [MQTT-2.3.1-3] of 3.1.1, [MQTT-4.3.3-9].
    pub(crate) fn frees(&self) -> Option<PacketId> {
        match self {
            Received::Ack(ack) => match ack.kind {
                AckKind::Puback | AckKind::Pubcomp => Some(ack.packet_id),
                AckKind::Pubrec if ack.reason.is_error() => Some(ack.packet_id),
                AckKind::Pubrec | AckKind::Pubrel => None,
            },
            Received::Suback(suback) => Some(suback.packet_id),
            Received::Unsuback(unsuback) => Some(unsuback.packet_id),
            _ => None,
        }
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn size(&self) -> usize {
        let inside = match self {
            Received::Publish(message) => message.size(),
            Received::Suback(suback) => suback.reasons.len(),
            Received::Unsuback(unsuback) => unsuback.reasons.len(),
            _ => 0,
        };
        size_of::<Received>() + inside
    }
}
