//! The broker inside another program: publishing and subscribing without a socket, several servers
//! in one process, shutting down and dropping.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use aldis_client::{Client, Options, Outgoing};
use aldis_packet::SubscriptionOptions;
use aldis_server::{
    Act, Limits, Listener, Message, PublishError, QoS, ReceivedMessage, Rights, Server, Settings,
    SubscribeError, Subscriber, Verdict,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, timeout};

const EACH: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn quiet() -> Settings {
    Settings { listeners: Vec::new(), sys_interval: Duration::ZERO, ..Settings::default() }
}

fn with_limits(limits: Limits) -> Settings {
    Settings { limits, ..quiet() }
}

async fn start(settings: Settings) -> Server {
    Server::builder().settings(settings).start().await.unwrap()
}

async fn recv(subscriber: &mut Subscriber) -> ReceivedMessage {
    timeout(Duration::from_secs(20), subscriber.recv()).await.expect("a message").expect("not the end")
}

/// The next message, if there is one already or soon.
async fn recv_soon(subscriber: &mut Subscriber) -> Option<ReceivedMessage> {
    timeout(Duration::from_millis(200), subscriber.recv()).await.ok().flatten()
}

async fn publish(server: &Server, topic: &str, payload: impl ToString, qos: QoS) {
    let message = Message::new(topic, payload.to_string()).qos(qos);
    server.publisher().publish(message).await.unwrap();
}

fn text(message: &ReceivedMessage) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

/// Waits until `condition` holds: for what ends by itself a moment later.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}

// ---- what arrives ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_quality_of_service_arrives_in_order_and_never_higher_than_asked() {
    let server = start(quiet()).await;
    for asked in EACH {
        for published in EACH {
            let topic = format!("q/{}/{}", asked.value(), published.value());
            let mut subscriber = server.subscribe(&topic, asked).await.unwrap();
            for number in 0..500 {
                publish(&server, &topic, number, published).await;
            }
            for number in 0..500 {
                let message = recv(&mut subscriber).await;
                let expected = (topic.as_str(), number.to_string(), asked.min(published), false);
                let got = (message.topic.as_str(), text(&message).to_owned(), message.qos, message.retain);
                assert_eq!(got, expected);
            }
            subscriber.close().await;
        }
    }
    let counters = server.counters();
    until("everything is acknowledged", || counters.in_flight.load(Relaxed) == 0).await;
    assert_eq!(counters.completed.load(Relaxed), 9 * 500);
    assert_eq!(server.shutdown().await, 0);
}

