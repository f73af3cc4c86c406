//! Keep alive and the deadline of the first packet, on a clock that the test moves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod harness;

use aldis_client::{Client, Options, Outgoing};
use aldis_packet::{ProtocolVersion, ReasonCode};
use aldis_server::Limits;
use harness::*;
use std::time::Duration;
use tokio::time::Instant;

/// The broker looks at keep alives four times a second.
const TICK: Duration = Duration::from_millis(250);

/// How long the connection of a silent client lives.
async fn lifetime(peer: &mut Peer) -> (Duration, Option<ReasonCode>) {
    let start = Instant::now();
    let (before, reason) = to_the_end(peer).await;
    assert_eq!(before, []);
    (start.elapsed(), reason)
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_closed_after_one_and_a_half_times_its_keep_alive() {
    // [MQTT-3.1.2-22], [MQTT-3.1.2-24] of 3.1.1
    let server = server(Limits::default()).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "will", QOS0).await;
    for keep_alive in [1, 2, 7] {
        let options = Options::new("s").keep_alive(keep_alive).will(Outgoing::new("will", "gone"));
        let mut peer = connect(&server, options).await;
        let (lived, reason) = lifetime(&mut peer).await;
        let patience = millis(1500) * u32::from(keep_alive);
        assert!(lived >= patience, "closed after {lived:?}, keep alive {keep_alive} s");
        assert!(lived <= patience + TICK * 2, "closed after {lived:?}, keep alive {keep_alive} s");
        assert_eq!(reason, Some(ReasonCode::KeepAliveTimeout));
        assert_eq!(text(&mut witness).await, "gone");
    }
}

#[tokio::test(start_paused = true)]
async fn before_mqtt_5_a_silent_client_is_closed_without_a_word() {
    let server = server(Limits::default()).await;
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        let mut peer = connect(&server, Options::new("s").version(version).keep_alive(2)).await;
        let (lived, reason) = lifetime(&mut peer).await;
        assert!(lived >= seconds(3) && lived <= seconds(3) + TICK * 2, "{lived:?}");
        assert_eq!(reason, None);
    }
}

#[tokio::test(start_paused = true)]
async fn keep_alive_0_never_ends() {
    let server = server(Limits::default()).await;
    let mut peer = connect(&server, Options::new("s").keep_alive(0)).await;
    silent(&mut peer, seconds(600)).await;
    tokio::time::advance(seconds(100 * 24 * 3600)).await;
    peer.ping().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn any_packet_keeps_a_client_alive() {
    let server = server(Limits::default()).await;
    let mut peer = connect(&server, Options::new("s").keep_alive(2)).await;
    for _ in 0..10 {
        silent(&mut peer, millis(2900)).await;
        peer.ping().await.unwrap();
        silent(&mut peer, millis(2900)).await;
        peer.publish(Outgoing::new("t", "")).await.unwrap();
    }
    let (lived, reason) = lifetime(&mut peer).await;
    assert!(lived >= seconds(3) && lived <= seconds(3) + TICK * 2, "{lived:?}");
    assert_eq!(reason, Some(ReasonCode::KeepAliveTimeout));
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_sends_does_not_keep_a_client_alive() {
    let server = server(Limits::default()).await;
    let mut peer = connect(&server, Options::new("s").keep_alive(2)).await;
    subscribe(&mut peer, "t", QOS0).await;
    let mut publisher = client(&server, "p").await;
    let start = Instant::now();
    let chatter = async {
        loop {
            tokio::time::sleep(millis(400)).await;
            publisher.publish(Outgoing::new("t", "")).await.unwrap();
        }
    };
    // The end first, which is what is waited for.
    let (_, reason) = tokio::select! {
        biased;
        end = to_the_end(&mut peer) => end,
        () = chatter => unreachable!(),
    };
    let lived = start.elapsed();
    assert!(lived >= seconds(3) && lived <= seconds(3) + TICK * 2, "{lived:?}");
    assert_eq!(reason, Some(ReasonCode::KeepAliveTimeout));
}

#[tokio::test(start_paused = true)]
async fn the_server_caps_the_keep_alive() {
    // [MQTT-3.1.2-21]
    let server = server(Limits { keep_alive_max: 4, ..Limits::default() }).await;
    for (asked, granted) in [(0, Some(4)), (4, None), (3, None), (5, Some(4)), (u16::MAX, Some(4))] {
        let options = Options::new("s").keep_alive(asked);
        let (_peer, connack) = Client::connect(open(&server, CAPACITY), options).await.unwrap();
        assert_eq!(connack.properties.server_keep_alive, granted, "asked for {asked}");
    }
    for options in [Options::new("s").keep_alive(60), v311("s").keep_alive(0)] {
        let mut peer = connect(&server, options).await;
        let (lived, _) = lifetime(&mut peer).await;
        assert!(lived >= seconds(6) && lived <= seconds(6) + TICK * 2, "{lived:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_ended_by_its_keep_alive_too() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let (mut peer, _) = connect_over(open(&server, 1000), Options::new("s").keep_alive(2)).await;
    subscribe(&mut peer, "t", QOS0).await;
    for _ in 0..20 {
        publish(&mut publisher, Outgoing::new("t", [7; 500]).qos(QOS1)).await;
    }
    tokio::time::sleep(seconds(3) - millis(10)).await;
    assert_eq!(account(&server).dropped, 0);
    // What is written for it may still leave for a second, then its connection is gone.
    tokio::time::sleep(TICK * 2 + seconds(1) + millis(10)).await;
    expect_nothing_held(&server);
    assert!(account(&server).dropped > 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_packet_has_a_deadline() {
    let server = server(Limits { first_packet_timeout: seconds(10), ..Limits::default() }).await;
    // Nothing at all; one byte; one byte each second.
    for (sent, dripping) in [(&b""[..], false), (b"\x10", false), (b"\x10\xff\x01", true)] {
        let start = Instant::now();
        let mut peer = Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
        peer.send_bytes(sent).await.unwrap();
        let drip = async {
            for _ in 0..9 {
                tokio::time::sleep(seconds(1)).await;
                if dripping {
                    peer.send_bytes(b"\0").await.unwrap();
                }
            }
        };
        drip.await;
        assert_eq!(peer.receive_within(millis(999)).await.unwrap(), None);
        expect_closed(&mut peer).await;
        let lived = start.elapsed();
        assert!(lived >= seconds(10) && lived <= seconds(11), "{lived:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_connect_within_the_deadline_is_served() {
    let server = server(Limits { first_packet_timeout: seconds(10), ..Limits::default() }).await;
    let mut bytes = Vec::new();
    Options::new("slow").into_connect().encode(&mut bytes);
    let mut peer = Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
    for byte in &bytes {
        peer.send_bytes(&[*byte]).await.unwrap();
        tokio::time::sleep(millis(9000 / bytes.len() as u64)).await;
    }
    assert_eq!(receive(&mut peer).await.packet_type(), aldis_packet::PacketType::Connack);
    // The deadline is that of the first packet alone.
    silent(&mut peer, seconds(60)).await;
}
