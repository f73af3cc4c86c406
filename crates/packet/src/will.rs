//! The will that a CONNECT carries (3.1.2.5 and 3.1.3). Not here: when it is published (crate `broker`).

use crate::error::DecodeError;
use crate::forwarded::Collect;
use crate::properties::{Allowed, Properties, put_block};
use crate::property::Property;
use crate::publish::topic_name;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;
use crate::writer::{put_binary, put_text};
use bytes::Bytes;

/// A message that the server publishes when the connection ends without a proper DISCONNECT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Will {
    /// The quality of service it is published with.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// A topic name: not empty, without wildcards.
    pub topic: String,
    /// The application message, at most 65,535 bytes.
    pub payload: Bytes,
    /// Seconds between the end of the connection and the publication; 0 before MQTT 5.
    pub delay: u32,
    /// Seconds that the published message lives.
    pub message_expiry: Option<u32>,
    /// The properties that are published with the message, encoded, in the order received [MQTT-3.1.3-10]:
    /// payload format indicator, content type, response topic, correlation data, user properties.
    pub forwarded: Bytes,
}

impl Will {
    /// Reads will properties, topic and payload; `qos` and `retain` come from the connect flags. Takes the
    /// user properties it reads from `user_properties`, which is what the packet may still hold.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        qos: QoS,
        retain: bool,
        user_properties: usize,
    ) -> Result<Will, DecodeError> {
        let (mut delay, mut message_expiry, mut forwarded) = (0, None, Bytes::new());
        if reader.is_v5() {
            let mut block = Properties::open(reader, Allowed::WILL, user_properties)?;
            let mut collect = Collect::new(block.block());
            let mut begin = 0;
            while let Some(property) = block.next()? {
                let end = block.position();
                match property {
                    Property::WillDelayInterval(seconds) => delay = seconds,
                    Property::MessageExpiryInterval(seconds) => message_expiry = Some(seconds),
                    _ => collect.add(begin, end),
                }
                begin = end;
            }
            forwarded = Bytes::copy_from_slice(&collect.finish());
        }
        let wildcard_clause = reader.clause("MQTT-4.7.1-1", "MQTT-4.7.0-1");
        let topic = topic_name(reader.binary()?, reader.version, wildcard_clause)?;
        if topic.is_empty() {
            return Err(DecodeError::new(
                ReasonCode::TopicNameInvalid,
                "MQTT-4.7.3-1",
                "the will's topic name is empty",
            ));
        }
        let payload = Bytes::copy_from_slice(reader.binary()?);
        Ok(Will { qos, retain, topic: topic.to_owned(), payload, delay, message_expiry, forwarded })
    }

    /// Appends will properties, topic and payload.
    pub(crate) fn put(&self, version: ProtocolVersion, out: &mut Vec<u8>) {
        if version == ProtocolVersion::V5 {
            let mut block = Vec::new();
            if self.delay != 0 {
                Property::WillDelayInterval(self.delay).encode(&mut block);
            }
            if let Some(seconds) = self.message_expiry {
                Property::MessageExpiryInterval(seconds).encode(&mut block);
            }
            block.extend_from_slice(&self.forwarded);
            put_block(&block, out);
        }
        put_text(&self.topic, out);
        put_binary(&self.payload, out);
    }
}
