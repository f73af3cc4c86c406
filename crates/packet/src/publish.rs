//! PUBLISH as it arrives (section 3.3). Not here: PUBLISH as it is sent (`publish_head`), what a topic alias
//! stands for, and whether the sender may send what it sends.

use crate::error::{DecodeError, DecodeLimits};
use crate::forwarded::Collect;
use crate::frame::Frame;
use crate::packet_id::PacketId;
use crate::properties::{Allowed, Properties};
use crate::property::Property;
use crate::publish_head::PublishHead;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::v31;
use crate::version::ProtocolVersion;
use std::borrow::Cow;

/// A PUBLISH, borrowed from the bytes it arrived in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish<'a> {
    /// Whether this may be a repetition of an earlier packet. Always false at QoS 0 [MQTT-3.3.1-2].
    pub dup: bool,
    /// The quality of service.
    pub qos: QoS,
    /// Whether the message is (to be) retained.
    pub retain: bool,
    /// The topic name. Empty only in MQTT 5, and then there is a topic alias.
    pub topic: &'a str,
    /// Present at QoS 1 and 2 only [MQTT-2.2.1-2].
    pub packet_id: Option<PacketId>,
    /// The properties; empty before MQTT 5.
    pub properties: PublishProperties<'a>,
    /// The application message.
    pub payload: &'a [u8],
}

/// The properties of a PUBLISH (3.3.2.3 of MQTT 5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishProperties<'a> {
    /// Seconds until the message expires.
    pub message_expiry: Option<u32>,
    /// 1 to 65,535.
    pub topic_alias: Option<u16>,
    /// Each 1 to 268,435,455. Only a server sends them [MQTT-3.3.4-6]; the caller checks that.
    pub subscription_ids: Vec<u32>,
    /// The properties that a server passes on unaltered, encoded, in the order received: payload format
    /// indicator, content type, response topic, correlation data, user properties.
    pub forwarded: Cow<'a, [u8]>,
}

impl Default for PublishProperties<'_> {
    /// No properties at all.
    #[inline]
    fn default() -> Self {
        PublishProperties {
            message_expiry: None,
            topic_alias: None,
            subscription_ids: Vec::new(),
            forwarded: Cow::Borrowed(&[]),
        }
    }
}

impl<'a> Publish<'a> {
    /// Reads a PUBLISH. For 3.1 and 3.1.1, and for MQTT 5 without properties, nothing is allocated.
    ///
    /// # Errors
    /// Everything in section 3.3 that can be judged by the packet alone. Topic Name Invalid for a wildcard
    /// [MQTT-3.3.2-2], Topic Alias Invalid for alias 0 [MQTT-3.3.2-8], Quota Exceeded for more user properties
    /// than `limits` allow, otherwise Malformed Packet or Protocol Error.
    #[inline]
    pub fn decode(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Publish<'a>, DecodeError> {
        Publish::read(frame, version, limits, |bytes| topic_name(bytes, version, "MQTT-3.3.2-2"))
    }

