//! How connections end: shutdown, packets that break the protocol, and Clients that die.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod harness;

use aldis_client::{Client, Options, Outgoing, Received};
use aldis_packet::{PacketType, ProtocolVersion, ReasonCode};
use aldis_server::transport::ReadHalf;
use aldis_server::{Limits, Message, Server, Settings};
use harness::*;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

fn reasons(peers: &[(Vec<Received>, Option<ReasonCode>)]) -> Vec<Option<ReasonCode>> {
    peers.iter().map(|(_, reason)| *reason).collect()
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_every_client_is_told_and_nobody_is_cut_off() {
    let server = server(Limits::default()).await;
    let mut peers = Vec::new();
    for number in 0..200 {
        peers.push(client(&server, &format!("c{number}")).await);
    }
    let mut old_style = connect(&server, v311("old")).await;
    let mut stranger = Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
    quiet().await;
    let start = Instant::now();
    let shutdown = tokio::spawn(server.shutdown());
    for mut peer in peers {
        expect_farewell(&mut peer, ReasonCode::ServerShuttingDown).await;
    }
    expect_closed(&mut old_style).await;
    expect_closed(&mut stranger).await;
    drop((old_style, stranger));
    assert_eq!(shutdown.await.unwrap(), 0);
    assert!(start.elapsed() <= seconds(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_written_for_a_client_still_leaves_at_shutdown() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let (mut slow, _) = connect_over(open(&server, 2000), Options::new("slow")).await;
    subscribe(&mut slow, "t", QOS0).await;
    for number in 0..100 {
        publisher.publish(Outgoing::new("t", format!("{number:0500}"))).await.unwrap();
    }
    quiet().await;
    drop(publisher);
    let shutdown = tokio::spawn(server.shutdown());
    quiet().await;
    for number in 0..100 {
        tokio::time::sleep(millis(5)).await;
        assert_eq!(text(&mut slow).await.parse::<usize>().unwrap(), number);
    }
    expect_farewell(&mut slow, ReasonCode::ServerShuttingDown).await;
    drop(slow);
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_keeps_its_deadline_and_says_who_was_cut_off() {
    let settings = Settings { shutdown_deadline: millis(500), ..settings(Limits::default()) };
    let server = Server::builder().settings(settings).start().await.unwrap();
    let mut deaf = Vec::new();
    for number in 0..3 {
        // They neither read nor close.
        deaf.push(connect_over(open(&server, 100), Options::new(format!("d{number}"))).await.0);
    }
    let start = Instant::now();
    let cut_off = server.shutdown().await;
    assert!(start.elapsed() <= millis(600), "{:?}", start.elapsed());
    assert_eq!(cut_off, 3);
}

/// It reads again in the last second: it hears that the server stops, and not what it was owed.
#[tokio::test(start_paused = true)]
async fn who_reads_too_late_for_what_it_is_owed_is_cut_off_too() {
    let deadline = seconds(10);
    let settings = Settings { shutdown_deadline: deadline, ..settings(Limits::default()) };
    let server = Server::builder().settings(settings).start().await.unwrap();
    let mut reads = client(&server, "reads").await;
    let mut late = connect_over(open(&server, 100), Options::new("late")).await.0;
    for peer in [&mut reads, &mut late] {
        subscribe(peer, "t", QOS0).await;
    }
    let owed = 1000;
    for number in 0..owed {
        server.publisher().publish(Message::new("t", format!("{number:01000}"))).await.unwrap();
    }
    let start = Instant::now();
    let shutdown = tokio::spawn(server.shutdown());
    assert_eq!(to_the_end(&mut reads).await.1, Some(ReasonCode::ServerShuttingDown));
    drop(reads);
    tokio::time::sleep(deadline / 2 + millis(100)).await;
    let (before, reason) = to_the_end(&mut late).await;
    assert_eq!(reason, Some(ReasonCode::ServerShuttingDown));
    assert!(before.len() < owed, "all {} came", before.len());
    drop(late);
    assert_eq!(shutdown.await.unwrap(), 1);
    assert!((deadline / 2..deadline).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn after_the_shutdown_nobody_is_let_in() {
    let server = Arc::new(server(Limits::default()).await);
    let existing = connect(&server, lasting("s")).await;
    let other = Arc::clone(&server);
    drop(existing);
    let publisher = server.publisher();
    drop(server);
    Arc::into_inner(other).unwrap().shutdown().await;
    let published = publisher.publish(aldis_server::Message::new("t", "late").retained()).await;
    assert_eq!(published, Err(aldis_server::PublishError::Closed));
}

#[tokio::test(start_paused = true)]
async fn who_connects_during_the_shutdown_is_refused_with_a_reason_that_connack_may_hold() {
    let server = server(Limits::default()).await;
    let mut held = connect_over(open(&server, 40), lasting("s")).await.0;
    let mut newcomer = Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
    let mut packet = Vec::new();
    lasting("s").into_connect().encode(&mut packet);
    let shutdown = tokio::spawn(server.shutdown());
    newcomer.send_bytes(&packet).await.unwrap();
    let (before, reason) = to_the_end(&mut newcomer).await;
    match &before[..] {
        [] => assert_eq!(reason, None),
        [Received::Connack(connack)] => assert!(connack.reason.is_error() || reason.is_some()),
        other => panic!("{other:?}"),
    }
    let _ = to_the_end(&mut held).await;
    drop((held, newcomer));
    assert_eq!(shutdown.await.unwrap(), 0);
}

/// Packets that a client may not send once it is connected, and what it is told in MQTT 5.
fn offences() -> Vec<(&'static str, Vec<u8>, ReasonCode)> {
    let mut connect = Vec::new();
    Options::new("again").into_connect().encode(&mut connect);
    let malformed = ReasonCode::MalformedPacket;
    let protocol = ReasonCode::ProtocolError;
    vec![
        ("second CONNECT", connect, protocol),
        ("CONNACK", b"\x20\x03\0\0\0".to_vec(), protocol),
        ("SUBACK", b"\x90\x04\0\x01\0\0".to_vec(), protocol),
        ("PINGRESP", b"\xd0\0".to_vec(), protocol),
        ("type 0", b"\0\0".to_vec(), malformed),
        ("AUTH out of the blue", b"\xf0\0".to_vec(), protocol),
        ("QoS 3", b"\x36\x06\0\x01t\0\x01\0".to_vec(), malformed),
        ("PUBLISH at QoS 1 with id 0", b"\x32\x06\0\x01t\0\0\0".to_vec(), protocol),
        ("five bytes of remaining length", b"\x30\xff\xff\xff\xff\x01".to_vec(), malformed),
        ("wildcard in a topic name", b"\x30\x04\0\x01#\0".to_vec(), ReasonCode::TopicNameInvalid),
        ("empty topic without alias", b"\x30\x03\0\0\0".to_vec(), protocol),
        ("unknown topic alias", b"\x30\x06\0\0\x03\x23\0\x01".to_vec(), protocol),
        ("topic alias 0", b"\x30\x07\0\x01t\x03\x23\0\0".to_vec(), ReasonCode::TopicAliasInvalid),
        (
            "topic alias above the maximum",
            b"\x30\x07\0\x01t\x03\x23\0\x11".to_vec(),
            ReasonCode::TopicAliasInvalid,
        ),
        ("U+0000 in a topic", b"\x30\x04\0\x01\0\0".to_vec(), malformed),
        ("topic that is no UTF-8", b"\x30\x04\0\x01\xff\0".to_vec(), malformed),
        ("subscription identifier from a client", b"\x30\x06\0\x01t\x02\x0b\x01".to_vec(), protocol),
        ("SUBSCRIBE with wrong flags", b"\x80\x07\0\x01\0\0\x01t\0".to_vec(), malformed),
        ("SUBSCRIBE without a filter", b"\x82\x03\0\x01\0".to_vec(), protocol),
        ("SUBSCRIBE to a/#/b", b"\x82\x0b\0\x01\0\0\x05a/#/b\0".to_vec(), malformed),
        ("no local on a shared subscription", b"\x82\x10\0\x01\0\0\x0a$share/g/t\x04".to_vec(), protocol),
        ("UNSUBSCRIBE without a filter", b"\xa2\x03\0\x01\0".to_vec(), protocol),
        ("PUBREL with wrong flags", b"\x60\x02\0\x01".to_vec(), malformed),
        ("DISCONNECT that sets an expiry", b"\xe0\x07\0\x05\x11\0\0\0\x01".to_vec(), protocol),
        ("payload format 2", b"\x30\x06\0\x01t\x02\x01\x02".to_vec(), protocol),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_packet_that_breaks_the_protocol_ends_its_connection_and_nothing_else() {
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "#", QOS0).await;
    for (what, bytes, reason) in offences() {
        let mut offender = client(&server, "offender").await;
        offender.publish(Outgoing::new("before", what)).await.unwrap();
        offender.send_bytes(&bytes).await.unwrap();
        offender.publish(Outgoing::new("after", what)).await.unwrap();
        assert_eq!(to_the_end(&mut offender).await, (Vec::new(), Some(reason)), "{what}");
        // What came before is delivered, what came after is not, and others are served.
        assert_eq!(text(&mut witness).await, what);
        silent(&mut witness, millis(5)).await;
        witness.ping().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn before_mqtt_5_an_offender_is_closed_without_a_word() {
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "#", QOS0).await;
    let offences: [&[u8]; 6] = [
        b"\xd0\0",
        b"\x36\x05\0\x01t\0\x01",
        b"\x30\x03\0\x01#",
        b"\x30\xff\xff\xff\xff\x01",
        b"\x80\x06\0\x01\0\x01t\0",
        b"\xf0\0",
    ];
    for bytes in offences {
        let mut offender = connect(&server, v311("offender").will(Outgoing::new("will", "gone"))).await;
        offender.send_bytes(bytes).await.unwrap();
        expect_closed(&mut offender).await;
        assert_eq!(text(&mut witness).await, "gone", "the will of an offender is sent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_packet_that_is_no_connect_gets_no_answer() {
    // [MQTT-3.1.0-1]
    let server = server(Limits::default()).await;
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xc0\0", b"\x30\x03\0\x01t", b"\xe0\0", b"\0\0", b"\xff\xff"]
    {
        let mut stranger = Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
        stranger.send_bytes(bytes).await.unwrap();
        let start = Instant::now();
        expect_closed(&mut stranger).await;
        assert!(start.elapsed() < seconds(1), "at once, not by the deadline");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_follows_a_disconnect() {
    // [MQTT-3.14.4-1]: the publisher's Client runs between the offender's farewell and its detach.
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    for round in 0..20 {
        let mut offender = connect(&server, lasting("offender")).await;
        subscribe(&mut offender, "t", QOS1).await;
        quiet().await;
        if round % 2 == 0 {
            offender.send_bytes(b"\xd0\0").await.unwrap();
            publisher.publish(Outgoing::new("t", "x")).await.unwrap();
        } else {
            publisher.publish(Outgoing::new("t", "x").qos(QOS1)).await.unwrap();
            offender.send_bytes(b"\xd0\0").await.unwrap();
        }
        let (_, reason) = to_the_end(&mut offender).await;
        assert_eq!(reason, Some(ReasonCode::ProtocolError));
        drop(offender);
        quiet().await;
    }
}

/// A transport that panics when it is read, as soon as it is told to.
struct Panics {
    inner: ReadHalf,
    now: Arc<AtomicBool>,
}

impl AsyncRead for Panics {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        assert!(!self.now.load(Relaxed), "the transport panics, as this test wants");
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_dies_leaves_nothing_undone() {
    // Finding 6: a transport that panics when it is read kills the task.
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "#", QOS0).await;
    let (mut connection, stream, _) = aldis_server::transport::memory::pair(CAPACITY);
    let panics = Arc::new(AtomicBool::new(false));
    connection.read = Box::new(Panics { inner: connection.read, now: Arc::clone(&panics) });
    server.accept(connection, false);
    let options = Options::new("v").will(Outgoing::new("will", "gone"));
    let (mut victim, _) = connect_over(stream, options).await;
    victim.publish(Outgoing::new("good", "good")).await.unwrap();
    assert_eq!(text(&mut witness).await, "good");
    panics.store(true, Relaxed);
    victim.publish(Outgoing::new("never", "read")).await.unwrap();
    assert_eq!(text(&mut witness).await, "gone");
    let (before, reason) = to_the_end(&mut victim).await;
    assert_eq!((before, reason), (Vec::new(), None));
    // What was left at the desk reaches nobody else.
    witness.ping().await.unwrap();
    silent(&mut witness, seconds(1)).await;
    let (_, present) = connect_present(&server, Options::new("v").resume()).await;
    assert!(!present);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_and_a_disconnect_end_differently() {
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "will/#", QOS0).await;
    let with_will = |id: &str| Options::new(id).will(Outgoing::new(format!("will/{id}"), id));
    let said_goodbye = connect(&server, with_will("goodbye")).await;
    said_goodbye.disconnect().await.unwrap();
    silent(&mut witness, seconds(1)).await;
    drop(connect(&server, with_will("lost")).await);
    assert_eq!(text(&mut witness).await, "lost");
    // 0x04: disconnect with will message [MQTT-3.14.4-3].
    let on_purpose = connect(&server, with_will("purpose")).await;
    let disconnect = aldis_packet::Disconnect::new(ReasonCode::DisconnectWithWill);
    on_purpose.disconnect_with(disconnect).await.unwrap();
    assert_eq!(text(&mut witness).await, "purpose");
    let mut offender = connect(&server, with_will("offender")).await;
    offender.send_bytes(b"\xd0\0").await.unwrap();
    assert_eq!(text(&mut witness).await, "offender");
    let all = [to_the_end(&mut offender).await];
    assert_eq!(reasons(&all), [Some(ReasonCode::ProtocolError)]);
    assert_eq!(PacketType::Pingresp as u8, 13);
}
