//! What is wrong with a packet, and the limits of decoding. Not here: what is done about it; the caller closes
//! the connection and sends the reason code where the version has a packet for it.

use crate::reason_code::ReasonCode;
use std::fmt;

/// Why a packet was refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// What MQTT 5 answers with, in DISCONNECT or CONNACK (section 4.13). 3.1 and 3.1.1 only close.
    pub reason: ReasonCode,
    /// The normative statement that was broken, as `MQTT-1.5.5-1`; empty where the standard numbers none.
    pub clause: &'static str,
    /// One clause of plain words: "the topic name holds a wildcard".
    pub what: &'static str,
}

impl DecodeError {
    #[cold]
    pub(crate) const fn new(reason: ReasonCode, clause: &'static str, what: &'static str) -> DecodeError {
        DecodeError { reason, clause, what }
    }

    /// The packet cannot be parsed according to the standard: 0x81.
    #[cold]
    pub(crate) const fn malformed(clause: &'static str, what: &'static str) -> DecodeError {
        DecodeError::new(ReasonCode::MalformedPacket, clause, what)
    }

    /// The packet can be parsed but holds what the standard forbids: 0x82.
    #[cold]
    pub(crate) const fn protocol(clause: &'static str, what: &'static str) -> DecodeError {
        DecodeError::new(ReasonCode::ProtocolError, clause, what)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.what)?;
        if self.clause.is_empty() { Ok(()) } else { write!(f, " [{}]", self.clause) }
    }
}

impl std::error::Error for DecodeError {}

/// What one packet may make the decoder do or allocate, beyond its size.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct DecodeLimits {
    /// User properties in one packet, the will's included.
    pub user_properties: usize,
}

impl Default for DecodeLimits {
    /// 64 user properties: far more than applications use, and far fewer than the hundred thousands that a
    /// packet of 1 MiB could make the broker copy for each subscriber.
    fn default() -> Self {
        DecodeLimits { user_properties: 64 }
    }
}
