//! The properties of MQTT 5 (2.2.2.2): identifiers, kinds of values, which packet may carry which.

/// Payload Format Indicator, a byte.
pub const PAYLOAD_FORMAT: u8 = 0x01;
/// Message Expiry Interval, seconds.
pub const MESSAGE_EXPIRY: u8 = 0x02;
/// Content Type, text.
pub const CONTENT_TYPE: u8 = 0x03;
/// Response Topic, text.
pub const RESPONSE_TOPIC: u8 = 0x08;
/// Correlation Data, binary.
pub const CORRELATION_DATA: u8 = 0x09;
/// Subscription Identifier, 1 to 268,435,455.
pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
/// Session Expiry Interval, seconds.
pub const SESSION_EXPIRY: u8 = 0x11;
/// Assigned Client Identifier, text.
pub const ASSIGNED_CLIENT_ID: u8 = 0x12;
/// Server Keep Alive, seconds.
pub const SERVER_KEEP_ALIVE: u8 = 0x13;
/// Authentication Method, text.
pub const AUTHENTICATION_METHOD: u8 = 0x15;
/// Authentication Data, binary.
pub const AUTHENTICATION_DATA: u8 = 0x16;
/// Request Problem Information, 0 or 1.
pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
/// Will Delay Interval, seconds.
pub const WILL_DELAY: u8 = 0x18;
/// Request Response Information, 0 or 1.
pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
/// Response Information, text.
pub const RESPONSE_INFORMATION: u8 = 0x1A;
/// Server Reference, text.
pub const SERVER_REFERENCE: u8 = 0x1C;
/// Reason String, text.
pub const REASON_STRING: u8 = 0x1F;
/// Receive Maximum, at least 1.
pub const RECEIVE_MAXIMUM: u8 = 0x21;
/// Topic Alias Maximum.
pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
/// Topic Alias, at least 1.
pub const TOPIC_ALIAS: u8 = 0x23;
/// Maximum QoS, 0 or 1.
pub const MAXIMUM_QOS: u8 = 0x24;
/// Retain Available, 0 or 1.
pub const RETAIN_AVAILABLE: u8 = 0x25;
/// User Property, a pair of texts.
pub const USER_PROPERTY: u8 = 0x26;
/// Maximum Packet Size, at least 1.
pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
/// Wildcard Subscription Available, 0 or 1.
pub const WILDCARD_AVAILABLE: u8 = 0x28;
/// Subscription Identifiers Available, 0 or 1.
pub const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
/// Shared Subscription Available, 0 or 1.
pub const SHARED_AVAILABLE: u8 = 0x2A;

/// One property in a packet. Any identifier may carry any kind of value: tests send what is forbidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Its identifier, one of the constants here or none of them.
    pub id: u8,
    /// What follows the identifier.
    pub value: Value,
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One byte.
    Byte(u8),
    /// Two bytes, big end first.
    Two(u16),
    /// Four bytes, big end first.
    Four(u32),
    /// A variable byte integer.
    Variable(u32),
    /// A string, which should be UTF-8.
    Text(Vec<u8>),
    /// Binary data.
    Binary(Vec<u8>),
    /// Two strings.
    Pair(Vec<u8>, Vec<u8>),
}

/// What kind of value an identifier takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Value::Byte`].
    Byte,
    /// [`Value::Two`].
    Two,
    /// [`Value::Four`].
    Four,
    /// [`Value::Variable`].
    Variable,
    /// [`Value::Text`].
    Text,
    /// [`Value::Binary`].
    Binary,
    /// [`Value::Pair`].
    Pair,
}

/// Where properties stand. The will of a CONNECT has a set of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the packet of that name")]
pub enum Holder {
    Connect,
    Will,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Disconnect,
    Auth,
}

/// What the standard says of one property, Table 2-4.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its identifier.
    pub id: u8,
    /// Its name in the standard.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// The packets that may carry it.
    pub holders: &'static [Holder],
    /// Values a number may not have: outside of these bounds, both included.
    pub bounds: Option<(u32, u32)>,
}

