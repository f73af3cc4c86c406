//! What stands in the log, and how often: the first line of a kind at once, then a sum every ten seconds.
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
use aldis_packet::{ProtocolVersion, ReasonCode, SubscriptionOptions};
use aldis_server::{Act, Authentication, Limits, PasswordFile, Server, Settings, Verdict};
use harness::log::Log;
use harness::*;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tracing::Level;

const VERSIONS: [ProtocolVersion; 3] = [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];

/// Forbids `closed/…`, with a rule that has a name.
struct Closed;

impl aldis_server::Rights for Closed {
    fn allows(&self, _: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        if act != Act::Receive && topic.starts_with("closed/") {
            return Verdict::denied_by("line 3: topic deny closed/#");
        }
        Verdict::Allowed
    }
}

async fn closed(limits: Limits) -> Server {
    server_with_rights(limits, Arc::new(Closed)).await
}

/// Nobody gets in without a password.
async fn with_users() -> Server {
    let users = include_bytes!("fixtures/mosquitto_passwd.txt");
    let users = PasswordFile::parse(users, std::path::Path::new("users")).unwrap();
    let authentication = Authentication { allow_anonymous: false, passwords: Some(Arc::new(users)) };
    let settings = Settings { authentication, ..settings(Limits::default()) };
    Server::builder().settings(settings).start().await.unwrap()
}

async fn refused(server: &Server, options: Options) -> ReasonCode {
    match Client::connect(open(server, CAPACITY), options).await {
        Err(ClientError::Refused(connack)) => connack.reason,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("let in"),
    }
}

// ---- subscriptions, with -v ----

