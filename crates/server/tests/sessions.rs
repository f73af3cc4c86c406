//! What a session keeps over its connections: what is queued, what is in flight, what was received.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod harness;

use aldis_client::{Options, Outgoing, Received};
use aldis_packet::{AckKind, PacketId, ProtocolVersion, ReasonCode};
use aldis_server::{DropReason, Limits};
use harness::*;

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_queue_comes_whole_and_in_order() {
    const MESSAGES: usize = 5000;
    for version in [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5] {
        let server = server(Limits { in_flight: 50, ..Limits::default() }).await;
        let options = || Options { version, ..lasting("s") };
        let mut publisher = client(&server, "p").await;
        let mut peer = connect(&server, options()).await;
        subscribe(&mut peer, "t/#", QOS2).await;
        drop(peer);
        quiet().await;
        for number in 0..MESSAGES {
            let message = Outgoing::new(format!("t/{}", number % 7), number.to_string());
            let message = message.qos([QOS1, QOS2][number % 2]);
            publish(&mut publisher, message).await;
        }
        publish(&mut publisher, Outgoing::new("t/x", "not at QoS 0")).await;
        assert_eq!(account(&server).waiting, MESSAGES as i64);
        let (mut peer, _) = connect_present(&server, options()).await;
        assert_eq!(texts(&mut peer, MESSAGES).await, numbered(0..MESSAGES));
        quiet().await;
        expect_nothing_held(&server);
        assert_eq!(dropped(&server, DropReason::Offline), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn reconnecting_in_the_middle_loses_and_reorders_nothing() {
    const MESSAGES: usize = 600;
    for qos in [QOS1, QOS2] {
        let server = server(Limits::default()).await;
        let mut publisher = client(&server, "p").await;
        let mut peer = connect(&server, lasting("s")).await;
        subscribe(&mut peer, "t", qos).await;
        let (mut sent, mut got) = (0, Vec::new());
        for round in 0..30 {
            for _ in 0..MESSAGES / 30 {
                publish(&mut publisher, Outgoing::new("t", sent.to_string()).qos(qos)).await;
                sent += 1;
            }
            // Some are taken over, the rest is left unacknowledged or unread.
            got.extend(texts(&mut peer, round % 9).await);
            if round % 2 == 0 {
                message(&mut peer).await;
            }
            drop(peer);
            if round % 3 == 0 {
                quiet().await;
            }
            peer = connect(&server, lasting("s").receive_maximum(1 + round as u16)).await;
        }
        got.extend(texts(&mut peer, MESSAGES - got.len()).await);
        assert_eq!(got, numbered(0..MESSAGES), "{qos}");
        silent(&mut peer, millis(100)).await;
        expect_nothing_held(&server);
    }
}

#[tokio::test(start_paused = true)]
async fn qos_2_goes_on_where_it_was() {
    // [MQTT-4.3.3-6], [MQTT-4.4.0-1]: after PUBREC only PUBREL is ever sent again.
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut peer = connect(&server, lasting("s")).await;
    subscribe(&mut peer, "t", QOS2).await;
    for text in ["recorded", "only sent"] {
        publish(&mut publisher, Outgoing::new("t", text).qos(QOS2)).await;
    }
    let (recorded, sent) = (message(&mut peer).await, message(&mut peer).await);
    let recorded = recorded.packet_id.unwrap();
    peer.send_ack(AckKind::Pubrec, recorded, ReasonCode::Success).await.unwrap();
    assert_eq!(expect_ack(&mut peer, AckKind::Pubrel).await.packet_id, recorded);
    for _ in 0..3 {
        drop(peer);
        peer = connect(&server, lasting("s")).await;
        assert_eq!(expect_ack(&mut peer, AckKind::Pubrel).await.packet_id, recorded);
        let again = message(&mut peer).await;
        assert_eq!((again.packet_id, again.dup), (sent.packet_id, true));
        silent(&mut peer, millis(10)).await;
    }
    peer.send_ack(AckKind::Pubcomp, recorded, ReasonCode::Success).await.unwrap();
    drop(peer);
    peer = connect(&server, lasting("s")).await;
    assert_eq!(text(&mut peer).await, "only sent");
    silent(&mut peer, millis(10)).await;
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn the_receive_maximum_of_the_new_connection_holds_for_what_is_sent_again() {
    // [MQTT-3.3.4-9]: PUBREL has come, PUBCOMP has not: the message still counts.
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut peer = connect(&server, lasting("s")).await;
    subscribe(&mut peer, "t", QOS2).await;
    for text in ["a", "b", "c"] {
        publish(&mut publisher, Outgoing::new("t", text).qos(QOS2)).await;
    }
    let first = message(&mut peer).await.packet_id.unwrap();
    for _ in ["b", "c"] {
        message(&mut peer).await;
    }
    peer.send_ack(AckKind::Pubrec, first, ReasonCode::Success).await.unwrap();
    expect_ack(&mut peer, AckKind::Pubrel).await;
    drop(peer);
    peer = connect(&server, lasting("s").receive_maximum(1)).await;
    expect_ack(&mut peer, AckKind::Pubrel).await;
    silent(&mut peer, millis(10)).await;
    peer.send_ack(AckKind::Pubcomp, first, ReasonCode::Success).await.unwrap();
    for expected in ["b", "c"] {
        let only = message(&mut peer).await;
        assert_eq!(only.payload, expected);
        silent(&mut peer, millis(10)).await;
        peer.acknowledge(&only).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn qos_2_from_a_client_is_one_message_over_all_its_connections() {
    // [MQTT-4.3.3-10], [MQTT-4.3.3-12]
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "t", QOS0).await;
    let mut peer = connect(&server, lasting("s")).await;
    for round in 0..4 {
        let message = Outgoing::new("t", "once").qos(QOS2).packet_id(id(7));
        let message = if round > 0 { message.repeated(id(7)) } else { message };
        peer.publish(message.clone()).await.unwrap();
        expect_ack(&mut peer, AckKind::Pubrec).await;
        // Also without a reconnect, as 3.1 clients do.
        peer.publish(message.repeated(id(7))).await.unwrap();
        expect_ack(&mut peer, AckKind::Pubrec).await;
        drop(peer);
        peer = connect(&server, lasting("s")).await;
    }
    for expected in [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound] {
        peer.send_ack(AckKind::Pubrel, id(7), ReasonCode::Success).await.unwrap();
        assert_eq!(expect_ack(&mut peer, AckKind::Pubcomp).await.reason, expected);
    }
    peer.publish(Outgoing::new("t", "another").qos(QOS2).packet_id(id(7))).await.unwrap();
    assert_eq!(texts(&mut witness, 2).await, ["once", "another"]);
    silent(&mut witness, millis(10)).await;
    // A new session knows nothing of it.
    drop(peer);
    let mut peer = connect(&server, Options::new("s")).await;
    peer.publish(Outgoing::new("t", "new session").qos(QOS2).packet_id(id(7))).await.unwrap();
    assert_eq!(text(&mut witness).await, "new session");
}

#[tokio::test(start_paused = true)]
async fn a_clean_start_forgets_everything() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut peer = connect(&server, lasting("s")).await;
    subscribe(&mut peer, "t", QOS2).await;
    publish(&mut publisher, Outgoing::new("t", "in flight").qos(QOS2)).await;
    message(&mut peer).await;
    drop(peer);
    quiet().await;
    publish(&mut publisher, Outgoing::new("t", "queued").qos(QOS1)).await;
    let (mut peer, present) = connect_present(&server, Options { clean_start: true, ..lasting("s") }).await;
    assert!(!present);
    publish(&mut publisher, Outgoing::new("t", "unsubscribed").qos(QOS1)).await;
    silent(&mut peer, seconds(1)).await;
    assert_eq!(dropped(&server, DropReason::SessionEnded), 2);
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_in_another_version_of_the_protocol() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut peer = connect(&server, lasting("s").topic_alias_maximum(5)).await;
    subscribe(&mut peer, "a/long/topic", QOS1).await;
    for number in 0..6 {
        let message = Outgoing::new("a/long/topic", number.to_string()).qos(QOS1).user_property("k", "v");
        publish(&mut publisher, message).await;
    }
    let mut omitted = 0;
    for _ in 0..6 {
        omitted += usize::from(message(&mut peer).await.topic_omitted);
    }
    assert!(omitted > 0, "aliases are used where they are allowed");
    drop(peer);
    let mut peer = connect(&server, v311("s").resume()).await;
    for number in 0..6 {
        let again = message(&mut peer).await;
        assert_eq!(
            (again.topic.as_str(), again.payload.clone()),
            ("a/long/topic", number.to_string().into())
        );
        peer.acknowledge(&again).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn qos_0_waits_for_who_is_away_only_where_the_settings_say_so() {
    for queue_qos0 in [false, true] {
        let server = server(Limits { queue_qos0, ..Limits::default() }).await;
        let mut publisher = client(&server, "p").await;
        let mut peer = connect(&server, lasting("s")).await;
        subscribe(&mut peer, "t", QOS1).await;
        drop(peer);
        quiet().await;
        for number in 0..10 {
            let qos = [QOS0, QOS1][number % 2];
            publish(&mut publisher, Outgoing::new("t", number.to_string()).qos(qos)).await;
        }
        publisher.ping().await.unwrap();
        let mut peer = connect(&server, lasting("s")).await;
        if queue_qos0 {
            assert_eq!(texts(&mut peer, 10).await, numbered(0..10));
        } else {
            assert_eq!(texts(&mut peer, 5).await, ["1", "3", "5", "7", "9"]);
        }
        silent(&mut peer, millis(10)).await;
        expect_nothing_held(&server);
    }
}

#[tokio::test(start_paused = true)]
async fn connack_comes_before_everything() {
    // [MQTT-3.2.0-1], finding 18: publishers go on while the session is attached.
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    drop({
        let mut peer = connect(&server, lasting("s")).await;
        subscribe(&mut peer, "t", QOS1).await;
        peer
    });
    let mut connect_packet = Vec::new();
    lasting("s").into_connect().encode(&mut connect_packet);
    for number in 0..50 {
        let mut raw = aldis_client::Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
        for half in [0..3, 3..connect_packet.len()] {
            raw.send_bytes(&connect_packet[half]).await.unwrap();
            publisher.publish(Outgoing::new("t", number.to_string()).qos(QOS1)).await.unwrap();
            publisher.publish(Outgoing::new("t", "x")).await.unwrap();
            if number % 2 == 0 {
                tokio::task::yield_now().await;
            }
        }
        assert!(matches!(receive(&mut raw).await, Received::Connack(_)));
        assert!(matches!(receive(&mut raw).await, Received::Publish(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_identifier_is_not_used_twice_while_in_flight() {
    // [MQTT-2.2.1-4], over the end of the numbers.
    let server = server(Limits { in_flight: 10, ..Limits::default() }).await;
    let mut publisher = client(&server, "p").await;
    let mut peer = connect(&server, Options::new("s")).await;
    subscribe(&mut peer, "t", QOS1).await;
    let mut held = std::collections::VecDeque::new();
    for number in 0..70_000_u32 {
        publisher.publish(Outgoing::new("t", number.to_be_bytes())).await.unwrap();
        if number % 2 == 0 {
            continue;
        }
        let message = Outgoing::new("t", number.to_be_bytes()).qos(QOS1);
        publisher.publish(message).await.unwrap();
        if number % 512 == 511 {
            while let Some(packet) = publisher.receive_within(std::time::Duration::ZERO).await.unwrap() {
                drop(packet);
            }
        }
        while let Some(packet) = peer.receive_within(std::time::Duration::ZERO).await.unwrap() {
            let Received::Publish(message) = packet else { panic!() };
            let Some(id) = message.packet_id else { continue };
            assert!(!held.contains(&id), "{id:?} twice");
            held.push_back(id);
            if held.len() == 10 {
                for id in held.drain(..) {
                    peer.send_ack(AckKind::Puback, id, ReasonCode::Success).await.unwrap();
                }
            }
        }
        tokio::task::yield_now().await;
    }
}
