//! Sessions from CONNECT to their end: take-over, clean start, expiry, wills.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod stage;

use aldis_broker::{Answer, Command};
use aldis_packet::{Connect, ProtocolVersion, ReasonCode};
use aldis_session::{Ending, Farewell, Limits, Router, State};
use aldis_store::Log;
use stage::{Stage, asks, goodbye, will};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

fn stage() -> Stage {
    Stage::new(Limits::default())
}

fn clean(connect: Connect) -> Connect {
    Connect { clean_start: true, ..connect }
}

fn with_will(connect: Connect, delay: u32) -> Connect {
    Connect { will: Some(will("will", delay)), ..connect }
}

/// `[sessions, connected, subscriptions]`
fn population(stage: &Stage) -> [usize; 3] {
    let population = stage.broker.population();
    [&population.sessions, &population.connected, &population.subscriptions].map(|count| count.load(Relaxed))
}

#[test]
fn mqtt_3_2_2_3_a_session_is_present_when_it_was_kept() {
    // Session expiry, seconds away, clean start at the return: is it present?
    for (expiry, away, clean_start, present) in [
        (100, 0, false, true),
        (100, 99, false, true),
        (100, 101, false, false),
        (100, 0, true, false),
        (0, 0, false, false),
        (u32::MAX, 4_000_000_000, false, true),
    ] {
        let mut stage = stage();
        let first = stage.connect(asks("c", expiry));
        assert!(!first.session_present);
        assert_eq!(stage.subscribe(&first, &["a"]), [1]);
        stage.detach(&first, goodbye());
        stage.pass(away);
        stage.publish_text("a", "m");
        let mut again = stage.connect(Connect { clean_start, ..asks("c", expiry) });
        assert_eq!(again.session_present, present, "{expiry} {away} {clean_start}");
        assert_eq!(Arc::ptr_eq(&again.session, &first.session), present);
        assert_eq!(again.session.number == first.session.number, present, "a number is never used again");
        let expected = if present { 2 } else { 0 };
        assert_eq!(again.peer.read().len(), expected, "CONNACK and the message");
        stage.settle();
        assert_eq!(population(&stage), [1, 1, usize::from(present)]);
        if !present {
            assert_eq!(first.session.outbox.lock().state(), State::Closed);
        }
    }
}

#[test]
fn mqtt_3_1_4_3_a_connected_client_is_told_to_go_and_the_new_one_waits_for_it() {
    for clean_start in [false, true] {
        let mut stage = stage();
        let old = stage.connect(asks("c", 100));
        stage.subscribe(&old, &["a"]);
        let waiting = stage.ask_to_connect(Connect { clean_start, ..asks("c", 100) });
        assert!(stage.answer(waiting.0).is_none(), "not before the old one has let go");
        let errands = old.session.outbox.lock().errands(old.connection);
        assert_eq!(errands.close.unwrap().reason, ReasonCode::SessionTakenOver);
        assert!(old.peer.wire.wakes() > 0);
        stage.publish_text("a", "meanwhile");
        stage.detach(&old, Ending::Closed(errands.close.unwrap()));
        let mut new = stage.connected(waiting).unwrap();
        assert_eq!(new.session_present, !clean_start);
        assert_eq!(new.peer.read().len(), if clean_start { 0 } else { 2 });
        assert_eq!(population(&stage), [1, 1, usize::from(!clean_start)]);
        // The Detach of the old one comes twice, or late: nothing happens.
        stage.detach(&old, Ending::Lost);
        assert_ne!(new.session.outbox.lock().state(), State::Offline);
        assert_eq!(population(&stage)[1], 1);
    }
}

#[test]
fn finding_14_a_third_newcomer_takes_the_place_of_the_second() {
    let mut stage = stage();
    let first = stage.connect(asks("c", 100));
    let second = stage.ask_to_connect(asks("c", 100));
    let third = stage.ask_to_connect(asks("c", 100));
    assert_eq!(stage.connected(second).err().unwrap().reason, ReasonCode::SessionTakenOver);
    assert!(stage.answer(third.0).is_none());
    stage.detach(&first, Ending::Lost);
    let third = stage.connected(third).unwrap();
    assert!(third.session_present);
    assert_eq!(stage.broker.population().taken_over.load(Relaxed), 2);
    // A newcomer that has vanished by the time of its answer is an immediate Detach without a will.
    let vanished = stage.ask_to_connect(with_will(asks("c", 0), 0));
    stage.detach(&third, Ending::Lost);
    let Some(Answer::Connected(connected)) = stage.answer(vanished.0) else { panic!() };
    let (session, connection) = (connected.session.number, connected.connection);
    stage.give(|_| Command::Detach { session, connection, ending: goodbye() });
    assert_eq!((population(&stage), stage.wills().len()), ([0, 0, 0], 0));
}

