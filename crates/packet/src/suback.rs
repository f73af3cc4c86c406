//! SUBACK and UNSUBACK (sections 3.9 and 3.11). Not here: whether there are as many codes as the packet it
//! answers had filters.

use crate::ack::read_reason_properties;
use crate::error::{DecodeError, DecodeLimits};
use crate::frame::Frame;
use crate::packet::check_flags;
use crate::packet_id::PacketId;
use crate::packet_type::PacketType;
use crate::properties::{put_block, put_what_fits};
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;
use crate::writer::{put_packet, put_u16};

/// A SUBACK.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suback {
    /// The identifier of the SUBSCRIBE [MQTT-3.8.4-2].
    pub packet_id: PacketId,
    /// One code a filter, in the order of the filters [MQTT-3.9.3-1]: the granted QoS, or a failure of 0x80 or
    /// more; before MQTT 5 the only failure is 0x80.
    pub reasons: Vec<u8>,
    /// Words for a reader, not for a program.
    pub reason_string: Option<String>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

/// An UNSUBACK.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsuback {
    /// The identifier of the UNSUBSCRIBE [MQTT-3.10.4-5].
    pub packet_id: PacketId,
    /// One code a filter, in the order of the filters [MQTT-3.11.3-1]; empty before MQTT 5.
    pub reasons: Vec<u8>,
    /// Words for a reader, not for a program.
    pub reason_string: Option<String>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

impl Suback {
    /// A SUBACK without properties.
    #[must_use]
    pub fn new(packet_id: PacketId, reasons: Vec<u8>) -> Suback {
        Suback { packet_id, reasons, reason_string: None, user_properties: Vec::new() }
    }

    pub(crate) fn decode(
        frame: &Frame<'_>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Suback, DecodeError> {
        check_flags(frame, version)?;
        let mut reader = Reader::new(frame.body, version);
        let packet_id = reader.packet_id()?;
        let mut suback = Suback::new(packet_id, Vec::new());
        if reader.is_v5() {
            (suback.reason_string, suback.user_properties) = read_reason_properties(&mut reader, limits)?;
            suback.reasons = read_codes(&mut reader, PacketType::Suback, "MQTT-3.9.3-2")?;
        } else {
            suback.reasons = reader.take(reader.rest().len())?.to_vec();
            if suback.reasons.iter().any(|code| !matches!(code, 0..=2 | 0x80)) {
                return Err(DecodeError::malformed("MQTT-3.9.3-2", "SUBACK holds a reserved return code"));
            }
        }
        if suback.reasons.is_empty() {
            return Err(DecodeError::malformed("", "SUBACK holds no code"));
        }
        Ok(suback)
    }

    /// Appends the whole packet. Before MQTT 5 every failure becomes 0x80 [MQTT-3.9.3-2]. In MQTT 5 the reason
    /// string and the user properties are left out where they would make the packet larger than
    /// `maximum_packet_size` bytes [MQTT-3.9.2-1], [MQTT-3.9.2-2]; `u32::MAX` is no limit.
    pub fn encode(&self, version: ProtocolVersion, maximum_packet_size: u32, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        put_u16(self.packet_id.get(), &mut body);
        if version == ProtocolVersion::V5 {
            let mut block = Vec::new();
            let (reason_string, rest) = (self.reason_string.as_deref(), 2 + self.reasons.len());
            put_what_fits(&mut block, reason_string, &self.user_properties, rest, maximum_packet_size);
            put_block(&block, &mut body);
            body.extend_from_slice(&self.reasons);
        } else {
            body.extend(self.reasons.iter().map(|&code| if code >= 0x80 { 0x80 } else { code }));
        }
        put_packet(PacketType::Suback, &body, out);
    }
}

impl Unsuback {
    /// An UNSUBACK without properties.
    #[must_use]
    pub fn new(packet_id: PacketId, reasons: Vec<u8>) -> Unsuback {
        Unsuback { packet_id, reasons, reason_string: None, user_properties: Vec::new() }
    }

    pub(crate) fn decode(
        frame: &Frame<'_>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Unsuback, DecodeError> {
        check_flags(frame, version)?;
        let mut reader = Reader::new(frame.body, version);
        let packet_id = reader.packet_id()?;
        let mut unsuback = Unsuback::new(packet_id, Vec::new());
        if reader.is_v5() {
            (unsuback.reason_string, unsuback.user_properties) = read_reason_properties(&mut reader, limits)?;
            unsuback.reasons = read_codes(&mut reader, PacketType::Unsuback, "MQTT-3.11.3-2")?;
            if unsuback.reasons.is_empty() {
                return Err(DecodeError::malformed("", "UNSUBACK holds no code"));
            }
        }
        reader.end()?;
        Ok(unsuback)
    }

    /// Appends the whole packet. 3.1 and 3.1.1 know the packet identifier only. In MQTT 5 the reason string and
    /// the user properties are left out where they would make the packet larger than `maximum_packet_size`
    /// bytes [MQTT-3.11.2-1], [MQTT-3.11.2-2]; `u32::MAX` is no limit.
    pub fn encode(&self, version: ProtocolVersion, maximum_packet_size: u32, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        put_u16(self.packet_id.get(), &mut body);
        if version == ProtocolVersion::V5 {
            let mut block = Vec::new();
            let (reason_string, rest) = (self.reason_string.as_deref(), 2 + self.reasons.len());
            put_what_fits(&mut block, reason_string, &self.user_properties, rest, maximum_packet_size);
            put_block(&block, &mut body);
            body.extend_from_slice(&self.reasons);
        }
        put_packet(PacketType::Unsuback, &body, out);
    }
}

/// Reads the rest of a packet of MQTT 5 as reason codes.
fn read_codes(
    reader: &mut Reader<'_>,
    packet_type: PacketType,
    clause: &'static str,
) -> Result<Vec<u8>, DecodeError> {
    let codes = reader.take(reader.rest().len())?;
    let valid = |code: &u8| ReasonCode::from_u8(*code).is_some_and(|code| code.valid_in(packet_type));
    if codes.iter().all(valid) {
        Ok(codes.to_vec())
    } else {
        Err(DecodeError::protocol(clause, "the acknowledgement holds a reason code that it may not hold"))
    }
}
