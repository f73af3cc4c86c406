//! Sending: packet identifiers, sends that are broken off, the two halves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod broker;

use aldis_client::{Client, ClientError, Options, Outgoing, Received};
use aldis_packet::*;
use broker::{Broker, ack, connected, id};
use std::time::Duration;
use tokio::io::duplex;

fn at_least_once() -> Outgoing {
    Outgoing::new("t", "").qos(QoS::AtLeastOnce)
}

#[tokio::test]
async fn identifiers_are_the_next_free_ones() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    client.reserve_packet_id(id(2));
    assert_eq!(client.publish(Outgoing::new("t", "")).await.unwrap(), None);
    assert_eq!(client.publish(at_least_once()).await.unwrap(), Some(id(1)));
    assert_eq!(client.publish(at_least_once()).await.unwrap(), Some(id(3)));
    assert_eq!(client.publish(at_least_once().packet_id(id(4))).await.unwrap(), Some(id(4)));
    assert_eq!(client.publish(at_least_once()).await.unwrap(), Some(id(5)));
    assert_eq!(client.send_unsubscribe(&["t"]).await.unwrap(), id(6));
    broker.expect(&Packet::Publish(Outgoing::new("t", "").to_packet(None))).await;
    for value in [1, 3, 4, 5] {
        broker.expect(&Packet::Publish(at_least_once().to_packet(Some(id(value))))).await;
    }
}

#[tokio::test]
async fn identifiers_run_out_and_come_back_with_the_final_acknowledgement() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let mut seen = std::collections::HashSet::new();
    while let Ok(id) = client.take_packet_id() {
        assert!(seen.insert(id));
    }
    assert_eq!(seen.len(), 65_535);
    assert!(matches!(client.publish(at_least_once()).await, Err(ClientError::NoPacketIdLeft)));

    let success = ReasonCode::Success;
    let cases = [
        (ack(AckKind::Puback, 7, success), Some(7)),
        (ack(AckKind::Pubrec, 8, success), None),
        (ack(AckKind::Pubrec, 8, ReasonCode::QuotaExceeded), Some(8)),
        (ack(AckKind::Pubrel, 9, success), None),
        (ack(AckKind::Pubcomp, 9, success), Some(9)),
        (Packet::Suback(Suback::new(id(65_535), vec![0])), Some(65_535)),
        (Packet::Unsuback(Unsuback::new(id(1), vec![0])), Some(1)),
    ];
    for (packet, free) in cases {
        broker.send(&packet).await;
        client.receive().await.unwrap();
        assert_eq!(client.take_packet_id().ok(), free.map(id), "{packet}");
    }
}

#[tokio::test]
async fn a_send_that_is_broken_off_does_not_tear_the_stream() {
    // Ten bytes of room: the first packet does not fit.
    let (stream, peer) = duplex(10);
    let mut client = Client::raw(stream, ProtocolVersion::V5);
    let mut broker = Broker { stream: peer, version: ProtocolVersion::V5 };
    let first = Outgoing::new("first", vec![1; 100]);
    let broken_off = tokio::time::timeout(Duration::ZERO, client.publish(first.clone())).await;
    assert!(broken_off.is_err());
    // This one does not even begin, and is not sent later.
    let never = tokio::time::timeout(Duration::ZERO, client.publish(Outgoing::new("never", ""))).await;
    assert!(never.is_err());
    let second = Outgoing::new("second", vec![2; 100]);
    let script = async {
        broker.expect(&Packet::Publish(first.to_packet(None))).await;
        broker.expect(&Packet::Publish(second.to_packet(None))).await;
    };
    let ((), outcome) = tokio::join!(script, client.publish(second.clone()));
    outcome.unwrap();
}

#[tokio::test]
async fn sending_to_a_broker_that_has_closed_fails_and_what_it_sent_can_be_received() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    broker.send(&Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::ServerShuttingDown)))).await;
    drop(broker);
    assert!(matches!(client.publish(at_least_once()).await, Err(ClientError::Closed)));
    match client.receive().await.unwrap() {
        Received::Disconnect(disconnect) => assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_halves_work_at_the_same_time_and_share_the_identifiers() {
    let (mut broker, client) = connected(Options::new("me")).await;
    let (mut sender, mut receiver) = client.split();
    let large = Outgoing::new("t", vec![0; 1 << 20]);
    // Both directions are full: neither side could go on without reading.
    let script = async {
        broker.publish(&large).await;
        broker.expect(&Packet::Publish(large.to_packet(None))).await;
        broker.send(&ack(AckKind::Puback, 1, ReasonCode::Success)).await;
        broker
    };
    let receive = async {
        assert_eq!(receiver.next_message().await.unwrap().payload.len(), 1 << 20);
        assert!(matches!(receiver.receive().await.unwrap(), Received::Ack(_)));
    };
    let (mut broker, outcome, ()) = tokio::join!(script, sender.publish(large.clone()), receive);
    outcome.unwrap();

    // Of all identifiers only the acknowledged one is free when the others are taken.
    for value in (1..=u16::MAX).filter(|&value| value != 1) {
        let message = at_least_once().packet_id(id(value));
        let expected = message.to_packet(Some(id(value)));
        sender.publish(message.clone()).await.unwrap();
        broker.expect(&Packet::Publish(expected)).await;
    }
    assert_eq!(sender.publish(at_least_once()).await.unwrap(), Some(id(1)));
    assert!(matches!(sender.publish(at_least_once()).await, Err(ClientError::NoPacketIdLeft)));
    broker.send(&ack(AckKind::Puback, 300, ReasonCode::Success)).await;
    receiver.receive().await.unwrap();
    assert_eq!(sender.publish(at_least_once()).await.unwrap(), Some(id(300)));
}
