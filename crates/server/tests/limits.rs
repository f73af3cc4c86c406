//! What happens when a limit is reached that is not one client's own: places for connections, topics of
//! programs inside, and what a bridge may do under `$SYS` all the same.
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
use aldis_packet::{ProtocolVersion, ReasonCode};
use aldis_server::transport::memory::MemoryStream;
use aldis_server::{
    Act, Authentication, Limits, Listener, Message, PasswordFile, PublishError, Server, Settings,
};
use aldis_session::RefuseReason;
use harness::log::Log;
use harness::*;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tracing::Level;

/// Connections beyond the limit that are told why.
const BEYOND: usize = 32;

async fn two_places() -> Server {
    server(Limits { connections: 2, ..Limits::default() }).await
}

async fn refusal(server: &Server, options: Options) -> ReasonCode {
    match Client::connect(open(server, CAPACITY), options).await {
        Err(ClientError::Refused(connack)) => connack.reason,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("let in"),
    }
}

/// What comes until the broker closes.
async fn rest(mut stream: MemoryStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

// ---- limits.connections ----

#[tokio::test(start_paused = true)]
async fn who_finds_no_place_is_told_so_in_its_version() {
    let server = two_places().await;
    let mut first = client(&server, "a").await;
    let _second = client(&server, "b").await;
    let log = Log::capture(Level::INFO);
    assert_eq!(refusal(&server, Options::new("c")).await, ReasonCode::QuotaExceeded);
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        // Return code 3.
        let reason = refusal(&server, Options::new("c").version(version)).await;
        assert_eq!(reason, ReasonCode::ServerUnavailable, "{version}");
    }
    let words = "refused: client \"c\", anonymous, from this process";
    assert_eq!(log.take(), [format!("WARN {words}: all 2 places of limits.connections are taken; raise it")]);
    // A place is free as soon as somebody has gone.
    first.ping().await.unwrap();
    drop(first);
    quiet().await;
    client(&server, "c").await.ping().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn those_that_are_told_are_few_and_have_two_seconds() {
    let server = two_places().await;
    let _served = (client(&server, "a").await, client(&server, "b").await);
    let start = Instant::now();
    let silent: Vec<_> = (0..BEYOND).map(|_| open(&server, CAPACITY)).collect();
    // One more is closed unread.
    assert_eq!(rest(open(&server, CAPACITY)).await, []);
    assert!(start.elapsed() < millis(10));
    for stream in silent {
        assert_eq!(rest(stream).await, []);
    }
    let elapsed = start.elapsed();
    assert!(elapsed >= seconds(2) && elapsed < millis(2_100), "{elapsed:?}");
    assert_eq!(refusal(&server, Options::new("c")).await, ReasonCode::QuotaExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_connect_beyond_the_limit_has_four_kibibytes() {
    let server = two_places().await;
    let _served = (client(&server, "a").await, client(&server, "b").await);
    let large = Options::new("c").will(Outgoing::new("w", "x".repeat(4096)));
    assert_eq!(refusal(&server, large).await, ReasonCode::QuotaExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_client_takes_its_own_place_at_the_limit() {
    let server = two_places().await;
    let mut old = connect(&server, lasting("a")).await;
    let _other = client(&server, "b").await;
    let (mut new, present) = connect_present(&server, lasting("a")).await;
    assert!(present);
    expect_farewell(&mut old, ReasonCode::SessionTakenOver).await;
    new.ping().await.unwrap();
    drop(old);
    quiet().await;
    // It has the place of the old one now: nobody else has won one by it.
    assert_eq!(refusal(&server, Options::new("c")).await, ReasonCode::QuotaExceeded);
    drop(new);
    quiet().await;
    client(&server, "c").await.ping().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn take_overs_without_end_are_bounded() {
    let server = two_places().await;
    let _other = client(&server, "b").await;
    let mut all = vec![open(&server, CAPACITY)];
    let mut connect_packet = Vec::new();
    Options::new("a").into_connect().encode(&mut connect_packet);
    all[0].write_all(&connect_packet).await.unwrap();
    // None of those that are taken over closes its side, so each keeps its place for a second.
    let mut unread = 0;
    for _ in 0..BEYOND + 10 {
        let mut next = open(&server, CAPACITY);
        unread += usize::from(next.write_all(&connect_packet).await.is_err());
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        all.push(next);
    }
    quiet().await;
    assert!(unread > 0, "more than the limit and those beyond are open");
    tokio::time::sleep(seconds(3)).await;
    drop(all);
    quiet().await;
    client(&server, "c").await.ping().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_take_over_at_the_limit_needs_the_password() {
    let users = include_bytes!("fixtures/mosquitto_passwd.txt");
    let users = PasswordFile::parse(users, std::path::Path::new("users")).unwrap();
    let authentication = Authentication { allow_anonymous: false, passwords: Some(Arc::new(users)) };
    let limits = Limits { connections: 1, ..Limits::default() };
    let settings = Settings { authentication, ..settings(limits) };
    let server = Server::builder().settings(settings).start().await.unwrap();
    let login = |id: &str, password: &str| Options::new(id).login("erin", password);
    let mut old = connect(&server, login("a", "plain secret")).await;
    assert_eq!(refusal(&server, login("a", "wrong")).await, ReasonCode::BadUserNameOrPassword);
    assert_eq!(refusal(&server, Options::new("a")).await, ReasonCode::NotAuthorized);
    old.ping().await.unwrap();
    assert_eq!(refusal(&server, login("b", "plain secret")).await, ReasonCode::QuotaExceeded);
    let mut new = connect(&server, login("a", "plain secret")).await;
    new.ping().await.unwrap();
    expect_farewell(&mut old, ReasonCode::SessionTakenOver).await;
}

// ---- topics ----

#[tokio::test(start_paused = true)]
async fn a_program_inside_is_held_to_the_bytes_of_a_topic() {
    let server = server(Limits { topic_bytes: 10, ..Limits::default() }).await;
    let publisher = server.publisher();
    assert_eq!(publisher.publish(Message::new("0123456789", "x")).await, Ok(()));
    let refused = publisher.publish(Message::new("0123456789a", "x")).await;
    assert_eq!(refused, Err(PublishError::TopicTooLong));
}

#[tokio::test(start_paused = true)]
async fn a_program_inside_is_told_which_limit_of_the_retained_store_is_reached() {
    let server = server(Limits { retained_messages: 1, ..Limits::default() }).await;
    let publisher = server.publisher();
    publisher.publish(Message::new("a", "x").retained()).await.unwrap();
    let refused = publisher.publish(Message::new("b", "x").retained()).await.unwrap_err();
    assert_eq!(refused.to_string(), "limits.retained_messages (1) is reached");
}

/// As a client's message at QoS 0: whoever cannot be told has it delivered, at least.
#[tokio::test(start_paused = true)]
async fn wills_and_sys_topics_beyond_a_limit_of_the_retained_store_are_delivered_and_not_kept() {
    let limits = Limits { retained_messages: 0, ..Limits::default() };
    let settings = Settings { sys_interval: seconds(10), ..settings(limits) };
    let server = Server::builder().settings(settings).start().await.unwrap();
    let counters = server.counters();
    let not_retained = || counters.not_retained.load(Relaxed);
    quiet().await;
    assert!(not_retained() > 10, "{} figures", not_retained());
    let mut watcher = client(&server, "watcher").await;
    subscribe(&mut watcher, "w", QOS0).await;
    let before = not_retained();
    drop(connect(&server, Options::new("s").will(Outgoing::new("w", "gone").retain())).await);
    assert_eq!(text(&mut watcher).await, "gone");
    assert_eq!(not_retained(), before + 1);
    subscribe(&mut watcher, "$SYS/broker/uptime", QOS0).await;
    for _ in 0..3 {
        assert!(text(&mut watcher).await.ends_with(" seconds"));
    }
    assert_eq!(counters.refused[RefuseReason::RetainedFull as usize].load(Relaxed), 0);
    // A program is told, so that nothing is delivered.
    subscribe(&mut watcher, "p", QOS0).await;
    server.publisher().publish(Message::new("p", "x").retained()).await.unwrap_err();
    assert_eq!(counters.refused[RefuseReason::RetainedFull as usize].load(Relaxed), 1);
    silent(&mut watcher, seconds(1)).await;
}

/// Mosquitto's bridges announce themselves there unless they are told not to.
fn bridge(client_id: &str, of: &str) -> Options {
    let will = Outgoing::new(format!("$SYS/broker/connection/{of}/state"), "0").qos(QOS1).retain();
    Options::new(client_id).version(ProtocolVersion::V311).will(will)
}

#[tokio::test(start_paused = true)]
async fn a_bridge_connects_and_tells_its_own_state_and_no_other() {
    let server = server(Limits::default()).await;
    let mut watcher = client(&server, "watcher").await;
    subscribe(&mut watcher, "$SYS/broker/connection/#", QOS0).await;
    assert_eq!(refusal(&server, bridge("edge", "other")).await, ReasonCode::NotAuthorized);
    let mut edge = connect(&server, bridge("edge", "edge")).await;
    let state = || Outgoing::new("$SYS/broker/connection/edge/state", "1").qos(QOS1).retain();
    publish(&mut edge, state()).await;
    assert_eq!(text(&mut watcher).await, "1");
    drop(edge);
    assert_eq!(text(&mut watcher).await, "0");
    // Of another client, whatever it is called.
    let mut liar = client(&server, "liar").await;
    assert_eq!(publish(&mut liar, state()).await, ReasonCode::NotAuthorized);
}

#[tokio::test(start_paused = true)]
async fn the_policy_is_asked_about_a_bridge_too() {
    let policy = Policy(|_: &str, act: Act, topic: &str| act != Act::Publish || !topic.starts_with("$SYS"));
    let server = server_with_rights(Limits::default(), Arc::new(policy)).await;
    assert_eq!(refusal(&server, bridge("edge", "edge")).await, ReasonCode::NotAuthorized);
}

// ---- listeners ----

#[tokio::test]
async fn every_ipv4_and_every_ipv6_address_can_be_opened_on_one_port() {
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return;
    }
    let free = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let every = [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), (Ipv4Addr::UNSPECIFIED, port).into()];
    let listeners = every.map(Listener::tcp).to_vec();
    let settings = Settings { listeners, ..settings(Limits::default()) };
    let server = Server::builder().settings(settings).start().await.unwrap();
    assert_eq!(server.addresses(), every);
    for address in [SocketAddr::from((Ipv6Addr::LOCALHOST, port)), (Ipv4Addr::LOCALHOST, port).into()] {
        let (mut client, _) = Client::tcp(address, Options::new("c")).await.unwrap();
        client.ping().await.unwrap();
    }
}
