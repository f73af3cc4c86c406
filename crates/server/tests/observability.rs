//! What the broker says about itself: `$SYS`, metrics over HTTP, and the document that names both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use aldis_client::{Client, Options, Outgoing, Received};
use aldis_packet::{ProtocolVersion, QoS, SubscriptionOptions};
use aldis_server::transport::memory::MemoryStream;
use aldis_server::{Act, Limits, Message, Rights, Server, Settings, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

type MemoryClient = Client<MemoryStream>;

fn settings(sys_interval: u64) -> Settings {
    Settings { listeners: Vec::new(), sys_interval: Duration::from_secs(sys_interval), ..Settings::default() }
}

async fn with_metrics(settings: Settings) -> (Server, SocketAddr) {
    let metrics = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::builder().settings(Settings { metrics, ..settings }).start().await.unwrap();
    let address = server.metrics_address().unwrap();
    (server, address)
}

async fn connect(server: &Server, options: Options) -> MemoryClient {
    Client::connect(server.connect(1 << 20), options).await.unwrap().0
}

async fn subscribe(client: &mut MemoryClient, filter: &str, qos: QoS) {
    let suback = client.subscribe(&[(filter, SubscriptionOptions::new(qos))], None).await.unwrap();
    assert_eq!(suback.reasons, [qos as u8]);
}

/// Topics and payloads, until nothing has come for half a second.
async fn gather(client: &mut MemoryClient) -> BTreeMap<String, String> {
    let mut payloads = BTreeMap::new();
    while let Some(received) = client.receive_within(Duration::from_millis(500)).await.unwrap() {
        let message = received.into_message().expect("only messages are expected");
        payloads.insert(message.topic, String::from_utf8(message.payload.to_vec()).unwrap());
    }
    payloads
}

/// Answers a request on a connection of its own: status, head and body.
async fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: aldis\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

/// The samples of a scrape, as `name{label="value"}` and number.
async fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, head, body) = ask(address, "GET /metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let pairs = samples.map(|line| line.rsplit_once(' ').expect("a name and a value"));
    pairs.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn in_sys(topic: &str) -> String {
    format!("$SYS/broker/{topic}")
}

#[tokio::test(start_paused = true)]
async fn sys_topics_follow_known_traffic() {
    let server = Server::builder().settings(settings(10)).start().await.unwrap();
    let mut watcher = connect(&server, Options::new("watcher")).await;
    subscribe(&mut watcher, "$SYS/#", QoS::AtLeastOnce).await;
    let first = gather(&mut watcher).await;
    let version = format!("aldis version {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(first[&in_sys("version")], version);
    assert_eq!(first[&in_sys("uptime")], "0 seconds");

    let mut subscriber = connect(&server, Options::new("subscriber").version(ProtocolVersion::V311)).await;
    subscribe(&mut subscriber, "t", QoS::ExactlyOnce).await;
    let mut publisher = connect(&server, Options::new("publisher")).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish_and_wait(Outgoing::new("t", "12345").qos(qos)).await.unwrap();
        let message = subscriber.next_message().await.unwrap();
        subscriber.acknowledge(&message).await.unwrap();
    }
    subscribe(&mut subscriber, "$share/group/unused", QoS::AtMostOnce).await;
    // Messages from inside are none that were received.
    server.publisher().publish(Message::new("kept", "value").retained()).await.unwrap();

    tokio::time::sleep(Duration::from_secs(10)).await;
    let now = gather(&mut watcher).await;
    let retained = first.len() + 1;
    for (topic, payload) in [
        ("uptime", "10 seconds"),
        ("clients/connected", "3"),
        ("clients/total", "3"),
        ("clients/maximum", "3"),
        ("publish/messages/received", "3"),
        ("publish/bytes/received", "15"),
        // CONNECT and SUBSCRIBE of the watcher; CONNECT, two SUBSCRIBE, PUBACK, PUBREC and PUBCOMP of
        // the subscriber; CONNECT, three PUBLISH and PUBREL of the publisher.
        ("messages/received", "13"),
        ("retained messages/count", &retained.to_string()),
        ("store/messages/count", &retained.to_string()),
        ("subscriptions/count", "2"),
        ("shared_subscriptions/count", "1"),
    ] {
        assert_eq!(now.get(&in_sys(topic)).map(String::as_str), Some(payload), "{topic}");
    }
    // 13 packets in 10 s are 78 a minute: 78 × (1 - e^(-10/60)).
    assert_eq!(now[&in_sys("load/messages/received/1min")], "11.97");
    for unchanged in ["version", "clients/disconnected", "clients/expired", "publish/messages/dropped"] {
        assert!(!now.contains_key(&in_sys(unchanged)), "{unchanged} has not changed");
    }

    // Who comes later finds all of them, at QoS 0 and retained.
    let mut late = connect(&server, Options::new("late")).await;
    subscribe(&mut late, "$SYS/broker/version", QoS::ExactlyOnce).await;
    let message = late.next_message().await.unwrap();
    assert_eq!(
        (message.qos, message.retain, &message.payload[..]),
        (QoS::AtMostOnce, true, version.as_bytes())
    );
    server.shutdown().await;
}

/// A figure that has become too large to be retained leaves an earlier one behind it in the store.
#[tokio::test(start_paused = true)]
async fn without_sys_topics_none_stays_behind_though_the_store_refused_a_later_figure() {
    let server = Server::builder().settings(settings(5)).start().await.unwrap();
    let mut watcher = connect(&server, Options::new("watcher")).await;
    subscribe(&mut watcher, &in_sys("uptime"), QoS::AtMostOnce).await;
    assert_eq!(gather(&mut watcher).await.len(), 1);
    let limits = Limits { retained_bytes: 1, ..Limits::default() };
    server.reload(Settings { limits, ..settings(5) }).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(server.counters().not_retained.load(Relaxed) > 0, "nothing was refused");
    server.reload(settings(0)).await;
    gather(&mut watcher).await;
    let mut late = connect(&server, Options::new("late")).await;
    subscribe(&mut late, "$SYS/#", QoS::AtMostOnce).await;
    assert_eq!(gather(&mut late).await, BTreeMap::new());
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_sys_interval_holds_at_once() {
    let server = Server::builder().settings(settings(3600)).start().await.unwrap();
    let mut watcher = connect(&server, Options::new("watcher")).await;
    subscribe(&mut watcher, "$SYS/#", QoS::AtMostOnce).await;
    let first = gather(&mut watcher).await;
    assert!(first.len() > 40, "{first:?}");

    // The same again is no change: nothing is published before its time.
    server.reload(settings(3600)).await;
    assert_eq!(gather(&mut watcher).await, BTreeMap::new());

    server.reload(settings(5)).await;
    assert!(gather(&mut watcher).await.contains_key(&in_sys("messages/sent")));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(gather(&mut watcher).await.contains_key(&in_sys("uptime")));

    // Off: figures that are no longer true are taken away, and none come any more.
    server.reload(settings(0)).await;
    let gone = gather(&mut watcher).await;
    assert_eq!(gone.keys().collect::<Vec<_>>(), first.keys().collect::<Vec<_>>());
    assert!(gone.values().all(String::is_empty));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(gather(&mut watcher).await, BTreeMap::new());
    let mut late = connect(&server, Options::new("late")).await;
    subscribe(&mut late, "$SYS/#", QoS::AtMostOnce).await;
    assert_eq!(gather(&mut late).await, BTreeMap::new());

    server.reload(settings(5)).await;
    assert_eq!(gather(&mut watcher).await.len(), first.len());
    server.shutdown().await;
}

fn whole_packets_are_all_that_came_and_went(samples: &BTreeMap<String, f64>) {
    for (of_packets, in_all) in [
        ("aldis_packet_bytes_received_total", "aldis_bytes_received_total"),
        ("aldis_packet_bytes_sent_total", "aldis_bytes_sent_total"),
    ] {
        let by_type = samples.iter().filter(|(name, _)| name.starts_with(of_packets));
        assert_eq!(by_type.map(|(_, bytes)| bytes).sum::<f64>(), samples[in_all], "{of_packets}");
    }
}

/// Law 10, from one scrape.
fn check_ledger(samples: &BTreeMap<String, f64>) {
    let dropped: f64 =
        samples.iter().filter(|(name, _)| name.starts_with("aldis_dropped_total{")).map(|(_, n)| n).sum();
    let accounted = samples["aldis_deliveries_completed_total"]
        + samples["aldis_deliveries_in_flight"]
        + samples["aldis_deliveries_waiting"]
        + samples["aldis_deliveries_expired_total"]
        + dropped;
    assert_eq!(samples["aldis_deliveries_offered_total"], accounted, "{samples:#?}");
}

/// Ten messages of each quality of service, for a subscriber that acknowledges QoS 1 and not QoS 2, and for
/// a session that is offline and has room for five.
async fn ten_of_each(server: &Server) -> MemoryClient {
    let lasting = Options::new("lasting").session_expiry(1000);
    let mut lasting = connect(server, lasting).await;
    subscribe(&mut lasting, "t/#", QoS::ExactlyOnce).await;
    lasting.disconnect().await.unwrap();
    let mut online = connect(server, Options::new("online")).await;
    subscribe(&mut online, "t/#", QoS::ExactlyOnce).await;
    let mut publisher = connect(server, Options::new("publisher")).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for number in 0..10 {
            let message = Outgoing::new(format!("t/{number}"), "payload").qos(qos);
            publisher.publish_and_wait(message).await.unwrap();
        }
    }
    publisher.publish_and_wait(Outgoing::new("nobody/listens", "")).await.unwrap();
    publisher.ping().await.unwrap();
    publisher.disconnect().await.unwrap();
    for _ in 0..30 {
        let message = online.next_message().await.unwrap();
        if message.qos == QoS::AtLeastOnce {
            online.acknowledge(&message).await.unwrap();
        }
    }
    // When the answer is here, the acknowledgements have been counted.
    online.ping().await.unwrap();
    online
}

#[tokio::test]
async fn the_ledger_can_be_checked_from_one_scrape() {
    let limits = Limits { queue_messages: 5, ..Limits::default() };
    let (server, address) = with_metrics(Settings { limits, ..settings(0) }).await;
    let mut online = ten_of_each(&server).await;
    let samples = scrape(address).await;
    check_ledger(&samples);
    for (name, value) in [
        ("aldis_deliveries_offered_total", 60.0),
        ("aldis_deliveries_completed_total", 20.0),
        ("aldis_deliveries_in_flight", 10.0),
        ("aldis_deliveries_waiting", 5.0),
        ("aldis_deliveries_expired_total", 0.0),
        ("aldis_dropped_total{reason=\"offline\"}", 10.0),
        ("aldis_dropped_total{reason=\"queue_full\"}", 15.0),
        ("aldis_dropped_total{reason=\"connection_closed\"}", 0.0),
        ("broker_publish_messages_dropped", 15.0),
        ("broker_store_messages_count", 15.0),
        ("aldis_publications_routed_total", 30.0),
        ("aldis_publications_no_subscriber_total", 1.0),
        ("aldis_sessions", 2.0),
        ("aldis_sessions_connected", 1.0),
        ("broker_clients_disconnected", 1.0),
        ("aldis_subscriptions", 2.0),
        ("aldis_connections_accepted_total", 3.0),
        ("aldis_connections_turned_away_total", 0.0),
        ("aldis_memory_watermark_reached", 0.0),
        ("aldis_packets_received_total{type=\"connect\"}", 3.0),
        ("aldis_packets_received_total{type=\"publish\"}", 31.0),
        ("aldis_packets_received_total{type=\"puback\"}", 10.0),
        ("aldis_packets_received_total{type=\"pubrel\"}", 10.0),
        ("aldis_packets_received_total{type=\"pingreq\"}", 2.0),
        ("aldis_packets_received_total{type=\"disconnect\"}", 2.0),
        ("aldis_packets_sent_total{type=\"connack\"}", 3.0),
        ("aldis_packets_sent_total{type=\"publish\"}", 30.0),
        ("aldis_packets_sent_total{type=\"puback\"}", 10.0),
        ("aldis_packets_sent_total{type=\"pubrec\"}", 10.0),
        ("aldis_packets_sent_total{type=\"pubcomp\"}", 10.0),
        ("aldis_packets_sent_total{type=\"suback\"}", 2.0),
        ("aldis_publish_bytes_received_total", 210.0),
        ("aldis_publish_bytes_sent_total", 210.0),
    ] {
        assert_eq!(samples[name], value, "{name}");
    }
    whole_packets_are_all_that_came_and_went(&samples);
    assert!(samples["aldis_queued_bytes"] > 0.0);
    assert!(samples["process_resident_memory_bytes"] >= samples["broker_heap_current"]);

    // The account holds as well when the session that was offline comes back, and a session ends.
    let resumed = Options::new("lasting").resume().session_expiry(1000);
    let mut resumed = connect(&server, resumed).await;
    for _ in 0..5 {
        let message = resumed.next_message().await.unwrap();
        resumed.acknowledge(&message).await.unwrap();
    }
    resumed.ping().await.unwrap();
    online.ping().await.unwrap();
    online.disconnect().await.unwrap();
    let mut probe = connect(&server, Options::new("online").resume()).await;
    probe.ping().await.unwrap();
    let samples = scrape(address).await;
    check_ledger(&samples);
    assert_eq!(samples["aldis_deliveries_completed_total"], 25.0);
    assert_eq!(samples["aldis_dropped_total{reason=\"session_ended\"}"], 10.0);
    server.shutdown().await;
}

#[tokio::test]
async fn the_endpoints_answer() {
    let (server, address) = with_metrics(settings(10)).await;
    let (status, _, body) = ask(address, "GET /healthz").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    let (status, _, body) = ask(address, "GET /readyz").await;
    assert_eq!((status, body.as_str()), (200, "ready\n"));
    let (status, _, body) = ask(address, "GET /").await;
    assert_eq!(status, 404);
    assert!(["/metrics", "/healthz", "/readyz"].iter().all(|path| body.contains(path)), "{body}");
    let (status, head, _) = ask(address, "POST /metrics").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: get, head"), "{head}");
    let (status, head, body) = ask(address, "HEAD /metrics?x=y").await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: "), "{head}");
    server.shutdown().await;
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let (server, address) = with_metrics(settings(10)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: aldis\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nready\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed after {answer:?}");
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_that_shuts_down_is_not_ready_and_still_says_so() {
    let (server, address) = with_metrics(settings(10)).await;
    // It does not read its DISCONNECT and does not close, so the shutdown has somebody to wait for.
    let client = connect(&server, Options::new("stubborn")).await;
    let asked = async {
        let answers = (ask(address, "GET /readyz").await, ask(address, "GET /healthz").await);
        drop(client);
        answers
    };
    let (cut_off, ((ready, _, why), (health, ..))) = tokio::join!(server.shutdown(), asked);
    assert_eq!((ready, why.as_str()), (503, "the broker is shutting down\n"));
    assert_eq!(health, 200);
    assert_eq!(cut_off, 0);
}

#[tokio::test]
async fn metrics_end_with_a_server_that_is_dropped() {
    let (server, address) = with_metrics(settings(10)).await;
    drop(server);
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("the listener is closed");
}

#[tokio::test(start_paused = true)]
async fn idle_connections_make_room_for_one_that_asks() {
    let (server, address) = with_metrics(settings(10)).await;
    // One that has asked before and keeps its connection, then more than there are places for that say nothing
    // whole: nobody waits for them to lose patience.
    let mut kept = TcpStream::connect(address).await.unwrap();
    kept.write_all(b"GET /readyz HTTP/1.1\r\nHost: aldis\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nready\n") {
        assert_ne!(kept.read_buf(&mut answer).await.unwrap(), 0, "closed after {answer:?}");
    }
    let before = Instant::now();
    let silent: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost").unwrap();
            stream
        })
        .collect();
    let (status, _, _) = ask(address, "GET /healthz").await;
    assert_eq!(status, 200);
    assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
    // The one that was idle for longest had to go.
    assert_eq!(kept.read_buf(&mut answer).await.unwrap(), 0);
    assert!(before.elapsed() < Duration::from_millis(100), "{:?}", before.elapsed());
    drop(silent);
    server.shutdown().await;
}

#[tokio::test]
async fn bytes_and_packets_of_refused_connections_are_counted() {
    let (server, address) = with_metrics(settings(0)).await;
    let mut stranger = server.connect(1024);
    // CONNECT of a version that there is not: refused with five bytes.
    let connect = b"\x10\x0d\0\x04MQTT\x06\x02\0\0\0\0\0";
    stranger.write_all(connect).await.unwrap();
    let mut answer = Vec::new();
    stranger.read_to_end(&mut answer).await.unwrap();
    let samples = scrape(address).await;
    assert_eq!(samples["aldis_bytes_received_total"], connect.len() as f64);
    assert_eq!(samples["aldis_bytes_sent_total"], answer.len() as f64);
    assert_eq!(samples["aldis_packets_sent_total{type=\"connack\"}"], 1.0);
    server.shutdown().await;
}

#[tokio::test]
async fn bytes_that_come_with_a_connect_are_counted_once() {
    let (server, address) = with_metrics(settings(0)).await;
    let mut client = server.connect(1024);
    // CONNECT, three times PINGREQ, DISCONNECT, in one write.
    let sent = b"\x10\x0d\0\x04MQTT\x05\x02\0\0\0\0\0\xc0\0\xc0\0\xc0\0\xe0\0";
    client.write_all(sent).await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    let samples = scrape(address).await;
    assert_eq!(samples["aldis_bytes_received_total"], sent.len() as f64);
    assert_eq!(samples["aldis_packets_received_total{type=\"pingreq\"}"], 3.0);
    whole_packets_are_all_that_came_and_went(&samples);
    server.shutdown().await;
}

/// A packet so large that it takes many reads, with pauses in which nothing comes.
#[tokio::test]
async fn bytes_of_a_packet_that_comes_in_many_reads_are_counted_once() {
    let (server, address) = with_metrics(settings(0)).await;
    let mut client = server.connect(4096);
    let connect = b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0";
    let large = [&b"\x30\xe0\xa7\x12\0\x01t"[..], &[0; 300_000 - 3]].concat();
    let sent = [&connect[..], &large, b"\xc0\0\xe0\0"].concat();
    client.write_all(&sent).await.unwrap();
    client.read_to_end(&mut Vec::new()).await.unwrap();
    let samples = scrape(address).await;
    assert_eq!(samples["aldis_bytes_received_total"], sent.len() as f64);
    whole_packets_are_all_that_came_and_went(&samples);
    server.shutdown().await;
}

/// Allows everything, and publishing to `revoked` the first time only that it is asked.
#[derive(Default)]
struct Once(AtomicUsize);

impl Rights for Once {
    fn allows(&self, _: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        let again = act == Act::Publish && topic == "revoked" && self.0.fetch_add(1, Relaxed) > 0;
        if again { Verdict::Denied { rule: None } } else { Verdict::Allowed }
    }
}

#[tokio::test]
async fn a_will_is_counted_when_it_is_published_and_not_when_it_is_refused() {
    let metrics = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let settings = Settings { metrics, ..settings(0) };
    let server = Server::builder().settings(settings).rights(Arc::new(Once::default())).start();
    let server = server.await.unwrap();
    let mut witness = connect(&server, Options::new("witness")).await;
    subscribe(&mut witness, "#", QoS::AtMostOnce).await;
    for topic in ["revoked", "kept"] {
        drop(connect(&server, Options::new(topic).will(Outgoing::new(topic, "gone"))).await);
    }
    assert_eq!(gather(&mut witness).await.into_keys().collect::<Vec<_>>(), ["kept"]);
    let samples = scrape(server.metrics_address().unwrap()).await;
    assert_eq!(samples["aldis_wills_published_total"], 1.0);
    server.shutdown().await;
}

// ---- the document ----

/// Code spans of the document outside of code blocks, with `{a,b}` written out.
fn documented() -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let document = std::fs::read_to_string(path).unwrap();
    let prose = document.split("```").step_by(2);
    let lines = prose.flat_map(str::lines);
    let spans = lines.flat_map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned));
    spans.flat_map(|span| written_out(&span)).collect()
}

