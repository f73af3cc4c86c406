//! What one subscriber is sent, case by case: resume, receive maximum, limits of the queue, expiry,
//! packet size, aliases, acknowledgements right and wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod scripted_wire;

use aldis_packet::{AckKind, Connack, ProtocolVersion, QoS, ReasonCode, SubscriptionOptions};
use aldis_session::{
    ClientTerms, DropReason, Farewell, Limits, Offered, Offering, Publication, Session, State, Subscription,
    SubscriptionIds, Terms, Workbench, flush,
};
use aldis_topic::TopicFilter;
use scripted_wire::{
    Peer, Seen, Step, acknowledge, bench, connect, connected, publication, publish, session, subscription,
    terms,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const OK: ReasonCode = ReasonCode::Success;
const QOS0: QoS = QoS::AtMostOnce;
const QOS1: QoS = QoS::AtLeastOnce;
const QOS2: QoS = QoS::ExactlyOnce;

fn dropped(session: &Arc<Session>, reason: DropReason) -> u64 {
    session.outbox.lock().outbound.ledger.dropped(reason)
}

/// Detaches as the Broker does, and comes back with `terms`.
fn reconnect(session: &Arc<Session>, old: u32, terms: ClientTerms, bench: &mut Workbench) -> (Peer, u32) {
    assert!(session.outbox.lock().detach(old, bench).is_some());
    let mut peer = Peer::new(terms.version);
    let connection = connect(session, &mut peer, terms, bench);
    (peer, connection)
}

/// `kind id` of each packet after CONNACK; `*` is DUP.
fn shown(peer: &mut Peer) -> Vec<String> {
    let show = |seen: &Seen| match seen {
        Seen::Connack(..) => "connack".to_owned(),
        Seen::Publish(seen) => {
            let payload = String::from_utf8_lossy(&seen.payload);
            format!("{payload} q{} {}{}", seen.qos, seen.id, if seen.dup { "*" } else { "" })
        }
        Seen::Ack(kind, id, _) => format!("{kind:?} {id}"),
        other => format!("{other:?}"),
    };
    peer.read().iter().map(show).collect()
}

#[test]
fn mqtt_4_4_0_1_what_was_in_flight_is_sent_again_in_order_before_anything_else() {
    let mut bench = bench();
    let (session, mut peer, first) = connected(1, "s", terms(), &Limits::default(), &mut bench);
    for (payload, qos) in [("a", QOS1), ("b", QOS2), ("c", QOS2), ("d", QOS1), ("e", QOS0), ("f", QOS2)] {
        assert_eq!(publish(&session, payload, qos, &mut bench), Offered::Accepted);
    }
    assert_eq!(shown(&mut peer), ["a q1 1", "b q2 2", "c q2 3", "d q1 4", "e q0 0", "f q2 5"]);
    acknowledge(&session, first, AckKind::Pubrec, 2, OK, &mut bench).unwrap();
    acknowledge(&session, first, AckKind::Puback, 4, OK, &mut bench).unwrap();
    assert_eq!(shown(&mut peer), ["Pubrel 2"]);
    assert!(session.outbox.lock().detach(first, &mut bench).is_some());
    // Offline: queued, QoS 0 dropped.
    assert_eq!(publish(&session, "g", QOS1, &mut bench), Offered::Queued);
    assert_eq!(publish(&session, "h", QOS0, &mut bench), Offered::Dropped(DropReason::Offline));
    let mut peer = Peer::new(ProtocolVersion::V5);
    let second = connect(&session, &mut peer, terms(), &mut bench);
    assert_ne!(first, second);
    let expected = ["connack", "a q1 1*", "Pubrel 2", "c q2 3*", "f q2 5*", "g q1 6"];
    assert_eq!(shown(&mut peer), expected);
    // The same once more with the old protocol.
    let v311 = ClientTerms { version: ProtocolVersion::V311, ..terms() };
    let (mut peer, _) = reconnect(&session, second, v311, &mut bench);
    assert_eq!(shown(&mut peer), ["connack", "a q1 1*", "Pubrel 2", "c q2 3*", "f q2 5*", "g q1 6*"]);
}

#[test]
fn finding_18_resending_keeps_to_the_receive_maximum_of_the_new_connection() {
    let mut bench = bench();
    let (session, _, first) = connected(1, "s", terms(), &Limits::default(), &mut bench);
    for payload in ["a", "b", "c", "d"] {
        publish(&session, payload, QOS2, &mut bench);
    }
    acknowledge(&session, first, AckKind::Pubrec, 1, OK, &mut bench).unwrap();
    let narrow = ClientTerms { receive_maximum: 1, ..terms() };
    let (mut peer, second) = reconnect(&session, first, narrow, &mut bench);
    publish(&session, "e", QOS1, &mut bench);
    assert_eq!(shown(&mut peer), ["connack", "Pubrel 1"]);
    let steps: [(AckKind, u16, &[&str]); 8] = [
        (AckKind::Pubcomp, 1, &["b q2 2*"]),
        (AckKind::Pubrec, 2, &["Pubrel 2"]),
        (AckKind::Pubcomp, 2, &["c q2 3*"]),
        (AckKind::Pubrec, 3, &["Pubrel 3"]),
        (AckKind::Pubcomp, 3, &["d q2 4*"]),
        (AckKind::Pubrec, 4, &["Pubrel 4"]),
        (AckKind::Pubcomp, 4, &["e q1 5"]),
        (AckKind::Puback, 5, &[]),
    ];
    for (kind, id, expected) in steps {
        acknowledge(&session, second, kind, id, OK, &mut bench).unwrap();
        assert_eq!(shown(&mut peer), expected, "after {kind:?} {id}");
    }
    assert_eq!(session.outbox.lock().outbound.ledger.completed, 5);
}

/// 0x93 at the client otherwise: what was not sent on this connection gives nothing back to it.
#[test]
fn mqtt_3_3_4_9_late_acknowledgements_of_an_earlier_connection_widen_nothing() {
    let mut bench = bench();
    let (session, _, first) = connected(1, "s", terms(), &Limits::default(), &mut bench);
    for payload in ["a", "b", "c", "d", "e"] {
        publish(&session, payload, QOS1, &mut bench);
    }
    let narrow = ClientTerms { receive_maximum: 2, ..terms() };
    let (mut peer, second) = reconnect(&session, first, narrow, &mut bench);
    assert_eq!(shown(&mut peer), ["connack", "a q1 1*", "b q1 2*"]);
    acknowledge(&session, second, AckKind::Puback, 3, OK, &mut bench).unwrap();
    assert!(shown(&mut peer).is_empty(), "two are out already");
    acknowledge(&session, second, AckKind::Puback, 1, OK, &mut bench).unwrap();
    assert_eq!(shown(&mut peer), ["d q1 4*"]);
}

#[test]
fn mqtt_3_3_4_9_the_receive_maximum_bounds_what_is_out_but_not_qos_0() {
    for (maximum, in_flight, expected) in [(3, 1_000, 3), (u16::MAX, 4, 4), (5, 2, 2)] {
        let mut bench = bench();
        let limits = Limits { in_flight, ..Limits::default() };
        let terms = ClientTerms { receive_maximum: maximum, ..terms() };
        let (session, mut peer, connection) = connected(1, "s", terms, &limits, &mut bench);
        for n in 0..8 {
            let qos = if n % 2 == 0 { QOS1 } else { QOS2 };
            let offered = publish(&session, "m", qos, &mut bench);
            assert_eq!(offered == Offered::Accepted, n < expected, "message {n} of {maximum}");
        }
        assert_eq!(publish(&session, "zero", QOS0, &mut bench), Offered::Accepted);
        assert_eq!(peer.publishes().len(), expected + 1);
        // PUBREC alone makes no room; PUBCOMP does, and so does a PUBREC that refuses.
        acknowledge(&session, connection, AckKind::Pubrec, 2, OK, &mut bench).unwrap();
        assert_eq!(shown(&mut peer), ["Pubrel 2"]);
        acknowledge(&session, connection, AckKind::Pubcomp, 2, OK, &mut bench).unwrap();
        assert_eq!(peer.publishes().len(), 1);
        acknowledge(&session, connection, AckKind::Puback, 1, OK, &mut bench).unwrap();
        assert_eq!(peer.publishes().len(), 1);
    }
}

#[test]
fn acknowledgements_that_do_not_fit_their_exchange() {
    use AckKind::{Puback, Pubcomp, Pubrec};
    let error = ReasonCode::UnspecifiedError;
    // Exchange 1 is QoS 1, 2 is QoS 2, 3 is QoS 2 past its PUBREC, 9 is none.
    let cases: [(AckKind, u16, ReasonCode, Option<&[&str]>); 16] = [
        (Puback, 1, OK, Some(&[])),
        (Puback, 1, error, Some(&[])),
        (Pubrec, 1, OK, None),
        (Pubcomp, 1, OK, None),
        (Puback, 2, OK, None),
        (Pubrec, 2, OK, Some(&["Pubrel 2"])),
        (Pubrec, 2, error, Some(&[])),
        (Pubcomp, 2, OK, None),
        (Puback, 3, OK, None),
        (Pubrec, 3, OK, Some(&["Pubrel 3"])),
        (Pubcomp, 3, OK, Some(&[])),
        (Pubcomp, 3, ReasonCode::PacketIdentifierNotFound, Some(&[])),
        (Puback, 9, OK, Some(&[])),
        (Pubrec, 9, OK, Some(&["Pubrel 9"])),
        (Pubrec, 9, error, Some(&[])),
        (Pubcomp, 9, OK, Some(&[])),
    ];
    for (kind, id, reason, expected) in cases {
        let mut bench = bench();
        let (session, mut peer, connection) = connected(1, "s", terms(), &Limits::default(), &mut bench);
        for qos in [QOS1, QOS2, QOS2] {
            publish(&session, "m", qos, &mut bench);
        }
        acknowledge(&session, connection, Pubrec, 3, OK, &mut bench).unwrap();
        peer.read();
        let done = acknowledge(&session, connection, kind, id, reason, &mut bench);
        match expected {
            None => assert_eq!(done.unwrap_err().reason, ReasonCode::ProtocolError, "{kind:?} {id}"),
            Some(expected) => {
                done.unwrap();
                assert_eq!(shown(&mut peer), expected, "{kind:?} {id} {reason:?}");
            }
        }
        let outbox = session.outbox.lock();
        let ledger = &outbox.outbound.ledger;
        let refused = ledger.dropped(DropReason::RefusedByClient);
        assert_eq!(ledger.completed + refused + outbox.outbound.in_flight() as u64, 3, "{kind:?} {id}");
        assert_eq!(refused == 1, reason == error && id < 3, "{kind:?} {id} {reason:?}");
    }
}

#[test]
fn an_unknown_pubrec_is_answered_with_0x92() {
    let mut bench = bench();
    let (session, mut peer, connection) = connected(1, "s", terms(), &Limits::default(), &mut bench);
    acknowledge(&session, connection, AckKind::Pubrec, 77, OK, &mut bench).unwrap();
    assert_eq!(peer.read(), [Seen::Ack(AckKind::Pubrel, 77, ReasonCode::PacketIdentifierNotFound)]);
}

#[test]
fn the_queue_has_limits_and_every_drop_has_a_reason() {
    let terms = Terms { qos: QOS1, retain: false, ids: SubscriptionIds::None, share: None };
    let weight = publication("topic/name", "m", QOS1).weight() + terms.place();
    for (messages, bytes, fit) in
        [(3, usize::MAX / 2, 3), (100, 2 * weight, 2), (100, 2 * weight + weight - 1, 2)]
    {
        let limits = Limits { queue_messages: messages, queue_bytes: bytes, ..Limits::default() };
        let mut bench = bench();
        let session = session(1, "s", &limits);
        for n in 0..5 {
            let expected = if n < fit { Offered::Queued } else { Offered::Dropped(DropReason::QueueFull) };
            assert_eq!(publish(&session, "m", QOS1, &mut bench), expected, "{messages} {bytes} {n}");
        }
        assert_eq!(dropped(&session, DropReason::QueueFull), 5 - fit as u64);
    }
    let mut bench = bench();
    let session = session(1, "s", &Limits::default());
    bench.memory_full = true;
    assert_eq!(publish(&session, "m", QOS2, &mut bench), Offered::Dropped(DropReason::MemoryWatermark));
    scripted_wire::end(&session, &mut bench);
    assert_eq!(publish(&session, "m", QOS2, &mut bench), Offered::Dropped(DropReason::SessionEnded));
    assert_eq!(session.outbox.lock().state(), State::Closed);
}

/// What a watermark is about is what is really there: a message that a thousand queues share is held once.
#[test]
fn a_message_in_many_queues_is_held_once() {
    const SESSIONS: usize = 1_000;
    let mut bench = bench();
    let sessions: Vec<_> =
        (0..SESSIONS).map(|n| session(n as u64, &format!("s{n}"), &Limits::default())).collect();
    let payload = vec![7; 60_000];
    let counters = Arc::clone(bench.counters());
    let message = publication("topic/name", payload, QOS1).counted(&counters);
    let message = Arc::new(message);
    for session in &sessions {
        let all = subscription(session, "#", QOS1);
        assert_eq!(session.offer(&[all], &Offering::of(&message), &mut bench), Offered::Queued);
    }
    bench.finish();
    drop(message);
    let places = SESSIONS as i64 * 200;
    let held = counters.held_bytes.load(Relaxed);
    assert!((60_000..60_000 + places).contains(&held), "{held}");
    assert!(counters.queued_bytes.load(Relaxed) > 60_000_000, "the sum over the queues is another figure");
    for session in &sessions {
        scripted_wire::end(session, &mut bench);
    }
    bench.finish();
    assert_eq!((counters.held_bytes.load(Relaxed), counters.queued_bytes.load(Relaxed)), (0, 0));
}

/// A client that never acknowledges holds no more in flight than its queue may hold, and at the watermark
/// 64 KiB and what goes beyond them in one message.
#[test]
fn what_is_in_flight_is_held_and_bounded_too() {
    let limits = Limits { queue_bytes: 150_000, ..Limits::default() };
    for memory_full in [false, true] {
        let mut bench = bench();
        let (session, peer, connection) = connected(1, "s", terms(), &limits, &mut bench);
        bench.memory_full = memory_full;
        let payload = "x".repeat(10_000);
        let offered: Vec<_> = (0..40).map(|_| publish(&session, &payload, QOS1, &mut bench)).collect();
        let accepted = offered.iter().filter(|offered| **offered == Offered::Accepted).count();
        assert_eq!(accepted, if memory_full { 7 } else { 15 }, "{offered:?}");
        let full = if memory_full { DropReason::MemoryWatermark } else { DropReason::QueueFull };
        assert_eq!(offered.last(), Some(&Offered::Dropped(full)));
        // An acknowledgement makes room for the next that waits.
        bench.memory_full = false;
        let before = session.outbox.lock().outbound.queued();
        acknowledge(&session, connection, AckKind::Puback, 1, OK, &mut bench).unwrap();
        assert_eq!(session.outbox.lock().outbound.queued(), before.saturating_sub(1));
        drop(peer);
    }
}

#[test]
fn mqtt_3_3_2_5_expired_messages_take_no_place_from_new_ones() {
    let limits = Limits { queue_messages: 10, ..Limits::default() };
    let mut bench = bench();
    let session = session(1, "s", &limits);
    let all = subscription(&session, "#", QOS1);
    let offer = |expires: Option<u64>, bench: &mut Workbench| {
        let expires_at = expires.map(|seconds| bench.now + Duration::from_secs(seconds));
        let message = Arc::new(Publication { expires_at, ..publication("topic/name", "m", QOS1) });
        session.offer(&[Arc::clone(&all)], &Offering::of(&message), bench)
    };
    assert_eq!(offer(None, &mut bench), Offered::Queued);
    for _ in 0..9 {
        assert_eq!(offer(Some(1), &mut bench), Offered::Queued);
    }
    assert_eq!(offer(None, &mut bench), Offered::Dropped(DropReason::QueueFull));
    bench.now += Duration::from_secs(2);
    for _ in 0..9 {
        assert_eq!(offer(None, &mut bench), Offered::Queued);
    }
    assert_eq!(offer(None, &mut bench), Offered::Dropped(DropReason::QueueFull));
    assert_eq!(session.outbox.lock().outbound.ledger.expired, 9);
    let mut peer = Peer::new(terms().version);
    scripted_wire::connect(&session, &mut peer, terms(), &mut bench);
    assert_eq!(peer.read().len(), 11, "CONNACK and ten messages");
}

#[test]
fn qos_0_waits_for_an_offline_client_only_if_the_settings_say_so() {
    for queue_qos0 in [false, true] {
        let limits = Limits { queue_qos0, ..Limits::default() };
        let mut bench = bench();
        let (session, peer, connection) = connected(1, "s", terms(), &limits, &mut bench);
        // The socket is full: QoS 0 waits in any case.
        peer.wire.will([Step::Block]);
        publish(&session, "a", QOS0, &mut bench);
        assert_eq!(session.outbox.lock().state(), State::Blocked);
        assert_eq!(publish(&session, "b", QOS0, &mut bench), Offered::Queued);
        let (mut peer, _) = reconnect(&session, connection, terms(), &mut bench);
        // What was appended is gone with its connection; what was queued by the setting.
        let expected: &[&str] = if queue_qos0 { &["connack", "b q0 0"] } else { &["connack"] };
        assert_eq!(shown(&mut peer), expected);
        assert_eq!(dropped(&session, DropReason::ConnectionClosed), 1);
        assert_eq!(dropped(&session, DropReason::Offline), u64::from(!queue_qos0));
    }
}

#[test]
fn mqtt_3_3_2_5_and_6_expiry_counts_down_while_a_message_waits() {
    let mut bench = bench();
    let session = session(1, "s", &Limits::default());
    let all = subscription(&session, "#", QOS1);
    let start = bench.now;
    for (payload, seconds) in [("never", None), ("short", Some(3)), ("long", Some(60)), ("now", Some(0))] {
        let mut message = publication("topic/name", payload, QOS1);
        message.expires_at = seconds.map(|seconds| start + Duration::from_secs(seconds));
        let offered = session.offer(&[Arc::clone(&all)], &Offering::of(&Arc::new(message)), &mut bench);
        assert_eq!(offered, if seconds == Some(0) { Offered::Expired } else { Offered::Queued });
    }
    bench.now = start + Duration::from_millis(7_500);
    let mut peer = Peer::new(ProtocolVersion::V5);
    let connection = connect(&session, &mut peer, terms(), &mut bench);
    let seen: Vec<_> = peer.read().into_iter().skip(1).collect();
    let Seen::Publish(long) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((seen.len(), long.payload.as_slice(), long.expiry), (2, "long".as_bytes(), Some(53)));
    assert_eq!(session.outbox.lock().outbound.ledger.expired, 2);
    // [MQTT-4.3.3-13]: what was sent once is sent again even when its time has passed.
    bench.now = start + Duration::from_secs(100);
    let (mut peer, _) = reconnect(&session, connection, terms(), &mut bench);
    assert_eq!(shown(&mut peer), ["connack", "never q1 1*", "long q1 2*"]);
}

#[test]
fn mqtt_3_1_2_24_and_25_what_is_too_large_is_not_sent_and_takes_no_identifier() {
    let mut bench = bench();
    // 2 fixed header, 2 + 10 topic, 2 identifier, 1 properties: 17 and the payload.
    let small = ClientTerms { maximum_packet_size: 20, ..terms() };
    let (session, mut peer, connection) = connected(1, "s", small, &Limits::default(), &mut bench);
    let too_large = Offered::Dropped(DropReason::TooLarge);
    assert_eq!(publish(&session, "1234", QOS1, &mut bench), too_large);
    assert_eq!(publish(&session, "123", QOS1, &mut bench), Offered::Accepted);
    assert_eq!(publish(&session, "123456", QOS0, &mut bench), too_large);
    assert_eq!(publish(&session, "12345", QOS0, &mut bench), Offered::Accepted);
    let seen = peer.publishes();
    assert_eq!(seen.iter().map(|seen| (seen.id, seen.size)).collect::<Vec<_>>(), [(1, 20), (0, 20)]);
    // In flight, and then too large for the next connection: it ends, the rest goes on.
    publish(&session, "12", QOS1, &mut bench);
    let smaller = ClientTerms { maximum_packet_size: 19, ..terms() };
    let (mut peer, _) = reconnect(&session, connection, smaller, &mut bench);
    assert_eq!(shown(&mut peer), ["connack", "12 q1 2*"]);
    assert_eq!(dropped(&session, DropReason::TooLarge), 3);
    assert_eq!(session.outbox.lock().outbound.in_flight(), 1);
}

#[test]
fn mqtt_3_1_2_25_an_alias_is_no_reason_to_drop_a_message_that_fits_without() {
    let mut bench = bench();
    let small = ClientTerms { maximum_packet_size: 20, topic_alias_maximum: 4, ..terms() };
    let (session, mut peer, _) = connected(1, "s", small, &Limits::default(), &mut bench);
    for n in 0..4 {
        assert_eq!(publish(&session, "12345", QOS0, &mut bench), Offered::Accepted, "copy {n}");
    }
    assert_eq!(peer.publishes().len(), 4);
}

#[test]
fn mqtt_3_3_2_7_aliases_belong_to_one_connection_and_lead_to_the_topic() {
    let mut bench = bench();
    let with = ClientTerms { topic_alias_maximum: 2, ..terms() };
    let (session, mut peer, mut connection) = connected(1, "s", with, &Limits::default(), &mut bench);
    let all = subscription(&session, "#", QOS1);
    for round in 0..3 {
        let mut used = 0;
        for n in 0..60 {
            let topic = format!("some/topic/{}", [0, 1, 0, 2, 3, 0][n % 6]);
            let message = Arc::new(publication(&topic, topic.clone(), QOS0));
            session.offer(&[Arc::clone(&all)], &Offering::of(&message), &mut bench);
            bench.finish();
            for seen in peer.publishes() {
                assert_eq!(seen.topic.as_bytes(), seen.payload, "round {round}");
                assert!(seen.alias.is_none_or(|alias| (1..=2).contains(&alias)));
                used += usize::from(seen.alias.is_some());
            }
        }
        assert!(used > 40, "{used} of 60 with an alias");
        (peer, connection) = reconnect(&session, connection, with, &mut bench);
        assert_eq!(peer.read().len(), 1);
    }
}

#[test]
fn mqtt_3_3_4_4_overlapping_subscriptions_make_one_delivery() {
    let mut bench = bench();
    let (session, mut peer, _) = connected(1, "s", terms(), &Limits::default(), &mut bench);
    let with_id = |filter: &str, options: SubscriptionOptions, id| {
        let filter = TopicFilter::parse(filter, 9).unwrap();
        Arc::new(Subscription::new(Arc::clone(&session), filter, options, Some(id)))
    };
    let own = SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(QOS2) };
    let kept = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::new(QOS1) };
    let three = [
        with_id("#", SubscriptionOptions::new(QOS0), 1),
        with_id("a/#", kept, 268_435_455),
        with_id("+/b", own, 3),
    ];
    let mut message = publication("a/b", "m", QOS2);
    message.retain = true;
    message.publisher = Some(Arc::from("s"));
    let message = Arc::new(message);
    // [MQTT-3.8.3-3]: no local leaves out the client's own messages for that subscription alone.
    session.offer(&three, &Offering::of(&message), &mut bench);
    three[1].end();
    session.offer(&three, &Offering::of(&message), &mut bench);
    three[0].end();
    let none = session.offer(&three, &Offering::of(&message), &mut bench);
    assert_eq!(none, Offered::NotConcerned, "finding 17: refused only if no subscription is active");
    // Finding 17: replaced in place.
    three[2].replace(SubscriptionOptions::new(QOS2), Some(4));
    session.offer(&three, &Offering::of(&message), &mut bench);
    bench.finish();
    let seen: Vec<_> =
        peer.publishes().iter().map(|seen| (seen.qos, seen.retain, seen.ids.clone())).collect();
    assert_eq!(seen, [(1, true, vec![1, 268_435_455]), (0, false, vec![1]), (2, false, vec![4])]);
}

