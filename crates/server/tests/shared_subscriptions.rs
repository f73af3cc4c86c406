//! Shared subscriptions: who gets what, and what becomes of it when a member goes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod harness;

use aldis_client::{Options, Outgoing, Received};
use aldis_packet::{AckKind, ReasonCode};
use aldis_server::{Act, DropReason, Limits};
use harness::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::timeout;

const FILTER: &str = "$share/g/t/#";

/// Publishes numbered messages and waits for each answer.
async fn publish_numbered(peer: &mut Peer, range: std::ops::Range<usize>, qos: aldis_packet::QoS) {
    for number in range {
        publish(peer, Outgoing::new("t/x", number.to_string()).qos(qos)).await;
    }
}

/// What is there already, acknowledged.
async fn drain(peer: &mut Peer) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(message) = timeout(millis(50), peer.next_message()).await {
        let message = message.unwrap();
        peer.acknowledge(&message).await.unwrap();
        all.push(String::from_utf8(message.payload.to_vec()).unwrap());
    }
    all
}

fn sorted(mut numbers: Vec<String>) -> Vec<String> {
    numbers.sort_by_key(|text| text.parse::<usize>().unwrap());
    numbers
}

#[tokio::test(start_paused = true)]
async fn members_take_turns_and_nothing_goes_twice() {
    // [MQTT-4.8.2-4]
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    for qos in [QOS0, QOS1, QOS2] {
        let mut members = Vec::new();
        for id in ["m1", "m2", "m3"] {
            // A 3.1.1 client can be a member, too.
            let options = if id == "m2" { v311(id) } else { Options::new(id) };
            let mut member = connect(&server, options).await;
            subscribe(&mut member, FILTER, qos).await;
            members.push(member);
        }
        let mut other_group = client(&server, "other").await;
        subscribe(&mut other_group, "$share/h/t/+", qos).await;
        let mut plain = client(&server, "plain").await;
        subscribe(&mut plain, "t/#", qos).await;
        publish_numbered(&mut publisher, 0..90, qos).await;
        let mut all = Vec::new();
        for member in &mut members {
            let own = drain(member).await;
            assert_eq!(own.len(), 30, "each gets its share");
            assert_eq!(own, sorted(own.clone()), "in order");
            all.extend(own);
        }
        assert_eq!(sorted(all), numbered(0..90));
        assert_eq!(texts(&mut other_group, 90).await, numbered(0..90));
        assert_eq!(texts(&mut plain, 90).await, numbered(0..90));
    }
    quiet().await;
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_full_is_passed_over() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut slow = connect(&server, Options::new("slow").receive_maximum(2)).await;
    let mut fast = client(&server, "fast").await;
    subscribe(&mut slow, FILTER, QOS1).await;
    subscribe(&mut fast, FILTER, QOS1).await;
    publish_numbered(&mut publisher, 0..20, QOS1).await;
    // The slow one acknowledges nothing and holds two; the fast one got all others.
    let got = drain(&mut fast).await;
    assert_eq!(got.len(), 18);
    assert_eq!(drain(&mut slow).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_take_waits_and_goes_to_who_has_room_first() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut members = Vec::new();
    for id in ["a", "b"] {
        let mut member = connect(&server, Options::new(id).receive_maximum(1)).await;
        subscribe(&mut member, FILTER, QOS1).await;
        members.push(member);
    }
    publish_numbered(&mut publisher, 0..10, QOS1).await;
    let [a, b] = &mut members[..] else { panic!() };
    let (first_a, first_b) = (message(a).await, message(b).await);
    silent(a, millis(50)).await;
    silent(b, millis(50)).await;
    assert_eq!(account(&server).waiting, 8);
    // Only a acknowledges: all that waits goes to it, one after the other, in order.
    a.acknowledge(&first_a).await.unwrap();
    assert_eq!(texts(a, 8).await, numbered(2..10));
    b.acknowledge(&first_b).await.unwrap();
    quiet().await;
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_pipe_was_full_gets_the_rest_when_it_reads() {
    for qos in [QOS0, QOS1] {
        let server = server(Limits { outbox_bytes: 8 << 10, ..Limits::default() }).await;
        let mut publisher = client(&server, "p").await;
        let (mut member, _) = connect_over(open(&server, 4 << 10), Options::new("m")).await;
        subscribe(&mut member, FILTER, qos).await;
        for number in 0..200 {
            let message = Outgoing::new("t/x", format!("{number:0500}")).qos(qos);
            publish(&mut publisher, message).await;
        }
        assert!(account(&server).waiting > 0);
        for number in 0..200 {
            let got = timeout(PATIENCE, text(&mut member)).await;
            let got = got.unwrap_or_else(|_| panic!("{qos}: message {number} never came"));
            assert_eq!(got.parse::<usize>().unwrap(), number);
        }
        quiet().await;
        expect_nothing_held(&server);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_ends_gives_back_qos_1_and_not_qos_2() {
    // [MQTT-4.8.2-4], [MQTT-4.8.2-5]
    for (qos, again) in [(QOS1, true), (QOS2, false)] {
        let server = server(Limits::default()).await;
        let mut publisher = client(&server, "p").await;
        let mut first = client(&server, "first").await;
        subscribe(&mut first, FILTER, qos).await;
        publish_numbered(&mut publisher, 0..10, qos).await;
        for number in 0..10 {
            assert_eq!(message(&mut first).await.payload, number.to_string());
        }
        let mut second = client(&server, "second").await;
        subscribe(&mut second, FILTER, qos).await;
        drop(first);
        quiet().await;
        let got = drain(&mut second).await;
        if again {
            assert_eq!(got, numbered(0..10));
            assert_eq!(account(&server).completed, 10);
        } else {
            assert_eq!(got, numbered(0..0));
            assert_eq!(dropped(&server, DropReason::SessionEnded), 10);
        }
        expect_nothing_held(&server);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_sent_to_a_member_that_ends_goes_to_others() {
    for qos in [QOS1, QOS2] {
        let server = server(Limits::default()).await;
        let mut publisher = client(&server, "p").await;
        let mut first = connect(&server, Options::new("first").receive_maximum(3)).await;
        subscribe(&mut first, FILTER, qos).await;
        publish_numbered(&mut publisher, 0..10, qos).await;
        let mut second = client(&server, "second").await;
        subscribe(&mut second, FILTER, qos).await;
        quiet().await;
        // Seven wait in the group; the new member takes them.
        assert_eq!(drain(&mut second).await, numbered(3..10), "{qos}");
        drop(first);
        quiet().await;
        let expected = if qos == QOS1 { numbered(0..3) } else { Vec::new() };
        assert_eq!(drain(&mut second).await, expected, "{qos}");
        expect_nothing_held(&server);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_only_away_keeps_what_it_had_begun() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut first = connect(&server, lasting("first").receive_maximum(3)).await;
    subscribe(&mut first, FILTER, QOS1).await;
    publish_numbered(&mut publisher, 0..5, QOS1).await;
    drop(first);
    quiet().await;
    let mut second = client(&server, "second").await;
    subscribe(&mut second, FILTER, QOS1).await;
    quiet().await;
    assert_eq!(drain(&mut second).await, numbered(3..5));
    publish_numbered(&mut publisher, 5..8, QOS1).await;
    assert_eq!(drain(&mut second).await, numbered(5..8), "who is away is passed over");
    let (mut first, present) = connect_present(&server, lasting("first")).await;
    assert!(present);
    for number in 0..3 {
        let again = message(&mut first).await;
        assert_eq!((again.payload, again.dup), (number.to_string().into(), true));
        first.send_ack(AckKind::Puback, again.packet_id.unwrap(), ReasonCode::Success).await.unwrap();
    }
    quiet().await;
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn with_all_members_away_qos_1_and_2_wait_and_qos_0_goes() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    for id in ["a", "b"] {
        let mut member = connect(&server, lasting(id)).await;
        subscribe(&mut member, FILTER, QOS2).await;
    }
    quiet().await;
    for number in 0..30 {
        let qos = [QOS0, QOS1, QOS2][number % 3];
        publish(&mut publisher, Outgoing::new("t/x", number.to_string()).qos(qos)).await;
    }
    assert_eq!(dropped(&server, DropReason::NoMember), 10);
    assert_eq!(account(&server).waiting, 20);
    let mut back = connect(&server, lasting("b")).await;
    let expected: Vec<_> =
        numbered(0..30).into_iter().filter(|n| n.parse::<usize>().unwrap() % 3 != 0).collect();
    assert_eq!(drain(&mut back).await, expected);
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn a_reason_of_0x80_discards_the_message_for_the_whole_group() {
    // [MQTT-4.8.2-6]
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut first = client(&server, "first").await;
    let mut second = client(&server, "second").await;
    for (qos, kind) in [(QOS1, AckKind::Puback), (QOS2, AckKind::Pubrec)] {
        subscribe(&mut first, FILTER, qos).await;
        publish(&mut publisher, Outgoing::new("t/x", "bad").qos(qos)).await;
        let bad = message(&mut first).await;
        subscribe(&mut second, FILTER, qos).await;
        first.send_ack(kind, bad.packet_id.unwrap(), ReasonCode::UnspecifiedError).await.unwrap();
        silent(&mut second, millis(50)).await;
        silent(&mut first, millis(50)).await;
        first.unsubscribe(&[FILTER]).await.unwrap();
        second.unsubscribe(&[FILTER]).await.unwrap();
    }
    assert_eq!(dropped(&server, DropReason::RefusedByClient), 2);
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn retained_messages_are_not_sent_for_a_shared_subscription() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    publish(&mut publisher, Outgoing::new("t/x", "kept").retain().qos(QOS1)).await;
    let mut member = client(&server, "m").await;
    subscribe(&mut member, FILTER, QOS1).await;
    silent(&mut member, millis(50)).await;
    publish(&mut publisher, Outgoing::new("t/x", "live").retain().qos(QOS1)).await;
    let live = message(&mut member).await;
    assert_eq!((live.payload, live.retain), ("live".into(), false));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_member_may_receive_does_not_stop_the_others() {
    let rights =
        Policy(|id: &str, act, topic: &str| !(act == Act::Receive && topic == "t/secret" && id != "chief"));
    let server = server_with_rights(Limits::default(), Arc::new(rights)).await;
    let mut publisher = client(&server, "p").await;
    let mut member = client(&server, "m").await;
    subscribe(&mut member, FILTER, QOS1).await;
    for number in 0..6 {
        let topic = if number % 2 == 0 { "t/secret" } else { "t/open" };
        publish(&mut publisher, Outgoing::new(topic, number.to_string()).qos(QOS1)).await;
    }
    assert_eq!(drain(&mut member).await, ["1", "3", "5"]);
    quiet().await;
    assert_eq!(dropped(&server, DropReason::NotAuthorized), 3);
    expect_nothing_held(&server);
    // With a member who may, it goes to that one.
    let mut chief = client(&server, "chief").await;
    subscribe(&mut chief, FILTER, QOS1).await;
    for _ in 0..4 {
        publish(&mut publisher, Outgoing::new("t/secret", "s").qos(QOS1)).await;
    }
    assert_eq!(drain(&mut chief).await, ["s"; 4]);
    silent(&mut member, millis(50)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_that_come_and_go_lose_nothing_at_qos_1() {
    const MESSAGES: usize = 3000;
    let server = Arc::new(server(Limits { in_flight: 20, ..Limits::default() }).await);
    let got: Arc<parking_lot::Mutex<BTreeSet<usize>>> = Arc::default();
    let mut members = Vec::new();
    for id in 0..4 {
        let (server, got) = (Arc::clone(&server), Arc::clone(&got));
        members.push(tokio::spawn(async move {
            let id = format!("m{id}");
            loop {
                let mut member = connect(&server, lasting(&id)).await;
                subscribe(&mut member, FILTER, QOS1).await;
                for _ in 0..50 {
                    let Ok(Received::Publish(message)) =
                        timeout(millis(300), member.receive()).await.unwrap_or(Ok(Received::Pingresp))
                    else {
                        if got.lock().len() == MESSAGES {
                            return;
                        }
                        break;
                    };
                    got.lock().insert(std::str::from_utf8(&message.payload).unwrap().parse().unwrap());
                    member.acknowledge(&message).await.unwrap();
                }
            }
        }));
    }
    let mut publisher = client(&server, "p").await;
    tokio::time::sleep(millis(50)).await;
    publish_numbered(&mut publisher, 0..MESSAGES, QOS1).await;
    for member in members {
        timeout(PATIENCE, member).await.expect("messages are stuck").unwrap();
    }
    assert_eq!(got.lock().len(), MESSAGES);
}
