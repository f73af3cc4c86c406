//! A message to be published. Not here: the sending, and any check that the broker would allow it: a test may
//! want to send what is wrong.

use aldis_packet::{PacketId, Property, Publish, PublishProperties, QoS, Will, encode_forwarded};
use bytes::Bytes;
use std::borrow::Cow;

/// A message to be published (section 3.3): QoS 0 and nothing else, until the methods say otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The topic name; in MQTT 5 empty, if `topic_alias` stands for it already.
    pub topic: String,
    /// The application message.
    pub payload: Bytes,
    /// The quality of service.
    pub qos: QoS,
    /// Whether the broker is to retain the message.
    pub retain: bool,
    /// Whether the packet repeats an earlier one.
    pub dup: bool,
    /// A packet identifier of the caller's choice; `None`: the next free one. Means nothing at QoS 0.
    pub packet_id: Option<PacketId>,
    /// Seconds until the message expires. MQTT 5.
    pub message_expiry: Option<u32>,
    /// MQTT 5.
    pub topic_alias: Option<u16>,
    /// The other properties, encoded as [`encode_forwarded`] does, and as [`Message::properties`] holds them.
    /// MQTT 5.
    ///
    /// [`Message::properties`]: crate::Message::properties
    pub properties: Bytes,
}

impl Outgoing {
    /// A message for a topic. The payload is copied; to share one, set the field.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl AsRef<[u8]>) -> Outgoing {
        Outgoing {
            topic: topic.into(),
            payload: Bytes::copy_from_slice(payload.as_ref()),
            qos: QoS::AtMostOnce,
            retain: false,
            dup: false,
            packet_id: None,
            message_expiry: None,
            topic_alias: None,
            properties: Bytes::new(),
        }
    }

    /// Another quality of service than 0.
    #[must_use]
    pub fn qos(self, qos: QoS) -> Outgoing {
        Outgoing { qos, ..self }
    }

    /// To be retained.
    #[must_use]
    pub fn retain(self) -> Outgoing {
        Outgoing { retain: true, ..self }
    }

    /// The repetition of a packet that was sent with this identifier before [MQTT-3.3.1-1].
    #[must_use]
    pub fn repeated(self, packet_id: PacketId) -> Outgoing {
        Outgoing { dup: true, packet_id: Some(packet_id), ..self }
    }

    /// With this packet identifier instead of the next free one.
    #[must_use]
    pub fn packet_id(self, packet_id: PacketId) -> Outgoing {
        Outgoing { packet_id: Some(packet_id), ..self }
    }

    /// Seconds until the message expires. MQTT 5.
    #[must_use]
    pub fn expiry(self, seconds: u32) -> Outgoing {
        Outgoing { message_expiry: Some(seconds), ..self }
    }

    /// With a topic alias. The first packet with an alias says the topic, later ones may leave it empty. MQTT 5.
    #[must_use]
    pub fn alias(self, alias: u16) -> Outgoing {
        Outgoing { topic_alias: Some(alias), ..self }
    }

    /// Adds properties behind those that are there already: payload format indicator, content type, response
    /// topic, correlation data, user properties. Others are left out, they have fields of their own. MQTT 5.
    #[must_use]
    pub fn properties<'a>(self, properties: impl IntoIterator<Item = Property<'a>>) -> Outgoing {
        let added = encode_forwarded(properties);
        let all = if self.properties.is_empty() {
            added
        } else {
            Bytes::from([self.properties.as_ref(), added.as_ref()].concat())
        };
        Outgoing { properties: all, ..self }
    }

    /// Adds a user property. MQTT 5.
    #[must_use]
    pub fn user_property(self, name: &str, value: &str) -> Outgoing {
        self.properties([Property::UserProperty(name, value)])
    }

    /// The packet, with the identifier that it is sent with.
    #[must_use]
    pub fn to_packet(&self, packet_id: Option<PacketId>) -> Publish<'_> {
        Publish {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id,
            properties: PublishProperties {
                message_expiry: self.message_expiry,
                topic_alias: self.topic_alias,
                subscription_ids: Vec::new(),
                forwarded: Cow::Borrowed(&self.properties),
            },
            payload: &self.payload,
        }
    }
}

impl From<Outgoing> for Will {
    /// A will without delay. DUP, packet identifier and topic alias mean nothing in a will.
    fn from(message: Outgoing) -> Will {
        Will {
            qos: message.qos,
            retain: message.retain,
            topic: message.topic,
            payload: message.payload,
            delay: 0,
            message_expiry: message.message_expiry,
            forwarded: message.properties,
        }
    }
}
