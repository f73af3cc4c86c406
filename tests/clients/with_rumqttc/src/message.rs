//! A message as the scenarios write it down and as it is recorded: everything MQTT says about one.
//!
//! The same in both versions of MQTT; in 3.1.1 the properties are empty. Does not know who received it.

use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::PublishProperties;

/// A message with all that is compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) properties: PublishProperties,
}

impl Message {
    /// Neither retained nor a duplicate, and without properties.
    pub(crate) fn new(topic: &str, payload: impl Into<Bytes>, qos: u8) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.into(),
            qos,
            retain: false,
            dup: false,
            properties: PublishProperties::default(),
        }
    }

    /// A text as the payload.
    pub(crate) fn text(topic: &str, payload: &str, qos: u8) -> Self {
        Self::new(topic, payload.as_bytes().to_vec(), qos)
    }

    /// The same with RETAIN.
    pub(crate) fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// The same without RETAIN: as it is delivered to those who had subscribed already.
    pub(crate) fn live(self) -> Self {
        Self { retain: false, ..self }
    }

    /// The same with these properties.
    pub(crate) fn with(self, properties: PublishProperties) -> Self {
        Self { properties, ..self }
    }

    /// The same with another QoS.
    pub(crate) fn at(self, qos: u8) -> Self {
        Self { qos, ..self }
    }

    /// Orders messages where the order among topics is the broker's own: a retained replay.
    pub(crate) fn key(&self) -> (String, Bytes, u8) {
        (self.topic.clone(), self.payload.clone(), self.qos)
    }
}

/// `count` messages on one topic, numbered from 0.
pub(crate) fn numbered(topic: &str, count: u32, qos: u8) -> Vec<Message> {
    (0..count).map(|number| Message::text(topic, &format!("{number:04}"), qos)).collect()
}
