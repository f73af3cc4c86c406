//! Any packet: the one place where a frame's type decides how it is read. Not here: the packets' own fields.

use crate::ack::{Ack, AckKind};
use crate::auth::Auth;
use crate::connack::Connack;
use crate::connect::Connect;
use crate::disconnect::Disconnect;
use crate::error::{DecodeError, DecodeLimits};
use crate::frame::Frame;
use crate::packet_type::PacketType;
use crate::publish::Publish;
use crate::suback::{Suback, Unsuback};
use crate::subscribe::Subscribe;
use crate::unsubscribe::Unsubscribe;
use crate::v31;
use crate::version::ProtocolVersion;

/// A packet of any type. The large and rare ones are boxed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub enum Packet<'a> {
    Connect(Box<Connect>),
    Connack(Box<Connack>),
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack),
    Subscribe(Subscribe),
    Suback(Suback),
    Unsubscribe(Unsubscribe),
    Unsuback(Unsuback),
    Pingreq,
    Pingresp,
    Disconnect(Box<Disconnect>),
    Auth(Box<Auth>),
}

/// Reads a packet of the connection's version, in either direction: which side may send it is for the caller
/// to check. A CONNECT brings its own version, so that `version` does not matter for it; see
/// [`Connect::decode`] for more about its errors.
///
/// # Errors
/// Everything the standard of that version calls malformed or forbidden within one packet.
pub fn decode<'a>(
    frame: &Frame<'a>,
    version: ProtocolVersion,
    limits: &DecodeLimits,
) -> Result<Packet<'a>, DecodeError> {
    let ack = |kind| Ack::decode(kind, frame, version, limits).map(Packet::Ack);
    match frame.packet_type {
        PacketType::Connect => match Connect::decode(frame, limits) {
            Ok(connect) => Ok(Packet::Connect(Box::new(connect))),
            Err(refused) => Err(refused.error),
        },
        PacketType::Connack => {
            Connack::decode(frame, version, limits).map(|packet| Packet::Connack(Box::new(packet)))
        }
        PacketType::Publish => Publish::decode(frame, version, limits).map(Packet::Publish),
        PacketType::Puback => ack(AckKind::Puback),
        PacketType::Pubrec => ack(AckKind::Pubrec),
        PacketType::Pubrel => ack(AckKind::Pubrel),
        PacketType::Pubcomp => ack(AckKind::Pubcomp),
        PacketType::Subscribe => Subscribe::decode(frame, version, limits).map(Packet::Subscribe),
        PacketType::Suback => Suback::decode(frame, version, limits).map(Packet::Suback),
        PacketType::Unsubscribe => Unsubscribe::decode(frame, version, limits).map(Packet::Unsubscribe),
        PacketType::Unsuback => Unsuback::decode(frame, version, limits).map(Packet::Unsuback),
        PacketType::Pingreq => decode_empty(frame, version).map(|()| Packet::Pingreq),
        PacketType::Pingresp => decode_empty(frame, version).map(|()| Packet::Pingresp),
        PacketType::Disconnect => {
            Disconnect::decode(frame, version, limits).map(|packet| Packet::Disconnect(Box::new(packet)))
        }
        PacketType::Auth => Auth::decode(frame, version, limits).map(|packet| Packet::Auth(Box::new(packet))),
    }
}

/// PINGREQ and PINGRESP: the fixed header is all.
fn decode_empty(frame: &Frame<'_>, version: ProtocolVersion) -> Result<(), DecodeError> {
    check_flags(frame, version)?;
    if frame.body.is_empty() { Ok(()) } else { Err(DecodeError::malformed("", "the packet has a body")) }
}

/// Refuses reserved flags that differ from the standard's table; 3.1 ignores them. Not for PUBLISH.
#[inline]
pub(crate) fn check_flags(frame: &Frame<'_>, version: ProtocolVersion) -> Result<(), DecodeError> {
    if frame.flags == frame.packet_type.reserved_flags() || v31::ignores_reserved_flags(version) {
        return Ok(());
    }
    Err(wrong_flags(frame.packet_type, version))
}

#[cold]
fn wrong_flags(packet_type: PacketType, version: ProtocolVersion) -> DecodeError {
    let clause = match packet_type {
        PacketType::Pubrel => "MQTT-3.6.1-1",
        PacketType::Subscribe => "MQTT-3.8.1-1",
        PacketType::Unsubscribe => "MQTT-3.10.1-1",
        PacketType::Disconnect => "MQTT-3.14.1-1",
        PacketType::Auth => "MQTT-3.15.1-1",
        _ if version == ProtocolVersion::V5 => "MQTT-2.1.3-1",
        _ => "MQTT-2.2.2-2",
    };
    DecodeError::malformed(clause, "the reserved flags of the fixed header are wrong")
}

/// Appends a PINGREQ (section 3.12).
#[inline]
pub fn encode_pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::Pingreq.first_byte(), 0]);
}

/// Appends a PINGRESP (section 3.13).
#[inline]
pub fn encode_pingresp(out: &mut Vec<u8>) {
    out.extend_from_slice(&[PacketType::Pingresp.first_byte(), 0]);
}

impl Packet<'_> {
    /// The type in the fixed header.
    #[must_use]
    pub fn packet_type(&self) -> PacketType {
        match self {
            Packet::Connect(_) => PacketType::Connect,
            Packet::Connack(_) => PacketType::Connack,
            Packet::Publish(_) => PacketType::Publish,
            Packet::Ack(ack) => ack.kind.packet_type(),
            Packet::Subscribe(_) => PacketType::Subscribe,
            Packet::Suback(_) => PacketType::Suback,
            Packet::Unsubscribe(_) => PacketType::Unsubscribe,
            Packet::Unsuback(_) => PacketType::Unsuback,
            Packet::Pingreq => PacketType::Pingreq,
            Packet::Pingresp => PacketType::Pingresp,
            Packet::Disconnect(_) => PacketType::Disconnect,
            Packet::Auth(_) => PacketType::Auth,
        }
    }

    /// Appends the whole packet without a limit of size, in the form of `version` (CONNECT: of its own).
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        self.encode_within(version, u32::MAX, out);
    }

    /// Appends the whole packet, in the form of `version`. What the standard lets a sender omit is left out
    /// where it would make the packet larger than `maximum_packet_size` bytes.
    pub fn encode_within(&self, version: ProtocolVersion, maximum_packet_size: u32, out: &mut Vec<u8>) {
        match self {
            Packet::Connect(packet) => packet.encode(out),
            Packet::Connack(packet) => packet.encode(version, maximum_packet_size, out),
            Packet::Publish(packet) => packet.encode(version, out),
            Packet::Ack(packet) => packet.encode(version, maximum_packet_size, out),
            Packet::Subscribe(packet) => packet.encode(version, out),
            Packet::Suback(packet) => packet.encode(version, maximum_packet_size, out),
            Packet::Unsubscribe(packet) => packet.encode(version, out),
            Packet::Unsuback(packet) => packet.encode(version, maximum_packet_size, out),
            Packet::Pingreq => encode_pingreq(out),
            Packet::Pingresp => encode_pingresp(out),
            Packet::Disconnect(packet) => packet.encode(version, maximum_packet_size, out),
            Packet::Auth(packet) => packet.encode(maximum_packet_size, out),
        }
    }
}
