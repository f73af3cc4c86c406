//! Cuts a connection's bytes into packets by their fixed header. Not here: what the bytes of a packet mean,
//! the flags included, because MQTT 3.1 ignores flags that the later versions check.

use crate::error::DecodeError;
use crate::packet_type::PacketType;
use crate::reason_code::ReasonCode;

/// One packet: its type, its four flags, and what follows the fixed header.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// The upper four bits of the first byte.
    pub packet_type: PacketType,
    /// The lower four bits of the first byte, unchecked.
    pub flags: u8,
    /// Variable header and payload: exactly Remaining Length bytes.
    pub body: &'a [u8],
}

/// What the beginning of a buffer holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Framed<'a> {
    /// A whole packet.
    Whole {
        /// The packet.
        frame: Frame<'a>,
        /// Bytes of the whole packet, the fixed header included: where the next one begins.
        size: usize,
    },
    /// A packet that is still incomplete.
    Partial {
        /// Bytes of the whole packet, once its fixed header is there.
        size: Option<usize>,
    },
}

/// Looks at the first packet in `bytes`.
///
/// `maximum_packet_size` is in bytes and counts the fixed header, as MQTT 5 does (3.1.2.11.4).
///
/// # Errors
/// Packet Too Large as soon as the fixed header says so, without waiting for the rest. Malformed Packet for
/// packet type 0, for a Remaining Length of more than four bytes, and for one that uses more bytes than it
/// needs: MQTT 5 forbids that [MQTT-1.5.5-1], and no client of the older versions has a reason to send it.
#[inline]
pub fn next_frame(bytes: &[u8], maximum_packet_size: usize) -> Result<Framed<'_>, DecodeError> {
    let Some((&first, after_first)) = bytes.split_first() else {
        return Ok(Framed::Partial { size: None });
    };
    let Some(packet_type) = PacketType::from_u8(first >> 4) else {
        return Err(DecodeError::malformed("", "packet type 0 is reserved"));
    };
    let (remaining, header) = match *after_first {
        [length, ..] if length < 0x80 => (usize::from(length), 2),
        [low, high, ..] if (0x01..0x80).contains(&high) => {
            (usize::from(low & 0x7F) | usize::from(high) << 7, 3)
        }
        _ => match long_remaining_length(after_first)? {
            Some(found) => found,
            None => return Ok(Framed::Partial { size: None }),
        },
    };
    let size = header + remaining;
    if size > maximum_packet_size {
        return Err(DecodeError::new(ReasonCode::PacketTooLarge, "", "the packet is larger than allowed"));
    }
    match bytes.get(header..size) {
        Some(body) => Ok(Framed::Whole { frame: Frame { packet_type, flags: first & 0x0F, body }, size }),
        None => Ok(Framed::Partial { size: Some(size) }),
    }
}

/// A Remaining Length of any size: its value and the size of the whole fixed header. `None` while bytes of it
/// are missing.
#[inline(never)]
fn long_remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, DecodeError> {
    let mut value = 0_usize;
    for (position, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * position);
        if byte & 0x80 == 0 {
            if byte == 0 && position > 0 {
                return Err(DecodeError::malformed(
                    "MQTT-1.5.5-1",
                    "the remaining length uses more bytes than it needs",
                ));
            }
            return Ok(Some((value, position + 2)));
        }
    }
    if bytes.len() >= 4 {
        return Err(DecodeError::malformed("", "the remaining length has more than four bytes"));
    }
    Ok(None)
}
