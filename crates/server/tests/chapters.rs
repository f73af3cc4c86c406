//! Every chapter works as its page says: the programs themselves are included here and serve clients
//! over TCP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(dead_code, reason = "the chapters' own `main` functions are not called here")]
#![allow(clippy::duplicate_mod, reason = "chapters 4 and 5 each include the same socket")]

#[path = "../examples/chapter_1_accept.rs"]
mod chapter_1;
#[path = "../examples/chapter_2_packets.rs"]
mod chapter_2;
#[path = "../examples/chapter_3_hub.rs"]
mod chapter_3;
#[path = "../examples/chapter_4_outbox.rs"]
mod chapter_4;
#[path = "../examples/chapter_5_broker.rs"]
mod chapter_5;
#[path = "../examples/chapter_6_server.rs"]
mod chapter_6;

use aldis_client::{Client, Message, Options, Outgoing};
use aldis_packet::{ProtocolVersion, QoS, ReasonCode, SubscriptionOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

const VERSIONS: [ProtocolVersion; 3] = [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];

/// A chapter that serves on a free port until this is dropped.
struct Serving {
    address: SocketAddr,
    _task: JoinSet<io::Result<()>>,
}

async fn serving<F>(serve: impl FnOnce(TcpListener) -> F) -> Serving
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    Serving { address, _task: JoinSet::from_iter([serve(listener)]) }
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("within 20 seconds")
}

async fn connect(address: SocketAddr, client_id: &str, version: ProtocolVersion) -> Client {
    in_time(Client::tcp(address, Options::new(client_id).version(version))).await.unwrap().0
}

async fn subscribe(client: &mut Client, filter: &str, qos: QoS) {
    let suback = in_time(client.subscribe(&[(filter, SubscriptionOptions::new(qos))], None)).await.unwrap();
    assert_eq!(suback.reasons.len(), 1);
    assert!(suback.reasons[0] < 0x80, "{suback:?}");
}

async fn receive(client: &mut Client) -> Message {
    let message = in_time(client.next_message()).await.unwrap();
    in_time(client.acknowledge(&message)).await.unwrap();
    message
}

fn text(message: &Message) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

/// Lines that a chapter reports.
fn lines() -> (impl Fn(String) + Clone + Send + Sync + 'static, mpsc::Receiver<String>) {
    let (sender, receiver) = mpsc::channel(1000);
    (move |line| sender.try_send(line).unwrap(), receiver)
}

async fn line_with(lines: &mut mpsc::Receiver<String>, part: &str) -> String {
    loop {
        let line = in_time(lines.recv()).await.expect("a line");
        if line.contains(part) {
            return line;
        }
    }
}

#[tokio::test]
async fn chapter_1_reports_what_a_connection_says() {
    let (report, mut lines) = lines();
    let serving = serving(|listener| chapter_1::serve(listener, report)).await;
    let mut silent = TcpStream::connect(serving.address).await.unwrap();
    line_with(&mut lines, "connects").await;
    // A silent one keeps nobody waiting.
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    let from = stream.local_addr().unwrap();
    stream.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00").await.unwrap();
    let line = line_with(&mut lines, "says").await;
    assert_eq!(
        line,
        format!("{from} says 14 bytes: 10 0c 00 04 4d 51 54 54 04 02 00 3c 00 00  ....MQTT...<..")
    );
    drop(stream);
    assert_eq!(line_with(&mut lines, "has closed").await, format!("{from} has closed"));
    silent.shutdown().await.unwrap();
    line_with(&mut lines, "has closed").await;
}

#[tokio::test]
async fn chapter_2_understands_packets_and_answers_connect_and_pingreq() {
    for version in VERSIONS {
        let (report, mut lines) = lines();
        let serving = serving(|listener| chapter_2::serve(listener, report)).await;
        let mut client = connect(serving.address, "tester", version).await;
        assert!(line_with(&mut lines, "CONNECT").await.contains("tester"));
        client.publish(Outgoing::new("hello", "world")).await.unwrap();
        line_with(&mut lines, "PUBLISH \"hello\" q0, 5 bytes").await;
        in_time(client.ping()).await.unwrap();
        client.disconnect().await.unwrap();
        line_with(&mut lines, "has disconnected").await;
    }
}