#[test]
fn finding_4_the_bytes_of_a_stale_writer_never_reach_the_new_connection() {
    let mut bench = bench();
    let (session, mut old, first) = connected(1, "s", terms(), &Limits::default(), &mut bench);
    let all = subscription(&session, "#", QOS1);
    let message = Arc::new(publication("topic/name", "x".repeat(9_000), QOS1));
    session.offer(&[all], &Offering::of(&message), &mut bench);
    old.wire.will([Step::Take(10), Step::Block]);
    let mut batch = session.outbox.lock().take().unwrap();
    let wrote = batch.write();
    let (mut peer, second) = reconnect(&session, first, terms(), &mut bench);
    publish(&session, "new", QOS1, &mut bench);
    session.outbox.lock().written(batch, wrote, &mut bench);
    assert_eq!(session.outbox.lock().state(), State::Idle);
    let seen = peer.read();
    assert_eq!(seen.len(), 3, "CONNACK, the message again, the new one");
    assert!(peer.wire.ends_whole() && old.read().is_empty());
    assert!(session.outbox.lock().detach(first, &mut bench).is_none(), "a late Detach of the old connection");
    assert!(session.outbox.lock().detach(second, &mut bench).is_some());
}

#[test]
fn finding_5_a_write_error_leaves_a_lasting_session_to_queue() {
    let mut bench = bench();
    let (session, peer, connection) = connected(1, "s", terms(), &Limits::default(), &mut bench);
    peer.wire.will([Step::Fail]);
    publish(&session, "a", QOS1, &mut bench);
    assert_eq!(session.outbox.lock().state(), State::Offline);
    assert!(peer.wire.wakes() > 0, "its Client is told");
    assert!(session.outbox.lock().errands(connection).lost);
    assert_eq!(publish(&session, "b", QOS1, &mut bench), Offered::Queued);
    let (mut peer, _) = reconnect(&session, connection, terms(), &mut bench);
    assert_eq!(shown(&mut peer), ["connack", "a q1 1*", "b q1 2"]);
}

