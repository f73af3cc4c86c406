//! Reads the data types of MQTT (section 1.5) from a packet's bytes, front to back. Not here: properties, and
//! what a value means.

use crate::error::DecodeError;
use crate::packet_id::PacketId;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;

const TOO_SHORT: DecodeError = DecodeError::malformed("", "the packet ends in the middle of a field");

/// What is left to read of a packet, and the version whose clauses an error names.
#[derive(Copy, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    pub(crate) version: ProtocolVersion,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8], version: ProtocolVersion) -> Reader<'a> {
        Reader { rest: bytes, version }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_v5(&self) -> bool {
        self.version == ProtocolVersion::V5
    }

    /// The clause of this version, where 3.1.1 and 5.0 number the same rule differently.
    pub(crate) fn clause(&self, v311: &'static str, v5: &'static str) -> &'static str {
        if self.is_v5() { v5 } else { v311 }
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(TOO_SHORT);
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let Some((&byte, rest)) = self.rest.split_first() else {
            return Err(TOO_SHORT);
        };
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn two_byte_integer(&mut self) -> Result<u16, DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<2>() else {
            return Err(TOO_SHORT);
        };
        self.rest = rest;
        Ok(u16::from_be_bytes(*bytes))
    }

    pub(crate) fn four_byte_integer(&mut self) -> Result<u32, DecodeError> {
        let Some((bytes, rest)) = self.rest.split_first_chunk::<4>() else {
            return Err(TOO_SHORT);
        };
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// At most four bytes, seven bits each, least significant first, in the shortest form [MQTT-1.5.5-1].
    #[inline]
    pub(crate) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        let mut value = u32::from(first & 0x7F);
        for shift in [7, 14, 21] {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte == 0 {
                return Err(DecodeError::malformed(
                    "MQTT-1.5.5-1",
                    "a variable byte integer uses more bytes than it needs",
                ));
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::malformed("", "a variable byte integer has more than four bytes"))
    }

    /// Binary data: two bytes of length, then as many bytes (1.5.6 of MQTT 5).
    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.two_byte_integer()?;
        self.take(usize::from(length))
    }

    /// A UTF-8 encoded string (1.5.3 of 3.1.1, 1.5.4 of 5.0).
    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = self.utf8(bytes)?;
        if bytes.contains(&0) { Err(self.null_character()) } else { Ok(text) }
    }

    /// Well-formed UTF-8, without a look for U+0000. A byte order mark stays where it is [MQTT-1.5.4-3].
    #[inline]
    pub(crate) fn utf8(&self, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(_) => Err(self.not_utf8()),
        }
    }

    #[cold]
    pub(crate) fn not_utf8(&self) -> DecodeError {
        DecodeError::malformed(
            self.clause("MQTT-1.5.3-1", "MQTT-1.5.4-1"),
            "a string is not well-formed UTF-8",
        )
    }

    #[cold]
    pub(crate) fn null_character(&self) -> DecodeError {
        DecodeError::malformed(
            self.clause("MQTT-1.5.3-2", "MQTT-1.5.4-2"),
            "a string holds the null character U+0000",
        )
    }

    /// A packet identifier, which is not 0 [MQTT-2.3.1-1], [MQTT-2.2.1-3].
    #[inline]
    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        match PacketId::new(self.two_byte_integer()?) {
            Some(id) => Ok(id),
            None => Err(DecodeError::new(
                ReasonCode::ProtocolError,
                self.clause("MQTT-2.3.1-1", "MQTT-2.2.1-3"),
                "the packet identifier is 0",
            )),
        }
    }

    /// Refuses whatever follows the last field of a packet.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::malformed("", "bytes follow the last field of the packet"))
        }
    }
}
