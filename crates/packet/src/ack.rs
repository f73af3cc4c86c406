//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7), which are the same packet four times. Not here:
//! which of them answers what (crate `session`).

use crate::error::{DecodeError, DecodeLimits};
use crate::frame::Frame;
use crate::packet::check_flags;
use crate::packet_id::PacketId;
use crate::packet_type::PacketType;
use crate::properties::{Allowed, Properties, owned_pair, put_block, put_what_fits};
use crate::property::Property;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;
use crate::writer::put_packet;

/// Which of the four.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AckKind {
    /// Answers a QoS 1 PUBLISH.
    Puback,
    /// Answers a QoS 2 PUBLISH.
    Pubrec,
    /// Answers PUBREC.
    Pubrel,
    /// Answers PUBREL.
    Pubcomp,
}

impl AckKind {
    /// The type in the fixed header.
    #[inline]
    #[must_use]
    pub fn packet_type(self) -> PacketType {
        match self {
            AckKind::Puback => PacketType::Puback,
            AckKind::Pubrec => PacketType::Pubrec,
            AckKind::Pubrel => PacketType::Pubrel,
            AckKind::Pubcomp => PacketType::Pubcomp,
        }
    }

    /// The statement that lists the packet's reason codes.
    fn reason_clause(self) -> &'static str {
        match self {
            AckKind::Puback => "MQTT-3.4.2-1",
            AckKind::Pubrec => "MQTT-3.5.2-1",
            AckKind::Pubrel => "MQTT-3.6.2-1",
            AckKind::Pubcomp => "MQTT-3.7.2-1",
        }
    }
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ack {
    /// Which of the four.
    pub kind: AckKind,
    /// The identifier of the PUBLISH [MQTT-2.2.1-5].
    pub packet_id: PacketId,
    /// The outcome; Success before MQTT 5.
    pub reason: ReasonCode,
    /// Words for a reader, not for a program.
    pub reason_string: Option<String>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

impl Ack {
    /// An acknowledgement without properties.
    #[must_use]
    pub fn new(kind: AckKind, packet_id: PacketId, reason: ReasonCode) -> Ack {
        Ack { kind, packet_id, reason, reason_string: None, user_properties: Vec::new() }
    }

    pub(crate) fn decode(
        kind: AckKind,
        frame: &Frame<'_>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Ack, DecodeError> {
        check_flags(frame, version)?;
        let mut reader = Reader::new(frame.body, version);
        let mut ack = Ack::new(kind, reader.packet_id()?, ReasonCode::Success);
        if reader.is_v5() && !reader.is_empty() {
            let code = ReasonCode::from_u8(reader.byte()?);
            let Some(reason) = code.filter(|code| code.valid_in(kind.packet_type())) else {
                return Err(DecodeError::protocol(
                    kind.reason_clause(),
                    "the acknowledgement holds a reason code that it may not hold",
                ));
            };
            ack.reason = reason;
            if !reader.is_empty() {
                (ack.reason_string, ack.user_properties) = read_reason_properties(&mut reader, limits)?;
            }
        }
        reader.end()?;
        Ok(ack)
    }

    /// Appends the whole packet. 3.1 and 3.1.1 know the packet identifier only. In MQTT 5 the reason string and
    /// the user properties are left out where they would make the packet larger than `maximum_packet_size`
    /// bytes [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.5.2-2], [MQTT-3.5.2-3], [MQTT-3.6.2-2], [MQTT-3.6.2-3],
    /// [MQTT-3.7.2-2], [MQTT-3.7.2-3]; `u32::MAX` is no limit.
    pub fn encode(&self, version: ProtocolVersion, maximum_packet_size: u32, out: &mut Vec<u8>) {
        let mut block = Vec::new();
        if version == ProtocolVersion::V5 {
            let reason_string = self.reason_string.as_deref();
            put_what_fits(&mut block, reason_string, &self.user_properties, 3, maximum_packet_size);
        }
        if block.is_empty() {
            return encode_ack(self.kind, self.packet_id, self.reason, version, out);
        }
        let [high, low] = self.packet_id.get().to_be_bytes();
        let mut body = vec![high, low, self.reason.value()];
        put_block(&block, &mut body);
        put_packet(self.kind.packet_type(), &body, out);
    }
}

/// Appends an acknowledgement without properties: four bytes, or five if MQTT 5 has a reason to tell.
#[inline]
pub fn encode_ack(
    kind: AckKind,
    id: PacketId,
    reason: ReasonCode,
    version: ProtocolVersion,
    out: &mut Vec<u8>,
) {
    let first = kind.packet_type().first_byte();
    let [high, low] = id.get().to_be_bytes();
    if reason == ReasonCode::Success || version != ProtocolVersion::V5 {
        out.extend_from_slice(&[first, 2, high, low]);
    } else {
        out.extend_from_slice(&[first, 3, high, low, reason.value()]);
    }
}

/// Reason string and user properties.
pub(crate) type ReasonProperties = (Option<String>, Vec<(String, String)>);

/// Reads the properties that all acknowledgements have (those of SUBACK and UNSUBACK too).
pub(crate) fn read_reason_properties(
    reader: &mut Reader<'_>,
    limits: &DecodeLimits,
) -> Result<ReasonProperties, DecodeError> {
    let mut block = Properties::open(reader, Allowed::ACKNOWLEDGEMENT, limits.user_properties)?;
    let (mut reason_string, mut user_properties) = (None, Vec::new());
    while let Some(property) = block.next()? {
        match property {
            Property::ReasonString(words) => reason_string = Some(words.to_owned()),
            Property::UserProperty(name, value) => user_properties.push(owned_pair(name, value)),
            _ => {}
        }
    }
    Ok((reason_string, user_properties))
}
