//! Writes the data types of MQTT (section 1.5) to the end of a buffer. Not here: which fields a packet has.
//!
//! A field whose length takes two bytes holds at most 65,535 bytes. A longer value cannot be sent at all, so
//! it is cut there (a string between two characters): the packet stays well formed whatever a caller passes.

use crate::packet_type::PacketType;

/// The longest string or binary field, in bytes.
pub(crate) const MAXIMUM_FIELD: usize = 65_535;

/// Cuts text to what fits in a field.
#[inline]
pub(crate) fn fitting(text: &str) -> &str {
    if text.len() <= MAXIMUM_FIELD { text } else { cut(text) }
}

#[cold]
fn cut(text: &str) -> &str {
    let end = (0..=MAXIMUM_FIELD).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.get(..end).unwrap_or("")
}

#[inline]
fn fitting_bytes(bytes: &[u8]) -> &[u8] {
    bytes.get(..MAXIMUM_FIELD).unwrap_or(bytes)
}

#[inline]
pub(crate) fn put_u16(value: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

#[inline]
pub(crate) fn put_u32(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Bytes that `value` takes as a variable byte integer, 1 to 4.
#[inline]
pub(crate) fn variable_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Writes the variable byte integer in its shortest form [MQTT-1.5.5-1]. Values above 268,435,455 do not
/// exist in MQTT; their upper bits are lost.
#[inline]
pub(crate) fn put_variable(value: usize, out: &mut Vec<u8>) {
    let (bytes, size) = variable(value);
    out.extend_from_slice(bytes.get(..size).unwrap_or(&bytes));
}

/// The bytes of a variable byte integer, and how many of them count.
#[inline]
pub(crate) fn variable(value: usize) -> ([u8; 4], usize) {
    let seven = |shift: u32| ((value >> shift) & 0x7F) as u8;
    match variable_size(value) {
        1 => ([seven(0), 0, 0, 0], 1),
        2 => ([seven(0) | 0x80, seven(7), 0, 0], 2),
        3 => ([seven(0) | 0x80, seven(7) | 0x80, seven(14), 0], 3),
        _ => ([seven(0) | 0x80, seven(7) | 0x80, seven(14) | 0x80, seven(21)], 4),
    }
}

#[inline]
pub(crate) fn put_binary(bytes: &[u8], out: &mut Vec<u8>) {
    let bytes = fitting_bytes(bytes);
    put_u16(bytes.len() as u16, out);
    out.extend_from_slice(bytes);
}

#[inline]
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    put_binary(fitting(text).as_bytes(), out);
}

/// Bytes of a whole packet whose variable header and payload have `remaining` bytes.
#[inline]
#[must_use]
pub fn packet_size(remaining: usize) -> usize {
    1 + variable_size(remaining) + remaining
}

/// Writes the fixed header of a packet with fixed flags, and makes room for the rest.
pub(crate) fn put_fixed_header(packet_type: PacketType, remaining: usize, out: &mut Vec<u8>) {
    out.reserve(packet_size(remaining));
    out.push(packet_type.first_byte());
    put_variable(remaining, out);
}

/// Writes a whole packet with fixed flags.
pub(crate) fn put_packet(packet_type: PacketType, body: &[u8], out: &mut Vec<u8>) {
    put_fixed_header(packet_type, body.len(), out);
    out.extend_from_slice(body);
}
