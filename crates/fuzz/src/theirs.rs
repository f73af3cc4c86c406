//! The same packet by the crate `mqtt-proto`, as a [`Reading`]: the three versions, in both directions, written
//! by others and without a line in common with ours.
//!
//! Chosen over others on the registry: `mqtt-protocol-core` is stricter, but has no MQTT 3.1 and brings forty
//! crates of macros; `rumqttc` reads leniently what a client never sees (flags, most identifiers); the codecs
//! of servers bring their runtimes.

mod v3;
mod v5;

use crate::reading::Reading;
use mqtt_proto::v5::{ErrorV5, UserProperty};
use mqtt_proto::{Error, PollHeader};

/// Why it refuses a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// What the crate says.
    Error(ErrorV5),
    /// It read the packet and had bytes left, which it leaves to its caller to notice.
    BytesLeft,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Error(ErrorV5::Common(error))
    }
}

impl From<ErrorV5> for Refusal {
    fn from(error: ErrorV5) -> Refusal {
        Refusal::Error(error)
    }
}

/// Reads a packet of MQTT 5, or of 3.1 and 3.1.1, which are one to the crate.
///
/// # Errors
/// The crate refuses it.
pub fn read(first: u8, body: &[u8], is_v5: bool) -> Result<Reading, Refusal> {
    if first >> 4 == 1 {
        // CONNECT brings its own version.
        return match whole::<mqtt_proto::v3::Header>(first, body) {
            Err(Refusal::Error(ErrorV5::Common(Error::UnexpectedProtocol(_)))) => {
                whole::<mqtt_proto::v5::Header>(first, body).map(|packet| v5::fields(&packet))
            }
            outcome => outcome.map(|packet| v3::fields(&packet)),
        };
    }
    if is_v5 {
        whole::<mqtt_proto::v5::Header>(first, body).map(|packet| v5::fields(&packet))
    } else {
        whole::<mqtt_proto::v3::Header>(first, body).map(|packet| v3::fields(&packet))
    }
}

fn whole<H: PollHeader>(first: u8, body: &[u8]) -> Result<H::Packet, Refusal>
where
    Refusal: From<H::Error>,
{
    let remaining = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let header = H::new_with(first, remaining, remaining)?;
    let mut read = 0;
    let packet = match header.build_empty_packet() {
        Some(packet) => packet,
        None => header.decode_buffer(body, &mut read)?,
    };
    if read == body.len() { Ok(packet) } else { Err(Refusal::BytesLeft) }
}

fn pairs(mut reading: Reading, name: &'static str, pairs: &[UserProperty]) -> Reading {
    for property in pairs {
        reading = reading.pair(name, &property.name, &property.value);
    }
    reading
}
