//! Batches: bytes reach the wire whole and in order, however the socket cuts them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod scripted_wire;

use aldis_session::{Batch, SHARE_FROM, Segments, Wire, Wrote};
use bytes::Bytes;
use scripted_wire::{Random, ScriptedWire, Step};
use std::sync::Arc;

/// Random parts, small ones copied and large ones shared, and the bytes they stand for.
fn fill(random: &mut Random, parts: usize) -> (Segments, Vec<u8>) {
    let (mut segments, mut expected) = (Segments::default(), Vec::new());
    for _ in 0..parts {
        let len = match random.below(4) {
            0 => SHARE_FROM + random.below(3 * SHARE_FROM),
            _ => 1 + random.below(300),
        };
        let bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        expected.extend_from_slice(&bytes);
        if len >= SHARE_FROM || random.below(10) == 0 {
            segments.share(Bytes::from(bytes));
        } else {
            segments.open(&mut Vec::new()).extend_from_slice(&bytes);
        }
    }
    segments.qos0 = parts as u32;
    (segments, expected)
}

#[test]
fn partial_writes_lose_and_repeat_no_byte() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let wire = ScriptedWire::new();
        let parts = random.below(150);
        let (mut segments, mut expected) = fill(&mut random, parts);
        let mut qos0 = parts as u32;
        for _ in 0..1_000 {
            for _ in 0..random.below(6) {
                wire.will([match random.below(5) {
                    0 => Step::Interrupt,
                    1 => Step::Take(1 + random.below(20)),
                    _ => Step::Take(1 + random.below(9_000)),
                }]);
            }
            wire.will([Step::Block]);
            assert_eq!(segments.len(), expected.len() - wire.bytes().len(), "seed {seed}");
            assert_eq!(segments.qos0, qos0);
            let mut batch = Batch::new(segments, Arc::clone(&wire) as Arc<dyn Wire>, 7);
            let before = wire.bytes().len();
            let wrote = batch.write();
            assert_eq!(batch.sent, wire.bytes().len() - before);
            assert_eq!(batch.connection, 7);
            if wrote == Wrote::All {
                assert_eq!(wire.bytes(), expected, "seed {seed}");
                assert!(batch.into_buffer().is_empty());
                break;
            }
            assert_eq!(wrote, Wrote::Blocked);
            // More was appended meanwhile: it goes behind the rest.
            let more = random.below(3);
            let (later, bytes) = fill(&mut random, more);
            qos0 += more as u32;
            expected.extend_from_slice(&bytes);
            segments = batch.rest_before(later);
            if random.below(20) == 0 {
                wire.will([Step::Take(usize::MAX); 50]);
            }
        }
        assert!(expected.starts_with(&wire.bytes()), "seed {seed}");
    }
}

#[test]
fn a_batch_of_nothing_is_written_without_a_call() {
    let wire = ScriptedWire::new();
    wire.will([Step::Fail]);
    let mut batch = Batch::new(Segments::default(), wire, 1);
    assert_eq!(batch.write(), Wrote::All);
}

#[test]
fn a_lost_connection_is_told_from_a_full_socket() {
    for (step, expected) in [
        (Step::Fail, Wrote::Failed),
        (Step::Take(0), Wrote::Failed),
        (Step::Block, Wrote::Blocked),
        (Step::Interrupt, Wrote::All),
    ] {
        let wire = ScriptedWire::new();
        wire.will([step]);
        let (segments, _) = fill(&mut Random::new(1), 9);
        assert_eq!(Batch::new(segments, wire, 1).write(), expected, "{step:?}");
    }
}

#[test]
fn an_idle_outbox_borrows_a_spare_buffer() {
    let mut spare = vec![Vec::with_capacity(64)];
    let mut segments = Segments::default();
    assert!(segments.is_empty());
    assert_eq!(segments.open(&mut spare).capacity(), 64);
    assert!(spare.is_empty());
    segments.open(&mut spare).push(1);
    assert_eq!((segments.len(), segments.is_empty()), (1, false));
}