#[tokio::test]
async fn chapter_2_takes_packets_in_any_pieces_and_ends_what_is_malformed() {
    let (report, mut lines) = lines();
    let serving = serving(|listener| chapter_2::serve(listener, report)).await;
    let mut stream = TcpStream::connect(serving.address).await.unwrap();
    for byte in b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\xc0\x00\xc0\x00" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answers = [0; 8];
    in_time(stream.read_exact(&mut answers)).await.unwrap();
    assert_eq!(&answers, b"\x20\x02\x00\x00\xd0\x00\xd0\x00");
    // PUBLISH at QoS 3.
    stream.write_all(b"\x36\x03\x00\x01a").await.unwrap();
    assert!(line_with(&mut lines, "is closed").await.contains("QoS"));
    assert_eq!(in_time(stream.read(&mut answers)).await.unwrap(), 0);
}

/// What every chapter from the third on can do: QoS 0 between clients of all versions.
async fn passes_messages_on(address: SocketAddr) {
    let mut subscribers = Vec::new();
    for (number, version) in VERSIONS.into_iter().enumerate() {
        let mut client = connect(address, &format!("sub-{number}"), version).await;
        subscribe(&mut client, "home/+/temperature", QoS::AtMostOnce).await;
        subscribers.push(client);
    }
    let mut other = connect(address, "other", ProtocolVersion::V5).await;
    subscribe(&mut other, "garden/#", QoS::AtMostOnce).await;
    // One that is gone without a word harms nobody.
    drop(connect(address, "gone", ProtocolVersion::V311).await);

    let mut publisher = connect(address, "publisher", ProtocolVersion::V311).await;
    for number in 0..1000 {
        publisher.publish(Outgoing::new("home/hall/temperature", number.to_string())).await.unwrap();
    }
    publisher.publish(Outgoing::new("home/hall/humidity", "unheard")).await.unwrap();
    publisher.publish(Outgoing::new("garden/pond", "10")).await.unwrap();
    in_time(publisher.ping()).await.unwrap();
    for subscriber in &mut subscribers {
        for number in 0..1000 {
            let message = receive(subscriber).await;
            let got = (message.topic.as_str(), text(&message), message.qos);
            assert_eq!(got, ("home/hall/temperature", number.to_string(), QoS::AtMostOnce));
        }
        in_time(subscriber.ping()).await.unwrap();
    }
    let message = receive(&mut other).await;
    assert_eq!((message.topic.as_str(), text(&message)), ("garden/pond", "10".to_owned()));
    // Who publishes and listens gets its own messages, too.
    subscribe(&mut publisher, "#", QoS::AtMostOnce).await;
    publisher.publish(Outgoing::new("echo", "echo")).await.unwrap();
    assert_eq!(text(&receive(&mut publisher).await), "echo");
    for client in [other, publisher] {
        client.disconnect().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chapter_3_passes_messages_on_through_a_hub() {
    let serving = serving(chapter_3::serve).await;
    passes_messages_on(serving.address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chapter_4_passes_messages_on_through_outboxes() {
    let serving = serving(chapter_4::serve).await;
    passes_messages_on(serving.address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chapter_4_waits_for_a_subscriber_that_does_not_read() {
    let serving = serving(chapter_4::serve).await;
    let mut slow = connect(serving.address, "slow", ProtocolVersion::V5).await;
    subscribe(&mut slow, "large", QoS::AtMostOnce).await;
    let mut publisher = connect(serving.address, "publisher", ProtocolVersion::V5).await;
    // More than the sockets hold, less than the queue does.
    let payload = vec![7; 100_000];
    for _ in 0..200 {
        publisher.publish(Outgoing::new("large", &payload)).await.unwrap();
    }
    in_time(publisher.ping()).await.unwrap();
    for _ in 0..200 {
        assert_eq!(receive(&mut slow).await.payload, payload);
    }
}

/// What the real Broker adds: acknowledged delivery, retained messages, sessions, take-over.
async fn is_a_broker(address: SocketAddr) {
    let mut publisher = connect(address, "publisher", ProtocolVersion::V5).await;
    let retained = Outgoing::new("home/lamp", "on").qos(QoS::AtLeastOnce).retain();
    in_time(publisher.publish_and_wait(retained)).await.unwrap();

    let lasting = Options::new("lasting").session_expiry(3600);
    let (mut client, connack) = in_time(Client::tcp(address, lasting.clone())).await.unwrap();
    assert!(!connack.session_present);
    subscribe(&mut client, "home/#", QoS::ExactlyOnce).await;
    let message = receive(&mut client).await;
    assert_eq!((text(&message), message.retain), ("on".to_owned(), true));
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for number in 0..100 {
            let message = Outgoing::new("home/door", number.to_string()).qos(qos);
            assert_eq!(in_time(publisher.publish_and_wait(message)).await.unwrap(), ReasonCode::Success);
        }
        for number in 0..100 {
            let message = receive(&mut client).await;
            assert_eq!((text(&message), message.qos), (number.to_string(), qos));
        }
    }
    // Offline, and back: what came meanwhile waits.
    client.disconnect().await.unwrap();
    let message = Outgoing::new("home/door", "while away").qos(QoS::ExactlyOnce);
    in_time(publisher.publish_and_wait(message)).await.unwrap();
    let (mut client, connack) = in_time(Client::tcp(address, lasting.clone().resume())).await.unwrap();
    assert!(connack.session_present);
    assert_eq!(text(&receive(&mut client).await), "while away");
    // The same client id once more: the first connection has to go.
    let (mut second, connack) = in_time(Client::tcp(address, lasting.resume())).await.unwrap();
    assert!(connack.session_present);
    assert!(in_time(client.next_message()).await.unwrap_err().is_closed());
    in_time(second.unsubscribe(&["home/#"])).await.unwrap();
    let message = Outgoing::new("home/door", "unheard").qos(QoS::AtLeastOnce);
    let reason = in_time(publisher.publish_and_wait(message)).await.unwrap();
    assert_eq!(reason, ReasonCode::NoMatchingSubscribers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chapter_5_is_a_broker() {
    let serving = serving(chapter_5::serve).await;
    passes_messages_on(serving.address).await;
    is_a_broker(serving.address).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chapter_5_replays_many_retained_messages() {
    let serving = serving(chapter_5::serve).await;
    let mut publisher = connect(serving.address, "publisher", ProtocolVersion::V311).await;
    for number in 0..5000 {
        publisher.publish(Outgoing::new(format!("many/{number}"), "x").retain()).await.unwrap();
    }
    // Acknowledged in its turn: all before it are stored by then.
    let last = Outgoing::new("many/last", "x").retain().qos(QoS::AtLeastOnce);
    in_time(publisher.publish_and_wait(last)).await.unwrap();
    let mut client = connect(serving.address, "client", ProtocolVersion::V311).await;
    subscribe(&mut client, "many/+", QoS::AtLeastOnce).await;
    let mut topics = std::collections::BTreeSet::new();
    for _ in 0..5001 {
        topics.insert(receive(&mut client).await.topic);
    }
    assert_eq!(topics.len(), 5001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chapter_6_is_a_broker_that_says_goodbye() {
    let server = chapter_6::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let address = server.addresses()[0];
    passes_messages_on(address).await;
    is_a_broker(address).await;

    let mut everything = server.subscribe("news", QoS::AtLeastOnce).await.unwrap();
    let mut client = connect(address, "client", ProtocolVersion::V5).await;
    let news = Outgoing::new("news", "none").qos(QoS::AtLeastOnce);
    in_time(client.publish_and_wait(news)).await.unwrap();
    let (say, mut lines) = lines();
    let reported = chapter_6::report(&mut everything, say);
    let (cut_off, (), farewell) = tokio::join!(server.shutdown(), reported, client.next_message());
    assert_eq!((cut_off, lines.recv().await.unwrap()), (0, "news: none".to_owned()));
    assert!(farewell.unwrap_err().to_string().contains("shutting down"));
}

#[test]
fn every_chapter_is_short_and_has_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let index = std::fs::read_to_string(root.join("docs/chapters/README.md")).unwrap();
    let mut chapters: Vec<_> = std::fs::read_dir(root.join("crates/server/examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("chapter_"))
        .collect();
    chapters.sort();
    assert_eq!(chapters.len(), 6);
    for (number, file) in (1..).zip(chapters) {
        let program = std::fs::read_to_string(root.join("crates/server/examples").join(&file)).unwrap();
        assert!(program.lines().count() <= 150, "{file} has {} lines", program.lines().count());
        let (_, after) = program.split_once("docs/chapters/").expect("a program names its page");
        let (page, _) = after.split_once(".md").unwrap();
        assert!(page.starts_with(&number.to_string()), "{file} names {page}");
        let text = std::fs::read_to_string(root.join(format!("docs/chapters/{page}.md"))).unwrap();
        assert!(text.contains(&file) && index.contains(&format!("{page}.md")), "{page} and {file}");
    }
}
