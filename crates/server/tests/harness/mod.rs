//! What the tests of the server share: a server without sockets, clients over memory, and what they
//! wait for. Where time is paused it only moves on when nobody has anything left to do, so "within
//! ten seconds" costs nothing and "nothing came for a second" is exact.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod log;

use aldis_client::{Client, ClientError, Message, Options, Outgoing, Received};
use aldis_packet::{Ack, AckKind, ProtocolVersion, QoS, ReasonCode, Suback, SubscriptionOptions};
use aldis_server::transport::memory::{Counts, MemoryStream, pair};
use aldis_server::{Act, DropReason, Limits, Rights, Server, Settings, Verdict};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::timeout;

/// A client of the server under test.
pub(crate) type Peer = Client<MemoryStream>;

/// Bytes that fit into each direction of a connection unless a test says otherwise.
pub(crate) const CAPACITY: usize = 64 << 10;
/// Longer than anything that is to happen takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const QOS0: QoS = QoS::AtMostOnce;
pub(crate) const QOS1: QoS = QoS::AtLeastOnce;
pub(crate) const QOS2: QoS = QoS::ExactlyOnce;

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Settings without listeners and without `$SYS`.
pub(crate) fn settings(limits: Limits) -> Settings {
    Settings { listeners: Vec::new(), sys_interval: Duration::ZERO, limits, ..Settings::default() }
}

pub(crate) async fn server(limits: Limits) -> Server {
    Server::builder().settings(settings(limits)).start().await.unwrap()
}

pub(crate) async fn server_with_rights(limits: Limits, rights: Arc<dyn Rights>) -> Server {
    Server::builder().settings(settings(limits)).rights(rights).start().await.unwrap()
}

/// A stream to the server as from a listener, with the counts of the broker's side.
pub(crate) fn open_counted(server: &Server, capacity: usize) -> (MemoryStream, Arc<Counts>) {
    let (connection, stream, counts) = pair(capacity);
    server.accept(connection, false);
    (stream, counts)
}

pub(crate) fn open(server: &Server, capacity: usize) -> MemoryStream {
    open_counted(server, capacity).0
}

/// Connects; the second value is "session present".
pub(crate) async fn connect_over(stream: MemoryStream, options: Options) -> (Peer, bool) {
    let (peer, connack) =
        timeout(PATIENCE, Client::connect(stream, options)).await.expect("no CONNACK").unwrap();
    (peer, connack.session_present)
}

pub(crate) async fn connect_present(server: &Server, options: Options) -> (Peer, bool) {
    connect_over(open(server, CAPACITY), options).await
}

pub(crate) async fn connect(server: &Server, options: Options) -> Peer {
    connect_present(server, options).await.0
}

/// MQTT 5, a clean start and no more.
pub(crate) async fn client(server: &Server, id: &str) -> Peer {
    connect(server, Options::new(id)).await
}

/// MQTT 5 with a session that lasts.
pub(crate) fn lasting(id: &str) -> Options {
    Options::new(id).resume().session_expiry(u32::MAX)
}

/// MQTT 3.1.1, clean session.
pub(crate) fn v311(id: &str) -> Options {
    Options::new(id).version(ProtocolVersion::V311)
}

pub(crate) async fn subscribe(peer: &mut Peer, filter: &str, qos: QoS) -> Suback {
    subscribe_with(peer, filter, SubscriptionOptions::new(qos)).await
}

pub(crate) async fn subscribe_with(peer: &mut Peer, filter: &str, options: SubscriptionOptions) -> Suback {
    timeout(PATIENCE, peer.subscribe(&[(filter, options)], None)).await.expect("no SUBACK").unwrap()
}

/// Publishes and waits for the broker's answer.
pub(crate) async fn publish(peer: &mut Peer, message: Outgoing) -> ReasonCode {
    timeout(PATIENCE, peer.publish_and_wait(message)).await.expect("no answer to PUBLISH").unwrap()
}

pub(crate) async fn receive(peer: &mut Peer) -> Received {
    timeout(PATIENCE, peer.receive()).await.expect("nothing came").unwrap()
}

/// The next PUBLISH, not acknowledged.
pub(crate) async fn message(peer: &mut Peer) -> Message {
    timeout(PATIENCE, peer.next_message()).await.expect("no message came").unwrap()
}

