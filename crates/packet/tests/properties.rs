//! Table 2-4 of MQTT 5: which packet may hold which property, and how often.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use ProtocolVersion::{V5, V31, V311};
use ReasonCode::{MalformedPacket, ProtocolError};
use aldis_packet::*;
use samples::*;

/// Every property with a valid value, and the blocks it may be in: C CONNECT, W will, A CONNACK, P PUBLISH,
/// K the four acknowledgements, S SUBSCRIBE, s SUBACK, U UNSUBSCRIBE, u UNSUBACK, D DISCONNECT, X AUTH.
const TABLE: [(Property<'_>, &str); 27] = [
    (Property::PayloadFormatIndicator(1), "PW"),
    (Property::MessageExpiryInterval(1), "PW"),
    (Property::ContentType("x"), "PW"),
    (Property::ResponseTopic("x"), "PW"),
    (Property::CorrelationData(b"x"), "PW"),
    (Property::SubscriptionIdentifier(1), "PS"),
    (Property::SessionExpiryInterval(1), "CAD"),
    (Property::AssignedClientIdentifier("x"), "A"),
    (Property::ServerKeepAlive(1), "A"),
    (Property::AuthenticationMethod("x"), "CAX"),
    (Property::AuthenticationData(b"x"), "CAX"),
    (Property::RequestProblemInformation(true), "C"),
    (Property::WillDelayInterval(1), "W"),
    (Property::RequestResponseInformation(true), "C"),
    (Property::ResponseInformation("x"), "A"),
    (Property::ServerReference("x"), "AD"),
    (Property::ReasonString("x"), "AKsuDX"),
    (Property::ReceiveMaximum(1), "CA"),
    (Property::TopicAliasMaximum(1), "CA"),
    (Property::TopicAlias(1), "P"),
    (Property::MaximumQoS(QoS::AtLeastOnce), "A"),
    (Property::RetainAvailable(true), "A"),
    (Property::UserProperty("x", "y"), "CWAPKSsUuDX"),
    (Property::MaximumPacketSize(1), "CA"),
    (Property::WildcardSubscriptionAvailable(true), "A"),
    (Property::SubscriptionIdentifierAvailable(true), "A"),
    (Property::SharedSubscriptionAvailable(true), "A"),
];

/// A packet around the block, with an authentication method in front where the packet needs one.
fn around(block: char, properties: &[Property<'_>]) -> Vec<Vec<u8>> {
    let mut encoded = Vec::new();
    let has = |id: u8| properties.iter().any(|property| property.id() == id);
    let needs_method = block == 'X' || has(0x16) && "CA".contains(block);
    if needs_method && !has(0x15) {
        Property::AuthenticationMethod("m").encode(&mut encoded);
    }
    for property in properties {
        property.encode(&mut encoded);
    }
    let hex: String = encoded.iter().map(|byte| format!("{byte:02X}")).collect();
    let one = |first: u8, body: &str| vec![packet(first, &body.replace("{}", &format!("({hex})")))];
    match block {
        'C' => one(0x10, r#""MQTT" 05 02 003C {} "c""#),
        'W' => one(0x10, r#""MQTT" 05 06 003C () "c" {} "w" "p""#),
        'A' => one(0x20, "00 00 {}"),
        'P' => one(0x30, r#""a" {}"#),
        'K' => [0x40, 0x50, 0x62, 0x70].iter().flat_map(|&first| one(first, "0001 00 {}")).collect(),
        'S' => one(0x82, r#"0001 {} "a" 00"#),
        's' => one(0x90, "0001 {} 00"),
        'U' => one(0xA2, r#"0001 {} "a""#),
        'u' => one(0xB0, "0001 {} 00"),
        'D' => one(0xE0, "00 {}"),
        _ => one(0xF0, "18 {}"),
    }
}

#[test]
fn a_property_is_where_the_table_allows_it_and_malformed_elsewhere() {
    for (property, blocks) in TABLE {
        for block in "CWAPKSsUuDX".chars() {
            for bytes in around(block, &[property]) {
                let refused = read(V5, &bytes).err();
                if blocks.contains(block) {
                    assert_eq!(refused, None, "{} in {block}", property.name());
                } else {
                    let what = "the packet holds a property that it may not hold";
                    let expected = DecodeError { reason: MalformedPacket, clause: "", what };
                    assert_eq!(refused, Some(expected), "{} in {block}", property.name());
                }
            }
        }
    }
}

#[test]
fn a_property_twice_is_a_protocol_error_unless_it_may_be_repeated() {
    for (property, blocks) in TABLE {
        for block in blocks.chars() {
            for bytes in around(block, &[property, property]) {
                let refused = read(V5, &bytes).err().map(|error| (error.reason, error.what));
                let repeated = property.id() == 0x26 || property.id() == 0x0B && block == 'P';
                let expected = (ProtocolError, "the packet holds a property twice");
                assert_eq!(
                    refused,
                    if repeated { None } else { Some(expected) },
                    "{} in {block}",
                    property.name()
                );
            }
        }
    }
}

#[test]
fn more_user_properties_than_the_limit_are_refused_in_every_packet() {
    let user = Property::UserProperty("k", "v");
    for block in "CWAPKSsUuDX".chars() {
        for (count, fits) in [(64, true), (65, false)] {
            for bytes in around(block, &vec![user; count]) {
                let refused = read(V5, &bytes).err().map(|error| error.reason);
                assert_eq!(refused, if fits { None } else { Some(ReasonCode::QuotaExceeded) }, "{block}");
            }
        }
    }
}

#[test]
fn earlier_versions_have_no_properties() {
    for version in [V31, V311] {
        let packet = packet(0x30, r#""a" (0101) 'x'"#);
        let Ok(Packet::Publish(publish)) = read(version, &packet) else { panic!() };
        assert_eq!(publish.payload, bytes("02 0101 'x'"));
        assert_eq!(publish.properties, PublishProperties::default());
    }
}

#[test]
fn identifiers_and_names_are_distinct() {
    let ids: std::collections::BTreeSet<u8> = TABLE.iter().map(|row| row.0.id()).collect();
    let names: std::collections::BTreeSet<&str> = TABLE.iter().map(|row| row.0.name()).collect();
    assert_eq!((ids.len(), names.len()), (27, 27));
}
