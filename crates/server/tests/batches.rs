//! Law 5: no system call, no command and no wake-up for a single packet when there are more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod harness;

use aldis_client::{Client, Options, Outgoing};
use aldis_packet::{Packet, PacketId, ProtocolVersion, QoS};
use aldis_server::{Limits, Server};
use harness::*;
use std::sync::atomic::Ordering::Relaxed;

const WRITES: usize = 100;
const IN_ONE: usize = 100;

/// Whole PUBLISH packets, numbered from `first` on.
fn packets(first: usize, qos: QoS) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in first..first + IN_ONE {
        let id = PacketId::new((number % 60_000 + 1) as u16).filter(|_| qos != QOS0);
        let message = Outgoing::new("sensors/kitchen/temperature", number.to_string()).qos(qos);
        Packet::Publish(message.to_packet(id)).encode(ProtocolVersion::V311, &mut bytes);
    }
    bytes
}

async fn reader(
    server: &Server,
    id: &str,
    qos: QoS,
) -> (Peer, std::sync::Arc<aldis_server::transport::memory::Counts>) {
    let (stream, counts) = open_counted(server, CAPACITY);
    let (mut peer, _) = connect_over(stream, v311(id)).await;
    subscribe(&mut peer, "sensors/+/temperature", qos).await;
    (peer, counts)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_messages_in_a_hundred_reads_are_a_few_hundred_writes_and_no_command() {
    for subscribers in [1, 10, 150] {
        let server = server(Limits::default()).await;
        let mut readers = Vec::new();
        for number in 0..subscribers {
            readers.push(reader(&server, &format!("s{number}"), QOS0).await);
        }
        let (stream, publisher_counts) = open_counted(&server, CAPACITY);
        let mut publisher = Client::connect(stream, v311("p")).await.unwrap().0;
        quiet().await;
        let commands = server.commands();
        let mut reads_in_all = 0;
        for write in 0..WRITES {
            let reads = publisher_counts.reads.load(Relaxed);
            let writes: Vec<_> = readers.iter().map(|(_, counts)| counts.writes.load(Relaxed)).collect();
            publisher.send_bytes(&packets(write * IN_ONE, QOS0)).await.unwrap();
            quiet().await;
            for (peer, _) in &mut readers {
                for number in 0..IN_ONE {
                    let message = message(peer).await;
                    assert_eq!(message.payload, (write * IN_ONE + number).to_string());
                }
            }
            let reads = publisher_counts.reads.load(Relaxed) - reads;
            for ((_, counts), before) in readers.iter().zip(writes) {
                let writes = counts.writes.load(Relaxed) - before;
                assert!(writes <= 3 * reads, "{writes} writes for {reads} reads");
            }
            reads_in_all += reads;
        }
        assert!((WRITES / 2..=WRITES).contains(&reads_in_all), "{reads_in_all} reads");
        assert_eq!(server.commands(), commands, "a PUBLISH needs no command");
        assert_eq!(publisher_counts.writes.load(Relaxed), 1, "the publisher itself was sent CONNACK alone");
    }
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_leave_together_too() {
    let server = server(Limits::default()).await;
    let (mut peer, counts) = reader(&server, "s", QOS1).await;
    let (stream, publisher_counts) = open_counted(&server, CAPACITY);
    let mut publisher = Client::connect(stream, v311("p")).await.unwrap().0;
    quiet().await;
    let (commands, writes) = (server.commands(), counts.writes.load(Relaxed));
    let answers = publisher_counts.writes.load(Relaxed);
    for write in 0..WRITES {
        publisher.send_bytes(&packets(write * IN_ONE, QOS1)).await.unwrap();
        quiet().await;
        let mut acks = Vec::new();
        for _ in 0..IN_ONE {
            let id = message(&mut peer).await.packet_id.unwrap();
            let ack =
                aldis_packet::Ack::new(aldis_packet::AckKind::Puback, id, aldis_packet::ReasonCode::Success);
            Packet::Ack(ack).encode(ProtocolVersion::V311, &mut acks);
            expect_ack(&mut publisher, aldis_packet::AckKind::Puback).await;
        }
        peer.send_bytes(&acks).await.unwrap();
    }
    quiet().await;
    assert!(counts.writes.load(Relaxed) - writes <= 3 * WRITES);
    assert!(publisher_counts.writes.load(Relaxed) - answers <= 2 * WRITES);
    assert_eq!(server.commands(), commands);
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_retained_messages_is_one_command() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    quiet().await;
    let commands = server.commands();
    let mut bytes = Vec::new();
    for number in 0..500 {
        let message = Outgoing::new(format!("t/{number}"), "x").retain();
        Packet::Publish(message.to_packet(None)).encode(ProtocolVersion::V5, &mut bytes);
    }
    publisher.send_bytes(&bytes).await.unwrap();
    publisher.ping().await.unwrap();
    assert!(server.commands() - commands <= 2, "{} commands", server.commands() - commands);
}

#[tokio::test(start_paused = true)]
async fn one_message_for_many_subscribers_is_one_write_each() {
    let server = server(Limits::default()).await;
    let mut readers = Vec::new();
    for number in 0..500 {
        readers.push(reader(&server, &format!("s{number}"), QOS0).await);
    }
    let mut publisher = connect(&server, Options::new("p")).await;
    quiet().await;
    let before: usize = readers.iter().map(|(_, counts)| counts.writes.load(Relaxed)).sum();
    publisher
        .send_bytes(&{
            let mut bytes = Vec::new();
            let message = Outgoing::new("sensors/kitchen/temperature", "1");
            Packet::Publish(message.to_packet(None)).encode(ProtocolVersion::V5, &mut bytes);
            bytes
        })
        .await
        .unwrap();
    for (peer, _) in &mut readers {
        message(peer).await;
    }
    let after: usize = readers.iter().map(|(_, counts)| counts.writes.load(Relaxed)).sum();
    assert_eq!(after - before, 500);
}
