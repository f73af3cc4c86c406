//! PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK and CONNACK: what is refused, and what is left out of
//! them when they would get too large.
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
const BAD_CODE: &str = "the acknowledgement holds a reason code that it may not hold";

#[test]
fn acknowledgements_of_a_publish() {
    let kinds = [
        (0x40, "MQTT-3.4.2-1", "00 10 80 83 87 90 91 97 99"),
        (0x50, "MQTT-3.5.2-1", "00 10 80 83 87 90 91 97 99"),
        (0x62, "MQTT-3.6.2-1", "00 92"),
        (0x70, "MQTT-3.7.2-1", "00 92"),
    ];
    for (first, code_clause, codes) in kinds {
        all_are_refused(&[
            (V5, first, "", MalformedPacket, "", TOO_SHORT),
            (V5, first, "00", MalformedPacket, "", TOO_SHORT),
            (V5, first, "0000", ProtocolError, "MQTT-2.2.1-3", "the packet identifier is 0"),
            (V5, first, "0001 00 00 00", MalformedPacket, "", TRAILING),
            (V5, first, r#"0001 00 (1F "a") 00"#, MalformedPacket, "", TRAILING),
            (V5, first, r#"0001 00 (1F "a" 1F "b")"#, ProtocolError, "", TWICE),
            (V5, first, "0001 00 (1100000001)", MalformedPacket, "", NOT_ALLOWED),
            (V5, first, "0001 00 05", MalformedPacket, "", "the property length reaches beyond the packet"),
            (V5, first, "0001 01", ProtocolError, code_clause, BAD_CODE),
            (V5, first, "0001 FF ()", ProtocolError, code_clause, BAD_CODE),
            (V311, first, "0000", ProtocolError, "MQTT-2.3.1-1", "the packet identifier is 0"),
            (V311, first, "0001 00", MalformedPacket, "", TRAILING),
            (V311, first, "00", MalformedPacket, "", TOO_SHORT),
            (V31, first, "0001 00", MalformedPacket, "", TRAILING),
        ]);
        let codes = bytes(codes);
        for code in 0..=u8::MAX {
            let accepted = read(V5, &packet(first, &format!("0001 {code:02X}"))).is_ok();
            assert_eq!(accepted, codes.contains(&code), "{first:02x} with {code:02x}");
        }
    }
}

#[test]
fn an_acknowledgement_of_mqtt_5_has_three_lengths() {
    for body in ["0007", "0007 00", "0007 00 ()"] {
        let expected = Ack::new(AckKind::Pubrec, id(7), ReasonCode::Success);
        assert_eq!(read(V5, &packet(0x50, body)), Ok(Packet::Ack(expected)), "{body}");
    }
}

#[test]
fn suback_and_unsuback() {
    let reserved = "SUBACK holds a reserved return code";
    all_are_refused(&[
        (V5, 0x90, "0000 () 00", ProtocolError, "MQTT-2.2.1-3", "the packet identifier is 0"),
        (V5, 0x90, "0001", MalformedPacket, "", TOO_SHORT),
        (V5, 0x90, "0001 ()", MalformedPacket, "", "SUBACK holds no code"),
        (V5, 0x90, "0001 () 03", ProtocolError, "MQTT-3.9.3-2", BAD_CODE),
        (V5, 0x90, "0001 () 00 11", ProtocolError, "MQTT-3.9.3-2", BAD_CODE),
        (V5, 0x90, "0001 (0B01) 00", MalformedPacket, "", NOT_ALLOWED),
        (V311, 0x90, "0001", MalformedPacket, "", "SUBACK holds no code"),
        (V311, 0x90, "0001 03", MalformedPacket, "MQTT-3.9.3-2", reserved),
        (V311, 0x90, "0001 00 87", MalformedPacket, "MQTT-3.9.3-2", reserved),
        (V31, 0x90, "0001 81", MalformedPacket, "MQTT-3.9.3-2", reserved),
        (V5, 0xB0, "0001 ()", MalformedPacket, "", "UNSUBACK holds no code"),
        (V5, 0xB0, "0001 () 01", ProtocolError, "MQTT-3.11.3-2", BAD_CODE),
        (V5, 0xB0, "0001 () 97", ProtocolError, "MQTT-3.11.3-2", BAD_CODE),
        (V5, 0xB0, "0000 () 00", ProtocolError, "MQTT-2.2.1-3", "the packet identifier is 0"),
        (V311, 0xB0, "0001 00", MalformedPacket, "", TRAILING),
        (V311, 0xB0, "0000", ProtocolError, "MQTT-2.3.1-1", "the packet identifier is 0"),
    ]);
}

#[test]
fn connack() {
    let bad_code = "CONNACK holds a code that it may not hold";
    let reserved = "reserved acknowledge flags are set";
    let session = "a refused connection has a session present";
    all_are_refused(&[
        (V5, 0x20, "00", MalformedPacket, "", TOO_SHORT),
        (V5, 0x20, "00 00", MalformedPacket, "", TOO_SHORT),
        (V5, 0x20, "02 00 ()", MalformedPacket, "MQTT-3.2.2-1", reserved),
        (V5, 0x20, "01 87 ()", ProtocolError, "MQTT-3.2.2-6", session),
        (V5, 0x20, "00 01 ()", ProtocolError, "MQTT-3.2.2-8", bad_code),
        (V5, 0x20, "00 8E ()", ProtocolError, "MQTT-3.2.2-8", bad_code),
        (V5, 0x20, "00 00 () 00", MalformedPacket, "", TRAILING),
        (V5, 0x20, "00 00 (2402)", ProtocolError, "", "the maximum QoS is neither 0 nor 1"),
        (V5, 0x20, "00 00 (210000)", ProtocolError, "", "the receive maximum is 0"),
        (V5, 0x20, "00 00 (2700000000)", ProtocolError, "", "the maximum packet size is 0"),
        (V5, 0x20, "00 00 (2502)", ProtocolError, "", "the retain available flag is neither 0 nor 1"),
        (
            V5,
            0x20,
            "00 00 (2802)",
            ProtocolError,
            "",
            "the wildcard subscription available flag is neither 0 nor 1",
        ),
        (
            V5,
            0x20,
            "00 00 (2902)",
            ProtocolError,
            "",
            "the subscription identifier available flag is neither 0 nor 1",
        ),
        (
            V5,
            0x20,
            "00 00 (2A02)",
            ProtocolError,
            "",
            "the shared subscription available flag is neither 0 nor 1",
        ),
        (V5, 0x20, "00 00 (130001 130001)", ProtocolError, "", TWICE),
        (V5, 0x20, "00 00 (1700)", MalformedPacket, "", NOT_ALLOWED),
        (V5, 0x20, r#"00 00 (16 "x")"#, ProtocolError, "", "there is authentication data without a method"),
        (V311, 0x20, "02 00", MalformedPacket, "", reserved),
        (V311, 0x20, "01 05", ProtocolError, "MQTT-3.2.2-4", session),
        (V311, 0x20, "00 06", ProtocolError, "", bad_code),
        (V311, 0x20, "00 00 00", MalformedPacket, "", TRAILING),
        (V31, 0x20, "00 06", ProtocolError, "", bad_code),
    ]);
}

/// Each packet that may carry a reason string and a user property, with both.
fn explained() -> Vec<(&'static str, Packet<'static>)> {
    let reason = || Some("r".repeat(20));
    let user = || pairs(&[("name", "a value")]);
    let ack = |kind| {
        let bare = Ack::new(kind, id(9), ReasonCode::Success);
        Packet::Ack(Ack { reason_string: reason(), user_properties: user(), ..bare })
    };
    let mut connack = Connack::new(true, ReasonCode::Success);
    connack.properties.server_keep_alive = Some(9);
    (connack.properties.reason_string, connack.properties.user_properties) = (reason(), user());
    let mut disconnect = Disconnect::new(ReasonCode::QuotaExceeded);
    (disconnect.reason_string, disconnect.user_properties) = (reason(), user());
    let mut auth = Auth::new(ReasonCode::ContinueAuthentication);
    auth.authentication_method = Some("method".to_owned());
    (auth.reason_string, auth.user_properties) = (reason(), user());
    let suback = Suback::new(id(9), vec![0, 0x97]);
    let unsuback = Unsuback::new(id(9), vec![0x11, 0x87]);
    vec![
        ("MQTT-3.2.2-19 and -20", Packet::Connack(Box::new(connack))),
        ("MQTT-3.4.2-2 and -3", ack(AckKind::Puback)),
        ("MQTT-3.5.2-2 and -3", ack(AckKind::Pubrec)),
        ("MQTT-3.6.2-2 and -3", ack(AckKind::Pubrel)),
        ("MQTT-3.7.2-2 and -3", ack(AckKind::Pubcomp)),
        (
            "MQTT-3.9.2-1 and -2",
            Packet::Suback(Suback { reason_string: reason(), user_properties: user(), ..suback }),
        ),
        (
            "MQTT-3.11.2-1 and -2",
            Packet::Unsuback(Unsuback { reason_string: reason(), user_properties: user(), ..unsuback }),
        ),
        ("MQTT-3.14.2-3 and -4", Packet::Disconnect(Box::new(disconnect))),
        ("MQTT-3.15.2-2 and -3", Packet::Auth(Box::new(auth))),
    ]
}

fn limited(packet: &Packet<'_>, maximum: u32) -> Vec<u8> {
    let mut out = Vec::new();
    match packet {
        Packet::Connack(packet) => packet.encode(V5, maximum, &mut out),
        Packet::Ack(packet) => packet.encode(V5, maximum, &mut out),
        Packet::Suback(packet) => packet.encode(V5, maximum, &mut out),
        Packet::Unsuback(packet) => packet.encode(V5, maximum, &mut out),
        Packet::Disconnect(packet) => packet.encode(V5, maximum, &mut out),
        Packet::Auth(packet) => packet.encode(maximum, &mut out),
        _ => panic!("{packet} explains nothing"),
    }
    out
}

#[test]
fn reason_string_and_user_properties_are_left_out_where_they_do_not_fit() {
    for (clauses, packet) in explained() {
        let full = encoded(&packet, V5);
        let shortest = limited(&packet, 1);
        let mut seen = (false, false, false);
        for maximum in 1..=full.len() as u32 {
            let bytes = limited(&packet, maximum);
            assert!(bytes.len() <= maximum as usize || bytes == shortest, "{clauses} at {maximum}");
            let read = read(V5, &bytes).unwrap().clone();
            let text = format!("{read:?}");
            match (text.contains("rrr"), text.contains("a value")) {
                (false, false) => seen.0 = true,
                (true, false) => seen.1 = true,
                (true, true) => seen.2 = true,
                (false, true) => {}
            }
            assert_eq!(bytes == full, maximum as usize == full.len(), "{clauses} at {maximum}");
        }
        assert_eq!(seen, (true, true, true), "{clauses}");
        assert_eq!(limited(&packet, u32::MAX), full, "{clauses}");
    }
}
