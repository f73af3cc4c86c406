//! DISCONNECT, AUTH, PINGREQ and PINGRESP: what is refused, and their short forms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use ProtocolVersion::{V5, V31, V311};
use ReasonCode::{MalformedPacket, ProtocolError};
use aldis_packet::*;
use samples::*;

const TOO_SHORT: &str = "the packet ends in the middle of a field";
const TRAILING: &str = "bytes follow the last field of the packet";
const NOT_ALLOWED: &str = "the packet holds a property that it may not hold";
const TWICE: &str = "the packet holds a property twice";

#[test]
fn disconnect() {
    let bad_code = "DISCONNECT holds a reason code that it may not hold";
    all_are_refused(&[
        (V5, 0xE0, "01", ProtocolError, "MQTT-3.14.2-1", bad_code),
        (V5, 0xE0, "84 ()", ProtocolError, "MQTT-3.14.2-1", bad_code),
        (V5, 0xE0, "FF", ProtocolError, "MQTT-3.14.2-1", bad_code),
        (V5, 0xE0, "00 () 00", MalformedPacket, "", TRAILING),
        (V5, 0xE0, "00 05", MalformedPacket, "", "the property length reaches beyond the packet"),
        (V5, 0xE0, "00 (11000000)", MalformedPacket, "", TOO_SHORT),
        (V5, 0xE0, "00 (1100000000 1100000000)", ProtocolError, "", TWICE),
        (V5, 0xE0, r#"00 (1C "a" 1C "a")"#, ProtocolError, "", TWICE),
        (V5, 0xE0, r#"00 (1F "a" 1F "a")"#, ProtocolError, "", TWICE),
        (V5, 0xE0, "00 (210001)", MalformedPacket, "", NOT_ALLOWED),
        (V5, 0xE0, "00 (1F 0001 FF)", MalformedPacket, "MQTT-1.5.4-1", "a string is not well-formed UTF-8"),
        (V311, 0xE0, "00", MalformedPacket, "", TRAILING),
        (V31, 0xE0, "00", MalformedPacket, "", TRAILING),
    ]);
}

#[test]
fn a_disconnect_of_mqtt_5_has_three_lengths() {
    for body in ["", "00", "00 ()"] {
        let expected = Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success)));
        assert_eq!(read(V5, &packet(0xE0, body)), Ok(expected), "{body}");
    }
    let with_will = Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::DisconnectWithWill)));
    assert_eq!(read(V5, &packet(0xE0, "04")), Ok(with_will));
}

#[test]
fn auth() {
    let bad_code = "AUTH holds a reason code that it may not hold";
    let no_method = "AUTH has no authentication method";
    all_are_refused(&[
        (V5, 0xF0, "18", MalformedPacket, "", TOO_SHORT),
        (V5, 0xF0, "18 ()", ProtocolError, "", no_method),
        (V5, 0xF0, r#"18 (16 "data")"#, ProtocolError, "", no_method),
        (V5, 0xF0, r#"80 (15 "m")"#, ProtocolError, "MQTT-3.15.2-1", bad_code),
        (V5, 0xF0, r#"01 (15 "m")"#, ProtocolError, "MQTT-3.15.2-1", bad_code),
        (V5, 0xF0, r#"18 (15 "m" 15 "m")"#, ProtocolError, "", TWICE),
        (V5, 0xF0, r#"18 (15 "m" 16 "d" 16 "d")"#, ProtocolError, "", TWICE),
        (V5, 0xF0, r#"18 (15 "m" 1100000001)"#, MalformedPacket, "", NOT_ALLOWED),
        (V5, 0xF0, r#"18 (15 "m") 00"#, MalformedPacket, "", TRAILING),
        (V311, 0xF0, "", MalformedPacket, "", "AUTH exists in MQTT 5 only"),
        (V31, 0xF0, "", MalformedPacket, "", "AUTH exists in MQTT 5 only"),
    ]);
    assert_eq!(read(V5, &[0xF0, 0]), Ok(Packet::Auth(Box::new(Auth::new(ReasonCode::Success)))));
}

#[test]
fn secrets_of_auth_are_in_no_text() {
    let bytes = packet(0xF0, r#"18 (15 "m" 16 "hush")"#);
    let packet = read(V5, &bytes).unwrap();
    assert!(!format!("{packet:?}{packet}").contains("hush"));
}

#[test]
fn pings() {
    for version in VERSIONS {
        for first in [0xC0, 0xD0] {
            all_are_refused(&[(version, first, "00", MalformedPacket, "", "the packet has a body")]);
        }
    }
}
