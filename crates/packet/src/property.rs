//! One property of MQTT 5 (2.2.2.2): its identifier, its value, its bytes. Not here: which packet may carry it
//! and how often (`properties`).

use crate::error::DecodeError;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::writer::{put_binary, put_text, put_u16, put_u32, put_variable};

/// A property of MQTT 5, Table 2-4. Values are borrowed from the packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Property<'a> {
    /// 0: unspecified bytes, 1: the payload is UTF-8. PUBLISH, will.
    PayloadFormatIndicator(u8),
    /// Seconds. PUBLISH, will.
    MessageExpiryInterval(u32),
    /// PUBLISH, will.
    ContentType(&'a str),
    /// A topic name. PUBLISH, will.
    ResponseTopic(&'a str),
    /// PUBLISH, will.
    CorrelationData(&'a [u8]),
    /// 1 to 268,435,455. PUBLISH, SUBSCRIBE.
    SubscriptionIdentifier(u32),
    /// Seconds; 0xFFFF_FFFF: never. CONNECT, CONNACK, DISCONNECT.
    SessionExpiryInterval(u32),
    /// CONNACK.
    AssignedClientIdentifier(&'a str),
    /// Seconds. CONNACK.
    ServerKeepAlive(u16),
    /// CONNECT, CONNACK, AUTH.
    AuthenticationMethod(&'a str),
    /// CONNECT, CONNACK, AUTH.
    AuthenticationData(&'a [u8]),
    /// CONNECT.
    RequestProblemInformation(bool),
    /// Seconds. Will.
    WillDelayInterval(u32),
    /// CONNECT.
    RequestResponseInformation(bool),
    /// CONNACK.
    ResponseInformation(&'a str),
    /// CONNACK, DISCONNECT.
    ServerReference(&'a str),
    /// All that carry a reason code.
    ReasonString(&'a str),
    /// At least 1. CONNECT, CONNACK.
    ReceiveMaximum(u16),
    /// CONNECT, CONNACK.
    TopicAliasMaximum(u16),
    /// At least 1. PUBLISH.
    TopicAlias(u16),
    /// 0 or 1. CONNACK.
    MaximumQoS(QoS),
    /// CONNACK.
    RetainAvailable(bool),
    /// All packets that have properties.
    UserProperty(&'a str, &'a str),
    /// Bytes, at least 1. CONNECT, CONNACK.
    MaximumPacketSize(u32),
    /// CONNACK.
    WildcardSubscriptionAvailable(bool),
    /// CONNACK.
    SubscriptionIdentifierAvailable(bool),
    /// CONNACK.
    SharedSubscriptionAvailable(bool),
}

impl<'a> Property<'a> {
    /// The identifier that stands before the value, 0x01 to 0x2A.
    #[must_use]
    pub fn id(&self) -> u8 {
        match self {
            Property::PayloadFormatIndicator(_) => 0x01,
            Property::MessageExpiryInterval(_) => 0x02,
            Property::ContentType(_) => 0x03,
            Property::ResponseTopic(_) => 0x08,
            Property::CorrelationData(_) => 0x09,
            Property::SubscriptionIdentifier(_) => 0x0B,
            Property::SessionExpiryInterval(_) => 0x11,
            Property::AssignedClientIdentifier(_) => 0x12,
            Property::ServerKeepAlive(_) => 0x13,
            Property::AuthenticationMethod(_) => 0x15,
            Property::AuthenticationData(_) => 0x16,
            Property::RequestProblemInformation(_) => 0x17,
            Property::WillDelayInterval(_) => 0x18,
            Property::RequestResponseInformation(_) => 0x19,
            Property::ResponseInformation(_) => 0x1A,
            Property::ServerReference(_) => 0x1C,
            Property::ReasonString(_) => 0x1F,
            Property::ReceiveMaximum(_) => 0x21,
            Property::TopicAliasMaximum(_) => 0x22,
            Property::TopicAlias(_) => 0x23,
            Property::MaximumQoS(_) => 0x24,
            Property::RetainAvailable(_) => 0x25,
            Property::UserProperty(..) => 0x26,
            Property::MaximumPacketSize(_) => 0x27,
            Property::WildcardSubscriptionAvailable(_) => 0x28,
            Property::SubscriptionIdentifierAvailable(_) => 0x29,
            Property::SharedSubscriptionAvailable(_) => 0x2A,
        }
    }

    /// The name in Table 2-4 of MQTT 5, in lower case: "content type".
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Property::PayloadFormatIndicator(_) => "payload format indicator",
            Property::MessageExpiryInterval(_) => "message expiry interval",
            Property::ContentType(_) => "content type",
            Property::ResponseTopic(_) => "response topic",
            Property::CorrelationData(_) => "correlation data",
            Property::SubscriptionIdentifier(_) => "subscription identifier",
            Property::SessionExpiryInterval(_) => "session expiry interval",
            Property::AssignedClientIdentifier(_) => "assigned client identifier",
            Property::ServerKeepAlive(_) => "server keep alive",
            Property::AuthenticationMethod(_) => "authentication method",
            Property::AuthenticationData(_) => "authentication data",
            Property::RequestProblemInformation(_) => "request problem information",
            Property::WillDelayInterval(_) => "will delay interval",
            Property::RequestResponseInformation(_) => "request response information",
            Property::ResponseInformation(_) => "response information",
            Property::ServerReference(_) => "server reference",
            Property::ReasonString(_) => "reason string",
            Property::ReceiveMaximum(_) => "receive maximum",
            Property::TopicAliasMaximum(_) => "topic alias maximum",
            Property::TopicAlias(_) => "topic alias",
            Property::MaximumQoS(_) => "maximum QoS",
            Property::RetainAvailable(_) => "retain available",
            Property::UserProperty(..) => "user property",
            Property::MaximumPacketSize(_) => "maximum packet size",
            Property::WildcardSubscriptionAvailable(_) => "wildcard subscription available",
            Property::SubscriptionIdentifierAvailable(_) => "subscription identifier available",
            Property::SharedSubscriptionAvailable(_) => "shared subscription available",
        }
    }

    /// Whether a server passes the property on unaltered with a message (3.3.2.3, 3.1.3.2).
    #[must_use]
    pub fn is_forwarded(&self) -> bool {
        matches!(
            self,
            Property::PayloadFormatIndicator(_)
                | Property::ContentType(_)
                | Property::ResponseTopic(_)
                | Property::CorrelationData(_)
                | Property::UserProperty(..)
        )
    }

    /// Appends identifier and value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.id());
        match *self {
            Property::PayloadFormatIndicator(value) => out.push(value),
            Property::MaximumQoS(qos) => out.push(qos.value()),
            Property::RequestProblemInformation(value)
            | Property::RequestResponseInformation(value)
            | Property::RetainAvailable(value)
            | Property::WildcardSubscriptionAvailable(value)
            | Property::SubscriptionIdentifierAvailable(value)
            | Property::SharedSubscriptionAvailable(value) => out.push(u8::from(value)),
            Property::ServerKeepAlive(value)
            | Property::ReceiveMaximum(value)
            | Property::TopicAliasMaximum(value)
            | Property::TopicAlias(value) => put_u16(value, out),
            Property::MessageExpiryInterval(value)
            | Property::SessionExpiryInterval(value)
            | Property::WillDelayInterval(value)
            | Property::MaximumPacketSize(value) => put_u32(value, out),
            Property::SubscriptionIdentifier(value) => put_variable(value as usize, out),
            Property::ContentType(text)
            | Property::ResponseTopic(text)
            | Property::AssignedClientIdentifier(text)
            | Property::AuthenticationMethod(text)
            | Property::ResponseInformation(text)
            | Property::ServerReference(text)
            | Property::ReasonString(text) => put_text(text, out),
            Property::CorrelationData(bytes) | Property::AuthenticationData(bytes) => put_binary(bytes, out),
            Property::UserProperty(name, value) => {
                put_text(name, out);
                put_text(value, out);
            }
        }
    }

    /// Reads the value that follows the identifier `id`, and checks that it is in range.
    pub(crate) fn read_value(id: u8, reader: &mut Reader<'a>) -> Result<Property<'a>, DecodeError> {
        Ok(match id {
            0x01 => Property::PayloadFormatIndicator(u8::from(boolean(
                reader,
                "the payload format indicator is neither 0 nor 1",
            )?)),
            0x02 => Property::MessageExpiryInterval(reader.four_byte_integer()?),
            0x03 => Property::ContentType(reader.text()?),
            0x08 => Property::ResponseTopic(response_topic(reader)?),
            0x09 => Property::CorrelationData(reader.binary()?),
            0x0B => Property::SubscriptionIdentifier(subscription_identifier(reader)?),
            0x11 => Property::SessionExpiryInterval(reader.four_byte_integer()?),
            0x12 => Property::AssignedClientIdentifier(reader.text()?),
            0x13 => Property::ServerKeepAlive(reader.two_byte_integer()?),
            0x15 => Property::AuthenticationMethod(reader.text()?),
            0x16 => Property::AuthenticationData(reader.binary()?),
            0x17 => Property::RequestProblemInformation(boolean(
                reader,
                "the request problem information is neither 0 nor 1",
            )?),
            0x18 => Property::WillDelayInterval(reader.four_byte_integer()?),
            0x19 => Property::RequestResponseInformation(boolean(
                reader,
                "the request response information is neither 0 nor 1",
            )?),
            0x1A => Property::ResponseInformation(reader.text()?),
            0x1C => Property::ServerReference(reader.text()?),
            0x1F => Property::ReasonString(reader.text()?),
            0x21 => {
                Property::ReceiveMaximum(at_least_1(reader.two_byte_integer()?, "the receive maximum is 0")?)
            }
            0x22 => Property::TopicAliasMaximum(reader.two_byte_integer()?),
            0x23 => Property::TopicAlias(topic_alias(reader)?),
            0x24 => Property::MaximumQoS(match reader.byte()? {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => return Err(DecodeError::protocol("", "the maximum QoS is neither 0 nor 1")),
            }),
            0x25 => {
                Property::RetainAvailable(boolean(reader, "the retain available flag is neither 0 nor 1")?)
            }
            0x26 => Property::UserProperty(reader.text()?, reader.text()?),
            0x27 => Property::MaximumPacketSize(at_least_1(
                reader.four_byte_integer()?,
                "the maximum packet size is 0",
            )?),
            0x28 => Property::WildcardSubscriptionAvailable(boolean(
                reader,
                "the wildcard subscription available flag is neither 0 nor 1",
            )?),
            0x29 => Property::SubscriptionIdentifierAvailable(boolean(
                reader,
                "the subscription identifier available flag is neither 0 nor 1",
            )?),
            0x2A => Property::SharedSubscriptionAvailable(boolean(
                reader,
                "the shared subscription available flag is neither 0 nor 1",
            )?),
            _ => return Err(DecodeError::malformed("", "a property has an identifier that does not exist")),
        })
    }
}

fn boolean(reader: &mut Reader<'_>, what: &'static str) -> Result<bool, DecodeError> {
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::protocol("", what)),
    }
}

fn at_least_1<T: Default + PartialEq>(value: T, what: &'static str) -> Result<T, DecodeError> {
    if value == T::default() { Err(DecodeError::protocol("", what)) } else { Ok(value) }
}

/// 1 to 268,435,455, which is also all that the encoding can hold (3.8.2.1.2).
fn subscription_identifier(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    at_least_1(reader.variable_byte_integer()?, "a subscription identifier is 0")
}

fn topic_alias(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    match reader.two_byte_integer()? {
        0 => Err(DecodeError::new(ReasonCode::TopicAliasInvalid, "MQTT-3.3.2-8", "the topic alias is 0")),
        alias => Ok(alias),
    }
}

/// A response topic is a topic name: not empty, and without wildcards.
fn response_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let topic = reader.text()?;
    if topic.is_empty() {
        Err(DecodeError::protocol("MQTT-4.7.3-1", "the response topic is empty"))
    } else if topic.bytes().any(|byte| matches!(byte, b'+' | b'#')) {
        Err(DecodeError::protocol("MQTT-3.3.2-14", "the response topic holds a wildcard"))
    } else {
        Ok(topic)
    }
}
