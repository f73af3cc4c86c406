//! What can go wrong, and whose fault it is. Not here: reason codes that a broker answers with in the course of
//! normal work (those of PUBACK, SUBACK and so on), which are results and no errors.

use crate::received::Received;
use aldis_packet::{Connack, DecodeError, Disconnect};
use std::{fmt, io};

/// Why an operation of the client failed.
#[derive(Debug)]
pub enum ClientError {
    /// The stream failed in another way than by being closed.
    Io(io::Error),
    /// The connection is closed: the stream ended between two packets, or it was reset.
    Closed,
    /// The stream ended inside a packet.
    Truncated,
    /// The broker sent what the standard, or what this client said in its CONNECT, does not allow. Everything
    /// that is received afterwards fails in the same way.
    Decode(DecodeError),
    /// The broker answered CONNECT with a CONNACK that holds an error.
    Refused(Box<Connack>),
    /// The broker sent DISCONNECT (only in MQTT 5) while an answer or a message was awaited.
    Disconnected(Box<Disconnect>),
    /// Another packet came first where the standard wants CONNACK [MQTT-3.2.0-1]. In MQTT 5 that can be AUTH,
    /// which is answered by hand: see [`Client::raw`](crate::Client::raw).
    Unexpected(Box<Received>),
    /// All 65,535 packet identifiers are in use.
    NoPacketIdLeft,
    /// While an answer was awaited, more came than the client keeps for later
    /// ([`MAXIMUM_KEPT`](crate::MAXIMUM_KEPT) bytes).
    TooMuchKept,
}

impl ClientError {
    /// Whether the connection is over because the other side closed it, in whichever way.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self, ClientError::Closed | ClientError::Truncated | ClientError::Disconnected(_))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Io(error) => error.fmt(f),
            ClientError::Closed => f.write_str("the connection is closed"),
            ClientError::Truncated => f.write_str("the connection was closed inside a packet"),
            ClientError::Decode(error) => write!(f, "the broker broke the protocol: {error}"),
            ClientError::Refused(connack) => {
                write!(f, "the broker refused the connection: {}", connack.reason)?;
                reason_string(connack.properties.reason_string.as_deref(), f)
            }
            ClientError::Disconnected(disconnect) => {
                write!(f, "the broker closed the connection: {}", disconnect.reason)?;
                reason_string(disconnect.reason_string.as_deref(), f)
            }
            ClientError::Unexpected(packet) => {
                write!(f, "the broker sent {} before CONNACK", packet.packet_type())
            }
            ClientError::NoPacketIdLeft => f.write_str("all packet identifiers are in use"),
            ClientError::TooMuchKept => f.write_str("too much was received while an answer was awaited"),
        }
    }
}

fn reason_string(words: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match words {
        Some(words) => write!(f, " ({})", words.escape_debug()),
        None => Ok(()),
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClientError::Io(error) => Some(error),
            ClientError::Decode(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for ClientError {
    /// A connection that the other side has closed is [`ClientError::Closed`], however the system calls it:
    /// which of these it says depends on what was under way.
    fn from(error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::WriteZero => ClientError::Closed,
            _ => ClientError::Io(error),
        }
    }
}

impl From<DecodeError> for ClientError {
    fn from(error: DecodeError) -> ClientError {
        ClientError::Decode(error)
    }
}
