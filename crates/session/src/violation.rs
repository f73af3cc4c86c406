//! What a client did wrong, and how its connection ends.

use aldis_packet::{DecodeError, ReasonCode};
use std::fmt;

/// A packet that the standard forbids, or a limit of this broker that it runs into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// What an MQTT 5 client is told.
    pub reason: ReasonCode,
    /// Identifier of the statement that is broken, or empty.
    pub clause: &'static str,
    /// The same in plain words.
    pub what: &'static str,
}

impl Violation {
    /// A violation of `clause` (may be empty), told with `reason`.
    pub fn new(reason: ReasonCode, clause: &'static str, what: &'static str) -> Violation {
        Violation { reason, clause, what }
    }
}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Violation {
        Violation { reason: error.reason, clause: error.clause, what: error.what }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if self.clause.is_empty() { Ok(()) } else { write!(f, " [{}]", self.clause) }
    }
}

impl std::error::Error for Violation {}

/// How a connection ended; decides what happens to its will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// DISCONNECT came. `will` says whether the will is to be sent all the same (reason 0x04).
    Disconnected {
        /// Whether the will is sent.
        will: bool,
        /// A new session expiry interval, in seconds.
        session_expiry: Option<u32>,
        /// The reason code that the client gave.
        reason: ReasonCode,
    },
    /// The connection was closed or failed without a DISCONNECT.
    Lost,
    /// The broker ends it, with this reason.
    Closed(Farewell),
}

/// A DISCONNECT that the broker sends: its reason code, and why in the words of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell {
    /// Reason code of the DISCONNECT.
    pub reason: ReasonCode,
    /// Why, for the log and the reason string.
    pub why: Violation,
}

impl Farewell {
    /// A farewell without a broken statement behind it.
    pub fn new(reason: ReasonCode, what: &'static str) -> Farewell {
        Farewell { reason, why: Violation::new(reason, "", what) }
    }
}

impl From<Violation> for Farewell {
    fn from(why: Violation) -> Farewell {
        Farewell { reason: why.reason, why }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Disconnected { reason, .. } if *reason == ReasonCode::Success => {
                f.write_str("the client disconnected")
            }
            Ending::Disconnected { reason, .. } => write!(f, "the client disconnected: {reason}"),
            Ending::Lost => f.write_str("the connection was lost"),
            Ending::Closed(farewell) => write!(f, "{}", farewell.why),
        }
    }
}
