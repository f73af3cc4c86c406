//! The reason codes against the table in section 2.4 of MQTT 5, written down a second time the other way
//! round: for each packet, the codes that its own section lists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use aldis_packet::*;

const CODES: [(PacketType, &[u8]); 9] = [
    (
        PacketType::Connack,
        &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97,
            0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
        ],
    ),
    (PacketType::Puback, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
    (PacketType::Pubrec, &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]),
    (PacketType::Pubrel, &[0x00, 0x92]),
    (PacketType::Pubcomp, &[0x00, 0x92]),
    (PacketType::Suback, &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]),
    (PacketType::Unsuback, &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]),
    (
        PacketType::Disconnect,
        &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94,
            0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ],
    ),
    (PacketType::Auth, &[0x00, 0x18, 0x19]),
];

#[test]
fn every_packet_may_hold_the_codes_of_its_section() {
    for packet_type in PacketType::ALL {
        let codes = CODES.iter().find(|row| row.0 == packet_type).map_or(&[][..], |row| row.1);
        for value in 0..=u8::MAX {
            let valid = ReasonCode::from_u8(value).is_some_and(|code| code.valid_in(packet_type));
            assert_eq!(valid, codes.contains(&value), "{packet_type} with {value:02x}");
        }
    }
}

#[test]
fn values_come_back_and_names_are_distinct() {
    let mut names = std::collections::BTreeSet::new();
    for code in ReasonCode::all() {
        assert_eq!(ReasonCode::from_u8(code.value()), Some(code));
        assert_eq!(code.is_error(), code.value() >= 0x80);
        assert!(names.insert(code.to_string()), "{code}");
    }
    assert_eq!(names.len(), 43);
    assert_eq!(ReasonCode::all().filter(|code| !code.is_error()).count(), 8);
    assert_eq!(ReasonCode::WildcardSubscriptionsNotSupported.value(), 0xA2);
    assert_eq!(ReasonCode::TopicNameInvalid.value(), 0x90);
}

#[test]
fn connect_return_codes_of_3_1_1() {
    for value in 0..=5 {
        let code = ReasonCode::from_connect_return_code(value).unwrap();
        assert_eq!(code.connect_return_code(), value);
    }
    assert_eq!(ReasonCode::from_connect_return_code(6), None);
    let table = [(0x88, 3), (0x89, 3), (0x97, 3), (0x9F, 3), (0x8A, 5), (0x87, 5), (0x8C, 3), (0x86, 4)];
    for (reason, code) in table {
        assert_eq!(ReasonCode::from_u8(reason).unwrap().connect_return_code(), code, "{reason:02x}");
    }
    for code in ReasonCode::all().filter(|code| code.is_error()) {
        assert!((1..=5).contains(&code.connect_return_code()), "{code}");
    }
}
