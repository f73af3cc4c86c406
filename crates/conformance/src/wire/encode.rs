//! Bytes of a packet, right or wrong: nothing is checked here.

use super::property::{Property, Value};

/// A variable byte integer in the fewest bytes; values over 268,435,455 take five, as they must not.
#[must_use]
pub fn variable(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value % 128) as u8;
        value /= 128;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Two bytes of length and the bytes themselves: a string, or binary data. The length wraps beyond 65,535.
#[must_use]
pub fn text(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut bytes = (content.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes
}

/// The same as [`text`], for what is not meant to be text.
#[must_use]
pub fn binary(content: impl AsRef<[u8]>) -> Vec<u8> {
    text(content)
}

/// A whole packet: first byte, Remaining Length, body.
#[must_use]
pub fn frame(first: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = vec![first];
    bytes.extend(variable(body.len() as u32));
    bytes.extend_from_slice(body);
    bytes
}

/// Properties with their length before them.
#[must_use]
pub fn properties(list: &[Property]) -> Vec<u8> {
    let mut content = Vec::new();
    for property in list {
        content.extend(variable(u32::from(property.id)));
        match &property.value {
            Value::Byte(value) => content.push(*value),
            Value::Two(value) => content.extend(value.to_be_bytes()),
            Value::Four(value) => content.extend(value.to_be_bytes()),
            Value::Variable(value) => content.extend(variable(*value)),
            Value::Text(value) | Value::Binary(value) => content.extend(text(value)),
            Value::Pair(name, value) => {
                content.extend(text(name));
                content.extend(text(value));
            }
        }
    }
    let mut bytes = variable(content.len() as u32);
    bytes.extend(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{frame, text, variable};

    #[test]
    fn a_variable_byte_integer_grows_as_table_1_1_says() {
        assert_eq!(variable(0), [0]);
        assert_eq!(variable(127), [0x7F]);
        assert_eq!(variable(128), [0x80, 0x01]);
        assert_eq!(variable(16_383), [0xFF, 0x7F]);
        assert_eq!(variable(16_384), [0x80, 0x80, 0x01]);
        assert_eq!(variable(268_435_455), [0xFF, 0xFF, 0xFF, 0x7F]);
    }

    #[test]
    fn a_frame_holds_its_length() {
        assert_eq!(frame(0x30, text("a")), [0x30, 3, 0, 1, b'a']);
    }
}