#[tokio::test]
async fn retained_messages_come_first_and_say_so() {
    let server = start(quiet()).await;
    for room in ["kitchen", "hall"] {
        server.publisher().publish(Message::new(format!("home/{room}"), "before").retained()).await.unwrap();
    }
    let mut subscriber = server.subscribe("home/+", QoS::AtLeastOnce).await.unwrap();
    let mut before = [recv(&mut subscriber).await, recv(&mut subscriber).await];
    before.sort_by(|a, b| a.topic.cmp(&b.topic));
    assert_eq!(before.each_ref().map(|message| message.topic.as_str()), ["home/hall", "home/kitchen"]);
    assert!(before.iter().all(|message| message.retain && text(message) == "before"));
    server.publisher().publish(Message::new("home/hall", "after").retained()).await.unwrap();
    let live = recv(&mut subscriber).await;
    assert_eq!((text(&live), live.retain), ("after", false));
    // An empty one removes it.
    server.publisher().publish(Message::new("home/hall", "").retained()).await.unwrap();
    let mut second = server.subscribe("home/hall", QoS::AtMostOnce).await.unwrap();
    assert_eq!(recv_soon(&mut second).await, None);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_payloads_arrive_whole_and_too_large_ones_are_refused() {
    let limits = Limits { packet_size: 8 << 20, ..Limits::default() };
    let server = start(with_limits(limits)).await;
    for qos in EACH {
        let mut subscriber = server.subscribe("large", qos).await.unwrap();
        let mut connected = Client::connect(server.connect(4 << 10), Options::new("")).await.unwrap().0;
        for size in [4095, 4096, 70_000, 1 << 20, 7 << 20] {
            let payload: Vec<u8> = (0..size).map(|at: usize| (at % 251) as u8).collect();
            server.publisher().publish(Message::new("large", payload.clone()).qos(qos)).await.unwrap();
            let message = recv(&mut subscriber).await;
            assert!(message.payload == payload, "{size} bytes at {qos:?}");
            // The other way round, through a pipe that is much smaller than the packet.
            connected.publish_and_wait(Outgoing::new("large", &payload).qos(qos)).await.unwrap();
            assert!(recv(&mut subscriber).await.payload == payload, "{size} bytes at {qos:?}");
        }
    }
    let too_large = Message::new("large", vec![0; 8 << 20]);
    assert_eq!(server.publisher().publish(too_large).await, Err(PublishError::TooLarge));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_subscriber_loses_nothing_at_qos_1_and_2() {
    const MESSAGES: usize = 20_000;
    let server = start(quiet()).await;
    let mut slow = server.subscribe("numbers", QoS::ExactlyOnce).await.unwrap();
    // Many times what its window, its pipe and its Outbox hold, before the first one is taken.
    for number in 0..MESSAGES {
        let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        publish(&server, "numbers", format!("{number:0>64}"), qos).await;
    }
    for number in 0..MESSAGES {
        let message = recv(&mut slow).await;
        assert_eq!((text(&message).parse(), message.dup), (Ok(number), false));
    }
    assert_eq!(recv_soon(&mut slow).await, None);
    slow.close().await;
    assert_eq!(server.counters().completed.load(Relaxed), MESSAGES as u64);
    server.shutdown().await;
}

#[tokio::test]
async fn a_message_is_acknowledged_when_the_next_is_asked_for_and_that_keeps_the_window_full() {
    let limits = Limits { in_flight: 3, ..Limits::default() };
    let server = start(with_limits(limits)).await;
    let counters = server.counters();
    let mut subscriber = server.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    for number in 0..5 {
        publish(&server, "a", number, QoS::AtLeastOnce).await;
    }
    let completed = || counters.completed.load(Relaxed);
    assert_eq!((counters.in_flight.load(Relaxed), counters.waiting.load(Relaxed)), (3, 2));
    assert_eq!(text(&recv(&mut subscriber).await), "0");
    tokio::task::yield_now().await;
    assert_eq!((completed(), counters.waiting.load(Relaxed)), (0, 2));
    assert_eq!(text(&recv(&mut subscriber).await), "1");
    until("the first is acknowledged, and makes room", || completed() == 1).await;
    assert_eq!((counters.in_flight.load(Relaxed), counters.waiting.load(Relaxed)), (3, 1));
    // The end acknowledges the one that was given out last; the other three are dropped and counted.
    subscriber.close().await;
    until("the session has ended", || counters.in_flight.load(Relaxed) == 0).await;
    assert_eq!((completed(), counters.waiting.load(Relaxed)), (2, 0));
    let dropped: u64 = counters.dropped.iter().map(|count| count.load(Relaxed)).sum();
    assert_eq!(dropped, 3);
}

#[tokio::test]
async fn nothing_is_lost_when_recv_is_given_up_again_and_again() {
    let server = start(quiet()).await;
    for qos in EACH {
        let mut subscriber = server.subscribe("a", qos).await.unwrap();
        let publisher = server.publisher();
        let publishing = async {
            for number in 0..2000 {
                publisher.publish(Message::new("a", number.to_string()).qos(qos)).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let receiving = async {
            let mut expected = 0;
            while expected < 2000 {
                // The message first; giving up is what comes when there is none at once.
                tokio::select! {
                    biased;
                    message = subscriber.recv() => {
                        assert_eq!(text(&message.unwrap()), expected.to_string());
                        expected += 1;
                    }
                    () = tokio::task::yield_now() => {}
                }
            }
        };
        tokio::join!(publishing, receiving);
        subscriber.close().await;
    }
    let counters = server.counters();
    until("everything is acknowledged", || counters.completed.load(Relaxed) == 3 * 2000).await;
}

#[tokio::test]
async fn in_process_and_tcp_clients_hear_each_other() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = start(Settings { listeners: vec![Listener::tcp(address)], ..quiet() }).await;
    let (mut client, _) = Client::tcp(server.addresses()[0], Options::new("tcp")).await.unwrap();
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(QoS::ExactlyOnce) };
    client.subscribe(&[("chat", options)], None).await.unwrap();
    let mut subscriber = server.subscribe("chat", QoS::ExactlyOnce).await.unwrap();

    let outgoing = Outgoing::new("chat", "from outside").qos(QoS::ExactlyOnce).user_property("lang", "en");
    client.publish_and_wait(outgoing).await.unwrap();
    let message = recv(&mut subscriber).await;
    assert_eq!((text(&message), message.user_properties()), ("from outside", vec![("lang", "en")]));

    publish(&server, "chat", "from inside", QoS::ExactlyOnce).await;
    let message = client.next_message().await.unwrap();
    client.acknowledge(&message).await.unwrap();
    assert_eq!(text(&message), "from inside");
    client.disconnect().await.unwrap();
    server.shutdown().await;
}

#[tokio::test]
async fn subscribers_can_share_a_subscription() {
    let server = start(quiet()).await;
    let mut first = server.subscribe("$share/workers/jobs", QoS::AtLeastOnce).await.unwrap();
    let mut second = server.subscribe("$share/workers/jobs", QoS::AtLeastOnce).await.unwrap();
    for number in 0..10 {
        publish(&server, "jobs", number, QoS::AtLeastOnce).await;
    }
    let mut all = Vec::new();
    for subscriber in [&mut first, &mut second] {
        for _ in 0..5 {
            all.push(text(&recv(subscriber).await).parse::<u32>().unwrap());
        }
    }
    all.sort_unstable();
    assert_eq!(all, Vec::from_iter(0..10));
}

// ---- what is refused ----

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused_with_its_reason() {
    let limits = Limits { topic_levels: 3, connections: 1, ..Limits::default() };
    let server = start(with_limits(limits)).await;
    for filter in ["", "a/#/b", "a+", "$share/g", "a\0"] {
        let refused = server.subscribe(filter, QoS::AtMostOnce).await.unwrap_err();
        assert!(matches!(refused, SubscribeError::Filter(_)), "{filter:?}: {refused}");
    }
    assert!(matches!(server.subscribe("1/2/3/4", QoS::AtMostOnce).await, Err(SubscribeError::Filter(_))));
    let only = server.subscribe("1/2/3", QoS::AtMostOnce).await.unwrap();
    let refused = server.subscribe("a", QoS::AtMostOnce).await.unwrap_err();
    assert_eq!(refused, SubscribeError::TooManyConnections);
    assert!(refused.to_string().contains("limits.connections"), "{refused}");
    only.close().await;
    drop(server);
}

/// Nobody may subscribe under `private/`, and nobody hears of what is `secret`.
struct ByTopic;

impl Rights for ByTopic {
    fn allows(&self, _: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        Verdict::from(match act {
            Act::Publish => false,
            Act::Subscribe => !topic.starts_with("private/"),
            Act::Receive => !topic.ends_with("/secret"),
        })
    }
}

#[tokio::test]
async fn the_policy_given_to_the_builder_is_asked_inside_too() {
    let server = Server::builder().settings(quiet()).rights(Arc::new(ByTopic)).start().await.unwrap();
    let refused = server.subscribe("private/x", QoS::AtMostOnce).await.unwrap_err();
    assert_eq!(refused, SubscribeError::NotAuthorized);
    server.publisher().publish(Message::new("a/secret", "kept").retained()).await.unwrap();
    let mut subscriber = server.subscribe("a/+", QoS::AtLeastOnce).await.unwrap();
    publish(&server, "a/secret", "live", QoS::AtLeastOnce).await;
    // The broker's own publisher is not asked; a client is, also over a connection in memory.
    publish(&server, "a/open", "from the program", QoS::AtLeastOnce).await;
    let message = recv(&mut subscriber).await;
    assert_eq!((message.topic.as_str(), text(&message)), ("a/open", "from the program"));
    let (mut client, _) = Client::connect(server.connect(1024), Options::new("c")).await.unwrap();
    let outgoing = Outgoing::new("a/open", "from a client").qos(QoS::AtLeastOnce);
    assert_eq!(client.publish_and_wait(outgoing).await.unwrap(), aldis_server::ReasonCode::NotAuthorized);
    assert_eq!(recv_soon(&mut subscriber).await, None);
    server.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_cap_does_not_end_a_subscriber_that_is_silent() {
    let limits = Limits { keep_alive_max: 1, ..Limits::default() };
    let server = start(with_limits(limits)).await;
    let mut subscriber = server.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    publish(&server, "a", "still here", QoS::AtLeastOnce).await;
    assert_eq!(text(&recv(&mut subscriber).await), "still here");
}

// ---- beginnings and ends ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_shutdown_recv_gives_what_was_sent_and_then_none() {
    let server = start(quiet()).await;
    let publisher = server.publisher();
    let mut idle = server.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    let mut waiting = server.subscribe("b", QoS::AtLeastOnce).await.unwrap();
    let ended = tokio::task::JoinSet::from_iter([async move { waiting.recv().await }]);
    publish(&server, "a", 1, QoS::AtLeastOnce).await;
    publish(&server, "a", 2, QoS::AtLeastOnce).await;
    let begun = Instant::now();
    assert_eq!(server.shutdown().await, 0);
    assert!(begun.elapsed() < Duration::from_secs(5), "an idle subscriber must not hold up the end");
    assert_eq!(ended.join_all().await, [None]);
    assert_eq!(text(&recv(&mut idle).await), "1");
    assert_eq!(text(&recv(&mut idle).await), "2");
    assert_eq!(idle.recv().await, None);
    assert_eq!(idle.recv().await, None);
    idle.close().await;
    for message in [Message::new("a", "x"), Message::new("a", "x").retained()] {
        assert_eq!(publisher.publish(message).await, Err(PublishError::Closed));
    }
}

#[tokio::test]
async fn dropping_a_subscriber_ends_its_subscription() {
    let server = start(quiet()).await;
    let counters = server.counters();
    let subscriber = server.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    publish(&server, "a", "heard", QoS::AtMostOnce).await;
    assert_eq!(counters.no_subscriber.load(Relaxed), 0);
    drop(subscriber);
    let publisher = server.publisher();
    let deadline = Instant::now() + Duration::from_secs(10);
    while counters.no_subscriber.load(Relaxed) == 0 {
        assert!(Instant::now() < deadline, "the subscription goes on");
        publisher.publish(Message::new("a", "unheard")).await.unwrap();
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_servers_in_one_process_share_nothing() {
    let servers = [start(quiet()).await, start(quiet()).await, start(quiet()).await];
    let mut subscribers = Vec::new();
    for server in &servers {
        subscribers.push(server.subscribe("#", QoS::ExactlyOnce).await.unwrap());
    }
    // In turn, so that every thread changes from one to another all the time.
    for number in 0..300 {
        for (which, server) in servers.iter().enumerate() {
            publish(server, "which", format!("{which} {number}"), QoS::ExactlyOnce).await;
        }
    }
    for number in 0..300 {
        for (which, subscriber) in subscribers.iter_mut().enumerate() {
            assert_eq!(text(&recv(subscriber).await), format!("{which} {number}"));
        }
    }
    let [first, rest @ ..] = servers;
    assert_eq!(first.shutdown().await, 0);
    assert_eq!(subscribers[0].recv().await, None);
    for (server, subscriber) in rest.iter().zip(&mut subscribers[1..]) {
        publish(server, "which", "still there", QoS::AtLeastOnce).await;
        assert_eq!(text(&recv(subscriber).await), "still there");
    }
}

#[tokio::test]
async fn dropping_a_server_ends_its_subscribers_and_frees_its_port() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = start(Settings { listeners: vec![Listener::tcp(address)], ..quiet() }).await;
    let (address, publisher) = (server.addresses()[0], server.publisher());
    let (mut client, _) = Client::tcp(address, Options::new("tcp")).await.unwrap();
    let mut subscriber = server.subscribe("a", QoS::AtMostOnce).await.unwrap();
    drop(server);
    assert_eq!(timeout(Duration::from_secs(10), subscriber.recv()).await, Ok(None));
    assert!(client.next_message().await.unwrap_err().is_closed());
    drop(client);
    let deadline = Instant::now() + Duration::from_secs(10);
    while publisher.publish(Message::new("a", "x")).await != Err(PublishError::Closed) {
        assert!(Instant::now() < deadline, "the broker goes on");
        tokio::task::yield_now().await;
    }
    let again = Settings { listeners: vec![Listener::tcp(address)], ..quiet() };
    assert_eq!(start(again).await.addresses(), [address]);
}

#[test]
fn a_server_runs_on_the_runtime_of_its_program_and_can_be_dropped_outside_of_it() {
    let runtimes = [tokio::runtime::Builder::new_current_thread(), {
        let mut threads = tokio::runtime::Builder::new_multi_thread();
        threads.worker_threads(2);
        threads
    }];
    for mut builder in runtimes {
        let runtime = builder.enable_all().build().unwrap();
        let server = runtime.block_on(start(quiet()));
        let mut subscriber = runtime.block_on(server.subscribe("a", QoS::AtLeastOnce)).unwrap();
        runtime.block_on(publish(&server, "a", "hello", QoS::AtLeastOnce));
        assert_eq!(text(&runtime.block_on(recv(&mut subscriber))), "hello");
        drop(server);
        assert_eq!(runtime.block_on(subscriber.recv()), None);
        // The other way round: the runtime is gone, the server is not.
        let server = runtime.block_on(start(quiet()));
        let subscriber = runtime.block_on(server.subscribe("a", QoS::AtLeastOnce)).unwrap();
        drop(runtime);
        drop(subscriber);
        drop(server);
    }
}