use Holder::*;

const fn rule(id: u8, name: &'static str, kind: Kind, holders: &'static [Holder]) -> Rule {
    Rule { id, name, kind, holders, bounds: None }
}

const fn bounded(
    id: u8,
    name: &'static str,
    kind: Kind,
    holders: &'static [Holder],
    from: u32,
    to: u32,
) -> Rule {
    Rule { id, name, kind, holders, bounds: Some((from, to)) }
}

/// All properties there are.
pub const RULES: [Rule; 27] = [
    bounded(PAYLOAD_FORMAT, "Payload Format Indicator", Kind::Byte, &[Publish, Will], 0, 1),
    rule(MESSAGE_EXPIRY, "Message Expiry Interval", Kind::Four, &[Publish, Will]),
    rule(CONTENT_TYPE, "Content Type", Kind::Text, &[Publish, Will]),
    rule(RESPONSE_TOPIC, "Response Topic", Kind::Text, &[Publish, Will]),
    rule(CORRELATION_DATA, "Correlation Data", Kind::Binary, &[Publish, Will]),
    bounded(
        SUBSCRIPTION_IDENTIFIER,
        "Subscription Identifier",
        Kind::Variable,
        &[Publish, Subscribe],
        1,
        268_435_455,
    ),
    rule(SESSION_EXPIRY, "Session Expiry Interval", Kind::Four, &[Connect, Connack, Disconnect]),
    rule(ASSIGNED_CLIENT_ID, "Assigned Client Identifier", Kind::Text, &[Connack]),
    rule(SERVER_KEEP_ALIVE, "Server Keep Alive", Kind::Two, &[Connack]),
    rule(AUTHENTICATION_METHOD, "Authentication Method", Kind::Text, &[Connect, Connack, Auth]),
    rule(AUTHENTICATION_DATA, "Authentication Data", Kind::Binary, &[Connect, Connack, Auth]),
    bounded(REQUEST_PROBLEM_INFORMATION, "Request Problem Information", Kind::Byte, &[Connect], 0, 1),
    rule(WILL_DELAY, "Will Delay Interval", Kind::Four, &[Will]),
    bounded(REQUEST_RESPONSE_INFORMATION, "Request Response Information", Kind::Byte, &[Connect], 0, 1),
    rule(RESPONSE_INFORMATION, "Response Information", Kind::Text, &[Connack]),
    rule(SERVER_REFERENCE, "Server Reference", Kind::Text, &[Connack, Disconnect]),
    rule(
        REASON_STRING,
        "Reason String",
        Kind::Text,
        &[Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth],
    ),
    bounded(RECEIVE_MAXIMUM, "Receive Maximum", Kind::Two, &[Connect, Connack], 1, 65_535),
    rule(TOPIC_ALIAS_MAXIMUM, "Topic Alias Maximum", Kind::Two, &[Connect, Connack]),
    bounded(TOPIC_ALIAS, "Topic Alias", Kind::Two, &[Publish], 1, 65_535),
    bounded(MAXIMUM_QOS, "Maximum QoS", Kind::Byte, &[Connack], 0, 1),
    bounded(RETAIN_AVAILABLE, "Retain Available", Kind::Byte, &[Connack], 0, 1),
    rule(
        USER_PROPERTY,
        "User Property",
        Kind::Pair,
        &[
            Connect,
            Will,
            Connack,
            Publish,
            Puback,
            Pubrec,
            Pubrel,
            Pubcomp,
            Subscribe,
            Suback,
            Unsubscribe,
            Unsuback,
            Disconnect,
            Auth,
        ],
    ),
    bounded(MAXIMUM_PACKET_SIZE, "Maximum Packet Size", Kind::Four, &[Connect, Connack], 1, u32::MAX),
    bounded(WILDCARD_AVAILABLE, "Wildcard Subscription Available", Kind::Byte, &[Connack], 0, 1),
    bounded(
        SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
        "Subscription Identifier Available",
        Kind::Byte,
        &[Connack],
        0,
        1,
    ),
    bounded(SHARED_AVAILABLE, "Shared Subscription Available", Kind::Byte, &[Connack], 0, 1),
];