#[test]
fn mqtt_3_2_0_1_nothing_leaves_before_connack() {
    let mut bench = bench();
    let session = session(1, "s", &Limits::default());
    let mut peer = Peer::new(ProtocolVersion::V5);
    let identity = scripted_wire::identity("s");
    let wire = Arc::clone(&peer.wire);
    let connection = session.outbox.lock().attach(wire, identity, terms());
    assert_eq!(session.outbox.lock().state(), State::Resuming);
    for qos in [QOS0, QOS1] {
        assert_eq!(publish(&session, "m", qos, &mut bench), Offered::Queued);
    }
    assert!(!session.outbox.lock().answer(connection, &[0xd0, 0], &mut bench));
    flush(&session, &mut bench);
    assert!(peer.wire.bytes().is_empty());
    let mut connack = Vec::new();
    Connack::new(false, OK).encode(ProtocolVersion::V5, u32::MAX, &mut connack);
    assert!(!session.outbox.lock().begin(connection - 1, &connack, &mut bench));
    assert!(session.outbox.lock().begin(connection, &connack, &mut bench));
    assert!(!session.outbox.lock().begin(connection, &connack, &mut bench));
    flush(&session, &mut bench);
    assert_eq!(shown(&mut peer), ["connack", "m q0 0", "m q1 1"]);
}

