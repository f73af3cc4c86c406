//! The in-flight window: identifiers, holes and the wrap at 65,535 [MQTT-2.2.1-4].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod scripted_wire;

use aldis_packet::{PacketId, QoS};
use aldis_session::{Published, Slot, Window};
use scripted_wire::{Random, packet_id};
use std::collections::{BTreeSet, VecDeque};

const QOS: QoS = QoS::AtLeastOnce;

fn published() -> Published {
    Published { qos: QOS, kept: None, sent: true, after: 0 }
}

#[test]
fn mqtt_2_2_1_4_no_identifier_is_given_out_while_it_is_in_use() {
    for (seed, most) in [(1, 10), (2, 1_000), (3, 65_535)] {
        let mut random = Random::new(seed);
        let mut window = Window::default();
        let mut in_use: VecDeque<PacketId> = VecDeque::new();
        let mut known = BTreeSet::new();
        for step in 0..300_000 {
            let may = window.has_identifier() && in_use.len() < most;
            if may && (in_use.is_empty() || random.below(5) < 3) {
                let number = window.end();
                let id = window.push(published());
                assert_eq!(id, Window::packet_id(number));
                assert!(known.insert(id), "identifier {id} was in use, seed {seed} step {step}");
                in_use.push_back(id);
            } else if !in_use.is_empty() {
                // Mostly the oldest, now and then one from the middle: holes.
                let position = if random.below(4) > 0 { 0 } else { random.below(in_use.len().min(50)) };
                let id = in_use.remove(position).unwrap();
                known.remove(&id);
                assert!(window.by_id(id).is_some());
                window.free(id);
                assert!(window.by_id(id).is_none());
            }
            assert_eq!(window.in_use(), in_use.len());
            if let Some(oldest) = in_use.front() {
                assert_eq!(Window::packet_id(window.number(*oldest)), *oldest);
            }
        }
    }
}

#[test]
fn identifiers_wrap_from_65535_to_1() {
    let mut window = Window::default();
    let mut ids = Vec::new();
    for _ in 0..65_540_u32 {
        let id = window.push(published());
        window.free(id);
        ids.push(id.get());
    }
    assert_eq!(ids[..2], [1, 2]);
    assert_eq!(ids[65_533..65_537], [65_534, 65_535, 1, 2]);
}

#[test]
fn a_window_with_every_identifier_in_use_has_no_more() {
    let mut window = Window::default();
    for wanted in 1..=65_535_u16 {
        assert!(window.has_identifier());
        assert_eq!(window.push(published()).get(), wanted);
    }
    assert!(!window.has_identifier());
    // A hole behind the oldest frees its exchange, but no identifier yet.
    window.free(packet_id(2));
    assert!(!window.has_identifier());
    assert_eq!(window.in_use(), 65_534);
    window.free(packet_id(1));
    assert_eq!(window.first(), 2);
    assert_eq!(window.push(published()).get(), 1);
    assert_eq!(window.push(published()).get(), 2);
    assert!(!window.has_identifier());
}

#[test]
fn freeing_twice_or_what_is_not_there_changes_nothing() {
    let mut window = Window::default();
    for _ in 0..3 {
        window.push(published());
    }
    window.free(packet_id(2));
    for id in [2, 4, 65_535, 100] {
        window.free(packet_id(id));
        assert_eq!((window.in_use(), window.first(), window.end()), (2, 0, 3), "id {id}");
    }
    assert!(matches!(window.slot(1), Some(Slot::Free)));
    assert!(window.slot(3).is_none());
    let all = window.take_all();
    assert_eq!(all.iter().map(|slot| matches!(slot, Slot::Free)).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!((window.in_use(), window.first(), window.end()), (0, 3, 3));
    assert_eq!(window.push(published()).get(), 4);
}
