//! Nobody keeps a thread to itself, nothing that was appended is left without a writer, and slow is not
//! silent: what one client makes the broker do for it leaves room for all others.
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
use aldis_packet::{Packet, ProtocolVersion, ReasonCode};
use aldis_server::transport::{WriteHalf, memory};
use aldis_server::{Act, Limits, Message, Server};
use harness::*;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};

/// Runs a future where no other runtime is: on a thread of its own, with a runtime that ends with it.
fn elsewhere(future: impl Future<Output = ()> + Send + 'static) {
    let thread = std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    });
    thread.join().unwrap();
}

/// Counts how often it gets its turn, for as long as it is not dropped.
struct Bystander(Arc<AtomicUsize>, tokio::task::JoinHandle<()>);

impl Bystander {
    fn new() -> Bystander {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        let task = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, SeqCst);
                // Ready again at once, behind whoever is ready now; yield_now would wait for the driver.
                let mut had_its_turn = false;
                std::future::poll_fn(|cx| {
                    if std::mem::replace(&mut had_its_turn, true) {
                        return Poll::Ready(());
                    }
                    cx.waker().wake_by_ref();
                    Poll::Pending
                })
                .await;
            }
        });
        Bystander(turns, task)
    }

    fn turns(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.1.abort();
    }
}

/// One read of 1,000 tiny messages for 1,000 subscribers is a million deliveries.
#[tokio::test]
async fn others_get_their_turn_while_one_read_is_delivered_to_many() {
    let server = server(Limits::default()).await;
    let mut readers = Vec::new();
    for number in 0..1_000 {
        let mut reader = client(&server, &format!("s{number}")).await;
        subscribe(&mut reader, "a", QOS0).await;
        readers.push(reader);
    }
    let mut publisher = client(&server, "p").await;
    let mut bytes = Vec::new();
    for _ in 0..1_000 {
        Packet::Publish(Outgoing::new("a", "x").to_packet(None)).encode(ProtocolVersion::V5, &mut bytes);
    }
    let bystander = Bystander::new();
    publisher.send_bytes(&bytes).await.unwrap();
    publisher.ping().await.unwrap();
    let turns = bystander.turns();
    drop(bystander);
    assert!(turns >= 50, "a million deliveries in parts of some ten thousand: {turns} turns for others");
    for _ in 0..1_000 {
        message(&mut readers[999]).await;
    }
}

/// A publisher may run on a runtime of its own, which ends as soon as it has published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finding_6_what_is_published_from_another_runtime_is_written() {
    let server = server(Limits::default()).await;
    let mut readers = Vec::new();
    for number in 0..200 {
        let mut reader = client(&server, &format!("s{number}")).await;
        subscribe(&mut reader, "#", QOS0).await;
        readers.push(reader);
    }
    let publisher = server.publisher();
    elsewhere(async move { publisher.publish(Message::new("a", "one")).await.unwrap() });
    server.publisher().publish(Message::new("a", "two")).await.unwrap();
    for reader in &mut readers {
        assert_eq!(texts(reader, 2).await, ["one", "two"]);
    }
}

/// A transport in whose writes somebody else publishes one more message for the same subscriber: so the
/// writer finds more each time, and hands over.
struct Interrupted {
    inner: Box<dyn WriteHalf>,
    left: Arc<AtomicUsize>,
    publish: Mutex<mpsc::Sender<mpsc::Sender<()>>>,
}

impl WriteHalf for Interrupted {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            let (done, published) = mpsc::channel();
            self.publish.lock().unwrap().send(done).unwrap();
            published.recv().unwrap();
        }
        self.inner.try_write(slices)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_writable(cx)
    }
}