#[test]
fn finding_18_nothing_new_is_sent_to_a_client_that_is_told_to_go() {
    let mut bench = bench();
    let (session, mut peer, connection) = connected(1, "s", terms(), &Limits::default(), &mut bench);
    publish(&session, "a", QOS1, &mut bench);
    let first = Farewell::new(ReasonCode::SessionTakenOver, "first");
    session.outbox.lock().ask_to_close(first);
    session.outbox.lock().ask_to_close(Farewell::new(ReasonCode::ServerShuttingDown, "second"));
    assert_eq!(session.outbox.lock().errands(connection).close, Some(first));
    assert_eq!(publish(&session, "b", QOS1, &mut bench), Offered::Queued);
    assert_eq!(publish(&session, "c", QOS0, &mut bench), Offered::Dropped(DropReason::Offline));
    assert_eq!(shown(&mut peer), ["a q1 1"]);
    let (mut peer, _) = reconnect(&session, connection, terms(), &mut bench);
    assert_eq!(shown(&mut peer), ["connack", "a q1 1*", "b q1 2"]);
}

#[test]
fn finding_25_a_publisher_writes_twice_and_then_hands_over() {
    let mut bench = bench();
    let limits = Limits { outbox_bytes: 1_000, ..Limits::default() };
    let (session, mut peer, connection) = connected(1, "s", terms(), &limits, &mut bench);
    peer.wire.will([Step::Block]);
    for _ in 0..60 {
        publish(&session, &"x".repeat(4_000), QOS1, &mut bench);
    }
    assert!(session.outbox.lock().errands(connection).blocked);
    assert!(session.outbox.lock().unblocked(connection, &mut bench));
    peer.wire.wakes();
    // Each round takes one refill of 64 KiB; two rounds, then the Client is asked.
    flush(&session, &mut bench);
    assert_eq!(session.outbox.lock().state(), State::Dirty);
    assert!(peer.wire.wakes() > 0);
    assert!(session.outbox.lock().errands(connection).flush);
    while session.outbox.lock().state() == State::Dirty {
        flush(&session, &mut bench);
    }
    assert_eq!(peer.publishes().len(), 60);
}

#[test]
fn answers_that_pile_up_unread_are_noticed() {
    let mut bench = bench();
    let limits = Limits { outbox_bytes: 10, answers_bytes: 20, packet_size: 30, ..Limits::default() };
    let (session, peer, connection) = connected(1, "s", terms(), &limits, &mut bench);
    peer.wire.will([Step::Block]);
    for (answers, overdrawn) in [(60, false), (1, true)] {
        let mut outbox = session.outbox.lock();
        if outbox.answer(connection, &vec![0; answers], &mut bench) {
            drop(outbox);
            flush(&session, &mut bench);
            outbox = session.outbox.lock();
        }
        assert_eq!(outbox.overdrawn(), overdrawn);
    }
    let errands = session.outbox.lock().errands(connection);
    assert!(errands.blocked);
}
