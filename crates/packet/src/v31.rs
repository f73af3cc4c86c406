//! Where MQTT 3.1 is looser than 3.1.1, in one place. Not here: anything in which the two agree; 3.1 is then
//! decoded by the same code.
//!
//! What the text of "MQTT V3.1 Protocol Specification" allows and 3.1.1 forbids within one packet:
//!
//! | 3.1 | here |
//! |---|---|
//! | Only PUBLISH, PUBREL, SUBSCRIBE and UNSUBSCRIBE have a DUP flag and a QoS, and "redelivery" may set DUP; flags a packet does not use are ignored | [`ignores_reserved_flags`] |
//! | DUP "applies to messages where the value of QoS is greater than zero": in a QoS 0 PUBLISH it means nothing | [`ignores_dup_of_qos_0`] |
//! | Bit 0 of the connect flags is not used | [`ignores_reserved_connect_flag`] |
//! | Without the Will flag the Will QoS and Will Retain are disregarded | [`disregards_unused_will_settings`] |
//! | The Remaining Length takes precedence over the User Name and Password flags: a string may be missing at the end | [`string_may_be_missing`] |
//! | The upper six bits of a requested QoS are not used | [`ignores_upper_qos_bits`] |
//! | The first byte of CONNACK's variable header is not used: there is no session present | [`has_no_session_present`] |
//!
//! Where 3.1 is as strict: "It is not valid to supply a password without supplying a user name", QoS 3 is
//! reserved (in PUBLISH, SUBSCRIBE and a will), message identifier 0 is invalid, a PUBLISH has no wildcards in
//! its topic.
//!
//! Where 3.1 is silent, 3.1.1 is followed. So U+0000 is refused in every string: a topic or a will that
//! carried one would be passed on to clients of the later versions, which must close their connection when
//! they see it. Bytes behind the last field that a packet's flags announce are refused as well, and SUBACK may
//! carry the failure code 0x80, without which a 3.1 client could not be told of a refusal.

use crate::version::ProtocolVersion;

/// The flags of every packet but PUBLISH are ignored.
pub(crate) fn ignores_reserved_flags(version: ProtocolVersion) -> bool {
    version == ProtocolVersion::V31
}

/// DUP on a QoS 0 PUBLISH is ignored, not malformed.
pub(crate) fn ignores_dup_of_qos_0(version: ProtocolVersion) -> bool {
    version == ProtocolVersion::V31
}

/// Bit 0 of the connect flags is ignored.
pub(crate) fn ignores_reserved_connect_flag(version: ProtocolVersion) -> bool {
    version == ProtocolVersion::V31
}

/// Will QoS (3 too) and Will Retain are ignored when there is no will.
pub(crate) fn disregards_unused_will_settings(version: ProtocolVersion) -> bool {
    version == ProtocolVersion::V31
}

/// A user name or password that a flag announces may be absent, if the packet ends right before it.
pub(crate) fn string_may_be_missing(version: ProtocolVersion) -> bool {
    version == ProtocolVersion::V31
}

/// Of the byte with a requested QoS, only the lower two bits count.
pub(crate) fn ignores_upper_qos_bits(version: ProtocolVersion) -> bool {
    version == ProtocolVersion::V31
}

/// The first byte of CONNACK's variable header says nothing, and is written as 0.
pub(crate) fn has_no_session_present(version: ProtocolVersion) -> bool {
    version == ProtocolVersion::V31
}
