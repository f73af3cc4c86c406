//! MQTT 3.1, 3.1.1 and 5.0 packets: decoded from byte slices, encoded into buffers.
//!
//! A connection's bytes are cut into [`Frame`]s by [`next_frame`], and a frame becomes a [`Packet`] by
//! [`decode`] (or, on the data path, a [`Publish`] by [`Publish::decode`], which borrows everything). Both
//! directions are here, so that the broker and the client share one reading of the standards.
//!
//! Decoding is strict: whatever MQTT 3.1.1 or 5.0 calls malformed or forbidden *within one packet* is a
//! [`DecodeError`], which says in words what is wrong, with which reason code MQTT 5 answers it, and which
//! normative statement was broken. Where MQTT 3.1 is looser, the module `v31` holds the difference.
//!
//! Deliberately absent: sockets, clocks, buffers that grow by themselves, and every rule that needs more than
//! the one packet to be judged (who may send it, whether a topic filter is well formed, whether a packet
//! identifier is in use). Those belong to the crates `topic` and `session`.
//!
//! ```
//! use aldis_packet::{DecodeLimits, Framed, Packet, ProtocolVersion, decode, next_frame};
//!
//! let received = b"\x30\x07\x00\x03a/b21\xC0\x00";
//! let Framed::Whole { frame, size } = next_frame(received, 1 << 20)? else { panic!("incomplete") };
//! let packet = decode(&frame, ProtocolVersion::V311, &DecodeLimits::default())?;
//! assert_eq!(packet.to_string(), r#"PUBLISH "a/b" q0, 2 bytes"#);
//! assert!(matches!(next_frame(&received[size..], 1 << 20)?, Framed::Whole { .. }));
//! # Ok::<(), aldis_packet::DecodeError>(())
//! ```

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod display;
mod error;
mod forwarded;
mod frame;
mod packet;
mod packet_id;
mod packet_type;
mod properties;
mod property;
mod publish;
mod publish_head;
mod qos;
mod reader;
mod reason_code;
mod suback;
mod subscribe;
mod unsubscribe;
mod v31;
mod version;
mod will;
mod writer;

pub use ack::{Ack, AckKind, encode_ack};
pub use auth::Auth;
pub use connack::{Connack, ConnackProperties};
pub use connect::{Connect, ConnectError, ConnectProperties};
pub use disconnect::Disconnect;
pub use display::Quoted;
pub use error::{DecodeError, DecodeLimits};
pub use forwarded::{ForwardedProperties, encode_forwarded, forwarded_properties};
pub use frame::{Frame, Framed, next_frame};
pub use packet::{Packet, decode, encode_pingreq, encode_pingresp};
pub use packet_id::PacketId;
pub use packet_type::PacketType;
pub use property::Property;
pub use publish::{Publish, PublishProperties};
pub use publish_head::PublishHead;
pub use qos::QoS;
pub use reason_code::ReasonCode;
pub use suback::{Suback, Unsuback};
pub use subscribe::{RetainHandling, Subscribe, SubscriptionOptions};
pub use unsubscribe::Unsubscribe;
pub use version::ProtocolVersion;
pub use will::Will;
pub use writer::packet_size;