/// What a publisher handed over to the subscriber's own task leaves although that task is told to end in the
/// same moment, and before its DISCONNECT.
#[tokio::test]
async fn finding_6_what_was_handed_over_leaves_at_the_end_too() {
    let server = server(Limits::default()).await;
    let (ask, asked) = mpsc::channel::<mpsc::Sender<()>>();
    let publisher = server.publisher();
    std::thread::spawn(move || {
        for (number, done) in (1..).zip(asked) {
            let publisher = publisher.clone();
            elsewhere(async move {
                publisher.publish(Message::new("a", format!("more {number}"))).await.unwrap();
            });
            done.send(()).unwrap();
        }
    });
    let (mut connection, stream, _) = memory::pair(CAPACITY);
    let left = Arc::new(AtomicUsize::new(0));
    let inner = connection.write;
    connection.write = Box::new(Interrupted { inner, left: Arc::clone(&left), publish: Mutex::new(ask) });
    server.accept(connection, true);
    let (mut reader, _) = connect_over(stream, Options::new("s")).await;
    subscribe(&mut reader, "a", QOS0).await;
    let mut publisher = client(&server, "p").await;
    quiet().await;
    left.store(2, SeqCst);
    let mut shutdown = pin!(server.shutdown());
    // The order to go is under way when the publisher's bytes are read.
    std::future::poll_fn(|cx| {
        assert!(shutdown.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    publisher.publish(Outgoing::new("a", "first")).await.unwrap();
    let reading = tokio::spawn(async move {
        let (before, reason) = to_the_end(&mut reader).await;
        let text = |packet| match packet {
            Received::Publish(message) => String::from_utf8(message.payload.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        (before.into_iter().map(text).collect::<Vec<_>>(), reason)
    });
    let leaving = tokio::spawn(async move { to_the_end(&mut publisher).await });
    assert_eq!(shutdown.await, 0, "nobody was cut off");
    let (texts, reason) = reading.await.unwrap();
    assert_eq!(reason, Some(ReasonCode::ServerShuttingDown));
    assert!(texts.is_empty() || texts == ["first", "more 1", "more 2"], "{texts:?}");
    leaving.await.unwrap();
}

/// Who comes back to a long queue is sent it in parts: others have their turns, and so has what the
/// client itself says.
#[tokio::test]
async fn a_client_is_heard_while_a_long_queue_is_written_to_it() {
    const MESSAGES: usize = 20_000;
    let server = server(Limits { queue_qos0: true, ..Limits::default() }).await;
    let mut reader = connect(&server, lasting("s")).await;
    subscribe(&mut reader, "a", QOS0).await;
    drop(reader);
    quiet().await;
    let publisher = server.publisher();
    for _ in 0..MESSAGES {
        publisher.publish(Message::new("a", vec![b'x'; 500])).await.unwrap();
    }
    let bystander = Bystander::new();
    let (mut reader, _) = connect_over(open(&server, 64 << 20), lasting("s")).await;
    reader.send_bytes(&[0xc0, 0]).await.unwrap();
    let mut before = 0;
    loop {
        match receive(&mut reader).await {
            Received::Publish(_) => before += 1,
            Received::Pingresp => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(before < MESSAGES / 2, "{before} messages came before the answer to PINGREQ");
    for _ in before..MESSAGES {
        message(&mut reader).await;
    }
    // 64 KiB and less at a time.
    assert!(bystander.turns() >= MESSAGES * 500 / (128 << 10), "{}", bystander.turns());
}

/// [MQTT-3.1.2-22] asks for a packet within one and a half times the keep alive. A large one that is on its
/// way is a sign of life; single bytes that drip are not.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_22_a_large_packet_on_its_way_is_heard_and_dripping_bytes_are_not() {
    let server = server(Limits::default()).await;
    let size = 300_000_usize;
    let mut bytes = vec![0x30];
    let mut rest = size;
    while rest > 0 {
        bytes.push((rest % 128) as u8 | if rest > 127 { 128 } else { 0 });
        rest /= 128;
    }
    bytes.extend([0, 1, b'a', 0]);
    bytes.resize(bytes.len() + size - 4, b'x');
    let mut slow = connect(&server, Options::new("slow").keep_alive(2)).await;
    for part in bytes.chunks(10_000) {
        slow.send_bytes(part).await.unwrap();
        tokio::time::sleep(seconds(1)).await;
    }
    slow.ping().await.unwrap();

    let mut drips = connect(&server, Options::new("drips").keep_alive(2)).await;
    let start = tokio::time::Instant::now();
    for byte in bytes.chunks(1) {
        if drips.send_bytes(byte).await.is_err() {
            break;
        }
        tokio::time::sleep(millis(250)).await;
    }
    let lasted = start.elapsed();
    // The keep alive, a look every quarter of a second, and a second in which the end is still read.
    assert!((seconds(3)..seconds(5)).contains(&lasted), "{lasted:?}");
    expect_farewell(&mut drips, ReasonCode::KeepAliveTimeout).await;
}

/// At the memory watermark a publisher is slowed and never stopped, and what it is sent as a subscriber goes
/// on leaving meanwhile, for that is what frees memory.
#[tokio::test(start_paused = true)]
async fn finding_12_a_paused_publisher_is_still_written_to_and_heard() {
    let server = server(Limits::default()).await;
    let mut both = connect_over(open(&server, 2_000), Options::new("both").keep_alive(1)).await.0;
    subscribe(&mut both, "own", QOS1).await;
    // Something is held for good, so the watermark stays reached.
    let mut away = connect(&server, lasting("away")).await;
    subscribe(&mut away, "kept", QOS1).await;
    drop(away);
    quiet().await;
    server.publisher().publish(Message::new("kept", vec![b'x'; 20_000]).qos(QOS1)).await.unwrap();
    server.reload(settings(Limits { memory_watermark: 10_000, ..Limits::default() })).await;
    let start = tokio::time::Instant::now();
    for round in 0..30 {
        // Its own message comes back to it, through a pipe that holds less than one.
        both.publish(Outgoing::new("own", vec![b'x'; 5_000]).qos(QOS1)).await.unwrap();
        let (mut came, mut answered) = (false, false);
        while !(came && answered) {
            match receive(&mut both).await {
                Received::Publish(message) => {
                    both.acknowledge(&message).await.unwrap();
                    came = true;
                }
                Received::Ack(_) => answered = true,
                other => panic!("round {round}: {other:?}"),
            }
        }
    }
    let lasted = start.elapsed();
    both.ping().await.unwrap();
    assert!(lasted <= seconds(30), "by pauses of 100 ms at most: {lasted:?}");
    // Who has nothing to read or write but its own messages waits those out.
    let mut publisher = client(&server, "publisher").await;
    let start = tokio::time::Instant::now();
    for _ in 0..10 {
        publish(&mut publisher, Outgoing::new("nobody", "x").qos(QOS1)).await;
    }
    let lasted = start.elapsed();
    assert!((millis(900)..=millis(1_100)).contains(&lasted), "{lasted:?}");
}

/// Two clients that publish to each other, with full windows and unread sockets: neither waits for the other.
#[tokio::test(start_paused = true)]
async fn two_clients_that_flood_each_other_do_not_stop_each_other() {
    let limits = Limits { in_flight: 4, queue_messages: 10, outbox_bytes: 1_000, ..Limits::default() };
    let server = server(limits).await;
    let mut pair = Vec::new();
    for (id, own) in [("a", "to/a"), ("b", "to/b")] {
        let mut peer = connect_over(open(&server, 2_000), Options::new(id)).await.0;
        subscribe(&mut peer, own, QOS1).await;
        pair.push(peer);
    }
    let (b, a) = (pair.pop().unwrap(), pair.pop().unwrap());
    let floods = |mut peer: Peer, to: &'static str| async move {
        let mut answered = 0;
        for _ in 0..200 {
            let mut bytes = Vec::new();
            for _ in 0..5 {
                let id = aldis_packet::PacketId::new(1 + answered as u16 % 1_000);
                let message = Outgoing::new(to, vec![b'x'; 100]).qos(QOS1);
                Packet::Publish(message.to_packet(id)).encode(ProtocolVersion::V5, &mut bytes);
            }
            peer.send_bytes(&bytes).await.unwrap();
            let mut owed = 5;
            while owed > 0 {
                match receive(&mut peer).await {
                    Received::Publish(message) => peer.acknowledge(&message).await.unwrap(),
                    Received::Ack(_) => {
                        owed -= 1;
                        answered += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        answered
    };
    let (of_a, of_b) = tokio::join!(tokio::spawn(floods(a, "to/b")), tokio::spawn(floods(b, "to/a")));
    assert_eq!((of_a.unwrap(), of_b.unwrap()), (1_000, 1_000));
}

/// A 3.x client is not told why it has to go; nothing is sent to it after that either.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_4_1_nothing_is_appended_for_a_3_1_1_client_that_is_ended() {
    let server = server(Limits::default()).await;
    let mut offender = connect_over(open(&server, 1 << 10), v311("s")).await.0;
    subscribe(&mut offender, "a", QOS0).await;
    server.publisher().publish(Message::new("a", vec![0; 4_000])).await.unwrap();
    offender.send_bytes(&[0x10, 0]).await.unwrap();
    quiet().await;
    let waiting = account(&server).waiting;
    server.publisher().publish(Message::new("a", "late")).await.unwrap();
    assert_eq!(account(&server).waiting, waiting, "dropped and counted, not appended");
}

/// A policy that panics says no; the wills, and everybody else, go on.
#[tokio::test]
async fn a_policy_that_panics_denies_and_ends_nothing() {
    let rights = Policy(|_: &str, act: Act, topic: &str| {
        assert!(!(act == Act::Receive && topic == "boom"), "a bug in a policy");
        true
    });
    let server = server_with_rights(Limits::default(), Arc::new(rights)).await;
    let mut witness = client(&server, "witness").await;
    subscribe(&mut witness, "#", QOS0).await;
    for topic in ["first", "boom", "third"] {
        let options = Options::new(format!("with {topic}")).will(Outgoing::new(topic, topic));
        drop(connect(&server, options).await);
        quiet().await;
    }
    server.publisher().publish(Message::new("boom", "not for you")).await.unwrap();
    server.publisher().publish(Message::new("last", "last")).await.unwrap();
    assert_eq!(texts(&mut witness, 3).await, ["first", "third", "last"]);
}

/// The reader sees an account that adds up after all this.
#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_while_much_waits_leaves_nothing_held() {
    let server: Server = server(Limits { queue_qos0: true, ..Limits::default() }).await;
    let mut reader = connect_over(open(&server, 1_000), Options::new("s")).await.0;
    subscribe(&mut reader, "a", QOS1).await;
    let publisher = server.publisher();
    for _ in 0..3_000 {
        publisher.publish(Message::new("a", vec![b'x'; 100]).qos(QOS1)).await.unwrap();
    }
    assert!(server.counters().held_bytes.load(SeqCst) > 300_000);
    drop(reader);
    quiet().await;
    expect_nothing_held(&server);
    assert_eq!(server.counters().held_bytes.load(SeqCst), 0);
}
