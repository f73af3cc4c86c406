//! MQTT over WebSocket (section 6; RFC 6455): the greeting, and the frames around the packets.

use super::digest::{base64, sha1};
use super::rule::Rule::{V5, V311};
use super::rule::Rules;

/// What every server appends to the client's key, to show that it speaks WebSocket.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Kinds of frames.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;

/// What a client's frame asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// These are bytes of MQTT packets.
    Data(Vec<u8>),
    /// Send this frame back.
    Answer(Vec<u8>),
    Nothing,
    /// Close the connection.
    Close,
}

/// The answer to a whole HTTP request: 101 for one that asks for MQTT over WebSocket.
pub(super) fn greeting(rules: Rules, request: &str) -> Result<String, &'static str> {
    let header = |name: &str| {
        request.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    };
    let Some(key) = header("Sec-WebSocket-Key") else {
        return Err("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    };
    let accept = base64(&sha1(format!("{key}{GUID}").as_bytes()));
    let offered = header("Sec-WebSocket-Protocol").unwrap_or_default();
    let offers_mqtt = offered.split(',').any(|name| name.trim() == "mqtt");
    let chosen = match offers_mqtt && rules.keep(&[V311("MQTT-6.0.0-4"), V5("MQTT-6.0.0-4")]) {
        true => "Sec-WebSocket-Protocol: mqtt\r\n",
        false => "",
    };
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n"
    ))
}

/// Takes the first whole frame off the bytes. None while it is not whole.
pub(super) fn take(rules: Rules, bytes: &mut Vec<u8>) -> Option<Asked> {
    let kind = bytes.first()? & 0x0F;
    let second = *bytes.get(1)?;
    let (length, start) = match second & 0x7F {
        126 => (number(bytes.get(2..4)?), 4),
        127 => (number(bytes.get(2..10)?), 10),
        short => (usize::from(short), 2),
    };
    if second & 0x80 == 0 {
        return Some(Asked::Close);
    }
    let mask = bytes.get(start..start + 4)?.to_vec();
    let end = (start + 4).checked_add(length)?;
    let masked = bytes.get(start + 4..end)?;
    let payload: Vec<u8> = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    bytes.drain(..end);
    Some(match kind {
        BINARY | CONTINUATION => Asked::Data(payload),
        TEXT if !rules.keep(&[V311("MQTT-6.0.0-1"), V5("MQTT-6.0.0-1")]) => Asked::Data(payload),
        PING => Asked::Answer(frame(0x0A, &payload)),
        0x0A => Asked::Nothing,
        _ => Asked::Close,
    })
}

/// Whether the packets of a client may lie across its frames as they like.
pub(super) fn aligns_nothing(rules: Rules) -> bool {
    rules.keep(&[V311("MQTT-6.0.0-2"), V5("MQTT-6.0.0-2")])
}

/// How many packets of one frame are processed before the next frame: all.
pub(super) fn packets_of_a_frame(rules: Rules) -> usize {
    let all = rules.keep(&[V311("MQTT-6.0.0-2: several packets"), V5("MQTT-6.0.0-2: several packets")]);
    if all { usize::MAX } else { 1 }
}

/// The kind of frame that packets are sent in.
pub(super) fn kind_of_data(rules: Rules) -> u8 {
    let binary = rules.keep(&[V311("MQTT-6.0.0-1: sends text"), V5("MQTT-6.0.0-1: sends text")]);
    if binary { BINARY } else { TEXT }
}

/// The frame that says that nothing more comes.
pub(super) fn close() -> Vec<u8> {
    frame(CLOSE, &1000_u16.to_be_bytes())
}

/// A whole frame of a server, which is never masked.
pub(super) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | kind];
    match payload.len() {
        short @ 0..126 => bytes.push(short as u8),
        middle @ 126..65_536 => {
            bytes.push(126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The masked frame of RFC 6455, 5.7, here as binary data.
    #[test]
    fn a_masked_frame_is_taken_whole_or_not_at_all() {
        let whole = [0x82, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
        let mut part = whole[..10].to_vec();
        assert_eq!(take(Rules::default(), &mut part), None);
        part.push(whole[10]);
        assert_eq!(take(Rules::default(), &mut part), Some(Asked::Data(b"Hello".to_vec())));
        assert!(part.is_empty());
    }
}
