//! What was acknowledged is there after the broker has ended in any way: stopped, or killed at this moment, which is
//! what a copy of its directory is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod harness;

use aldis_client::{Outgoing, Received};
use aldis_packet::{AckKind, ReasonCode, Will};
use aldis_server::{Found, Limits, Server, Syncs, open_store};
use bytes::Bytes;
use harness::*;
use std::path::Path;
use tempfile::TempDir;

async fn start(directory: &Path) -> (Server, Found) {
    let (state, found) = open_store(directory, Syncs::Always).unwrap();
    let server = Server::builder().settings(settings(Limits::default())).state(state).start().await.unwrap();
    (server, found)
}

/// The directory as it is now: what a broker that is killed leaves behind.
fn killed(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        // A file may be renamed or removed at this moment, by a thread that makes room.
        let _ = std::fs::copy(entry.path(), copy.path().join(entry.file_name()));
    }
    copy
}

#[tokio::test]
async fn a_queue_comes_back_whole_and_in_order() {
    const MESSAGES: usize = 300;
    for qos in [QOS1, QOS2] {
        let directory = TempDir::new().unwrap();
        let (server, _) = start(directory.path()).await;
        let mut peer = connect(&server, lasting("s")).await;
        subscribe(&mut peer, "t/#", QOS2).await;
        peer.disconnect().await.unwrap();
        let mut publisher = client(&server, "p").await;
        for number in 0..MESSAGES {
            publish(&mut publisher, Outgoing::new(format!("t/{}", number % 7), number.to_string()).qos(qos))
                .await;
        }
        let copy = killed(directory.path());
        server.shutdown().await;
        for directory in [directory.path(), copy.path()] {
            let (server, found) = start(directory).await;
            assert_eq!((found.sessions, found.messages, found.cut), (1, MESSAGES, None));
            let (mut peer, present) = connect_present(&server, lasting("s")).await;
            assert!(present);
            assert_eq!(texts(&mut peer, MESSAGES).await, numbered(0..MESSAGES));
            quiet().await;
            expect_nothing_held(&server);
            server.shutdown().await;
            let (server, found) = start(directory).await;
            assert_eq!((found.sessions, found.messages), (1, 0));
            server.shutdown().await;
        }
    }
}

#[tokio::test]
async fn what_was_in_flight_is_sent_again_where_it_stood() {
    let directory = TempDir::new().unwrap();
    let (server, _) = start(directory.path()).await;
    let mut peer = connect(&server, lasting("s")).await;
    subscribe(&mut peer, "t", QOS2).await;
    let mut publisher = client(&server, "p").await;
    for (number, qos) in [QOS1, QOS2, QOS2].into_iter().enumerate() {
        publish(&mut publisher, Outgoing::new("t", number.to_string()).qos(qos)).await;
    }
    let first: Vec<_> = [message(&mut peer).await, message(&mut peer).await, message(&mut peer).await].into();
    // PUBREC for the second one only.
    let received = first[1].packet_id.unwrap();
    peer.send_ack(AckKind::Pubrec, received, ReasonCode::Success).await.unwrap();
    let Received::Ack(pubrel) = receive(&mut peer).await else { panic!("no PUBREL") };
    assert_eq!((pubrel.kind, pubrel.packet_id), (AckKind::Pubrel, received));
    let copy = killed(directory.path());
    server.shutdown().await;

    let (server, _) = start(copy.path()).await;
    let (mut peer, present) = connect_present(&server, lasting("s")).await;
    assert!(present);
    let again = message(&mut peer).await;
    assert_eq!((again.packet_id, again.dup, &again.payload[..]), (first[0].packet_id, true, &b"0"[..]));
    let Received::Ack(pubrel) = receive(&mut peer).await else { panic!("no PUBREL") };
    assert_eq!((pubrel.kind, pubrel.packet_id), (AckKind::Pubrel, received));
    let again = message(&mut peer).await;
    assert_eq!((again.packet_id, again.dup, &again.payload[..]), (first[2].packet_id, true, &b"2"[..]));
    server.shutdown().await;
}

