//! What the task of a connection is at besides reading: it hears errands whatever it does, forgives its client
//! the time in which it does not listen, and finishes what it has read.
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
use aldis_packet::{Packet, PacketId, PacketType, ProtocolVersion, QoS, ReasonCode, SubscriptionOptions};
use aldis_server::{DropReason, Limits, Message, Server};
use aldis_store::{Bell, Log, Record, Sequence};
use harness::*;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

const SUBSCRIBERS: usize = 300;
const MESSAGES: usize = 600;

/// Many subscribers of "a".
async fn crowd(server: &Server) -> Vec<Peer> {
    let mut crowd = Vec::new();
    for number in 0..SUBSCRIBERS {
        let mut peer = client(server, &format!("s{number}")).await;
        subscribe(&mut peer, "a", QOS2).await;
        crowd.push(peer);
    }
    crowd
}

fn packet(message: Outgoing, number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let id = PacketId::new(number as u16 + 1).filter(|_| message.qos != QOS0);
    Packet::Publish(message.to_packet(id)).encode(ProtocolVersion::V5, &mut bytes);
    bytes
}

/// One read full of numbered messages for "a", which take more than ten turns to deliver.
fn flood(qos: QoS, retain: bool) -> Vec<u8> {
    let message = |number: usize| Outgoing { retain, ..Outgoing::new("a", number.to_string()).qos(qos) };
    (0..MESSAGES).flat_map(|number| packet(message(number), number)).collect()
}

fn delivered(server: &Server) -> usize {
    usize::try_from(server.counters().offered.load(SeqCst)).unwrap()
}

/// Waits until some of the flood is delivered, which then is not all.
async fn under_way(server: &Server) {
    while delivered(server) < SUBSCRIBERS {
        tokio::task::yield_now().await;
    }
    expect_under_way(server);
}

fn expect_under_way(server: &Server) {
    assert!(delivered(server) < SUBSCRIBERS * MESSAGES, "all is delivered");
}

/// Something is held for good, so the watermark stays reached.
async fn fill_memory(server: &Server) {
    let mut away = connect(server, lasting("away")).await;
    subscribe(&mut away, "kept", QOS1).await;
    drop(away);
    quiet().await;
    server.publisher().publish(Message::new("kept", vec![b'x'; 20_000]).qos(QOS1)).await.unwrap();
    server.reload(settings(Limits { memory_watermark: 10_000, ..Limits::default() })).await;
}

async fn expect_flood(peer: &mut Peer) {
    assert_eq!(texts(peer, MESSAGES).await, numbered(0..MESSAGES));
    silent(peer, seconds(1)).await;
}

// ---- while held publications leave ----

