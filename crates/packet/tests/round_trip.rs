//! Every kind of packet in every version comes back from its bytes as it was, in either direction.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use aldis_packet::*;
use samples::*;

#[test]
fn every_packet_of_every_version_comes_back_as_it_was() {
    for version in VERSIONS {
        for packet in all(version) {
            let bytes = encoded(&packet, version);
            assert_eq!(read(version, &bytes).as_ref(), Ok(&packet), "MQTT {version}: {packet}");
        }
    }
}

#[test]
fn the_samples_hold_every_packet_type() {
    for version in VERSIONS {
        let types: Vec<PacketType> = all(version).iter().map(Packet::packet_type).collect();
        for packet_type in PacketType::ALL {
            let exists = packet_type != PacketType::Auth || version == ProtocolVersion::V5;
            assert_eq!(types.contains(&packet_type), exists, "MQTT {version}: {packet_type}");
        }
    }
}

#[test]
fn encoding_appends_and_leaves_what_is_there() {
    for version in VERSIONS {
        let mut stream = Vec::new();
        let packets = all(version);
        for packet in &packets {
            packet.encode(version, &mut stream);
        }
        let mut rest = &stream[..];
        for packet in &packets {
            let Ok(Framed::Whole { frame, size }) = next_frame(rest, NO_LIMIT) else { panic!("{packet}") };
            assert_eq!(decode(&frame, version, &DecodeLimits::default()).as_ref(), Ok(packet));
            rest = &rest[size..];
        }
        assert!(rest.is_empty());
    }
}

#[test]
fn bytes_of_the_shortest_forms_are_those_of_the_standard() {
    let disconnect = |reason| Packet::Disconnect(Box::new(Disconnect::new(reason)));
    let ack = |kind, reason| Packet::Ack(Ack::new(kind, id(7), reason));
    let v5 = ProtocolVersion::V5;
    let table: &[(Packet<'_>, ProtocolVersion, &str)] = &[
        (Packet::Pingreq, v5, "C000"),
        (Packet::Pingresp, ProtocolVersion::V31, "D000"),
        (disconnect(ReasonCode::Success), v5, "E000"),
        (disconnect(ReasonCode::SessionTakenOver), v5, "E0018E"),
        (disconnect(ReasonCode::SessionTakenOver), ProtocolVersion::V311, "E000"),
        (Packet::Auth(Box::new(Auth::new(ReasonCode::Success))), v5, "F000"),
        (ack(AckKind::Puback, ReasonCode::Success), v5, "40020007"),
        (ack(AckKind::Pubrec, ReasonCode::QuotaExceeded), v5, "5003000797"),
        (ack(AckKind::Pubrec, ReasonCode::QuotaExceeded), ProtocolVersion::V311, "50020007"),
        (ack(AckKind::Pubrel, ReasonCode::Success), v5, "62020007"),
        (ack(AckKind::Pubcomp, ReasonCode::PacketIdentifierNotFound), v5, "7003000792"),
        (Packet::Unsuback(Unsuback::new(id(7), vec![0])), ProtocolVersion::V311, "B0020007"),
        (Packet::Unsuback(Unsuback::new(id(7), vec![0])), v5, "B00400070000"),
        (Packet::Suback(Suback::new(id(7), vec![1, 0x9E])), ProtocolVersion::V311, "9004 0007 01 80"),
        (Packet::Connack(Box::new(Connack::new(true, ReasonCode::Success))), v5, "2003 01 00 00"),
        (
            Packet::Connack(Box::new(Connack::new(false, ReasonCode::ServerBusy))),
            ProtocolVersion::V311,
            "2002 00 03",
        ),
        (
            Packet::Connack(Box::new(Connack::new(true, ReasonCode::Success))),
            ProtocolVersion::V31,
            "2002 00 00",
        ),
    ];
    for (packet, version, expected) in table {
        assert_eq!(encoded(packet, *version), bytes(expected), "MQTT {version}: {packet}");
    }
}

#[test]
fn a_field_that_is_too_long_is_cut_and_the_packet_stays_whole() {
    let words = "ü".repeat(40_000);
    let mut disconnect = Disconnect::new(ReasonCode::UnspecifiedError);
    disconnect.reason_string = Some(words);
    let mut out = Vec::new();
    disconnect.encode(ProtocolVersion::V5, u32::MAX, &mut out);
    let Ok(Packet::Disconnect(read)) = read(ProtocolVersion::V5, &out) else { panic!() };
    assert_eq!(read.reason_string.map(|words| words.len()), Some(65_534));
}
