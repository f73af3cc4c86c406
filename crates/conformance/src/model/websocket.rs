//! MQTT over WebSocket (section 6; RFC 6455): the greeting, and the frames around the packets.

use super::rule::Rule::{V5, V311};
use super::rule::Rules;
use crate::web_socket::{
    BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, accept_key, frame, header, take_frame,
};

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
    let Some(key) = header(request, "Sec-WebSocket-Key") else {
        return Err("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    };
    let accept = accept_key(key);
    let offered = header(request, "Sec-WebSocket-Protocol").unwrap_or_default();
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

/// What the first whole frame asks for. None while it is not whole. A client masks its frames.
pub(super) fn take(rules: Rules, bytes: &mut Vec<u8>) -> Option<Asked> {
    let Frame { opcode, payload, was_masked, .. } = take_frame(bytes)?;
    Some(match opcode {
        _ if !was_masked => Asked::Close,
        BINARY | CONTINUATION => Asked::Data(payload),
        TEXT if !rules.keep(&[V311("MQTT-6.0.0-1"), V5("MQTT-6.0.0-1")]) => Asked::Data(payload),
        PING => Asked::Answer(data(PONG, &payload)),
        PONG => Asked::Nothing,
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
    data(CLOSE, &1000_u16.to_be_bytes())
}

/// A whole frame of a server, which is never masked.
pub(super) fn data(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(opcode, true, None, payload)
}
