//! MQTT on the wire, written for this suite alone.
//!
//! Nothing of the broker's own code is used: an error that both sides share would never show. Encoding
//! refuses nothing, because a test has to send what is forbidden; decoding what a broker sent refuses
//! everything that the standard forbids it to send.

mod decode;
mod encode;
mod packet;
pub mod property;
pub mod reason;

pub use decode::{Malformed, decode_from_broker, take_frame};
pub use encode::{binary, frame, properties, text, variable};
pub use packet::{
    Ack, Auth, Connack, Connect, Disconnect, Packet, Publish, Suback, Subscribe, Subscription, Unsuback,
    Unsubscribe, Will,
};
pub use property::{Property, Value};

/// First byte of the packets whose flags are fixed.
pub mod first {
    /// CONNECT.
    pub const CONNECT: u8 = 0x10;
    /// CONNACK.
    pub const CONNACK: u8 = 0x20;
    /// PUBLISH with no flag set: QoS 0.
    pub const PUBLISH: u8 = 0x30;
    /// PUBACK.
    pub const PUBACK: u8 = 0x40;
    /// PUBREC.
    pub const PUBREC: u8 = 0x50;
    /// PUBREL with its flags 0010.
    pub const PUBREL: u8 = 0x62;
    /// PUBCOMP.
    pub const PUBCOMP: u8 = 0x70;
    /// SUBSCRIBE with its flags 0010.
    pub const SUBSCRIBE: u8 = 0x82;
    /// SUBACK.
    pub const SUBACK: u8 = 0x90;
    /// UNSUBSCRIBE with its flags 0010.
    pub const UNSUBSCRIBE: u8 = 0xA2;
    /// UNSUBACK.
    pub const UNSUBACK: u8 = 0xB0;
    /// PINGREQ.
    pub const PINGREQ: u8 = 0xC0;
    /// PINGRESP.
    pub const PINGRESP: u8 = 0xD0;
    /// DISCONNECT.
    pub const DISCONNECT: u8 = 0xE0;
    /// AUTH.
    pub const AUTH: u8 = 0xF0;
}

/// A version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1: protocol name `MQIsdp`, level 3.
    V31,
    /// MQTT 3.1.1: level 4.
    V311,
    /// MQTT 5.0: level 5.
    V5,
}

impl Version {
    /// All three, oldest first.
    pub const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];

    /// As people write it, and as `--version` takes it: `3.1`, `3.1.1`, `5`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Version::V31 => "3.1",
            Version::V311 => "3.1.1",
            Version::V5 => "5",
        }
    }

    /// The protocol name in CONNECT.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        if self == Version::V31 { "MQIsdp" } else { "MQTT" }
    }

    /// The protocol level in CONNECT.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Version::V31 => 3,
            Version::V311 => 4,
            Version::V5 => 5,
        }
    }

    /// Whether packets have properties and reason codes.
    #[must_use]
    pub fn is_5(self) -> bool {
        self == Version::V5
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
