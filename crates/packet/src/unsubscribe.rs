//! UNSUBSCRIBE (section 3.10). Not here: whether a filter is well formed (crate `topic`), except that it is
//! UTF-8.

use crate::error::{DecodeError, DecodeLimits};
use crate::frame::Frame;
use crate::packet::check_flags;
use crate::packet_id::PacketId;
use crate::packet_type::PacketType;
use crate::properties::{Allowed, Properties, owned_pair, put_block, put_user_properties};
use crate::property::Property;
use crate::reader::Reader;
use crate::version::ProtocolVersion;
use crate::writer::{put_packet, put_text, put_u16};

/// An UNSUBSCRIBE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsubscribe {
    /// The identifier that UNSUBACK repeats.
    pub packet_id: PacketId,
    /// At least one filter [MQTT-3.10.3-2], in order, as text that may not be a valid filter.
    pub filters: Vec<String>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

impl Unsubscribe {
    pub(crate) fn decode(
        frame: &Frame<'_>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Unsubscribe, DecodeError> {
        check_flags(frame, version)?;
        let mut reader = Reader::new(frame.body, version);
        let packet_id = reader.packet_id()?;
        let mut user_properties = Vec::new();
        if reader.is_v5() {
            let mut block = Properties::open(&mut reader, Allowed::UNSUBSCRIBE, limits.user_properties)?;
            while let Some(property) = block.next()? {
                if let Property::UserProperty(name, value) = property {
                    user_properties.push(owned_pair(name, value));
                }
            }
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(reader.text()?.to_owned());
        }
        if filters.is_empty() {
            return Err(DecodeError::protocol("MQTT-3.10.3-2", "UNSUBSCRIBE holds no topic filter"));
        }
        Ok(Unsubscribe { packet_id, filters, user_properties })
    }

    /// Appends the whole packet; before MQTT 5 without properties.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        put_u16(self.packet_id.get(), &mut body);
        if version == ProtocolVersion::V5 {
            let mut block = Vec::new();
            put_user_properties(&self.user_properties, &mut block);
            put_block(&block, &mut body);
        }
        for filter in &self.filters {
            put_text(filter, &mut body);
        }
        put_packet(PacketType::Unsubscribe, &body, out);
    }
}