#[tokio::test]
async fn a_publisher_that_repeats_is_no_new_message_and_a_released_identifier_is() {
    let directory = TempDir::new().unwrap();
    let (server, _) = start(directory.path()).await;
    let mut peer = connect(&server, lasting("s")).await;
    subscribe(&mut peer, "t", QOS2).await;
    peer.disconnect().await.unwrap();
    let mut publisher = connect(&server, lasting("p")).await;
    let id = publisher.publish(Outgoing::new("t", "one").qos(QOS2)).await.unwrap().unwrap();
    expect_ack(&mut publisher, AckKind::Pubrec).await;
    let copy = killed(directory.path());
    server.shutdown().await;

    let (server, _) = start(copy.path()).await;
    let (mut publisher, present) = connect_present(&server, lasting("p")).await;
    assert!(present);
    let repeat = Outgoing::new("t", "one").qos(QOS2).repeated(id);
    publisher.publish(repeat).await.unwrap();
    expect_ack(&mut publisher, AckKind::Pubrec).await;
    publisher.send_ack(AckKind::Pubrel, id, ReasonCode::Success).await.unwrap();
    expect_ack(&mut publisher, AckKind::Pubcomp).await;
    let copy = killed(copy.path());
    server.shutdown().await;

    let (server, _) = start(copy.path()).await;
    let mut publisher = connect(&server, lasting("p")).await;
    publisher.publish(Outgoing::new("t", "two").qos(QOS2).packet_id(id)).await.unwrap();
    expect_ack(&mut publisher, AckKind::Pubrec).await;
    let mut peer = connect(&server, lasting("s")).await;
    assert_eq!(texts(&mut peer, 2).await, ["one", "two"]);
    server.shutdown().await;
}

#[tokio::test]
async fn retained_messages_subscriptions_and_their_ends_come_back() {
    let directory = TempDir::new().unwrap();
    let (server, _) = start(directory.path()).await;
    let mut publisher = client(&server, "p").await;
    for (topic, payload) in [("r/1", "a"), ("r/2", "b"), ("r/1", "c"), ("r/2", "")] {
        publish(&mut publisher, Outgoing::new(topic, payload).qos(QOS1).retain()).await;
    }
    let mut peer = connect(&server, lasting("s")).await;
    subscribe(&mut peer, "kept", QOS1).await;
    subscribe(&mut peer, "ended", QOS1).await;
    peer.unsubscribe(&["ended"]).await.unwrap();
    let mut clean = connect(&server, lasting("c")).await;
    subscribe(&mut clean, "kept", QOS1).await;
    drop(clean);
    let clean = connect(&server, aldis_client::Options::new("c")).await;
    let copy = killed(directory.path());
    drop(clean);
    server.shutdown().await;

    let (server, found) = start(copy.path()).await;
    assert_eq!((found.sessions, found.retained), (1, 1));
    let mut publisher = client(&server, "p").await;
    for topic in ["kept", "ended"] {
        publish(&mut publisher, Outgoing::new(topic, topic).qos(QOS1)).await;
    }
    let (mut peer, present) = connect_present(&server, lasting("s")).await;
    assert!(present);
    assert_eq!(text(&mut peer).await, "kept");
    subscribe(&mut peer, "r/#", QOS1).await;
    assert_eq!(text(&mut peer).await, "c");
    silent(&mut peer, millis(50)).await;
    assert!(!connect_present(&server, lasting("c")).await.1);
    server.shutdown().await;
}

#[tokio::test]
async fn the_will_of_a_session_that_was_connected_comes_after_the_restart() {
    let directory = TempDir::new().unwrap();
    let (server, _) = start(directory.path()).await;
    let mut peer = connect(&server, lasting("s")).await;
    subscribe(&mut peer, "gone", QOS1).await;
    let will = Will {
        qos: QOS1,
        retain: false,
        topic: "gone".into(),
        payload: Bytes::from_static(b"will"),
        delay: 1,
        message_expiry: None,
        forwarded: Bytes::new(),
    };
    let with_will = connect(&server, lasting("w").will(will)).await;
    let copy = killed(directory.path());
    drop(with_will);
    server.shutdown().await;

    let started = tokio::time::Instant::now();
    let (server, _) = start(copy.path()).await;
    let mut peer = connect(&server, lasting("s")).await;
    assert_eq!(text(&mut peer).await, "will");
    assert!(started.elapsed() >= seconds(1));
    peer.disconnect().await.unwrap();
    server.shutdown().await;
    // Once.
    let (server, _) = start(copy.path()).await;
    let mut peer = connect(&server, lasting("s")).await;
    silent(&mut peer, millis(1_100)).await;
    server.shutdown().await;
}
