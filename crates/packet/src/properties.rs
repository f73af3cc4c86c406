//! The property block of a packet (2.2.2): which properties it may hold and how often, and which may be left
//! out when a packet would get too large. Not here: the values (`property`).

use crate::error::DecodeError;
use crate::property::Property;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::writer::{packet_size, put_variable, variable_size};

const USER_PROPERTY: u8 = 0x26;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;

/// The properties that a kind of block may hold, by Table 2-4: one bit for each identifier.
#[derive(Copy, Clone)]
pub(crate) struct Allowed {
    any: u64,
    repeated: u64,
}

impl Allowed {
    pub(crate) const CONNECT: Allowed =
        Allowed::of(&[0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, USER_PROPERTY, 0x27]);
    pub(crate) const WILL: Allowed = Allowed::of(&[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, USER_PROPERTY]);
    pub(crate) const CONNACK: Allowed = Allowed::of(&[
        0x11,
        0x12,
        0x13,
        0x15,
        0x16,
        0x1A,
        0x1C,
        0x1F,
        0x21,
        0x22,
        0x24,
        0x25,
        USER_PROPERTY,
        0x27,
        0x28,
        0x29,
        0x2A,
    ]);
    pub(crate) const PUBLISH: Allowed = {
        let once = Allowed::of(&[0x01, 0x02, 0x03, 0x08, 0x09, SUBSCRIPTION_IDENTIFIER, 0x23, USER_PROPERTY]);
        Allowed { any: once.any, repeated: once.repeated | 1 << SUBSCRIPTION_IDENTIFIER }
    };
    pub(crate) const SUBSCRIBE: Allowed = Allowed::of(&[SUBSCRIPTION_IDENTIFIER, USER_PROPERTY]);
    pub(crate) const UNSUBSCRIBE: Allowed = Allowed::of(&[USER_PROPERTY]);
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK.
    pub(crate) const ACKNOWLEDGEMENT: Allowed = Allowed::of(&[0x1F, USER_PROPERTY]);
    pub(crate) const DISCONNECT: Allowed = Allowed::of(&[0x11, 0x1C, 0x1F, USER_PROPERTY]);
    pub(crate) const AUTH: Allowed = Allowed::of(&[0x15, 0x16, 0x1F, USER_PROPERTY]);

    const fn of(mut ids: &[u8]) -> Allowed {
        let mut any = 0_u64;
        while let Some((&id, rest)) = ids.split_first() {
            any |= 1 << id;
            ids = rest;
        }
        Allowed { any, repeated: 1 << USER_PROPERTY }
    }
}

/// A property block that is being read.
pub(crate) struct Properties<'a> {
    block: &'a [u8],
    reader: Reader<'a>,
    allowed: Allowed,
    seen: u64,
    user_properties_left: usize,
}

impl<'a> Properties<'a> {
    /// Reads the property length and takes the block out of the packet.
    pub(crate) fn open(
        packet: &mut Reader<'a>,
        allowed: Allowed,
        user_properties: usize,
    ) -> Result<Properties<'a>, DecodeError> {
        let length = packet.variable_byte_integer()?;
        let Ok(block) = packet.take(length as usize) else {
            return Err(DecodeError::malformed("", "the property length reaches beyond the packet"));
        };
        let reader = Reader::new(block, packet.version);
        Ok(Properties { block, reader, allowed, seen: 0, user_properties_left: user_properties })
    }

    /// The next property; `None` at the end of the block.
    pub(crate) fn next(&mut self) -> Result<Option<Property<'a>>, DecodeError> {
        if self.reader.is_empty() {
            return Ok(None);
        }
        let id = self.reader.variable_byte_integer()?;
        let Some(id) = u8::try_from(id).ok().filter(|id| *id < 64 && self.allowed.any >> id & 1 == 1) else {
            return Err(DecodeError::malformed("", "the packet holds a property that it may not hold"));
        };
        let bit = 1_u64 << id;
        if self.seen & bit != 0 && self.allowed.repeated & bit == 0 {
            return Err(DecodeError::protocol("", "the packet holds a property twice"));
        }
        self.seen |= bit;
        if id == USER_PROPERTY {
            self.user_properties_left = self.user_properties_left.checked_sub(1).ok_or(DecodeError::new(
                ReasonCode::QuotaExceeded,
                "",
                "more user properties than this server takes",
            ))?;
        }
        Property::read_value(id, &mut self.reader).map(Some)
    }

    /// How many more user properties the packet may hold.
    pub(crate) fn user_properties_left(&self) -> usize {
        self.user_properties_left
    }

    /// The whole block.
    pub(crate) fn block(&self) -> &'a [u8] {
        self.block
    }

    /// How many bytes of the block have been read.
    pub(crate) fn position(&self) -> usize {
        self.block.len() - self.reader.rest().len()
    }
}

/// An owned name and value, from a user property.
pub(crate) fn owned_pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Appends every user property.
pub(crate) fn put_user_properties(user_properties: &[(String, String)], out: &mut Vec<u8>) {
    for (name, value) in user_properties {
        Property::UserProperty(name, value).encode(out);
    }
}

/// Appends the property length and the block.
pub(crate) fn put_block(block: &[u8], out: &mut Vec<u8>) {
    put_variable(block.len(), out);
    out.extend_from_slice(block);
}

/// Bytes that a block takes with its property length.
pub(crate) fn block_size(block: usize) -> usize {
    variable_size(block) + block
}

/// Appends to `block` the reason string and then the user properties, each only if the whole packet stays
/// within `maximum_packet_size` bytes. `rest` is what the packet holds behind its fixed header besides the
/// property block. The rule is the same for all packets that have these properties: [MQTT-3.2.2-19],
/// [MQTT-3.2.2-20], [MQTT-3.4.2-2], [MQTT-3.4.2-3], [MQTT-3.9.2-1], [MQTT-3.9.2-2] and so on.
pub(crate) fn put_what_fits(
    block: &mut Vec<u8>,
    reason_string: Option<&str>,
    user_properties: &[(String, String)],
    rest: usize,
    maximum_packet_size: u32,
) {
    let fits = |block: &[u8]| {
        u32::try_from(packet_size(rest + block_size(block.len())))
            .is_ok_and(|size| size <= maximum_packet_size)
    };
    let required = block.len();
    if let Some(reason) = reason_string {
        Property::ReasonString(reason).encode(block);
        if !fits(block) {
            block.truncate(required);
        }
    }
    let required = block.len();
    put_user_properties(user_properties, block);
    if !fits(block) {
        block.truncate(required);
    }
}
