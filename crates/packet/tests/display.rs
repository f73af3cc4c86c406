//! The line that the log shows for a packet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use ProtocolVersion::{V5, V31, V311};
use ReasonCode::{MalformedPacket, ProtocolError};
use aldis_packet::*;
use samples::*;

#[test]
fn one_line_a_packet() {
    let table = [
        (V311, 0x3B, r#""a/b" 0007 'payload'"#, r#"PUBLISH "a/b" q1 id 7 dup retain, 7 bytes"#),
        (
            V5,
            0x30,
            r#""" (230003 0B09 26 "k" "v" 0200000005)"#,
            r#"PUBLISH "" q0 alias 3 expiry 5 subscription 9 properties 1, 0 bytes"#,
        ),
        (V311, 0x30, "0003 610A62", r#"PUBLISH "a\nb" q0, 0 bytes"#),
        (
            V311,
            0x10,
            r#""MQTT" 04 EE 003C "c" "w" "bye" "me" "hush""#,
            r#"CONNECT 3.1.1 "c" keep alive 60 clean user "me" with a password, will "w" q1 retain, 3 bytes"#,
        ),
        (
            V5,
            0x10,
            r#""MQTT" 05 00 0000 (1100000E10 210014) """#,
            r#"CONNECT 5.0 "" keep alive 0 session expiry 3600 receive maximum 20"#,
        ),
        (V311, 0x20, "01 00", "CONNACK ok session present"),
        (V5, 0x20, "00 87 ()", "CONNACK 0x87 not authorized"),
        (V5, 0x20, r#"00 00 (12 "id")"#, r#"CONNACK ok assigned client id "id""#),
        (V5, 0x50, r#"0007 97 (1F "full")"#, r#"PUBREC id 7 0x97 quota exceeded reason "full""#),
        (V311, 0x62, "0007", "PUBREL id 7 ok"),
        (
            V5,
            0x82,
            r#"0001 (0B05) "a/#" 1D "b" 20"#,
            r#"SUBSCRIBE id 1 subscription 5 "a/#" q1 no local retain as published retained if new "b" q0 no retained"#,
        ),
        (V5, 0x90, "0001 () 00 02 97", "SUBACK id 1 q0 q2 0x97"),
        (V311, 0xA2, r#"0001 "a" "b""#, r#"UNSUBSCRIBE id 1 "a" "b""#),
        (V5, 0xB0, "0001 () 00 11", "UNSUBACK id 1 0x00 0x11"),
        (V311, 0xC0, "", "PINGREQ"),
        (V31, 0xD0, "", "PINGRESP"),
        (V311, 0xE0, "", "DISCONNECT normal"),
        (V5, 0xE0, "8E", "DISCONNECT 0x8E session taken over"),
        (
            V5,
            0xF0,
            r#"18 (15 "m" 16 "hush")"#,
            r#"AUTH 0x18 continue authentication authentication method "m""#,
        ),
    ];
    for (version, first, body, line) in table {
        assert_eq!(read(version, &packet(first, body)).unwrap().to_string(), line);
    }
}

#[test]
fn a_frame_and_an_error_have_a_line_too() {
    assert_eq!(frame(&packet(0x62, "0007")).to_string(), "PUBREL flags 0010, 2 bytes");
    let of = |reason, body: &str| {
        let bytes = packet(0x30, body);
        let error = read(V5, &bytes).unwrap_err();
        assert_eq!(error.reason, reason);
        error.to_string()
    };
    assert_eq!(
        of(ReasonCode::TopicNameInvalid, r#""a/+" ()"#),
        "topic name invalid: the topic name holds a wildcard [MQTT-3.3.2-2]"
    );
    assert_eq!(of(MalformedPacket, ""), "malformed packet: the packet ends in the middle of a field");
    assert_eq!(of(ProtocolError, r#""a" (0B00)"#), "protocol error: a subscription identifier is 0");
    let level = Connect::decode(&frame(&packet(0x10, r#""MQTT" 07"#)), &DecodeLimits::default());
    assert_eq!(
        level.unwrap_err().to_string(),
        "unsupported protocol version: the protocol level is not supported [MQTT-3.1.2-2] (level 7)"
    );
}