/// What the standard says of this identifier; none for one it does not know.
#[must_use]
pub fn rule_of(id: u8) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

impl Rule {
    /// Whether that packet may carry the property.
    #[must_use]
    pub fn may_stand_in(&self, holder: Holder) -> bool {
        self.holders.contains(&holder)
    }

    /// Whether it may stand more than once. A subscription identifier may in what a broker sends.
    #[must_use]
    pub fn may_repeat(&self, from_broker: bool) -> bool {
        self.id == USER_PROPERTY || (self.id == SUBSCRIPTION_IDENTIFIER && from_broker)
    }
}

impl Property {
    /// A number as one byte.
    #[must_use]
    pub fn byte(id: u8, value: u8) -> Self {
        Self { id, value: Value::Byte(value) }
    }

    /// A number as two bytes.
    #[must_use]
    pub fn two(id: u8, value: u16) -> Self {
        Self { id, value: Value::Two(value) }
    }

    /// A number as four bytes.
    #[must_use]
    pub fn four(id: u8, value: u32) -> Self {
        Self { id, value: Value::Four(value) }
    }

    /// A variable byte integer.
    #[must_use]
    pub fn variable(id: u8, value: u32) -> Self {
        Self { id, value: Value::Variable(value) }
    }

    /// A string.
    #[must_use]
    pub fn text(id: u8, value: impl AsRef<[u8]>) -> Self {
        Self { id, value: Value::Text(value.as_ref().to_vec()) }
    }

    /// Binary data.
    #[must_use]
    pub fn binary(id: u8, value: impl AsRef<[u8]>) -> Self {
        Self { id, value: Value::Binary(value.as_ref().to_vec()) }
    }

    /// A user property.
    #[must_use]
    pub fn user(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self { id: USER_PROPERTY, value: Value::Pair(name.as_ref().to_vec(), value.as_ref().to_vec()) }
    }

    /// Its number, if its value is one.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        match self.value {
            Value::Byte(value) => Some(u32::from(value)),
            Value::Two(value) => Some(u32::from(value)),
            Value::Four(value) | Value::Variable(value) => Some(value),
            _ => None,
        }
    }

    /// Its bytes, if its value is a string or binary data.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.value {
            Value::Text(value) | Value::Binary(value) => Some(value),
            _ => None,
        }
    }
}

/// Looking a property up in a list of them.
pub trait Properties {
    /// The first with that identifier.
    fn find(&self, id: u8) -> Option<&Property>;
    /// The number of the first with that identifier.
    fn number(&self, id: u8) -> Option<u32> {
        self.find(id).and_then(Property::number)
    }
    /// The string or the binary data of the first with that identifier.
    fn bytes(&self, id: u8) -> Option<&[u8]> {
        self.find(id).and_then(Property::bytes)
    }
    /// All user properties, in order.
    fn user(&self) -> Vec<(Vec<u8>, Vec<u8>)>;
    /// All subscription identifiers, in order.
    fn subscription_identifiers(&self) -> Vec<u32>;
}

impl Properties for [Property] {
    fn find(&self, id: u8) -> Option<&Property> {
        self.iter().find(|property| property.id == id)
    }

    fn user(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.iter()
            .filter_map(|property| match &property.value {
                Value::Pair(name, value) if property.id == USER_PROPERTY => {
                    Some((name.clone(), value.clone()))
                }
                _ => None,
            })
            .collect()
    }

    fn subscription_identifiers(&self) -> Vec<u32> {
        self.iter()
            .filter(|property| property.id == SUBSCRIPTION_IDENTIFIER)
            .filter_map(Property::number)
            .collect()
    }
}
