//! PUBLISH: what is refused, what is passed on, and how it is written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use ProtocolVersion::{V5, V31, V311};
use ReasonCode::{MalformedPacket, ProtocolError};
use aldis_packet::*;
use samples::*;

use std::borrow::Cow;

const NOT_ALLOWED: &str = "the packet holds a property that it may not hold";
const TWICE: &str = "the packet holds a property twice";
const WILDCARD: &str = "the topic name holds a wildcard";

fn publish(version: ProtocolVersion, bytes: &[u8]) -> Result<Publish<'_>, DecodeError> {
    Publish::decode(&frame(bytes), version, &DecodeLimits::default())
}

#[test]
fn flags_topics_and_identifiers() {
    use ReasonCode::TopicNameInvalid;
    let not_utf8 = "a string is not well-formed UTF-8";
    let null = "a string holds the null character U+0000";
    let too_short = "the packet ends in the middle of a field";
    let id_0 = "the packet identifier is 0";
    for version in VERSIONS {
        let v5 = version == V5;
        let block = if v5 { "()" } else { "" };
        let utf8 = if v5 { "MQTT-1.5.4-1" } else { "MQTT-1.5.3-1" };
        let u0000 = if v5 { "MQTT-1.5.4-2" } else { "MQTT-1.5.3-2" };
        let id = if v5 { "MQTT-2.2.1-3" } else { "MQTT-2.3.1-1" };
        let rows = [
            (0x36, r#""a" 0001 {}"#, MalformedPacket, "MQTT-3.3.1-4", "the QoS is 3"),
            (0x3E, r#""a" 0001 {}"#, MalformedPacket, "MQTT-3.3.1-4", "the QoS is 3"),
            (0x30, r#""a/+" {}"#, TopicNameInvalid, "MQTT-3.3.2-2", WILDCARD),
            (0x30, r#""/#" {}"#, TopicNameInvalid, "MQTT-3.3.2-2", WILDCARD),
            (0x30, r#""a#b" {}"#, TopicNameInvalid, "MQTT-3.3.2-2", WILDCARD),
            (0x30, r#"0003 610062 {}"#, MalformedPacket, u0000, null),
            (0x30, r#"0001 FF {}"#, MalformedPacket, utf8, not_utf8),
            (0x30, r#"0002 C0AF {}"#, MalformedPacket, utf8, not_utf8),
            (0x30, r#"0002 C080 {}"#, MalformedPacket, utf8, not_utf8),
            (0x30, r#"0003 EDBFBF {}"#, MalformedPacket, utf8, not_utf8),
            (0x30, r#"0002 E282 {}"#, MalformedPacket, utf8, not_utf8),
            (0x32, r#""a" 0000 {}"#, ProtocolError, id, id_0),
            (0x34, r#""a" 0000 {}"#, ProtocolError, id, id_0),
            (0x32, r#""a" 00"#, MalformedPacket, "", too_short),
            (0x30, "0003 'ab'", MalformedPacket, "", too_short),
            (0x30, "00", MalformedPacket, "", too_short),
            (0x30, "", MalformedPacket, "", too_short),
        ];
        for (first, body, reason, clause, what) in rows {
            let body = body.replace("{}", block);
            all_are_refused(&[(version, first, &body, reason, clause, what)]);
        }
    }
}

#[test]
fn mqtt_3_3_1_2_dup_at_qos_0_from_3_1_1_on() {
    for (version, body) in [(V311, r#""a""#), (V5, r#""a" ()"#)] {
        all_are_refused(&[(version, 0x38, body, MalformedPacket, "MQTT-3.3.1-2", "DUP is set at QoS 0")]);
    }
}

#[test]
fn mqtt_4_7_3_1_an_empty_topic_needs_an_alias() {
    let invalid = ReasonCode::TopicNameInvalid;
    all_are_refused(&[
        (V31, 0x30, r#""""#, invalid, "MQTT-4.7.3-1", "the topic name is empty"),
        (V311, 0x30, r#""""#, invalid, "MQTT-4.7.3-1", "the topic name is empty"),
        (
            V5,
            0x30,
            r#""" ()"#,
            ProtocolError,
            "MQTT-4.7.3-1",
            "the topic name is empty and there is no topic alias",
        ),
        (
            V5,
            0x30,
            r#""" (0101)"#,
            ProtocolError,
            "MQTT-4.7.3-1",
            "the topic name is empty and there is no topic alias",
        ),
    ]);
    let bytes = packet(0x30, r#""" (230007) 'x'"#);
    let publish = publish(V5, &bytes).unwrap();
    assert_eq!((publish.topic, publish.properties.topic_alias, publish.payload), ("", Some(7), &b"x"[..]));
}

#[test]
fn properties() {
    let short = "the packet ends in the middle of a field";
    all_are_refused(&[
        (V5, 0x30, r#""a" (230000)"#, ReasonCode::TopicAliasInvalid, "MQTT-3.3.2-8", "the topic alias is 0"),
        (V5, 0x30, r#""a" (230001 230001)"#, ProtocolError, "", TWICE),
        (V5, 0x30, r#""a" (0102)"#, ProtocolError, "", "the payload format indicator is neither 0 nor 1"),
        (V5, 0x30, r#""a" (0100 0100)"#, ProtocolError, "", TWICE),
        (V5, 0x30, r#""a" (0200000001 0200000001)"#, ProtocolError, "", TWICE),
        (V5, 0x30, r#""a" (03 "x" 03 "x")"#, ProtocolError, "", TWICE),
        (V5, 0x30, r#""a" (08 "x" 08 "x")"#, ProtocolError, "", TWICE),
        (V5, 0x30, r#""a" (09 "x" 09 "x")"#, ProtocolError, "", TWICE),
        (
            V5,
            0x30,
            r#""a" (08 "x/#")"#,
            ProtocolError,
            "MQTT-3.3.2-14",
            "the response topic holds a wildcard",
        ),
        (V5, 0x30, r#""a" (08 "")"#, ProtocolError, "MQTT-4.7.3-1", "the response topic is empty"),
        (V5, 0x30, r#""a" (0B00)"#, ProtocolError, "", "a subscription identifier is 0"),
        (
            V5,
            0x30,
            r#""a" (0B8000)"#,
            MalformedPacket,
            "MQTT-1.5.5-1",
            "a variable byte integer uses more bytes than it needs",
        ),
        (
            V5,
            0x30,
            r#""a" (0B8080808001)"#,
            MalformedPacket,
            "",
            "a variable byte integer has more than four bytes",
        ),
        (V5, 0x30, r#""a" (1100000001)"#, MalformedPacket, "", NOT_ALLOWED),
        (V5, 0x30, r#""a" (1800000001)"#, MalformedPacket, "", NOT_ALLOWED),
        (V5, 0x30, r#""a" (1F "x")"#, MalformedPacket, "", NOT_ALLOWED),
        (V5, 0x30, r#""a" (02000001)"#, MalformedPacket, "", short),
        (V5, 0x30, r#""a" (09 0002 61)"#, MalformedPacket, "", short),
        (
            V5,
            0x30,
            r#""a" (03 0001 FF)"#,
            MalformedPacket,
            "MQTT-1.5.4-1",
            "a string is not well-formed UTF-8",
        ),
        (
            V5,
            0x30,
            r#""a" (26 "k" 0001 00)"#,
            MalformedPacket,
            "MQTT-1.5.4-2",
            "a string holds the null character U+0000",
        ),
        (V5, 0x30, r#""a" 05 'abc'"#, MalformedPacket, "", "the property length reaches beyond the packet"),
        (V5, 0x30, r#""a""#, MalformedPacket, "", short),
        (V5, 0x32, r#""a" 0001"#, MalformedPacket, "", short),
    ]);
}

#[test]
fn more_user_properties_than_the_limit_are_refused() {
    let limits = DecodeLimits { user_properties: 3 };
    for (count, fits) in [(0, true), (3, true), (4, false)] {
        let body = format!(r#""a" ({})"#, r#"26 "k" "v""#.repeat(count));
        let bytes = packet(0x30, &body);
        let refused = Publish::decode(&frame(&bytes), V5, &limits).err().map(|error| error.reason);
        assert_eq!(refused, if fits { None } else { Some(ReasonCode::QuotaExceeded) }, "{count}");
    }
}

#[test]
fn mqtt_3_3_2_18_forwarded_properties_keep_bytes_and_order() {
    let table = [
        // (the block, what of it is forwarded, whether it is borrowed)
        ("", "", true),
        ("0200000009", "", true),
        ("230001 0B05 0200000009", "", true),
        (r#"26 "b" "1" 26 "a" "2" 26 "b" "1""#, r#"26 "b" "1" 26 "a" "2" 26 "b" "1""#, true),
        (r#"230001 09 "id" 0101 08 "t" 03 "c" 0B07"#, r#"09 "id" 0101 08 "t" 03 "c""#, true),
        (r#"0101 0200000009 03 "c" 26 "k" "v""#, r#"0101 03 "c" 26 "k" "v""#, false),
        (r#"26 "b" "1" 230001 08 "t" 0B07 26 "a" "2" 0101"#, r#"26 "b" "1" 08 "t" 26 "a" "2" 0101"#, false),
    ];
    for (block, forwarded, borrowed) in table {
        let packet = packet(0x30, &format!(r#""a" ({block}) 'payload'"#));
        let publish = publish(V5, &packet).unwrap();
        assert_eq!(*publish.properties.forwarded, bytes(forwarded), "{block}");
        assert_eq!(matches!(publish.properties.forwarded, Cow::Borrowed(_)), borrowed, "{block}");
        assert_eq!(publish.payload, b"payload");
    }
}

#[test]
fn forwarded_properties_are_read_in_order_and_a_bad_rest_ends_them() {
    let expected = [
        Property::UserProperty("first", "1"),
        Property::ResponseTopic("answers/to/me"),
        Property::PayloadFormatIndicator(1),
        Property::UserProperty("second", "2"),
        Property::ContentType("text/plain"),
        Property::CorrelationData(&[0, 0xFF, 7]),
    ];
    let block = forwarded();
    assert_eq!(forwarded_properties(&block).collect::<Vec<_>>(), expected);
    for length in 0..block.len() {
        let part: Vec<_> = forwarded_properties(&block[..length]).collect();
        assert!(part.len() < expected.len() && expected.starts_with(&part), "{length}");
    }
    let of_one_hop = [Property::TopicAlias(1), Property::MessageExpiryInterval(1)];
    assert!(encode_forwarded(of_one_hop).is_empty());
}

#[test]
fn a_known_topic_is_trusted_and_any_other_is_not() {
    let limits = DecodeLimits::default();
    let known = "sensors/kitchen/temperature";
    for (topic, valid) in [(known, true), ("sensors/+", false), ("other", true), ("", false)] {
        let bytes = packet(0x30, &format!(r#""{topic}" 'x'"#));
        let read = Publish::decode_trusting(&frame(&bytes), V311, &limits, known);
        assert_eq!(read.is_ok(), valid, "{topic}");
        assert_eq!(read, publish(V311, &bytes), "{topic}");
    }
    let empty = packet(0x30, r#""""#);
    assert!(Publish::decode_trusting(&frame(&empty), V311, &limits, "").is_err());
}

#[test]
fn the_head_is_as_large_as_it_says_and_reads_back() {
    let forwarded = forwarded();
    let topics = ["a".to_owned(), "t".repeat(120), "t".repeat(65_535)];
    for version in VERSIONS {
        for topic in &topics {
            for payload_len in [0, 1, 100, 127, 128, 16_300, 16_384, 2_097_152] {
                for (qos, packet_id) in [(QoS::AtMostOnce, None), (QoS::ExactlyOnce, PacketId::new(513))] {
                    for full in [false, true] {
                        let head = PublishHead {
                            version,
                            dup: full && packet_id.is_some(),
                            qos,
                            retain: full,
                            topic,
                            packet_id,
                            message_expiry: full.then_some(77),
                            topic_alias: full.then_some(3),
                            subscription_ids: if full { &[1, 200, 20_000, 2_097_152] } else { &[] },
                            forwarded: if full { &forwarded } else { &[] },
                        };
                        reads_back(&head, payload_len);
                    }
                }
            }
        }
    }
}

fn reads_back(head: &PublishHead<'_>, payload_len: usize) {
    let mut bytes = Vec::new();
    head.encode(payload_len, &mut bytes);
    bytes.resize(bytes.len() + payload_len, b'p');
    assert_eq!(bytes.len(), head.packet_size(payload_len), "{head:?}");
    let read = publish(head.version, &bytes).unwrap();
    assert_eq!((read.dup, read.qos, read.retain), (head.dup, head.qos, head.retain));
    assert_eq!((read.topic, read.packet_id), (head.topic, head.packet_id));
    assert_eq!(read.payload.len(), payload_len);
    let properties = read.properties;
    if head.version == V5 {
        assert_eq!(properties.message_expiry, head.message_expiry);
        assert_eq!(properties.topic_alias, head.topic_alias);
        assert_eq!(properties.subscription_ids, head.subscription_ids);
        assert_eq!(*properties.forwarded, *head.forwarded);
    } else {
        assert_eq!(properties, PublishProperties::default());
    }
}