    /// As [`Publish::decode`], without a look into the topic if it is `known_topic`, which was valid before
    /// (the last topic of the same connection, say).
    ///
    /// # Errors
    /// As [`Publish::decode`].
    #[inline]
    pub fn decode_trusting(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
        known_topic: &'a str,
    ) -> Result<Publish<'a>, DecodeError> {
        Publish::read(frame, version, limits, |bytes| {
            if bytes == known_topic.as_bytes() {
                Ok(known_topic)
            } else {
                topic_name(bytes, version, "MQTT-3.3.2-2")
            }
        })
    }

    #[inline(always)]
    fn read(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
        topic_name: impl FnOnce(&'a [u8]) -> Result<&'a str, DecodeError>,
    ) -> Result<Publish<'a>, DecodeError> {
        let Some(qos) = QoS::from_u8((frame.flags >> 1) & 0b11) else {
            return Err(DecodeError::malformed("MQTT-3.3.1-4", "the QoS is 3"));
        };
        let mut dup = frame.flags & 0b1000 != 0;
        if dup && qos == QoS::AtMostOnce {
            if !v31::ignores_dup_of_qos_0(version) {
                return Err(DecodeError::malformed("MQTT-3.3.1-2", "DUP is set at QoS 0"));
            }
            dup = false;
        }
        let mut reader = Reader::new(frame.body, version);
        let topic = topic_name(reader.binary()?)?;
        let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
        let properties = if version == ProtocolVersion::V5 {
            read_properties(&mut reader, limits)?
        } else {
            PublishProperties::default()
        };
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(empty_topic(version));
        }
        Ok(Publish {
            dup,
            qos,
            retain: frame.flags & 0b0001 != 0,
            topic,
            packet_id,
            properties,
            payload: reader.rest(),
        })
    }

    /// Appends the whole packet, payload included.
    pub fn encode(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        let head = PublishHead {
            version,
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic,
            packet_id: self.packet_id,
            message_expiry: self.properties.message_expiry,
            topic_alias: self.properties.topic_alias,
            subscription_ids: &self.properties.subscription_ids,
            forwarded: &self.properties.forwarded,
        };
        head.encode(self.payload.len(), out);
        out.extend_from_slice(self.payload);
    }
}

#[cold]
fn empty_topic(version: ProtocolVersion) -> DecodeError {
    if version == ProtocolVersion::V5 {
        DecodeError::protocol("MQTT-4.7.3-1", "the topic name is empty and there is no topic alias")
    } else {
        DecodeError::new(ReasonCode::TopicNameInvalid, "MQTT-4.7.3-1", "the topic name is empty")
    }
}

/// Well-formed UTF-8 without U+0000 and without wildcards; it may be empty. `wildcard_clause` is what a wildcard
/// breaks.
#[inline]
pub(crate) fn topic_name<'a>(
    bytes: &'a [u8],
    version: ProtocolVersion,
    wildcard_clause: &'static str,
) -> Result<&'a str, DecodeError> {
    let reader = Reader::new(&[], version);
    let topic = match std::str::from_utf8(bytes) {
        Ok(topic) => topic,
        Err(_) => return Err(reader.not_utf8()),
    };
    // Without an early exit the loop becomes vector code: topics are nearly always good.
    let bad = bytes.iter().fold(false, |bad, &byte| bad | (byte == 0) | (byte == b'+') | (byte == b'#'));
    if !bad {
        Ok(topic)
    } else if bytes.contains(&0) {
        Err(reader.null_character())
    } else {
        Err(DecodeError::new(
            ReasonCode::TopicNameInvalid,
            wildcard_clause,
            "the topic name holds a wildcard",
        ))
    }
}

#[inline]
fn read_properties<'a>(
    reader: &mut Reader<'a>,
    limits: &DecodeLimits,
) -> Result<PublishProperties<'a>, DecodeError> {
    if let Some((0, payload)) = reader.rest().split_first() {
        *reader = Reader::new(payload, reader.version);
        return Ok(PublishProperties::default());
    }
    read_some_properties(reader, limits)
}

#[inline(never)]
fn read_some_properties<'a>(
    reader: &mut Reader<'a>,
    limits: &DecodeLimits,
) -> Result<PublishProperties<'a>, DecodeError> {
    let mut block = Properties::open(reader, Allowed::PUBLISH, limits.user_properties)?;
    let mut forwarded = Collect::new(block.block());
    let mut properties = PublishProperties::default();
    let mut begin = 0;
    while let Some(property) = block.next()? {
        let end = block.position();
        match property {
            Property::MessageExpiryInterval(seconds) => properties.message_expiry = Some(seconds),
            Property::TopicAlias(alias) => properties.topic_alias = Some(alias),
            Property::SubscriptionIdentifier(id) => properties.subscription_ids.push(id),
            _ => forwarded.add(begin, end),
        }
        begin = end;
    }
    properties.forwarded = forwarded.finish();
    Ok(properties)
}