/// The payload of the next PUBLISH, which is acknowledged.
pub(crate) async fn text(peer: &mut Peer) -> String {
    let message = message(peer).await;
    timeout(PATIENCE, peer.acknowledge(&message)).await.expect("no PUBREL came").unwrap();
    String::from_utf8(message.payload.to_vec()).unwrap()
}

pub(crate) async fn texts(peer: &mut Peer, count: usize) -> Vec<String> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(text(peer).await);
    }
    all
}

/// Nothing at all comes for `time`.
pub(crate) async fn silent(peer: &mut Peer, time: Duration) {
    let came = peer.receive_within(time).await.unwrap();
    assert_eq!(came, None);
}

/// Waits for one acknowledgement.
pub(crate) async fn ack(peer: &mut Peer) -> Ack {
    match receive(peer).await {
        Received::Ack(ack) => ack,
        other => panic!("no acknowledgement but {other:?}"),
    }
}

pub(crate) async fn expect_ack(peer: &mut Peer, kind: AckKind) -> Ack {
    let ack = ack(peer).await;
    assert_eq!(ack.kind, kind);
    ack
}

/// Everything until the connection ends, and the reason of the DISCONNECT if one came, which then
/// was the last packet [MQTT-3.14.4-1].
pub(crate) async fn to_the_end(peer: &mut Peer) -> (Vec<Received>, Option<ReasonCode>) {
    let mut before = Vec::new();
    let mut reason = None;
    loop {
        match timeout(PATIENCE, peer.receive()).await.expect("the connection did not end") {
            Ok(packet) => {
                assert_eq!(reason, None, "{packet:?} came after DISCONNECT");
                match packet {
                    Received::Disconnect(disconnect) => reason = Some(disconnect.reason),
                    other => before.push(other),
                }
            }
            Err(ClientError::Closed) => return (before, reason),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The connection ends now, with this DISCONNECT and nothing before it.
pub(crate) async fn expect_farewell(peer: &mut Peer, reason: ReasonCode) {
    assert_eq!(to_the_end(peer).await, (Vec::new(), Some(reason)));
}

/// The connection ends now without a word.
pub(crate) async fn expect_closed(peer: &mut Peer) {
    assert_eq!(to_the_end(peer).await, (Vec::new(), None));
}

/// Lets everybody finish what they are at; exact where time is paused.
pub(crate) async fn quiet() {
    tokio::time::sleep(millis(1)).await;
}

/// The account of all deliveries (law 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) offered: i64,
    pub(crate) completed: i64,
    pub(crate) in_flight: i64,
    pub(crate) waiting: i64,
    pub(crate) expired: i64,
    pub(crate) dropped: i64,
}

/// The account at a moment at which nothing is on its way; it has to add up.
pub(crate) fn account(server: &Server) -> Account {
    let counters = server.counters();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed) as i64;
    let account = Account {
        offered: counters.offered.load(Relaxed),
        completed: count(&counters.completed),
        in_flight: counters.in_flight.load(Relaxed),
        waiting: counters.waiting.load(Relaxed),
        expired: count(&counters.expired),
        dropped: counters.dropped.iter().map(count).sum(),
    };
    let Account { offered, completed, in_flight, waiting, expired, dropped } = account;
    assert_eq!(offered, completed + in_flight + waiting + expired + dropped, "{account:?}");
    account
}

/// Nothing is held for anybody any more, and the account adds up.
pub(crate) fn expect_nothing_held(server: &Server) {
    let Account { in_flight, waiting, .. } = account(server);
    assert_eq!((in_flight, waiting), (0, 0));
    assert_eq!(server.counters().queued_bytes.load(Relaxed), 0);
    assert!(server.counters().held_bytes.load(Relaxed) >= 0);
}

pub(crate) fn dropped(server: &Server, reason: DropReason) -> u64 {
    server.counters().dropped[reason as usize].load(Relaxed)
}

/// A policy made of a function, asked with client id, act and topic.
pub(crate) struct Policy<F>(pub(crate) F);

impl<F: Fn(&str, Act, &str) -> bool + Send + Sync> Rights for Policy<F> {
    fn allows(&self, client_id: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        Verdict::from((self.0)(client_id, act, topic))
    }
}

/// Numbered payloads from `range`.
pub(crate) fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
