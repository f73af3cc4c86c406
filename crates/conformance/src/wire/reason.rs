//! Reason codes of MQTT 5 (2.4), and which packet of a broker may carry which.

use super::property::Holder;

/// Success; granted QoS 0; normal disconnection.
pub const SUCCESS: u8 = 0x00;
/// DISCONNECT with will.
pub const WITH_WILL: u8 = 0x04;
/// Nobody has subscribed.
pub const NO_MATCHING_SUBSCRIBERS: u8 = 0x10;
/// There was no such subscription.
pub const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
/// AUTH: go on.
pub const CONTINUE_AUTHENTICATION: u8 = 0x18;
/// AUTH: begin again.
pub const RE_AUTHENTICATE: u8 = 0x19;
/// Unspecified error.
pub const UNSPECIFIED: u8 = 0x80;
/// Malformed packet.
pub const MALFORMED: u8 = 0x81;
/// Protocol error.
pub const PROTOCOL_ERROR: u8 = 0x82;
/// Unsupported protocol version.
pub const UNSUPPORTED_VERSION: u8 = 0x84;
/// Client identifier not valid.
pub const CLIENT_ID_NOT_VALID: u8 = 0x85;
/// Bad user name or password.
pub const BAD_USER_NAME_OR_PASSWORD: u8 = 0x86;
/// Not authorised.
pub const NOT_AUTHORISED: u8 = 0x87;
/// Bad authentication method.
pub const BAD_AUTHENTICATION_METHOD: u8 = 0x8C;
/// Keep alive timeout.
pub const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
/// Session taken over.
pub const SESSION_TAKEN_OVER: u8 = 0x8E;
/// Topic filter invalid.
pub const TOPIC_FILTER_INVALID: u8 = 0x8F;
/// Topic name invalid.
pub const TOPIC_NAME_INVALID: u8 = 0x90;
/// Packet identifier not found.
pub const PACKET_ID_NOT_FOUND: u8 = 0x92;
/// Receive Maximum exceeded.
pub const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
/// Topic alias invalid.
pub const TOPIC_ALIAS_INVALID: u8 = 0x94;
/// Packet too large.
pub const PACKET_TOO_LARGE: u8 = 0x95;
/// Quota exceeded.
pub const QUOTA_EXCEEDED: u8 = 0x97;
/// Payload format invalid.
pub const PAYLOAD_FORMAT_INVALID: u8 = 0x99;
/// Retain not supported.
pub const RETAIN_NOT_SUPPORTED: u8 = 0x9A;
/// QoS not supported.
pub const QOS_NOT_SUPPORTED: u8 = 0x9B;
/// Shared subscriptions not supported.
pub const SHARED_NOT_SUPPORTED: u8 = 0x9E;

const CONNACK: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
    0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
];
const PUBLISHED: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const RELEASED: &[u8] = &[0x00, 0x92];
const SUBACK: &[u8] = &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
const UNSUBACK: &[u8] = &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
/// Those of a server: 0x04 is a client's.
const DISCONNECT: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
    0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];
const AUTH: &[u8] = &[0x00, 0x18];

/// The codes that a broker may put into this packet of MQTT 5.
#[must_use]
pub fn of_broker(holder: Holder) -> &'static [u8] {
    match holder {
        Holder::Connack => CONNACK,
        Holder::Puback | Holder::Pubrec => PUBLISHED,
        Holder::Pubrel | Holder::Pubcomp => RELEASED,
        Holder::Suback => SUBACK,
        Holder::Unsuback => UNSUBACK,
        Holder::Disconnect => DISCONNECT,
        Holder::Auth => AUTH,
        _ => &[],
    }
}
