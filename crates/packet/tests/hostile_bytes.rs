//! No bytes make the decoder panic, and what it accepts it can write again: each sample cut at every length,
//! changed at every byte, and mixed at random from a fixed seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod samples;

use aldis_packet::*;
use samples::*;

/// Decodes whatever frames `bytes` hold, as every version. What is accepted must come back from its own
/// encoding as it was, and have a line for the log.
fn take(bytes: &[u8]) -> usize {
    let mut accepted = 0;
    let mut rest = bytes;
    while let Ok(Framed::Whole { frame, size }) = next_frame(rest, NO_LIMIT) {
        for version in VERSIONS {
            if let Ok(packet) = decode(&frame, version, &DecodeLimits::default()) {
                let again = encoded(&packet, version);
                assert_eq!(read(version, &again).as_ref(), Ok(&packet), "MQTT {version}: {bytes:02x?}");
                assert!(!packet.to_string().contains('\n'), "{packet}");
                accepted += 1;
            }
        }
        assert!(!frame.to_string().is_empty());
        rest = &rest[size..];
    }
    accepted
}

#[test]
fn every_sample_cut_at_every_length_is_incomplete() {
    for version in VERSIONS {
        for packet in all(version) {
            let bytes = encoded(&packet, version);
            for length in 0..bytes.len() {
                let part = next_frame(&bytes[..length], NO_LIMIT);
                let Ok(Framed::Partial { size }) = part else { panic!("{packet} at {length}: {part:?}") };
                assert!(size.is_none_or(|size| size == bytes.len()), "{packet} at {length}: {size:?}");
            }
        }
    }
}

#[test]
fn every_sample_with_its_body_cut_is_refused_or_read_as_something_else() {
    for version in VERSIONS {
        for packet in all(version) {
            let bytes = encoded(&packet, version);
            let whole = frame(&bytes);
            for length in 0..whole.body.len() {
                let mut cut = vec![bytes[0]];
                put_length(length, &mut cut);
                cut.extend(&whole.body[..length]);
                assert_ne!(read(version, &cut).as_ref(), Ok(&packet), "{packet} at {length}");
                take(&cut);
            }
        }
    }
}

#[test]
fn every_sample_with_a_byte_too_many_is_refused_unless_it_ends_in_a_list() {
    for version in VERSIONS {
        for packet in all(version) {
            let bytes = encoded(&packet, version);
            let mut longer = vec![bytes[0]];
            put_length(frame(&bytes).body.len() + 1, &mut longer);
            longer.extend(frame(&bytes).body);
            longer.push(0);
            let may_grow = match packet {
                Packet::Publish(_) | Packet::Suback(_) => true,
                // A short form of MQTT 5, of which the added byte is the next field.
                Packet::Ack(ref ack) => version == ProtocolVersion::V5 && ack.reason_string.is_none(),
                Packet::Disconnect(ref packet) => {
                    version == ProtocolVersion::V5 && packet.reason_string.is_none()
                }
                Packet::Unsuback(_) => version == ProtocolVersion::V5,
                _ => false,
            };
            assert_eq!(read(version, &longer).is_ok(), may_grow, "MQTT {version}: {packet}");
        }
    }
}

#[test]
fn every_byte_of_every_sample_changed_to_every_value() {
    let mut accepted = 0;
    for version in VERSIONS {
        for packet in all(version) {
            let mut bytes = encoded(&packet, version);
            for position in 0..bytes.len() {
                let before = bytes[position];
                for value in 0..=u8::MAX {
                    bytes[position] = value;
                    accepted += take(&bytes);
                }
                bytes[position] = before;
            }
        }
    }
    assert!(accepted > 10_000, "only {accepted} changed packets were accepted: the test tests little");
}

#[test]
fn samples_mixed_at_random_from_a_fixed_seed() {
    let mut seed = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let samples: Vec<Vec<u8>> = VERSIONS
        .iter()
        .flat_map(|&version| all(version).iter().map(|packet| encoded(packet, version)).collect::<Vec<_>>())
        .collect();
    for _ in 0..50_000 {
        let (one, other) = (&samples[random(samples.len())], &samples[random(samples.len())]);
        let mut mixed = one[..random(one.len() + 1)].to_vec();
        mixed.extend(&other[random(other.len())..]);
        for _ in 0..random(4) {
            let position = random(mixed.len());
            mixed[position] = random(256) as u8;
        }
        // A Remaining Length that fits gets more of them past the framing.
        if mixed.len() >= 2 && mixed.len() < 130 {
            mixed[1] = (mixed.len() - 2) as u8;
        }
        take(&mixed);
    }
}