/// Found by the simulator: who asked for a clean start, was lost while it waited, and came again without one,
/// got the old session with its messages.
#[test]
fn mqtt_3_1_2_4_a_clean_start_counts_although_another_newcomer_takes_its_place() {
    let mut stage = stage();
    let first = stage.connect(asks("c", 100));
    stage.subscribe(&first, &["a"]);
    let clean = stage.ask_to_connect(Connect { clean_start: true, ..asks("c", 100) });
    let third = stage.ask_to_connect(asks("c", 100));
    assert_eq!(stage.connected(clean).err().unwrap().reason, ReasonCode::SessionTakenOver);
    stage.detach(&first, Ending::Lost);
    let third = stage.connected(third).unwrap();
    assert!(!third.session_present);
    assert_eq!(population(&stage)[2], 0, "subscriptions");
}

#[test]
fn a_client_that_disconnects_may_change_how_long_its_session_lasts() {
    for (connect, disconnect, limit, lasts) in [
        (100, Some(5), u32::MAX, Some(5)),
        (100, Some(0), u32::MAX, None),
        (10, Some(100), 50, Some(50)),
        (7, None, 9, Some(7)),
    ] {
        let mut stage = Stage::new(Limits { session_expiry_max: limit, ..Limits::default() });
        let client = stage.connect(asks("c", connect));
        let ending =
            Ending::Disconnected { will: false, session_expiry: disconnect, reason: ReasonCode::Success };
        stage.detach(&client, ending);
        assert_eq!(stage.timeout(), lasts, "{connect} {disconnect:?}");
        stage.pass(lasts.unwrap_or(0));
        assert_eq!(population(&stage), [0; 3]);
        assert_eq!(stage.broker.population().expired.load(Relaxed), usize::from(lasts.is_some()));
    }
}

#[test]
fn mqtt_3_1_2_8_when_a_will_is_sent() {
    let taken_over = Ending::Closed(Farewell::new(ReasonCode::SessionTakenOver, ""));
    let with_reason =
        Ending::Disconnected { will: true, session_expiry: None, reason: ReasonCode::DisconnectWithWill };
    let ends_now =
        Ending::Disconnected { will: true, session_expiry: Some(0), reason: ReasonCode::DisconnectWithWill };
    // Ending, session expiry, delay, sent after so many seconds.
    let cases = [
        (Ending::Lost, 100, 0, Some(0)),
        (Ending::Lost, 100, 10, Some(10)),
        (Ending::Lost, 5, 10, Some(5)),
        (Ending::Lost, 10, 10, Some(10)),
        (Ending::Lost, 0, 10, Some(0)),
        (Ending::Lost, u32::MAX, 10, Some(10)),
        (goodbye(), 100, 0, None),
        (goodbye(), 100, 10, None),
        (goodbye(), 0, 0, None),
        (with_reason, 100, 0, Some(0)),
        (with_reason, 100, 10, Some(10)),
        (ends_now, 100, 10, Some(0)),
        (taken_over, 100, 0, Some(0)),
        (taken_over, 100, 10, Some(10)),
    ];
    for (ending, expiry, delay, sent) in cases {
        let mut stage = stage();
        let client = stage.connect(with_will(asks("c", expiry), delay));
        stage.detach(&client, ending);
        for second in 0..200 {
            let wills = stage.wills();
            let expected = usize::from(sent == Some(second));
            assert_eq!(wills.len(), expected, "{ending:?} {expiry} {delay}: second {second}");
            stage.pass(1);
        }
    }
}

#[test]
fn mqtt_3_1_3_9_who_comes_back_in_time_has_no_will_sent() {
    // Clean start ends the session, and so sends the will [MQTT-3.1.2-8].
    for (clean_start, sent) in [(false, 0), (true, 1)] {
        let mut stage = stage();
        let client = stage.connect(with_will(asks("c", 100), 10));
        stage.detach(&client, Ending::Lost);
        stage.pass(9);
        let again = stage.connect(Connect { clean_start, ..asks("c", 100) });
        stage.pass(50);
        assert_eq!(stage.wills().len(), sent, "clean start: {clean_start}");
        stage.detach(&again, Ending::Lost);
        stage.pass(99);
        assert!(stage.wills().is_empty(), "the new connection has no will");
    }
}

