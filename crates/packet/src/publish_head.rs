//! PUBLISH as it is sent: everything in front of the payload (section 3.3). Not here: the payload, which the
//! caller appends or shares, and what goes into the fields.

use crate::packet_id::PacketId;
use crate::property::Property;
use crate::qos::QoS;
use crate::version::ProtocolVersion;
use crate::writer::{fitting, packet_size, put_u16, put_variable, variable, variable_size};

/// What stands in front of the payload of a PUBLISH. The properties are written for MQTT 5 only.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PublishHead<'a> {
    /// The version of the connection that the packet is for.
    pub version: ProtocolVersion,
    /// Whether the packet repeats an earlier one [MQTT-3.3.1-1]. Not with QoS 0.
    pub dup: bool,
    /// The quality of service.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
    /// The topic name; empty only with an alias that the receiver already knows.
    pub topic: &'a str,
    /// Present at QoS 1 and 2 and only there.
    pub packet_id: Option<PacketId>,
    /// Seconds until the message expires.
    pub message_expiry: Option<u32>,
    /// 1 to the receiver's topic alias maximum.
    pub topic_alias: Option<u16>,
    /// The identifiers of the subscriptions that the message is sent for [MQTT-3.3.4-4].
    pub subscription_ids: &'a [u32],
    /// Encoded properties as they were received with the message.
    pub forwarded: &'a [u8],
}

impl PublishHead<'_> {
    /// Bytes of the whole packet with a payload of `payload_len` bytes: what counts against the receiver's
    /// maximum packet size.
    #[inline]
    #[must_use]
    pub fn packet_size(&self, payload_len: usize) -> usize {
        packet_size(self.variable_header_size() + payload_len)
    }

    /// Appends the packet up to its payload, of which `payload_len` bytes must follow.
    #[inline]
    pub fn encode(&self, payload_len: usize, out: &mut Vec<u8>) {
        let variable_header = self.variable_header_size();
        let topic = fitting(self.topic);
        let [length_high, length_low] = (topic.len() as u16).to_be_bytes();
        let ([a, b, c, d], length_size) = variable(variable_header + payload_len);
        out.reserve(5 + variable_header);
        let first = 0x30 | u8::from(self.dup) << 3 | self.qos.value() << 1 | u8::from(self.retain);
        match length_size {
            1 => out.extend_from_slice(&[first, a, length_high, length_low]),
            2 => out.extend_from_slice(&[first, a, b, length_high, length_low]),
            3 => out.extend_from_slice(&[first, a, b, c, length_high, length_low]),
            _ => out.extend_from_slice(&[first, a, b, c, d, length_high, length_low]),
        }
        out.extend_from_slice(topic.as_bytes());
        if let Some(id) = self.packet_id {
            put_u16(id.get(), out);
        }
        if self.version == ProtocolVersion::V5 {
            match self.properties_size() {
                0 => out.push(0),
                size => self.encode_properties(size, out),
            }
        }
    }

    fn encode_properties(&self, size: usize, out: &mut Vec<u8>) {
        put_variable(size, out);
        if let Some(seconds) = self.message_expiry {
            Property::MessageExpiryInterval(seconds).encode(out);
        }
        if let Some(alias) = self.topic_alias {
            Property::TopicAlias(alias).encode(out);
        }
        for &id in self.subscription_ids {
            Property::SubscriptionIdentifier(id).encode(out);
        }
        out.extend_from_slice(self.forwarded);
    }

    #[inline]
    fn variable_header_size(&self) -> usize {
        let id = if self.packet_id.is_some() { 2 } else { 0 };
        let properties = if self.version == ProtocolVersion::V5 {
            let size = self.properties_size();
            variable_size(size) + size
        } else {
            0
        };
        2 + fitting(self.topic).len() + id + properties
    }

    /// Bytes of the property block, without its length.
    #[inline]
    fn properties_size(&self) -> usize {
        let expiry = if self.message_expiry.is_some() { 5 } else { 0 };
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let ids: usize = self.subscription_ids.iter().map(|&id| 1 + variable_size(id as usize)).sum();
        expiry + alias + ids + self.forwarded.len()
    }
}