#[tokio::test(start_paused = true)]
async fn verbose_tells_of_each_filter_in_all_versions() {
    for version in VERSIONS {
        let server = closed(Limits { topic_levels: 3, ..Limits::default() }).await;
        let mut peer = connect(&server, Options::new("c").version(version)).await;
        let log = Log::capture(Level::DEBUG);
        let filters = ["a/#", "$share/g/b", "closed/x", "1/2/3/4"];
        let filters = filters.map(|filter| (filter, SubscriptionOptions::new(QOS1)));
        peer.subscribe(&filters, None).await.unwrap();
        let expected = [
            "WARN refused: client \"c\", SUBSCRIBE to \"closed/x\": line 3: topic deny closed/# (0x87)",
            "WARN refused: client \"c\", SUBSCRIBE to \"1/2/3/4\": it has 4 levels, and limits.topic_levels is 3 (0x8F)",
            "DEBUG \"c\" subscribes to \"a/#\": granted QoS 1",
            "DEBUG \"c\" subscribes to \"$share/g/b\": granted QoS 1",
        ];
        assert_eq!(log.take(), expected, "{version}");
        peer.unsubscribe(&["a/#", "never", "1/2/3/4"]).await.unwrap();
        let expected = [
            "WARN refused: client \"c\", UNSUBSCRIBE from \"1/2/3/4\": it has 4 levels, and limits.topic_levels is 3 (0x8F)",
            "DEBUG \"c\" unsubscribes from \"a/#\": done",
            "DEBUG \"c\" unsubscribes from \"never\": it had no such subscription",
        ];
        assert_eq!(log.take(), expected, "{version}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_default_level_a_subscription_is_no_news() {
    let server = server(Limits::default()).await;
    let log = Log::capture(Level::INFO);
    let mut peer = client(&server, "c").await;
    subscribe(&mut peer, "a/#", QOS1).await;
    peer.unsubscribe(&["a/#"]).await.unwrap();
    peer.disconnect().await.unwrap();
    quiet().await;
    assert_eq!(log.take(), [""; 0]);
}

// ---- how often ----

#[tokio::test(start_paused = true)]
async fn the_sum_comes_after_ten_seconds_although_nothing_else_happens() {
    let server = with_users().await;
    let log = Log::capture(Level::INFO);
    for _ in 0..5 {
        assert_eq!(refused(&server, Options::new("x")).await, ReasonCode::NotAuthorized);
    }
    let first = "WARN refused: client \"x\", anonymous, from this process: it gave no user name, and auth.allow_anonymous is false";
    assert_eq!(log.take(), [first]);
    tokio::time::sleep(millis(9_000)).await;
    assert_eq!(log.take(), [""; 0]);
    tokio::time::sleep(millis(1_001)).await;
    assert_eq!(log.take(), ["WARN refused: connections without a user name: 4 more within 10 s"]);
    // While something is held back a sum follows a sum; then a line is the first one again.
    refused(&server, Options::new("x")).await;
    assert_eq!(log.take(), [""; 0]);
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(log.take(), ["WARN refused: connections without a user name: 1 more within 10 s"]);
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(log.take(), [""; 0]);
    refused(&server, Options::new("x")).await;
    assert_eq!(log.take(), [first]);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_back_is_written_when_the_server_stops() {
    let server = closed(Limits { queue_messages: 1, ..Limits::default() }).await;
    let log = Log::capture(Level::INFO);
    let mut peer = client(&server, "c").await;
    let mut away = connect(&server, lasting("away")).await;
    subscribe(&mut away, "t", QOS1).await;
    away.disconnect().await.unwrap();
    for _ in 0..3 {
        publish(&mut peer, Outgoing::new("closed/t", "x").qos(QOS1)).await;
    }
    for _ in 0..2 {
        publish(&mut peer, Outgoing::new("t", "x").qos(QOS1)).await;
    }
    tokio::time::sleep(millis(1_001)).await;
    for _ in 0..3 {
        publish(&mut peer, Outgoing::new("t", "x").qos(QOS1)).await;
    }
    log.take();
    server.shutdown().await;
    let lines = log.take();
    let full = "queue_full: a client is slower than what it subscribes to; see limits.queue_messages and limits.queue_bytes";
    let sum = "refused: PUBLISH to topics that their client may not publish to";
    assert_eq!(
        lines,
        [format!("WARN {sum}: 2 more within 10 s"), format!("WARN dropped 3 messages: {full}")]
    );
}

#[tokio::test(start_paused = true)]
async fn drops_are_told_at_once_then_every_ten_seconds() {
    let server = server(Limits { queue_messages: 1, ..Limits::default() }).await;
    let log = Log::capture(Level::INFO);
    let mut peer = client(&server, "c").await;
    let mut away = connect(&server, lasting("away")).await;
    subscribe(&mut away, "t", QOS1).await;
    away.disconnect().await.unwrap();
    publish(&mut peer, Outgoing::new("t", "kept").qos(QOS1)).await;
    publish(&mut peer, Outgoing::new("t", "1").qos(QOS1)).await;
    tokio::time::sleep(millis(1_001)).await;
    let lines = log.take();
    assert!(lines[0].starts_with("WARN dropped 1 message: queue_full: "), "{lines:?}");
    for _ in 0..4 {
        publish(&mut peer, Outgoing::new("t", "2").qos(QOS1)).await;
    }
    tokio::time::sleep(seconds(8)).await;
    assert_eq!(log.take(), [""; 0]);
    tokio::time::sleep(seconds(2)).await;
    let lines = log.take();
    assert!(lines.len() == 1 && lines[0].starts_with("WARN dropped 4 messages: queue_full: "), "{lines:?}");
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn one_kind_does_not_silence_another() {
    let server = with_users().await;
    let log = Log::capture(Level::INFO);
    let wrong = || Options::new("x").login("alice", "wrong");
    for _ in 0..3 {
        refused(&server, Options::new("x")).await;
        refused(&server, wrong()).await;
        open(&server, CAPACITY).write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        quiet().await;
    }
    let lines = log.take();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("it gave no user name"), "{lines:?}");
    assert!(lines[1].contains("wrong user name or password"), "{lines:?}");
    assert!(lines[2].contains("the first packet is not a CONNECT"), "{lines:?}");
    tokio::time::sleep(seconds(11)).await;
    let lines = log.take();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.ends_with(": 2 more within 10 s")), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn publish_subscribe_and_will_do_not_silence_each_other() {
    let limits = Limits { topic_levels: 3, retained_messages: 0, ..Limits::default() };
    let server = closed(limits).await;
    let log = Log::capture(Level::INFO);
    let mut peer = client(&server, "c").await;
    for _ in 0..2 {
        publish(&mut peer, Outgoing::new("closed/t", "x").qos(QOS1)).await;
        publish(&mut peer, Outgoing::new("t", "x").qos(QOS1).retain()).await;
        subscribe(&mut peer, "closed/t", QOS0).await;
        subscribe(&mut peer, "1/2/3/4", QOS0).await;
        peer.unsubscribe(&["1/2/3/4"]).await.unwrap();
        refused(&server, Options::new("w").will(Outgoing::new("closed/w", "x"))).await;
    }
    let lines = log.take();
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert!(lines.iter().all(|line| line.starts_with("WARN refused: ")), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn verbose_holds_nothing_back() {
    let server = with_users().await;
    let log = Log::capture(Level::DEBUG);
    for _ in 0..3 {
        refused(&server, Options::new("x")).await;
    }
    assert_eq!(log.take_with("refused: ").len(), 3);
    tokio::time::sleep(seconds(11)).await;
    server.shutdown().await;
    assert_eq!(log.take_with("more within"), [""; 0]);
}

// ---- what it says ----

#[tokio::test(start_paused = true)]
async fn a_refused_login_names_client_and_user() {
    let server = with_users().await;
    let log = Log::capture(Level::INFO);
    for version in VERSIONS {
        let options = Options::new("thermostat").login("alice", "wrong").version(version);
        refused(&server, options).await;
        let line = "WARN refused: client \"thermostat\", user \"alice\", from this process: wrong user name or password";
        assert_eq!(log.take(), [line], "{version}");
        tokio::time::sleep(seconds(11)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_packet_of_a_refused_connection_is_traced_and_counted() {
    let server = with_users().await;
    let log = Log::capture(Level::TRACE);
    refused(&server, v311("x")).await;
    quiet().await;
    let lines = log.take_with("CONN");
    assert!(lines[0].starts_with("TRACE \"this process\" -> CONNECT"), "{lines:?}");
    assert!(lines[1].starts_with("TRACE \"this process\" <- CONNACK 0x87 not authorized"), "{lines:?}");
    let counters = server.counters();
    let count = |count: &std::sync::atomic::AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((count(&counters.packets_received[1]), count(&counters.packets_sent[2])), (1, 1));
    assert_eq!(count(&counters.bytes_sent), 4);
    assert_eq!(count(&counters.bytes_received), 15);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_the_broker_refuses_is_logged_and_traced() {
    // Of three with one client id that come at once the second is refused: the third takes its place.
    let server = server(Limits::default()).await;
    let _first = client(&server, "c").await;
    let log = Log::capture(Level::TRACE);
    let mut connect_packet = Vec::new();
    Options::new("c").into_connect().encode(&mut connect_packet);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut raw = Client::raw(open(&server, CAPACITY), ProtocolVersion::V5);
        raw.send_bytes(&connect_packet).await.unwrap();
        waiting.push(raw);
    }
    quiet().await;
    let lines = log.take();
    let has = |words: &str| lines.iter().any(|line| line.starts_with(words));
    assert!(has("TRACE \"this process\" <- CONNACK 0x88 server unavailable"), "{lines:#?}");
    let words = "DEBUG refused: client \"c\", anonymous, from this process: the client id connected anew";
    assert!(has(words), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn refusals_name_client_topic_and_rule() {
    let limits = Limits {
        topic_levels: 3,
        topic_bytes: 20,
        subscriptions: 1,
        retained_messages: 1,
        retained_bytes: 400,
        ..Limits::default()
    };
    let server = closed(limits).await;
    let mut peer = client(&server, "c").await;
    publish(&mut peer, Outgoing::new("first", "x").qos(QOS1).retain()).await;
    subscribe(&mut peer, "only", QOS0).await;
    // Nothing is held back.
    let log = Log::capture(Level::DEBUG);
    for (topic, retain, line) in [
        ("closed/t", false, "PUBLISH to \"closed/t\": line 3: topic deny closed/#"),
        (
            "$SYS/broker/uptime",
            false,
            "PUBLISH to \"$SYS/broker/uptime\": only the broker publishes under $SYS",
        ),
        ("second", true, "PUBLISH to \"second\": limits.retained_messages (1) is reached"),
    ] {
        let message = Outgoing::new(topic, "x").qos(QOS1);
        publish(&mut peer, if retain { message.retain() } else { message }).await;
        assert_eq!(log.take(), [format!("WARN refused: client \"c\", {line}")]);
    }
    publish(&mut peer, Outgoing::new("first", "x".repeat(500)).qos(QOS1).retain()).await;
    let line = "PUBLISH to \"first\": limits.retained_bytes (400) is reached";
    assert_eq!(log.take(), [format!("WARN refused: client \"c\", {line}")]);
    for (filter, line) in [
        ("closed/#", "line 3: topic deny closed/# (0x87)"),
        ("1/2/3/4", "it has 4 levels, and limits.topic_levels is 3 (0x8F)"),
        ("0123456789/0123456789", "it has 21 bytes, and limits.topic_bytes is 20 (0x8F)"),
        ("another", "it would be one more than limits.subscriptions, which is 1 (0x97)"),
    ] {
        subscribe(&mut peer, filter, QOS0).await;
        assert_eq!(log.take(), [format!("WARN refused: client \"c\", SUBSCRIBE to {filter:?}: {line}")]);
    }
    refused(&server, Options::new("w").will(Outgoing::new("closed/w", "x"))).await;
    let line =
        "client \"w\", anonymous, from this process: its will to \"closed/w\": line 3: topic deny closed/#";
    assert_eq!(log.take_with("will"), [format!("WARN refused: {line}")]);
}

#[tokio::test(start_paused = true)]
async fn wills_that_are_not_published_are_rate_limited_and_name_the_limit() {
    let server = server(Limits { retained_messages: 0, ..Limits::default() }).await;
    let log = Log::capture(Level::INFO);
    for number in 0..4 {
        let options = Options::new(format!("w{number}"));
        drop(connect(&server, options.will(Outgoing::new("w", "gone").retain())).await);
        quiet().await;
    }
    let line = "WARN refused: client \"w0\", its will to \"w\": limits.retained_messages (0) is reached";
    assert_eq!(log.take(), [line]);
    tokio::time::sleep(seconds(11)).await;
    assert_eq!(log.take(), ["WARN refused: wills that were due: 3 more within 10 s"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_packet_that_does_not_come_is_told_and_counted() {
    let server = server(Limits::default()).await;
    let log = Log::capture(Level::INFO);
    let silent: Vec<_> = (0..3).map(|_| open(&server, CAPACITY)).collect();
    tokio::time::sleep(seconds(11)).await;
    let line = "connection from this process: no CONNECT within limits.first_packet_timeout (10 s)";
    assert_eq!(log.take(), [format!("WARN refused: {line}")]);
    tokio::time::sleep(seconds(10)).await;
    let sum = "refused: connections without a CONNECT within limits.first_packet_timeout: 2 more within 10 s";
    assert_eq!(log.take(), [format!("WARN {sum}")]);
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn verbose_connect_lines_name_the_user_or_say_anonymous() {
    let server = server(Limits::default()).await;
    let log = Log::capture(Level::DEBUG);
    let _anonymous = client(&server, "a").await;
    let _alice = connect(&server, Options::new("b").login("alice", "x")).await;
    let lines = log.take_with("connects as");
    assert_eq!(lines[0], "DEBUG this process connects as \"a\", anonymous, MQTT 5.0, keep alive 0 s");
    assert_eq!(lines[1], "DEBUG this process connects as \"b\", user \"alice\", MQTT 5.0, keep alive 0 s");
}

#[tokio::test(start_paused = true)]
async fn lost_messages_of_an_ended_session_are_told_unless_at_qos_0() {
    let server = server(Limits { queue_qos0: true, ..Limits::default() }).await;
    let log = Log::capture(Level::INFO);
    let mut peer = client(&server, "c").await;
    for (id, qos) in [("zero", QOS0), ("one", QOS1)] {
        let mut away = connect(&server, Options::new(id).resume().session_expiry(5)).await;
        subscribe(&mut away, "t", qos).await;
        away.disconnect().await.unwrap();
    }
    publish(&mut peer, Outgoing::new("t", "x").qos(QOS1)).await;
    tokio::time::sleep(seconds(10)).await;
    let lines = log.take();
    let expected = "WARN dropped 1 message: session_ended: sessions ended or expired with messages of QoS 1 or 2 waiting or in flight";
    assert_eq!(lines, [expected]);
    account(&server);
    assert_eq!(dropped(&server, aldis_server::DropReason::SessionEnded), 1);
    assert_eq!(dropped(&server, aldis_server::DropReason::SessionEndedQos0), 1);
}
