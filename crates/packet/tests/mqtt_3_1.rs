//! Every place where MQTT 3.1 is looser than 3.1.1: the same packet, accepted there and refused here; and what
//! 3.1 refuses all the same. The places are listed in `src/v31.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use ProtocolVersion::{V5, V31, V311};
use ReasonCode::{MalformedPacket, ProtocolError};
use aldis_packet::*;
use samples::*;

/// The packet is accepted as 3.1 and refused as 3.1.1 with this clause; `name` stands for the protocol name
/// and level of the two versions.
fn looser(first: u8, body: &str, clause: &str) -> Packet<'static> {
    let named = |name: &str| packet(first, &body.replace("name", name));
    let refused = read(V311, &named(r#""MQTT" 04"#).leak()[..]).expect_err(body);
    assert_eq!(refused.clause, clause, "{body}");
    read(V31, named(r#""MQIsdp" 03"#).leak()).expect(body)
}

fn connect(flags: &str, payload: &str, clause: &str) -> Connect {
    match looser(0x10, &format!(r#"name {flags} 003C "c" {payload}"#), clause) {
        Packet::Connect(connect) => *connect,
        other => panic!("{other}"),
    }
}

#[test]
fn reserved_flags_are_ignored() {
    // DUP on a repeated PUBREL, SUBSCRIBE and UNSUBSCRIBE is 3.1's own; the others mean nothing.
    looser(0x6A, "0001", "MQTT-3.6.1-1");
    looser(0x8A, r#"0001 "a" 00"#, "MQTT-3.8.1-1");
    looser(0xAA, r#"0001 "a""#, "MQTT-3.10.1-1");
    looser(0x80, r#"0001 "a" 00"#, "MQTT-3.8.1-1");
    looser(0x41, "0001", "MQTT-2.2.2-2");
    looser(0xCF, "", "MQTT-2.2.2-2");
    looser(0xE8, "", "MQTT-3.14.1-1");
    looser(0x18, r#"name 02 003C "c""#, "MQTT-2.2.2-2");
}

#[test]
fn dup_of_a_qos_0_publish_is_ignored() {
    let Packet::Publish(publish) = looser(0x38, r#""a" 'x'"#, "MQTT-3.3.1-2") else { panic!() };
    assert!(!publish.dup && publish.qos == QoS::AtMostOnce && publish.packet_id.is_none());
}

#[test]
fn the_reserved_connect_flag_is_ignored() {
    assert!(connect("03", "", "MQTT-3.1.2-3").clean_start);
}

#[test]
fn will_settings_without_a_will_are_disregarded() {
    assert_eq!(connect("0A", "", "MQTT-3.1.2-13").will, None);
    assert_eq!(connect("1A", "", "MQTT-3.1.2-13").will, None);
    assert_eq!(connect("22", "", "MQTT-3.1.2-15").will, None);
}

#[test]
fn the_remaining_length_takes_precedence_over_user_name_and_password_flags() {
    let both_missing = connect("C2", "", "");
    assert_eq!((both_missing.user_name, both_missing.password), (None, None));
    let password_missing = connect("C2", r#""u""#, "");
    assert_eq!((password_missing.user_name.as_deref(), password_missing.password), (Some("u"), None));
    let name_missing = connect("82", "", "");
    assert_eq!(name_missing.user_name, None);
}

#[test]
fn the_upper_bits_of_a_requested_qos_are_ignored() {
    for (byte, qos) in [("FC", 0), ("05", 1), ("82", 2)] {
        let read = looser(0x82, &format!(r#"0001 "a" {byte}"#), "MQTT-3.8.3-4");
        let Packet::Subscribe(subscribe) = read else { panic!() };
        let expected = SubscriptionOptions::new(QoS::from_u8(qos).unwrap());
        assert_eq!(subscribe.filters, [("a".to_owned(), expected)]);
    }
}

#[test]
fn the_first_byte_of_connack_says_nothing() {
    let Packet::Connack(connack) = looser(0x20, "FF 00", "") else { panic!() };
    assert_eq!(*connack, Connack::new(false, ReasonCode::Success));
}

#[test]
fn what_3_1_refuses_all_the_same() {
    let null = "a string holds the null character U+0000";
    let too_short = "the packet ends in the middle of a field";
    all_are_refused(&[
        (
            V31,
            0x10,
            r#""MQIsdp" 03 42 003C "c" "p""#,
            MalformedPacket,
            "MQTT-3.1.2-22",
            "there is a password without a user name",
        ),
        (
            V31,
            0x10,
            r#""MQIsdp" 03 1E 003C "c" "w" "p""#,
            MalformedPacket,
            "MQTT-3.1.2-14",
            "the will's QoS is 3",
        ),
        (V31, 0x10, r#""MQIsdp" 03 82 003C "c" 00"#, MalformedPacket, "", too_short),
        (V31, 0x10, r#""MQIsdp" 03 82 003C "c" 0005 'us'"#, MalformedPacket, "", too_short),
        (
            V31,
            0x10,
            r#""MQIsdp" 03 02 003C "c" "u""#,
            MalformedPacket,
            "",
            "bytes follow the last field of the packet",
        ),
        (V31, 0x10, r#""MQIsdp" 03 02 003C 0001 00"#, MalformedPacket, "MQTT-1.5.3-2", null),
        (V31, 0x30, "0001 00", MalformedPacket, "MQTT-1.5.3-2", null),
        (V31, 0x36, r#""a" 0001"#, MalformedPacket, "MQTT-3.3.1-4", "the QoS is 3"),
        (V31, 0x32, r#""a" 0000"#, ProtocolError, "MQTT-2.3.1-1", "the packet identifier is 0"),
        (V31, 0x82, r#"0001 "a" 03"#, MalformedPacket, "MQTT-3.8.3-4", "the requested QoS is 3"),
        (V31, 0x82, r#"0001 "a" FF"#, MalformedPacket, "MQTT-3.8.3-4", "the requested QoS is 3"),
        (V31, 0x82, "0001", ProtocolError, "MQTT-3.8.3-3", "SUBSCRIBE holds no topic filter"),
    ]);
    // Nothing of this is for 5.
    let bytes = packet(0x10, r#""MQTT" 05 82 003C () "c""#);
    assert_eq!(read(V5, &bytes).unwrap_err().what, too_short);
}