#[test]
fn mqtt_3_1_3_9_a_take_over_does_not_send_a_delayed_will_and_sends_one_without_delay() {
    for (delay, sent) in [(0, 1), (10, 0)] {
        let mut stage = stage();
        let old = stage.connect(with_will(asks("c", 100), delay));
        let waiting = stage.ask_to_connect(with_will(asks("c", 100), 30));
        stage.detach(&old, Ending::Closed(Farewell::new(ReasonCode::SessionTakenOver, "")));
        let new = stage.connected(waiting).unwrap();
        stage.pass(20);
        assert_eq!(stage.wills().len(), sent, "delay {delay}");
        stage.detach(&new, Ending::Lost);
        stage.pass(29);
        assert!(stage.wills().is_empty());
        stage.pass(1);
        assert_eq!(stage.wills().len(), 1, "its own, after its own delay");
    }
}

#[test]
fn a_will_keeps_what_it_was_given() {
    let mut stage = stage();
    let mut asked = with_will(asks("c", 0), 0);
    let given = asked.will.as_mut().unwrap();
    (given.retain, given.message_expiry) = (true, Some(60));
    given.forwarded = bytes::Bytes::from_static(&[1, 1]);
    let client = stage.connect(asked);
    // Asked before there is one: answered as soon as there is.
    let reply = stage.give(|reply| Command::TakeDue { reply });
    assert!(stage.answer(reply).is_none());
    stage.detach(&client, Ending::Lost);
    let Some(Answer::Due(due)) = stage.answer(reply) else { panic!() };
    let will = &due[0].publication;
    assert_eq!((&*will.topic, &will.payload[..], will.retain), ("will", &b"will"[..], true));
    assert_eq!(will.publisher.as_deref(), Some("c"));
    assert_eq!(&*due[0].identity.client_id, "c");
    assert_eq!(will.properties[..], [1, 1]);
    assert_eq!(will.expires_at, Some(stage.now + std::time::Duration::from_secs(60)));
}

#[test]
fn a_3_1_1_session_lasts_unless_it_is_clean() {
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        let mut stage = stage();
        let asked = Connect { version, properties: Default::default(), ..asks("c", 0) };
        let client = stage.connect(asked.clone());
        stage.detach(&client, goodbye());
        assert_eq!(stage.timeout(), Some(30 * 24 * 3600));
        let client = stage.connect(clean(asked));
        assert!(!client.session_present);
        stage.detach(&client, Ending::Lost);
        assert_eq!((population(&stage), stage.timeout()), ([0; 3], None));
    }
}

#[test]
fn at_shutdown_everybody_is_told_and_nobody_new_is_taken() {
    let mut stage = stage();
    let clients: Vec<_> = ["a", "b"].map(|id| stage.connect(asks(id, 100))).into();
    let waiting = stage.ask_to_connect(asks("a", 100));
    stage.give(|_| Command::Shutdown);
    for client in &clients {
        let close = client.session.outbox.lock().errands(client.connection).close.unwrap();
        stage.detach(client, Ending::Closed(close));
    }
    assert_eq!(stage.connected(waiting).err().unwrap().reason, ReasonCode::ServerShuttingDown);
    let late = stage.ask_to_connect(asks("c", 0));
    assert_eq!(stage.connected(late).err().unwrap().reason, ReasonCode::ServerShuttingDown);
    assert_eq!(population(&stage)[..2], [2, 0]);
}

#[test]
fn many_sessions_expire_in_bounded_steps() {
    let mut stage = stage();
    for n in 0..1_000 {
        let client = stage.connect(asks(&format!("c{n}"), 10));
        stage.subscribe(&client, &["a/#"]);
        stage.detach(&client, Ending::Lost);
    }
    stage.now += std::time::Duration::from_secs(10);
    let mut left = 1_000;
    while stage.step() {
        let now = population(&stage)[0];
        assert!(left - now <= 64, "{} in one step", left - now);
        left = now;
    }
    assert_eq!(population(&stage), [0; 3]);
    assert!(stage.routes.is_empty() && stage.routes.resolve("a/b").targets.is_empty());
}

/// Its client was told of no end yet, and a crash now would bring the session back as it was.
#[test]
fn a_session_that_lasted_is_recorded_until_its_end_is() {
    let log = Arc::new(aldis_store::Stage::default());
    let mut stage = Stage::recording(Limits::default(), Arc::clone(&log) as Arc<dyn Log>);
    let client = stage.connect(asks("c", 60));
    stage.subscribe(&client, &["t"]);
    stage.detach(&client, Ending::Lost);
    stage.connect(asks("c", 0));
    let before = log.waiting();
    stage.publish_text("t", "m");
    assert!(log.waiting() > before, "a message for it is recorded");
    // What never lasted writes nothing.
    let other = stage.connect(asks("d", 0));
    stage.subscribe(&other, &["u"]);
    let before = log.waiting();
    stage.publish_text("u", "m");
    assert_eq!(log.waiting(), before);
}
