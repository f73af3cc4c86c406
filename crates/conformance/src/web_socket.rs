//! As much of WebSocket (RFC 6455) as a client of the suite and the model broker need: the handshake's words and
//! frames. Extensions are not offered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// A continuation of the message before.
pub const CONTINUATION: u8 = 0x0;
/// A message of text, which MQTT never uses.
pub const TEXT: u8 = 0x1;
/// A binary message.
pub const BINARY: u8 = 0x2;
/// The end.
pub const CLOSE: u8 = 0x8;
/// Asks for a pong.
pub const PING: u8 = 0x9;
/// Answers a ping.
pub const PONG: u8 = 0xA;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether it is the last of its message.
    pub is_last: bool,
    /// One of the constants here.
    pub opcode: u8,
    /// What it carries, unmasked.
    pub payload: Vec<u8>,
    /// Whether it came masked, as a client's frames do.
    pub was_masked: bool,
}

/// What a server answers to a client's key.
#[must_use]
pub fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

/// A client's request to upgrade, with these subprotocols.
#[must_use]
pub fn request(host: &str, key: &str, subprotocols: &str) -> String {
    format!(
        "GET /mqtt HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {subprotocols}\r\n\r\n"
    )
}

/// The value of a header in the lines of a request or an answer; names know no case.
#[must_use]
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A frame's bytes; a client masks, a server does not.
#[must_use]
pub fn frame(opcode: u8, is_last: bool, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode | if is_last { 0x80 } else { 0 }];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..=125 => bytes.push(masked | length as u8),
        length @ 126..=65_535 => {
            bytes.push(masked | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(masked | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    let mask = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Takes the first whole frame off the bytes; none while it is not whole.
#[must_use]
pub fn take_frame(bytes: &mut Vec<u8>) -> Option<Frame> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let number = |from: usize, count: usize| -> Option<usize> {
        Some(bytes.get(from..from + count)?.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
    };
    let (length, mut start) = match second & 0x7F {
        126 => (number(2, 2)?, 4),
        127 => (number(2, 8)?, 10),
        length => (usize::from(length), 2),
    };
    let was_masked = second & 0x80 != 0;
    let mut mask = [0; 4];
    if was_masked {
        mask.copy_from_slice(bytes.get(start..start + 4)?);
        start += 4;
    }
    let payload = bytes.get(start..start.checked_add(length)?)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    bytes.drain(..start + length);
    Some(Frame { is_last: first & 0x80 != 0, opcode: first & 0x0F, payload, was_masked })
}

#[cfg(test)]
mod tests {
    use super::{BINARY, TEXT, accept_key, frame, header, take_frame};

    /// The key printed in RFC 6455, section 1.3.
    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let hello = frame(TEXT, true, Some([0x37, 0xFA, 0x21, 0x3D]), b"Hello");
        assert_eq!(hello, [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]);
    }

    #[test]
    fn what_is_framed_is_unframed_at_every_length() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let payload = vec![b'x'; length];
                let mut bytes = frame(BINARY, false, mask, &payload);
                let last = bytes.pop().unwrap();
                assert_eq!(take_frame(&mut bytes), None);
                bytes.extend([last, 0x82]);
                let found = take_frame(&mut bytes).unwrap();
                assert_eq!(
                    (found.payload, found.is_last, found.was_masked),
                    (payload, false, mask.is_some())
                );
                assert_eq!(bytes, [0x82]);
            }
        }
    }

    #[test]
    fn headers_know_no_case() {
        assert_eq!(
            header("HTTP/1.1 101 x\r\nsec-websocket-PROTOCOL:  mqtt \r\n", "Sec-WebSocket-Protocol"),
            Some("mqtt")
        );
    }
}
