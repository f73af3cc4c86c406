//! CONNECT: what is refused, with which code and clause, and what is known of its version then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use ProtocolVersion::{V5, V31, V311};
use ReasonCode::{MalformedPacket, ProtocolError};
use aldis_packet::*;
use samples::*;

const NOT_UTF8: &str = "a string is not well-formed UTF-8";
const NULL: &str = "a string holds the null character U+0000";
const TOO_SHORT: &str = "the packet ends in the middle of a field";
const NOT_ALLOWED: &str = "the packet holds a property that it may not hold";
const TWICE: &str = "the packet holds a property twice";

fn connect(bytes: &[u8]) -> Result<Connect, ConnectError> {
    Connect::decode(&frame(bytes), &DecodeLimits::default())
}

#[test]
fn flags_and_fields_of_3_1_1() {
    all_are_refused(&[
        (
            V311,
            0x10,
            r#""MQTT" 04 03 003C "c""#,
            MalformedPacket,
            "MQTT-3.1.2-3",
            "the reserved connect flag is set",
        ),
        (
            V311,
            0x10,
            r#""MQTT" 04 0A 003C "c""#,
            MalformedPacket,
            "MQTT-3.1.2-13",
            "there is a will QoS without a will",
        ),
        (
            V311,
            0x10,
            r#""MQTT" 04 22 003C "c""#,
            MalformedPacket,
            "MQTT-3.1.2-15",
            "there is a will retain flag without a will",
        ),
        (
            V311,
            0x10,
            r#""MQTT" 04 1E 003C "c" "w" "p""#,
            MalformedPacket,
            "MQTT-3.1.2-14",
            "the will's QoS is 3",
        ),
        (
            V311,
            0x10,
            r#""MQTT" 04 42 003C "c" "p""#,
            MalformedPacket,
            "MQTT-3.1.2-22",
            "there is a password without a user name",
        ),
        (V311, 0x10, r#""MQTT" 04 82 003C "c""#, MalformedPacket, "", TOO_SHORT),
        (V311, 0x10, r#""MQTT" 04 C2 003C "c" "u""#, MalformedPacket, "", TOO_SHORT),
        (
            V311,
            0x10,
            r#""MQTT" 04 02 003C "c" "u""#,
            MalformedPacket,
            "",
            "bytes follow the last field of the packet",
        ),
    ]);
}

#[test]
fn will_and_strings_of_3_1_1() {
    all_are_refused(&[
        (V311, 0x10, r#""MQTT" 04 06 003C "c" "w""#, MalformedPacket, "", TOO_SHORT),
        (
            V311,
            0x10,
            r#""MQTT" 04 06 003C "c" "w+" "p""#,
            ReasonCode::TopicNameInvalid,
            "MQTT-4.7.1-1",
            "the topic name holds a wildcard",
        ),
        (
            V311,
            0x10,
            r#""MQTT" 04 06 003C "c" "" "p""#,
            ReasonCode::TopicNameInvalid,
            "MQTT-4.7.3-1",
            "the will's topic name is empty",
        ),
        (V311, 0x10, r#""MQTT" 04 02 003C 0001 FF"#, MalformedPacket, "MQTT-1.5.3-1", NOT_UTF8),
        (V311, 0x10, r#""MQTT" 04 02 003C 0001 00"#, MalformedPacket, "MQTT-1.5.3-2", NULL),
        (V311, 0x10, r#""MQTT" 04 06 003C "c" 0001 00 "p""#, MalformedPacket, "MQTT-1.5.3-2", NULL),
        (V311, 0x10, r#""MQTT" 04 82 003C "c" 0001 80"#, MalformedPacket, "MQTT-1.5.3-1", NOT_UTF8),
        (V311, 0x10, r#""MQTT" 04 02"#, MalformedPacket, "", TOO_SHORT),
        (V311, 0x10, r#""MQTT" 04 02 003C"#, MalformedPacket, "", TOO_SHORT),
        (
            V311,
            0x11,
            r#""MQTT" 04 02 003C "c""#,
            MalformedPacket,
            "MQTT-2.2.2-2",
            "the reserved flags of the fixed header are wrong",
        ),
    ]);
}

#[test]
fn flags_and_fields_of_5() {
    all_are_refused(&[
        (
            V5,
            0x10,
            r#""MQTT" 05 03 003C () "c""#,
            MalformedPacket,
            "MQTT-3.1.2-3",
            "the reserved connect flag is set",
        ),
        (
            V5,
            0x10,
            r#""MQTT" 05 12 003C () "c""#,
            MalformedPacket,
            "MQTT-3.1.2-11",
            "there is a will QoS without a will",
        ),
        (
            V5,
            0x10,
            r#""MQTT" 05 22 003C () "c""#,
            MalformedPacket,
            "MQTT-3.1.2-13",
            "there is a will retain flag without a will",
        ),
        (
            V5,
            0x10,
            r#""MQTT" 05 1E 003C () "c" () "w" "p""#,
            MalformedPacket,
            "MQTT-3.1.2-12",
            "the will's QoS is 3",
        ),
        (V5, 0x10, r#""MQTT" 05 82 003C () "c""#, MalformedPacket, "", TOO_SHORT),
        (V5, 0x10, r#""MQTT" 05 42 003C () "c""#, MalformedPacket, "", TOO_SHORT),
        (
            V5,
            0x10,
            r#""MQTT" 05 02 003C () "c" 00"#,
            MalformedPacket,
            "",
            "bytes follow the last field of the packet",
        ),
    ]);
}

#[test]
fn will_and_strings_of_5() {
    all_are_refused(&[
        (
            V5,
            0x10,
            r#""MQTT" 05 06 003C () "c" () "a/#" "p""#,
            ReasonCode::TopicNameInvalid,
            "MQTT-4.7.0-1",
            "the topic name holds a wildcard",
        ),
        (
            V5,
            0x10,
            r#""MQTT" 05 06 003C () "c" () "" "p""#,
            ReasonCode::TopicNameInvalid,
            "MQTT-4.7.3-1",
            "the will's topic name is empty",
        ),
        (V5, 0x10, r#""MQTT" 05 02 003C () 0002 C0AF"#, MalformedPacket, "MQTT-1.5.4-1", NOT_UTF8),
        (V5, 0x10, r#""MQTT" 05 02 003C () 0003 EDA080"#, MalformedPacket, "MQTT-1.5.4-1", NOT_UTF8),
        (V5, 0x10, r#""MQTT" 05 02 003C () 0004 F4908080"#, MalformedPacket, "MQTT-1.5.4-1", NOT_UTF8),
        (V5, 0x10, r#""MQTT" 05 02 003C () 0003 610062"#, MalformedPacket, "MQTT-1.5.4-2", NULL),
        (
            V5,
            0x1F,
            r#""MQTT" 05 02 003C () "c""#,
            MalformedPacket,
            "MQTT-2.1.3-1",
            "the reserved flags of the fixed header are wrong",
        ),
    ]);
}

#[test]
fn properties_of_connect() {
    let refused = |properties: &str, reason, clause, what| {
        let body = format!(r#""MQTT" 05 02 003C {properties} "c""#);
        let expected = DecodeError { reason, clause, what };
        assert_eq!(read(V5, &packet(0x10, &body)), Err(expected), "{properties}");
    };
    refused("(210000)", ProtocolError, "", "the receive maximum is 0");
    refused("(2700000000)", ProtocolError, "", "the maximum packet size is 0");
    refused("(1702)", ProtocolError, "", "the request problem information is neither 0 nor 1");
    refused("(19FF)", ProtocolError, "", "the request response information is neither 0 nor 1");
    refused("(1700 1700)", ProtocolError, "", TWICE);
    refused("(1100000001 1100000001)", ProtocolError, "", TWICE);
    refused(r#"(16 "data")"#, ProtocolError, "", "there is authentication data without a method");
    refused("(1800000001)", MalformedPacket, "", NOT_ALLOWED);
    refused("(00)", MalformedPacket, "", NOT_ALLOWED);
    refused("(7F)", MalformedPacket, "", NOT_ALLOWED);
    refused("(FF7F)", MalformedPacket, "", NOT_ALLOWED);
    refused(
        "(A100 0001)",
        MalformedPacket,
        "MQTT-1.5.5-1",
        "a variable byte integer uses more bytes than it needs",
    );
    refused("(8080808001)", MalformedPacket, "", "a variable byte integer has more than four bytes");
    refused("(1100)", MalformedPacket, "", TOO_SHORT);
    refused(r#"(15 0005 'abc')"#, MalformedPacket, "", TOO_SHORT);
    refused(r#"(26 "k" 0001 FF)"#, MalformedPacket, "MQTT-1.5.4-1", NOT_UTF8);
    refused(r#"(26 0001 00 "v")"#, MalformedPacket, "MQTT-1.5.4-2", NULL);
    refused(r#"(26 "k")"#, MalformedPacket, "", TOO_SHORT);
    refused("10", MalformedPacket, "", "the property length reaches beyond the packet");
    refused("8000", MalformedPacket, "MQTT-1.5.5-1", "a variable byte integer uses more bytes than it needs");
}

#[test]
fn properties_of_the_will() {
    let refused = |properties: &str, reason, clause, what| {
        let body = format!(r#""MQTT" 05 06 003C () "c" {properties} "w" "p""#);
        let expected = DecodeError { reason, clause, what };
        assert_eq!(read(V5, &packet(0x10, &body)), Err(expected), "{properties}");
    };
    refused("(0102)", ProtocolError, "", "the payload format indicator is neither 0 nor 1");
    refused("(0101 0101)", ProtocolError, "", TWICE);
    refused("(1800000001 1800000002)", ProtocolError, "", TWICE);
    refused("(0200000001 0200000002)", ProtocolError, "", TWICE);
    refused(r#"(03 "a" 03 "a")"#, ProtocolError, "", TWICE);
    refused(r#"(09 "a" 09 "a")"#, ProtocolError, "", TWICE);
    refused(r#"(08 "a/+")"#, ProtocolError, "MQTT-3.3.2-14", "the response topic holds a wildcard");
    refused(r#"(08 "")"#, ProtocolError, "MQTT-4.7.3-1", "the response topic is empty");
    refused(r#"(08 0001 FF)"#, MalformedPacket, "MQTT-1.5.4-1", NOT_UTF8);
    refused("(1100000001)", MalformedPacket, "", NOT_ALLOWED);
    refused("(230001)", MalformedPacket, "", NOT_ALLOWED);
}

#[test]
fn user_properties_are_counted_over_the_whole_packet() {
    let user = |count: usize| r#"26 "k" "v""#.repeat(count);
    for (connect, will, fits) in
        [(64, 0, true), (65, 0, false), (40, 24, true), (40, 25, false), (0, 65, false)]
    {
        let body = format!(r#""MQTT" 05 06 003C ({}) "c" ({}) "w" "p""#, user(connect), user(will));
        let refused = read(V5, &packet(0x10, &body)).err().map(|error| (error.reason, error.what));
        let expected = (ReasonCode::QuotaExceeded, "more user properties than this server takes");
        assert_eq!(refused, if fits { None } else { Some(expected) }, "{connect} and {will}");
    }
}

#[test]
fn mqtt_3_1_2_1_and_2_name_and_level() {
    let unsupported = ReasonCode::UnsupportedProtocolVersion;
    let table: &[(&str, ReasonCode, &str, Option<u8>)] = &[
        (r#""MQTT" 03 02 003C "c""#, unsupported, "MQTT-3.1.2-2", Some(3)),
        (r#""MQTT" 06 02 003C "c""#, unsupported, "MQTT-3.1.2-2", Some(6)),
        (r#""MQTT" 84 02 003C "c""#, unsupported, "MQTT-3.1.2-2", Some(0x84)),
        (r#""MQIsdp" 04 02 003C "c""#, unsupported, "MQTT-3.1.2-2", Some(4)),
        (r#""mqtt" 04 02 003C "c""#, unsupported, "MQTT-3.1.2-1", Some(4)),
        (r#""" 05 02 003C "c""#, unsupported, "MQTT-3.1.2-1", Some(5)),
        (r#"0004 FFFFFFFF 05"#, unsupported, "MQTT-3.1.2-1", Some(5)),
        (r#""MQTT""#, MalformedPacket, "", None),
        (r#"0004 'MQ'"#, MalformedPacket, "", None),
        ("", MalformedPacket, "", None),
    ];
    for (body, reason, clause, level) in table {
        let refused = connect(&packet(0x10, body)).unwrap_err();
        assert_eq!((refused.error.reason, refused.error.clause), (*reason, *clause), "{body}");
        assert_eq!((refused.version, refused.unsupported_level), (None, *level), "{body}");
    }
}

#[test]
fn an_error_behind_the_level_tells_the_version() {
    for (name, level, version) in [("MQIsdp", 3, V31), ("MQTT", 4, V311), ("MQTT", 5, V5)] {
        let refused = connect(&packet(0x10, &format!(r#""{name}" 0{level} 02"#))).unwrap_err();
        assert_eq!((refused.version, refused.unsupported_level), (Some(version), None));
    }
}

#[test]
fn mqtt_3_1_0_1_another_packet_is_no_connect() {
    let refused = connect(&[0xC0, 0]).unwrap_err();
    assert_eq!((refused.error.clause, refused.version), ("MQTT-3.1.0-1", None));
}

#[test]
fn mqtt_5_allows_a_password_without_a_user_name() {
    let connect = connect(&packet(0x10, r#""MQTT" 05 42 003C () "c" "p""#)).unwrap();
    assert_eq!((connect.user_name, connect.password), (None, Some("p".into())));
}

#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_stays_in_a_string() {
    let connect = connect(&packet(0x10, r#""MQTT" 05 02 003C () 0004 EFBBBF 61"#)).unwrap();
    assert_eq!(connect.client_id, "\u{FEFF}a");
}

#[test]
fn mqtt_3_1_3_10_properties_of_a_will_keep_their_order() {
    let forwarded = r#"26 "b" "1" 08 "t" 26 "a" "2""#;
    for properties in [
        forwarded.to_owned(),
        format!("1800000005 {forwarded}"),
        format!("0200000005 {forwarded} 1800000005"),
        r#"26 "b" "1" 1800000005 08 "t" 0200000005 26 "a" "2""#.to_owned(),
    ] {
        let body = format!(r#""MQTT" 05 06 003C () "c" ({properties}) "w" "p""#);
        let will = connect(&packet(0x10, &body)).unwrap().will.unwrap();
        assert_eq!(will.forwarded, bytes(forwarded), "{properties}");
    }
}

#[test]
fn a_client_id_may_have_65535_bytes() {
    let id = "x".repeat(65_535);
    let connect = connect(&packet(0x10, &format!(r#""MQTT" 04 02 003C "{id}""#))).unwrap();
    assert_eq!(connect.client_id, id);
}

#[test]
fn secrets_are_in_no_text() {
    let body = r#""MQTT" 05 C2 003C (15 "method" 16 "hush-data") "c" "user" "hush-word""#;
    let connect = connect(&packet(0x10, body)).unwrap();
    assert_eq!(connect.password.as_deref(), Some(&b"hush-word"[..]));
    let packet = Packet::Connect(Box::new(connect));
    for text in [format!("{packet:?}"), packet.to_string()] {
        assert!(text.contains("user") && !text.contains("hush"), "{text}");
    }
}
