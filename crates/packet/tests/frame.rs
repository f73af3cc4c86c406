//! The fixed header: types, lengths, limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use aldis_packet::*;
use samples::*;

const REMAINING_LENGTH_TOO_LONG: &str = "the remaining length has more than four bytes";
const NOT_MINIMAL: &str = "the remaining length uses more bytes than it needs";

#[test]
fn the_size_is_known_as_soon_as_the_header_is_there() {
    let table: &[(&str, Option<usize>)] = &[
        ("", None),
        ("30", None),
        ("30 05", Some(7)),
        ("30 05 00 03 'ab'", Some(7)),
        ("30 7F", Some(129)),
        ("30 80", None),
        ("30 80 01", Some(131)),
        ("30 FF 7F", Some(16_386)),
        ("30 80 80", None),
        ("30 80 80 01", Some(16_388)),
        ("30 80 80 80", None),
        ("30 FF FF FF 7F", Some(268_435_460)),
    ];
    for (header, size) in table {
        assert_eq!(next_frame(&bytes(header), NO_LIMIT), Ok(Framed::Partial { size: *size }), "{header}");
    }
}

#[test]
fn every_length_comes_back() {
    for length in [0, 1, 127, 128, 129, 16_383, 16_384, 2_097_151, 2_097_152] {
        let mut packet = vec![0x3F];
        put_length(length, &mut packet);
        packet.extend(vec![7; length]);
        let size = packet.len();
        packet.extend([0xC0, 0]);
        let frame =
            Frame { packet_type: PacketType::Publish, flags: 0x0F, body: &packet[size - length..size] };
        assert_eq!(next_frame(&packet, size), Ok(Framed::Whole { frame, size }), "{length}");
    }
}

#[test]
fn mqtt_1_5_5_1_a_length_uses_as_few_bytes_as_it_can() {
    for header in ["C0 80 00", "30 FF 00", "30 80 80 00", "30 80 80 80 00"] {
        let error =
            DecodeError { reason: ReasonCode::MalformedPacket, clause: "MQTT-1.5.5-1", what: NOT_MINIMAL };
        assert_eq!(next_frame(&bytes(header), NO_LIMIT), Err(error), "{header}");
    }
}

#[test]
fn a_length_has_at_most_four_bytes() {
    for header in ["30 80 80 80 80", "30 FF FF FF FF 7F", "10 80 80 80 80 01 00"] {
        let error =
            DecodeError { reason: ReasonCode::MalformedPacket, clause: "", what: REMAINING_LENGTH_TOO_LONG };
        assert_eq!(next_frame(&bytes(header), NO_LIMIT), Err(error), "{header}");
    }
}

#[test]
fn packet_type_0_is_refused_at_its_first_byte() {
    for header in ["00", "0F 00"] {
        let refused = next_frame(&bytes(header), NO_LIMIT).unwrap_err();
        assert_eq!(refused.reason, ReasonCode::MalformedPacket, "{header}");
    }
}

#[test]
fn a_packet_that_is_too_large_is_refused_before_it_is_there() {
    let table: &[(&str, usize, bool)] = &[
        ("30 08", 10, true),
        ("30 09", 10, false),
        ("30 80 01", 131, true),
        ("30 80 01", 130, false),
        ("30 FF FF FF 7F", 1 << 20, false),
        ("C0 00", 1, false),
        ("C0 00", 2, true),
    ];
    for (header, maximum, fits) in table {
        let refused = next_frame(&bytes(header), *maximum).err().map(|error| error.reason);
        let expected = if *fits { None } else { Some(ReasonCode::PacketTooLarge) };
        assert_eq!(refused, expected, "{header} of at most {maximum}");
    }
}

#[test]
fn mqtt_2_1_3_1_reserved_flags_are_checked_from_3_1_1_on() {
    for version in VERSIONS {
        for sample in all(version).iter().filter(|sample| sample.packet_type() != PacketType::Publish) {
            let right = encoded(sample, version);
            for flags in 0..16 {
                let mut bytes = right.clone();
                bytes[0] = bytes[0] & 0xF0 | flags;
                if bytes[0] == right[0] || version == ProtocolVersion::V31 {
                    assert_eq!(read(version, &bytes).as_ref(), Ok(sample), "{sample} with {flags:04b}");
                } else {
                    let clause = match (sample.packet_type(), version) {
                        (PacketType::Pubrel, _) => "MQTT-3.6.1-1",
                        (PacketType::Subscribe, _) => "MQTT-3.8.1-1",
                        (PacketType::Unsubscribe, _) => "MQTT-3.10.1-1",
                        (PacketType::Disconnect, _) => "MQTT-3.14.1-1",
                        (PacketType::Auth, _) => "MQTT-3.15.1-1",
                        (_, ProtocolVersion::V5) => "MQTT-2.1.3-1",
                        _ => "MQTT-2.2.2-2",
                    };
                    let error = read(version, &bytes).unwrap_err();
                    assert_eq!(error.reason, ReasonCode::MalformedPacket, "{sample} with {flags:04b}");
                    assert_eq!(error.clause, clause, "{sample} with {flags:04b}");
                }
            }
        }
    }
}
