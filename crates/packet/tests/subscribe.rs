//! SUBSCRIBE and UNSUBSCRIBE: what is refused, and what the options mean.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use ProtocolVersion::{V5, V31, V311};
use ReasonCode::{MalformedPacket, ProtocolError};
use aldis_packet::*;
use samples::*;

const TOO_SHORT: &str = "the packet ends in the middle of a field";
const NOT_ALLOWED: &str = "the packet holds a property that it may not hold";
const TWICE: &str = "the packet holds a property twice";
const NOT_UTF8: &str = "a string is not well-formed UTF-8";
const NULL: &str = "a string holds the null character U+0000";
const RESERVED: &str = "reserved bits of the subscription options are set";

#[test]
fn subscribe_of_5() {
    let qos_3 = "the requested QoS is 3";
    all_are_refused(&[
        (V5, 0x82, r#"0001 ()"#, ProtocolError, "MQTT-3.8.3-2", "SUBSCRIBE holds no topic filter"),
        (V5, 0x82, r#"0000 () "a" 00"#, ProtocolError, "MQTT-2.2.1-3", "the packet identifier is 0"),
        (V5, 0x82, r#"0001 () "a" 40"#, MalformedPacket, "MQTT-3.8.3-5", RESERVED),
        (V5, 0x82, r#"0001 () "a" 80"#, MalformedPacket, "MQTT-3.8.3-5", RESERVED),
        (V5, 0x82, r#"0001 () "a" 03"#, ProtocolError, "", qos_3),
        (V5, 0x82, r#"0001 () "a" 00 "b" 03"#, ProtocolError, "", qos_3),
        (V5, 0x82, r#"0001 () "a" 30"#, ProtocolError, "", "the retain handling is 3"),
        (
            V5,
            0x82,
            r#"0001 () "$share/g/a" 04"#,
            ProtocolError,
            "MQTT-3.8.3-4",
            "no local is set on a shared subscription",
        ),
        (V5, 0x82, r#"0001 () 0001 FF 00"#, MalformedPacket, "MQTT-1.5.4-1", NOT_UTF8),
        (V5, 0x82, r#"0001 () 0001 00 00"#, MalformedPacket, "MQTT-1.5.4-2", NULL),
        (V5, 0x82, r#"0001 () "a""#, MalformedPacket, "", TOO_SHORT),
        (V5, 0x82, r#"0001 () "a" 00 00"#, MalformedPacket, "", TOO_SHORT),
        (V5, 0x82, r#"0001"#, MalformedPacket, "", TOO_SHORT),
        (V5, 0x82, r#"0001 (0B00) "a" 00"#, ProtocolError, "", "a subscription identifier is 0"),
        (V5, 0x82, r#"0001 (0B01 0B02) "a" 00"#, ProtocolError, "", TWICE),
        (
            V5,
            0x82,
            r#"0001 (0BFFFFFFFF7F) "a" 00"#,
            MalformedPacket,
            "",
            "a variable byte integer has more than four bytes",
        ),
        (V5, 0x82, r#"0001 (1F "x") "a" 00"#, MalformedPacket, "", NOT_ALLOWED),
        (V5, 0x82, r#"0001 (0101) "a" 00"#, MalformedPacket, "", NOT_ALLOWED),
    ]);
}

#[test]
fn subscribe_of_3_1_1() {
    all_are_refused(&[
        (V311, 0x82, r#"0001"#, ProtocolError, "MQTT-3.8.3-3", "SUBSCRIBE holds no topic filter"),
        (V311, 0x82, r#"0000 "a" 00"#, ProtocolError, "MQTT-2.3.1-1", "the packet identifier is 0"),
        (V311, 0x82, r#"0001 "a" 03"#, MalformedPacket, "MQTT-3.8.3-4", "the requested QoS is 3"),
        (V311, 0x82, r#"0001 "a" 04"#, MalformedPacket, "MQTT-3.8.3-4", RESERVED),
        (V311, 0x82, r#"0001 "a" 11"#, MalformedPacket, "MQTT-3.8.3-4", RESERVED),
        (V311, 0x82, r#"0001 "a" 80"#, MalformedPacket, "MQTT-3.8.3-4", RESERVED),
        (V311, 0x82, r#"0001 0001 FF 00"#, MalformedPacket, "MQTT-1.5.3-1", NOT_UTF8),
        (V311, 0x82, r#"0001 "a""#, MalformedPacket, "", TOO_SHORT),
        (V311, 0x82, r#"0001 00"#, MalformedPacket, "", TOO_SHORT),
    ]);
}

#[test]
fn mqtt_3_8_3_1_every_bit_of_the_options_has_its_meaning() {
    for byte in 0..=u8::MAX {
        let bytes = packet(0x82, &format!(r#"0001 () "a" {byte:02X}"#));
        let valid = byte & 0xC0 == 0 && byte & 0x03 != 3 && byte & 0x30 != 0x30;
        let read = read(V5, &bytes);
        assert_eq!(read.is_ok(), valid, "{byte:02x}");
        if let Ok(Packet::Subscribe(subscribe)) = read {
            let options = subscribe.filters[0].1;
            assert_eq!(options.qos.value(), byte & 3, "{byte:02x}");
            assert_eq!(options.no_local, byte & 4 != 0, "{byte:02x}");
            assert_eq!(options.retain_as_published, byte & 8 != 0, "{byte:02x}");
            assert_eq!(options.retain_handling as u8, byte >> 4, "{byte:02x}");
        }
    }
}

#[test]
fn mqtt_3_8_3_4_no_local_is_for_filters_that_are_not_shared() {
    for (filter, fits) in
        [("$share/g/a", false), ("$shared/g/a", true), ("share/g/a", true), ("$SYS/#", true)]
    {
        let bytes = packet(0x82, &format!(r#"0001 () "{filter}" 04"#));
        assert_eq!(read(V5, &bytes).is_ok(), fits, "{filter}");
    }
}

#[test]
fn filters_are_text_that_another_crate_judges() {
    for filter in ["", "a#", "+a", "#/#", "$share//x"] {
        let bytes = packet(0x82, &format!("0001 \"{filter}\" 00"));
        let Ok(Packet::Subscribe(subscribe)) = read(V311, &bytes) else { panic!("{filter}") };
        assert_eq!(subscribe.filters, [(filter.to_owned(), SubscriptionOptions::default())]);
    }
}

#[test]
fn unsubscribe() {
    let none = "UNSUBSCRIBE holds no topic filter";
    all_are_refused(&[
        (V5, 0xA2, r#"0001 ()"#, ProtocolError, "MQTT-3.10.3-2", none),
        (V5, 0xA2, r#"0000 () "a""#, ProtocolError, "MQTT-2.2.1-3", "the packet identifier is 0"),
        (V5, 0xA2, r#"0001 () 0001 FF"#, MalformedPacket, "MQTT-1.5.4-1", NOT_UTF8),
        (V5, 0xA2, r#"0001 () "a" 0001 00"#, MalformedPacket, "MQTT-1.5.4-2", NULL),
        (V5, 0xA2, r#"0001 () "a" 00"#, MalformedPacket, "", TOO_SHORT),
        (V5, 0xA2, r#"0001 (0B01) "a""#, MalformedPacket, "", NOT_ALLOWED),
        (V311, 0xA2, r#"0001"#, ProtocolError, "MQTT-3.10.3-2", none),
        (V311, 0xA2, r#"0000 "a""#, ProtocolError, "MQTT-2.3.1-1", "the packet identifier is 0"),
        (V311, 0xA2, r#"0001 0001 FF"#, MalformedPacket, "MQTT-1.5.3-1", NOT_UTF8),
        (V31, 0xA2, r#"0001"#, ProtocolError, "MQTT-3.10.3-2", none),
    ]);
}
