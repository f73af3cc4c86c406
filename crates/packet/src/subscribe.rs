//! SUBSCRIBE (section 3.8). Not here: whether a filter is well formed (crate `topic`), except that it is UTF-8.

use crate::error::{DecodeError, DecodeLimits};
use crate::frame::Frame;
use crate::packet::check_flags;
use crate::packet_id::PacketId;
use crate::packet_type::PacketType;
use crate::properties::{Allowed, Properties, owned_pair, put_block, put_user_properties};
use crate::property::Property;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::v31;
use crate::version::ProtocolVersion;
use crate::writer::{put_packet, put_text, put_u16};

/// When retained messages are sent for a subscription (3.8.3.1 of MQTT 5).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every SUBSCRIBE [MQTT-3.3.1-9]; the only way before MQTT 5.
    #[default]
    Send = 0,
    /// Only if the subscription is new [MQTT-3.3.1-10].
    SendIfNew = 1,
    /// Never [MQTT-3.3.1-11].
    DoNotSend = 2,
}

/// How a client wants to be sent the messages of one filter. The default is QoS 0 and nothing else, as before
/// MQTT 5.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct SubscriptionOptions {
    /// The highest quality of service.
    pub qos: QoS,
    /// Not the messages that the client itself publishes [MQTT-3.8.3-3].
    pub no_local: bool,
    /// With the RETAIN flag that they were published with [MQTT-3.3.1-13].
    pub retain_as_published: bool,
    /// What is done about retained messages.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// QoS as given, everything else as before MQTT 5.
    #[must_use]
    pub fn new(qos: QoS) -> SubscriptionOptions {
        SubscriptionOptions { qos, ..SubscriptionOptions::default() }
    }

    fn read(reader: &mut Reader<'_>) -> Result<SubscriptionOptions, DecodeError> {
        let mut byte = reader.byte()?;
        if v31::ignores_upper_qos_bits(reader.version) {
            byte &= 0b11;
        }
        let reserved = if reader.is_v5() { 0b1100_0000 } else { 0b1111_1100 };
        if byte & reserved != 0 {
            let clause = reader.clause("MQTT-3.8.3-4", "MQTT-3.8.3-5");
            return Err(DecodeError::malformed(clause, "reserved bits of the subscription options are set"));
        }
        let Some(qos) = QoS::from_u8(byte & 0b11) else {
            let what = "the requested QoS is 3";
            return Err(if reader.is_v5() {
                DecodeError::protocol("", what)
            } else {
                DecodeError::malformed("MQTT-3.8.3-4", what)
            });
        };
        let retain_handling = match (byte >> 4) & 0b11 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::protocol("", "the retain handling is 3")),
        };
        let (no_local, retain_as_published) = (byte & 0b0100 != 0, byte & 0b1000 != 0);
        Ok(SubscriptionOptions { qos, no_local, retain_as_published, retain_handling })
    }

    /// The byte behind a filter. Before MQTT 5 it holds the QoS only.
    fn byte(self, version: ProtocolVersion) -> u8 {
        if version != ProtocolVersion::V5 {
            return self.qos.value();
        }
        self.qos.value()
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }
}

/// A SUBSCRIBE.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribe {
    /// The identifier that SUBACK repeats.
    pub packet_id: PacketId,
    /// At least one filter [MQTT-3.8.3-2], in order, as text that may not be a valid filter.
    pub filters: Vec<(String, SubscriptionOptions)>,
    /// 1 to 268,435,455.
    pub subscription_id: Option<u32>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

impl Subscribe {
    pub(crate) fn decode(
        frame: &Frame<'_>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Subscribe, DecodeError> {
        check_flags(frame, version)?;
        let mut reader = Reader::new(frame.body, version);
        let packet_id = reader.packet_id()?;
        let (mut subscription_id, mut user_properties) = (None, Vec::new());
        if reader.is_v5() {
            let mut block = Properties::open(&mut reader, Allowed::SUBSCRIBE, limits.user_properties)?;
            while let Some(property) = block.next()? {
                match property {
                    Property::SubscriptionIdentifier(id) => subscription_id = Some(id),
                    Property::UserProperty(name, value) => user_properties.push(owned_pair(name, value)),
                    _ => {}
                }
            }
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            let filter = reader.text()?;
            let options = SubscriptionOptions::read(&mut reader)?;
            if options.no_local && filter.starts_with("$share/") {
                return Err(DecodeError::protocol(
                    "MQTT-3.8.3-4",
                    "no local is set on a shared subscription",
                ));
            }
            filters.push((filter.to_owned(), options));
        }
        if filters.is_empty() {
            let clause = reader.clause("MQTT-3.8.3-3", "MQTT-3.8.3-2");
            return Err(DecodeError::protocol(clause, "SUBSCRIBE holds no topic filter"));
        }
        Ok(Subscribe { packet_id, filters, subscription_id, user_properties })
    }

    /// Appends the whole packet; before MQTT 5 without properties and with the QoS as the only option.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        put_u16(self.packet_id.get(), &mut body);
        if version == ProtocolVersion::V5 {
            let mut block = Vec::new();
            if let Some(id) = self.subscription_id {
                Property::SubscriptionIdentifier(id).encode(&mut block);
            }
            put_user_properties(&self.user_properties, &mut block);
            put_block(&block, &mut body);
        }
        for (filter, options) in &self.filters {
            put_text(filter, &mut body);
            body.push(options.byte(version));
        }
        put_packet(PacketType::Subscribe, &body, out);
    }
}