#[tokio::test(start_paused = true)]
async fn a_client_is_written_to_while_what_it_retains_is_delivered_to_many() {
    let server = server(Limits::default()).await;
    let mut crowd = crowd(&server).await;
    let mut both = connect_over(open(&server, 20_000), Options::new("both")).await.0;
    subscribe(&mut both, "own", QOS0).await;
    // With this unread its pipe has no room for what it publishes to itself.
    server.publisher().publish(Message::new("own", vec![b'x'; 15_000])).await.unwrap();
    let own = Outgoing::new("own", vec![b'y'; 12_000]).retain();
    both.send_bytes(&[packet(own, 0), flood(QOS0, true)].concat()).await.unwrap();
    under_way(&server).await;
    assert_eq!(message(&mut both).await.payload.len(), 15_000);
    assert_eq!(message(&mut both).await.payload.len(), 12_000);
    expect_under_way(&server);
    expect_flood(&mut crowd[SUBSCRIBERS - 1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_hears_that_it_has_to_go_while_what_it_retains_is_delivered_to_many() {
    let server = server(Limits::default()).await;
    let mut crowd = crowd(&server).await;
    let mut old = connect(&server, lasting("p")).await;
    old.send_bytes(&flood(QOS2, true)).await.unwrap();
    under_way(&server).await;
    let newcomer = tokio::spawn(connect_over(open(&server, CAPACITY), lasting("p")));
    let told = loop {
        match receive(&mut old).await {
            Received::Disconnect(disconnect) => break disconnect.reason,
            other => assert_eq!(other.packet_type(), PacketType::Pubrec),
        }
    };
    assert_eq!(told, ReasonCode::SessionTakenOver);
    expect_under_way(&server);
    expect_closed(&mut old).await;
    // The rest is delivered all the same, before its client comes back: its identifiers count as received.
    let (mut new, present) = newcomer.await.unwrap();
    assert!(present);
    assert_eq!(delivered(&server), SUBSCRIBERS * MESSAGES);
    let id = PacketId::new(MESSAGES as u16).unwrap();
    new.publish(Outgoing::new("a", "again").qos(QOS2).repeated(id)).await.unwrap();
    assert_eq!(ack(&mut new).await.reason, ReasonCode::Success);
    expect_flood(&mut crowd[0]).await;
    expect_flood(&mut crowd[SUBSCRIBERS - 1]).await;
}

#[tokio::test(start_paused = true)]
async fn keep_alive_stands_still_while_what_a_client_retains_is_delivered_to_many() {
    let server = server(Limits::default()).await;
    let _crowd = crowd(&server).await;
    let mut publisher = connect(&server, Options::new("p").keep_alive(1)).await;
    publisher.send_bytes(&flood(QOS0, true)).await.unwrap();
    under_way(&server).await;
    for _ in 0..4 {
        tokio::time::advance(seconds(1)).await;
        expect_under_way(&server);
    }
    publisher.ping().await.unwrap();
    assert_eq!(delivered(&server), SUBSCRIBERS * MESSAGES);
    // From there on it counts as ever.
    let start = Instant::now();
    expect_farewell(&mut publisher, ReasonCode::KeepAliveTimeout).await;
    assert!((millis(1_500)..seconds(2)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

// ---- while the Broker takes its time ----

/// A log on a slow disk: what is appended is committed when the test says so.
#[derive(Default)]
struct Slow {
    appended: AtomicU64,
    committed: AtomicU64,
    bell: Mutex<Option<Bell>>,
}

impl Slow {
    fn commit(&self) {
        self.committed.store(self.appended.load(SeqCst), SeqCst);
        self.bell.lock().unwrap().as_ref().unwrap()();
    }
}

impl Log for Slow {
    fn keeps(&self) -> bool {
        true
    }
    fn append(&self, _: &Record<'_>) -> Sequence {
        self.appended.fetch_add(1, SeqCst) + 1
    }
    fn committed(&self) -> Sequence {
        self.committed.load(SeqCst)
    }
    fn on_commit(&self, bell: Bell) {
        *self.bell.lock().unwrap() = Some(bell);
    }
}

#[tokio::test(start_paused = true)]
async fn keep_alive_stands_still_while_the_broker_has_not_answered() {
    let log = Arc::new(Slow::default());
    let builder = Server::builder().settings(settings(Limits::default())).log(Arc::clone(&log) as _);
    let server = builder.start().await.unwrap();
    let stream = open(&server, CAPACITY);
    let connecting = tokio::spawn(connect_over(stream, lasting("c").keep_alive(2)));
    // Of its keep alive nothing is used up when it is let in.
    tokio::time::sleep(seconds(5)).await;
    log.commit();
    let (mut peer, _) = connecting.await.unwrap();
    silent(&mut peer, millis(2_900)).await;
    peer.ping().await.unwrap();
    // Nor while it waits for an answer, and its pings lie unread.
    peer.send_subscribe(&[("a", SubscriptionOptions::new(QOS1))], None).await.unwrap();
    for _ in 0..5 {
        silent(&mut peer, seconds(1)).await;
        peer.send_bytes(&[0xc0, 0]).await.unwrap();
    }
    log.commit();
    assert_eq!(receive(&mut peer).await.packet_type(), PacketType::Suback);
    for _ in 0..5 {
        assert_eq!(receive(&mut peer).await, Received::Pingresp);
    }
    silent(&mut peer, millis(2_900)).await;
    peer.ping().await.unwrap();
}

// ---- at the memory watermark ----

#[tokio::test(start_paused = true)]
async fn a_publisher_that_is_a_busy_subscriber_too_is_paused_all_the_same() {
    let server = server(Limits::default()).await;
    let mut both = connect_over(open(&server, 2_000), Options::new("both")).await.0;
    subscribe(&mut both, "feed", QOS0).await;
    fill_memory(&server).await;
    let publisher = server.publisher();
    let feeding = tokio::spawn(async move {
        loop {
            // More than its pipe holds: its own task goes on with each.
            publisher.publish(Message::new("feed", vec![b'x'; 3_000])).await.unwrap();
            tokio::time::sleep(millis(7)).await;
        }
    });
    let start = Instant::now();
    let mut fed = 0;
    for _ in 0..11 {
        both.publish(Outgoing::new("nobody", "x").qos(QOS1)).await.unwrap();
        while let Received::Publish(_) = receive(&mut both).await {
            fed += 1;
        }
    }
    let lasted = start.elapsed();
    feeding.abort();
    assert!((millis(900)..=millis(1_200)).contains(&lasted), "{lasted:?}");
    assert!(fed > 90, "{fed} messages came meanwhile");
}

// ---- what was read ----

#[tokio::test(start_paused = true)]
async fn what_a_connection_keeps_between_two_reads_is_counted_as_held() {
    let server = server(Limits::default()).await;
    let _crowd = crowd(&server).await;
    let mut publisher = client(&server, "p").await;
    quiet().await;
    let held = || server.counters().held_bytes.load(SeqCst);
    let before = held();
    // The beginning of a packet, of a large one, and packets that wait for their turn.
    for (size, part) in [(30_000, 20_000), (50_000, 20_000)] {
        let bytes = packet(Outgoing::new("nobody", vec![b'x'; size]), 0);
        let (first, second) = bytes.split_at(part);
        publisher.send_bytes(first).await.unwrap();
        quiet().await;
        assert!(held() - before >= 20_000, "{} of 20,000 bytes", held() - before);
        publisher.send_bytes(second).await.unwrap();
        quiet().await;
        assert_eq!(held(), before);
    }
    publisher.send_bytes(&flood(QOS0, false)).await.unwrap();
    under_way(&server).await;
    assert!(held() - before >= 2_000, "{} bytes", held() - before);
    publisher.ping().await.unwrap();
    assert_eq!(held(), before);
}

/// [MQTT-3.14.4-3]: a will is discarded when DISCONNECT has come, also when it is still behind other work as
/// the first write to its client fails.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_4_3_a_disconnect_that_was_read_counts_although_the_connection_is_lost_before_its_turn() {
    let server = server(Limits::default()).await;
    let mut crowd = crowd(&server).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "will", QOS0).await;
    for (bytes, will) in [(&[0xe0, 0][..], false), (&[], true), (&[0xe0, 1, 4], true)] {
        let options = Options::new("p").will(Outgoing::new("will", "gone"));
        let mut publisher = connect(&server, options).await;
        publisher.send_bytes(&[&flood(QOS1, false), bytes].concat()).await.unwrap();
        // Nobody reads its acknowledgements.
        drop(publisher);
        expect_flood(&mut crowd[0]).await;
        if will {
            assert_eq!(text(&mut witness).await, "gone");
        }
        silent(&mut witness, seconds(1)).await;
    }
}

/// The same when the client comes back at once, and takes over before its DISCONNECT had its turn.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_4_3_a_disconnect_that_was_read_counts_although_the_client_is_back_before_its_turn() {
    let server = server(Limits::default()).await;
    let mut crowd = crowd(&server).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "will", QOS0).await;
    for (number, (bytes, will)) in
        [(&[0xe0, 0][..], false), (&[], true), (&[0xe0, 1, 4], true)].iter().enumerate()
    {
        let options = Options::new("p").will(Outgoing::new("will", "gone"));
        let mut old = connect(&server, options).await;
        old.send_bytes(&[&flood(QOS1, false), *bytes].concat()).await.unwrap();
        while delivered(&server) < SUBSCRIBERS * MESSAGES * number + SUBSCRIBERS + number {
            tokio::task::yield_now().await;
        }
        let new = connect(&server, Options::new("p")).await;
        expect_flood(&mut crowd[0]).await;
        if *will {
            assert_eq!(text(&mut witness).await, "gone");
        }
        silent(&mut witness, seconds(1)).await;
        drop(new);
    }
}

/// The same of one that has arrived and is not read, because its Client pauses.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_4_3_a_disconnect_that_has_arrived_counts_although_the_client_is_back_before_it_is_read() {
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "will", QOS0).await;
    fill_memory(&server).await;
    for (bytes, will) in [(&[0xe0, 0][..], false), (&[], true), (&[0xc0, 0], true)] {
        let mut old = connect(&server, Options::new("p").will(Outgoing::new("will", "gone"))).await;
        old.publish(Outgoing::new("nobody", "x").qos(QOS1)).await.unwrap();
        assert_eq!(receive(&mut old).await.packet_type(), PacketType::Puback);
        old.send_bytes(bytes).await.unwrap();
        let _new = connect(&server, Options::new("p")).await;
        if will {
            assert_eq!(text(&mut witness).await, "gone");
        }
        silent(&mut witness, seconds(1)).await;
    }
}

/// The same of one that has arrived and is not read: nobody was awaited between it and the failed write.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_4_3_a_disconnect_that_has_arrived_counts_although_a_write_fails_before_it_is_read() {
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "will", QOS0).await;
    let mut lost = 0;
    for (bytes, will) in [(&[0xe0, 0][..], false), (&[], true), (&[0xc0, 0], true)] {
        let mut peer = connect(&server, Options::new("s").will(Outgoing::new("will", "gone"))).await;
        subscribe(&mut peer, "feed", QOS0).await;
        quiet().await;
        peer.send_bytes(bytes).await.unwrap();
        drop(peer);
        server.publisher().publish(Message::new("feed", "x")).await.unwrap();
        lost += 1;
        assert_eq!(dropped(&server, DropReason::ConnectionClosed), lost, "the write did not fail first");
        if will {
            assert_eq!(text(&mut witness).await, "gone");
        }
        silent(&mut witness, seconds(1)).await;
    }
}