fn written_out(span: &str) -> Vec<String> {
    match span.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        // Labels are given by their names alone.
        Some((name, (_, ""))) if name.starts_with("aldis_") => vec![name.to_owned()],
        Some((before, (choices, after))) => {
            choices.split(',').map(|choice| format!("{before}{choice}{after}")).collect()
        }
        None => vec![span.to_owned()],
    }
}

#[tokio::test]
async fn the_document_names_every_metric_and_no_other() {
    let (server, address) = with_metrics(settings(10)).await;
    let (_, _, text) = ask(address, "GET /metrics").await;
    let printed: BTreeSet<String> = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix("# HELP ")?.split(' ').next()?.to_owned()))
        .collect();
    let families = ["aldis_", "broker_", "process_"];
    let named: BTreeSet<String> = documented()
        .into_iter()
        .filter(|span| families.iter().any(|family| span.starts_with(family)) && !span.contains('…'))
        .collect();
    assert_eq!(named.difference(&printed).collect::<Vec<_>>(), Vec::<&String>::new(), "not printed");
    assert_eq!(printed.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "not documented");
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn the_document_names_every_topic_and_no_other() {
    let server = Server::builder().settings(settings(10)).start().await.unwrap();
    let mut watcher = connect(&server, Options::new("watcher")).await;
    subscribe(&mut watcher, "$SYS/#", QoS::AtMostOnce).await;
    let published: BTreeSet<String> = gather(&mut watcher).await.into_keys().collect();
    let named: BTreeSet<String> = documented()
        .into_iter()
        .filter(|span| span.starts_with("$SYS/") && !span.ends_with(['#', '/']))
        .collect();
    assert_eq!(named.difference(&published).collect::<Vec<_>>(), Vec::<&String>::new(), "not published");
    assert_eq!(published.difference(&named).collect::<Vec<_>>(), Vec::<&String>::new(), "not documented");
    assert!(published.contains("$SYS/broker/retained messages/count"));
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn clients_may_not_publish_to_sys() {
    let server = Server::builder().settings(settings(10)).start().await.unwrap();
    let mut watcher = connect(&server, Options::new("watcher")).await;
    subscribe(&mut watcher, "$SYS/broker/version", QoS::AtMostOnce).await;
    gather(&mut watcher).await;
    let mut forger = connect(&server, Options::new("forger")).await;
    forger.publish(Outgoing::new("$SYS/broker/version", "forged").qos(QoS::AtLeastOnce)).await.unwrap();
    match forger.receive().await {
        Ok(Received::Ack(ack)) => assert!(ack.reason.is_error(), "{ack:?}"),
        Ok(Received::Disconnect(_)) | Err(_) => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(gather(&mut watcher).await, BTreeMap::new());
    server.shutdown().await;
}
