//! The list of differences cannot rot: each entry's example is a difference, and that entry explains it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use aldis_fuzz::decoder::{self, case};
use aldis_fuzz::differences::{Kind, LIST, explains};
use aldis_packet::{Frame, PacketType, ProtocolVersion, decode};

#[test]
fn every_listed_difference_occurs_and_is_explained_by_its_own_entry() {
    for difference in LIST {
        let (version, first, body) = difference.example;
        let frame =
            Frame { packet_type: PacketType::from_u8(first >> 4).unwrap(), flags: first & 0x0F, body };
        let case = case(&frame, version, decode);
        let kind = match (&case.ours, &case.theirs) {
            (Err(_), Ok(_)) => Kind::OursRefuses,
            (Ok(_), Err(_)) => Kind::TheirsRefuses,
            (Ok(ours), Ok(theirs)) if ours != theirs => Kind::ReadDifferently,
            _ => {
                panic!("{}: the decoders agree by now, so the entry has to go: {case:02x?}", difference.name)
            }
        };
        assert_eq!(kind, difference.kind, "{}: {case:02x?}", difference.name);
        assert_eq!(explains(&case).map(|entry| entry.name), Some(difference.name), "{case:02x?}");
        let explained = LIST.iter().filter(|entry| entry.explains(&case)).count();
        assert_eq!(explained, 1, "{}: more than one entry explains it", difference.name);
        // The target takes it, as it is listed.
        let number = [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5]
            .into_iter()
            .position(|one| one == version);
        decoder::decoder(&[&[number.unwrap() as u8, first][..], body].concat());
    }
}

#[test]
fn every_entry_says_why_and_by_which_clause() {
    for difference in LIST {
        assert!(difference.reason.len() > 10, "{}", difference.name);
        assert!(difference.clause.contains(|sign: char| sign.is_ascii_digit()), "{}", difference.name);
        assert_eq!(
            LIST.iter().filter(|other| other.name == difference.name).count(),
            1,
            "{}",
            difference.name
        );
    }
}
