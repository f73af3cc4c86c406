//! One client id, several connections: who wins, and what becomes of the session between them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod harness;

use aldis_client::{Client, ClientError, Options, Outgoing};
use aldis_packet::{AckKind, ProtocolVersion, ReasonCode};
use aldis_server::{Limits, Server, Settings};
use harness::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn the_newcomer_gets_the_session_and_the_old_one_is_told() {
    // [MQTT-3.1.4-3]
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut old = connect(&server, lasting("s")).await;
    subscribe(&mut old, "t", QOS2).await;
    for (number, qos) in [QOS1, QOS2, QOS1].into_iter().enumerate() {
        publish(&mut publisher, Outgoing::new("t", number.to_string()).qos(qos)).await;
        assert!(!message(&mut old).await.dup);
    }
    let (mut new, present) = connect_present(&server, lasting("s")).await;
    assert!(present);
    expect_farewell(&mut old, ReasonCode::SessionTakenOver).await;
    // Everything in flight comes again, in order and marked as repeated [MQTT-4.4.0-1].
    for number in 0..3 {
        let again = message(&mut new).await;
        assert_eq!((again.payload.clone(), again.dup), (number.to_string().into(), true));
        new.acknowledge(&again).await.unwrap();
    }
    // The subscription goes on, and what the old one does is of no consequence.
    publish(&mut publisher, Outgoing::new("t", "later").qos(QOS1)).await;
    assert_eq!(text(&mut new).await, "later");
    drop(old);
    quiet().await;
    new.ping().await.unwrap();
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn before_mqtt_5_the_old_one_is_closed_without_a_word() {
    let server = server(Limits::default()).await;
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        let mut old = connect(&server, Options::new("s").version(version).resume()).await;
        let (_new, present) = connect_present(&server, Options::new("s").version(version).resume()).await;
        // 3.1 has no session present.
        assert_eq!(present, version == ProtocolVersion::V311);
        expect_closed(&mut old).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clean_start_ends_the_session_that_is_connected() {
    // [MQTT-3.1.2-4]
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut old = connect(&server, lasting("s")).await;
    subscribe(&mut old, "t", QOS1).await;
    publish(&mut publisher, Outgoing::new("t", "unacknowledged").qos(QOS1)).await;
    message(&mut old).await;
    let (mut new, present) = connect_present(&server, Options::new("s")).await;
    assert!(!present);
    expect_farewell(&mut old, ReasonCode::SessionTakenOver).await;
    let reason = publish(&mut publisher, Outgoing::new("t", "late").qos(QOS1)).await;
    assert_eq!(reason, ReasonCode::NoMatchingSubscribers);
    silent(&mut new, seconds(1)).await;
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_last_is_not_resumed_by_a_take_over() {
    let server = server(Limits::default()).await;
    let _old = connect(&server, Options::new("s").resume()).await;
    let (_new, present) = connect_present(&server, Options::new("s").resume()).await;
    assert!(!present);
}

#[tokio::test(start_paused = true)]
async fn wills_on_take_over() {
    // Section 3.1.4: sent, unless the new connection resumes the session and the will is delayed.
    for (delay, clean_start, sent) in [(0, true, true), (0, false, true), (5, true, true), (5, false, false)]
    {
        let server = server(Limits::default()).await;
        let mut witness = client(&server, "witness").await;
        subscribe(&mut witness, "will", QOS0).await;
        let mut will = aldis_packet::Will::from(Outgoing::new("will", "gone"));
        will.delay = delay;
        let _old = connect(&server, lasting("s").will(will)).await;
        let _new = connect(&server, Options { clean_start, ..lasting("s") }).await;
        quiet().await;
        if sent {
            assert_eq!(text(&mut witness).await, "gone", "delay {delay}, clean start {clean_start}");
        }
        silent(&mut witness, seconds(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_wait_for_an_old_one_whose_pipe_is_full() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let (mut old, _) = connect_over(open(&server, 1000), lasting("s")).await;
    subscribe(&mut old, "t", QOS1).await;
    for number in 0..50 {
        publish(&mut publisher, Outgoing::new("t", format!("{number:0400}")).qos(QOS1)).await;
    }
    let start = Instant::now();
    let (mut new, present) = connect_present(&server, lasting("s")).await;
    assert!(present);
    assert!(start.elapsed() <= millis(100), "{:?}", start.elapsed());
    for number in 0..50 {
        assert_eq!(text(&mut new).await.parse::<usize>().unwrap(), number);
    }
    quiet().await;
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_that_comes_while_the_old_one_is_being_ended_waits_at_most_its_farewell() {
    let server =
        server(Limits { answers_bytes: 1000, outbox_bytes: 1000, packet_size: 1000, ..Limits::default() })
            .await;
    let (mut old, _) = connect_over(open(&server, 200), lasting("s")).await;
    // It reads no answers until the broker has had enough of it.
    for _ in 0..3000 {
        if old.send(&aldis_packet::Packet::Pingreq).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    let (_new, present) = connect_present(&server, lasting("s")).await;
    assert!(present);
    assert!(start.elapsed() <= seconds(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn of_many_newcomers_at_once_the_last_wins() {
    let server = server(Limits::default()).await;
    let mut first = connect(&server, lasting("s")).await;
    let mut waiting: Vec<Peer> = Vec::new();
    let mut connect_packet = Vec::new();
    lasting("s").into_connect().encode(&mut connect_packet);
    for _ in 0..5 {
        let mut raw = Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
        raw.send_bytes(&connect_packet).await.unwrap();
        waiting.push(raw);
    }
    quiet().await;
    expect_farewell(&mut first, ReasonCode::SessionTakenOver).await;
    let mut last = waiting.pop().unwrap();
    assert!(
        matches!(receive(&mut last).await, aldis_client::Received::Connack(connack) if !connack.reason.is_error())
    );
    last.ping().await.unwrap();
    for mut other in waiting {
        // Each was connected and taken over, or never got that far: then it was told so in a
        // CONNACK with a reason that CONNACK may hold.
        let (before, farewell) = to_the_end(&mut other).await;
        match (&before[..], farewell) {
            ([aldis_client::Received::Connack(connack)], Some(reason)) => {
                assert_eq!((connack.reason, reason), (ReasonCode::Success, ReasonCode::SessionTakenOver));
            }
            ([aldis_client::Received::Connack(connack)], None) => assert!(connack.reason.is_error()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_that_is_gone_before_its_turn_leaves_nothing_behind() {
    let server = server(Limits::default()).await;
    let (old, _) = connect_over(open(&server, 100), Options::new("s").resume().session_expiry(10)).await;
    let mut raw = Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
    let mut connect_packet = Vec::new();
    Options::new("s").resume().session_expiry(10).into_connect().encode(&mut connect_packet);
    raw.send_bytes(&connect_packet).await.unwrap();
    drop(raw);
    quiet().await;
    drop(old);
    // Its session expires as that of anybody who is gone.
    tokio::time::sleep(seconds(11)).await;
    let (_, present) = connect_present(&server, Options::new("s").resume().session_expiry(10)).await;
    assert!(!present);
}

/// The number that the broker publishes about itself under `topic`.
async fn figure(peer: &mut Peer, topic: &str) -> u64 {
    subscribe(peer, topic, QOS0).await;
    let figure = text(peer).await;
    peer.unsubscribe(&[topic]).await.unwrap();
    figure.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_clients_that_fight_for_one_id_end_with_one_connected() {
    let settings = Settings { sys_interval: millis(100), ..settings(Limits::default()) };
    let server = Arc::new(Server::builder().settings(settings).start().await.unwrap());
    let accepted = Arc::new(AtomicUsize::new(0));
    let mut watcher = client(&server, "watcher").await;
    let mut fighters = Vec::new();
    for number in 0..100 {
        let (server, accepted) = (Arc::clone(&server), Arc::clone(&accepted));
        fighters.push(tokio::spawn(async move {
            let clean_start = number % 3 == 0;
            let options = Options { clean_start, ..lasting("prize") };
            let options = options.will(Outgoing::new("will", "gone"));
            match Client::connect(open(&server, CAPACITY), options).await {
                Ok((mut peer, _)) => {
                    accepted.fetch_add(1, Relaxed);
                    let mut publishing = peer.publish(Outgoing::new("t", "mine").qos(QOS1)).await;
                    if publishing.is_ok() {
                        publishing = peer.send_subscribe(&[("t", Default::default())], None).await.map(Some);
                    }
                    // Held until somebody takes it over, or to the end of the fight.
                    let until_ended = async { while peer.receive().await.is_ok() {} };
                    let holds = tokio::time::timeout(millis(1500), until_ended).await.is_err();
                    (publishing.is_ok() && holds).then_some(peer)
                }
                Err(ClientError::Refused(_) | ClientError::Closed) => None,
                Err(error) => panic!("{error}"),
            }
        }));
    }
    let mut held = Vec::new();
    for fighter in fighters {
        held.extend(fighter.await.unwrap());
    }
    assert!(accepted.load(Relaxed) >= 1);
    assert_eq!(held.len(), 1, "exactly one still holds the session");
    tokio::time::sleep(millis(250)).await;
    assert_eq!(figure(&mut watcher, "$SYS/broker/clients/connected").await, 2);
    assert_eq!(figure(&mut watcher, "$SYS/broker/clients/total").await, 2);
    held[0].ping().await.unwrap();
    drop(held);
    let mut last = connect(&server, Options::new("prize")).await;
    last.ping().await.unwrap();
    tokio::time::sleep(millis(50)).await;
    let account = account(&server);
    assert_eq!((account.in_flight, account.waiting), (0, 0), "{account:?}");
}

#[tokio::test(start_paused = true)]
async fn the_inbound_half_of_a_session_survives_a_take_over() {
    // [MQTT-4.3.3-10]: the same identifier again is the same message.
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "t", QOS0).await;
    let mut old = connect(&server, lasting("s")).await;
    let id = old.publish(Outgoing::new("t", "once").qos(QOS2)).await.unwrap().unwrap();
    expect_ack(&mut old, AckKind::Pubrec).await;
    let mut new = connect(&server, lasting("s")).await;
    new.publish(Outgoing::new("t", "once").qos(QOS2).repeated(id)).await.unwrap();
    expect_ack(&mut new, AckKind::Pubrec).await;
    new.send_ack(AckKind::Pubrel, id, ReasonCode::Success).await.unwrap();
    expect_ack(&mut new, AckKind::Pubcomp).await;
    assert_eq!(text(&mut witness).await, "once");
    silent(&mut witness, millis(10)).await;
    new.publish(Outgoing::new("t", "twice").qos(QOS2).packet_id(id)).await.unwrap();
    assert_eq!(text(&mut witness).await, "twice");
}
