//! A message as it arrives. Not here: its acknowledgement, which is the caller's business.

use aldis_packet::{PacketId, Property, QoS, forwarded_properties};
use bytes::Bytes;

/// A PUBLISH from the broker (section 3.3), owned. Payload and properties share the bytes they arrived in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The topic name, never empty: a topic alias is resolved.
    pub topic: String,
    /// The application message.
    pub payload: Bytes,
    /// The quality of service it was sent with.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
    /// The DUP flag.
    pub dup: bool,
    /// Present at QoS 1 and 2 only.
    pub packet_id: Option<PacketId>,
    /// Seconds that were left when the broker sent it.
    pub message_expiry: Option<u32>,
    /// The alias that the packet carried.
    pub topic_alias: Option<u16>,
    /// Whether the packet itself had no topic, only the alias.
    pub topic_omitted: bool,
    /// The identifiers of the subscriptions that it was sent for.
    pub subscription_ids: Vec<u32>,
    /// The other properties, encoded, in the order received.
    pub properties: Bytes,
}

impl Message {
    /// The properties that travelled with the message, in order.
    pub fn forwarded(&self) -> impl Iterator<Item = Property<'_>> {
        forwarded_properties(&self.properties)
    }

    /// Names and values of the user properties, in order.
    #[must_use]
    pub fn user_properties(&self) -> Vec<(&str, &str)> {
        self.forwarded()
            .filter_map(|property| match property {
                Property::UserProperty(name, value) => Some((name, value)),
                _ => None,
            })
            .collect()
    }

    /// What the payload is, in the publisher's words.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.forwarded().find_map(|property| match property {
            Property::ContentType(text) => Some(text),
            _ => None,
        })
    }

    /// Where the publisher wants an answer.
    #[must_use]
    pub fn response_topic(&self) -> Option<&str> {
        self.forwarded().find_map(|property| match property {
            Property::ResponseTopic(topic) => Some(topic),
            _ => None,
        })
    }

    /// What the answer is to carry.
    #[must_use]
    pub fn correlation_data(&self) -> Option<&[u8]> {
        self.forwarded().find_map(|property| match property {
            Property::CorrelationData(data) => Some(data),
            _ => None,
        })
    }

    /// 1: the payload is UTF-8; 0: the publisher says that it need not be.
    #[must_use]
    pub fn payload_format(&self) -> Option<u8> {
        self.forwarded().find_map(|property| match property {
            Property::PayloadFormatIndicator(value) => Some(value),
            _ => None,
        })
    }

    /// Bytes of what it holds.
    pub(crate) fn size(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.len()
    }
}
