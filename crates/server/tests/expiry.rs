//! What happens at a certain time: delayed wills, sessions that expire, messages that expire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod harness;

use aldis_client::{Options, Outgoing};
use aldis_packet::{Disconnect, ProtocolVersion, ReasonCode, Will};
use aldis_server::{Limits, Server};
use harness::*;
use std::time::Duration;
use tokio::time::Instant;

/// How late anything may come that is due at a certain time.
const LATE: Duration = Duration::from_millis(100);

fn will(delay: u32) -> Will {
    Will { delay, ..Will::from(Outgoing::new("will", "gone").qos(QOS1)) }
}

fn expiring(id: &str, seconds: u32) -> Options {
    Options::new(id).resume().session_expiry(seconds)
}

async fn witness(server: &Server) -> Peer {
    let mut witness = client(server, "witness").await;
    subscribe(&mut witness, "will", QOS1).await;
    witness
}

/// The will comes after exactly this time.
async fn expect_will(witness: &mut Peer, after: Duration) {
    silent(witness, after - millis(2)).await;
    let rest = Instant::now();
    assert_eq!(text(witness).await, "gone");
    assert!(rest.elapsed() <= LATE, "{:?} late", rest.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_comes_when_its_delay_has_passed() {
    let server = server(Limits::default()).await;
    let mut witness = witness(&server).await;
    for delay in [1, 10, 3600] {
        drop(connect(&server, expiring("s", 10_000).will(will(delay))).await);
        expect_will(&mut witness, seconds(u64::from(delay))).await;
        silent(&mut witness, seconds(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_comes_with_the_end_of_the_session_if_that_is_earlier() {
    // [MQTT-3.1.3-9] and section 3.1.3.2.2
    let server = server(Limits::default()).await;
    let mut witness = witness(&server).await;
    for (expiry, delay, after) in [(5, 10, 5), (5, 5, 5), (5, u32::MAX, 5), (0, 10, 0), (10, 5, 5)] {
        drop(connect(&server, expiring("s", expiry).will(will(delay))).await);
        if after == 0 {
            assert_eq!(text(&mut witness).await, "gone");
        } else {
            expect_will(&mut witness, seconds(after)).await;
        }
        silent(&mut witness, seconds(60)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_is_cancelled_by_coming_back_in_time() {
    let server = server(Limits::default()).await;
    let mut witness = witness(&server).await;
    drop(connect(&server, expiring("s", 100).will(will(10))).await);
    silent(&mut witness, millis(9_990)).await;
    // Back without a will: there is none any more.
    let back = connect(&server, expiring("s", 100)).await;
    silent(&mut witness, seconds(60)).await;
    drop(back);
    silent(&mut witness, seconds(200)).await;
    // Back too late: it was sent, once.
    drop(connect(&server, expiring("s", 100).will(will(10))).await);
    expect_will(&mut witness, seconds(10)).await;
    let _back = connect(&server, expiring("s", 100)).await;
    silent(&mut witness, seconds(60)).await;
}

#[tokio::test(start_paused = true)]
async fn a_clean_start_sends_the_delayed_will_of_the_session_that_it_ends() {
    let server = server(Limits::default()).await;
    let mut witness = witness(&server).await;
    drop(connect(&server, expiring("s", 100).will(will(50))).await);
    silent(&mut witness, seconds(1)).await;
    let _new = connect(&server, Options::new("s")).await;
    assert_eq!(text(&mut witness).await, "gone");
    silent(&mut witness, seconds(100)).await;
}

#[tokio::test(start_paused = true)]
async fn a_will_carries_its_properties_and_expires_from_when_it_is_sent() {
    let server = server(Limits::default()).await;
    let mut witness = witness(&server).await;
    let message =
        Outgoing::new("will", "gone").retain().expiry(30).user_property("a", "b").user_property("a", "c");
    let mut will = Will { delay: 20, ..Will::from(message) };
    will.qos = QOS2;
    drop(connect(&server, expiring("s", 100).will(will)).await);
    tokio::time::sleep(seconds(20)).await;
    let sent = message_of(&mut witness).await;
    assert_eq!((sent.message_expiry, sent.qos, sent.retain), (Some(30), QOS1, false));
    assert_eq!(sent.user_properties(), [("a", "b"), ("a", "c")]);
    tokio::time::sleep(seconds(10)).await;
    let mut late = client(&server, "late").await;
    subscribe(&mut late, "will", QOS2).await;
    let kept = message_of(&mut late).await;
    assert_eq!((kept.retain, kept.qos, kept.user_properties().len()), (true, QOS2, 2));
    assert!(matches!(kept.message_expiry, Some(19 | 20)), "{:?}", kept.message_expiry);
}

async fn message_of(peer: &mut Peer) -> aldis_client::Message {
    let message = message(peer).await;
    peer.acknowledge(&message).await.unwrap();
    message
}

/// Whether the session of `id` is there, looked at in a way that does not change when it ends.
async fn present(server: &Server, options: Options) -> bool {
    let (peer, present) = connect_present(server, options).await;
    drop(peer);
    quiet().await;
    present
}

#[tokio::test(start_paused = true)]
async fn a_session_is_there_until_its_expiry_and_gone_after_it() {
    let server = server(Limits::default()).await;
    for (wait, there) in [(millis(9_990), true), (millis(10_000) + LATE, false)] {
        drop(connect(&server, Options { clean_start: true, ..expiring("s", 10) }).await);
        quiet().await;
        tokio::time::sleep(wait - millis(1)).await;
        assert_eq!(present(&server, expiring("s", 10)).await, there, "after {wait:?}");
    }
    // Connected it does not expire, and the interval begins anew with each disconnection.
    let held = connect(&server, expiring("s", 10)).await;
    tokio::time::sleep(seconds(60)).await;
    drop(held);
    tokio::time::sleep(millis(9_990)).await;
    assert!(present(&server, expiring("s", 10)).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_expiry_ends_with_its_connection_and_one_with_the_largest_never() {
    let server = server(Limits::default()).await;
    drop(connect(&server, expiring("none", 0)).await);
    drop(connect(&server, Options::new("unsaid").resume()).await);
    drop(connect(&server, lasting("never")).await);
    drop(connect(&server, expiring("years", u32::MAX - 1)).await);
    quiet().await;
    assert!(!present(&server, lasting("none")).await);
    assert!(!present(&server, lasting("unsaid")).await);
    for _ in 0..10 {
        tokio::time::advance(seconds(10 * 365 * 24 * 3600)).await;
        quiet().await;
    }
    assert!(present(&server, lasting("never")).await);
    assert!(present(&server, expiring("years", u32::MAX - 1)).await);
    tokio::time::advance(seconds(u64::from(u32::MAX))).await;
    quiet().await;
    assert!(present(&server, lasting("never")).await);
    assert!(!present(&server, lasting("years")).await);
}

#[tokio::test(start_paused = true)]
async fn disconnect_changes_the_expiry() {
    let server = server(Limits { session_expiry_max: 1000, ..Limits::default() }).await;
    let leave = async |asked: Options, at_the_end: Option<u32>| {
        let peer = connect(&server, asked).await;
        let disconnect = Disconnect { session_expiry: at_the_end, ..Disconnect::new(ReasonCode::Success) };
        peer.disconnect_with(disconnect).await.unwrap();
    };
    leave(expiring("longer", 5), Some(100)).await;
    leave(expiring("shorter", 100), Some(5)).await;
    leave(expiring("ended", 100), Some(0)).await;
    leave(expiring("kept", 100), None).await;
    leave(expiring("capped", 100), Some(u32::MAX)).await;
    quiet().await;
    assert!(!present(&server, expiring("ended", 0)).await);
    tokio::time::sleep(seconds(6)).await;
    assert!(!present(&server, expiring("shorter", 0)).await);
    tokio::time::sleep(seconds(90)).await;
    // Looking ends them: these ask for no expiry.
    assert!(present(&server, expiring("longer", 0)).await);
    assert!(present(&server, expiring("kept", 0)).await);
    tokio::time::sleep(seconds(890)).await;
    assert!(present(&server, expiring("capped", 1000)).await);
    tokio::time::sleep(seconds(1001)).await;
    assert!(!present(&server, expiring("capped", 0)).await);
}

#[tokio::test(start_paused = true)]
async fn the_server_caps_the_expiry_and_says_so() {
    let server = server(Limits { session_expiry_max: 60, ..Limits::default() }).await;
    for (asked, granted) in [(60, None), (61, Some(60)), (u32::MAX, Some(60)), (0, None)] {
        let stream = open(&server, CAPACITY);
        let (peer, connack) = aldis_client::Client::connect(stream, expiring("s", asked)).await.unwrap();
        assert_eq!(connack.properties.session_expiry, granted);
        drop(peer);
        quiet().await;
    }
    drop(connect(&server, lasting("s")).await);
    tokio::time::sleep(seconds(61)).await;
    assert!(!present(&server, lasting("s")).await);
}

#[tokio::test(start_paused = true)]
async fn sessions_before_mqtt_5_expire_by_the_default() {
    let server = server(Limits { session_expiry_default: 100, ..Limits::default() }).await;
    let mut publisher = client(&server, "p").await;
    for version in [ProtocolVersion::V31, ProtocolVersion::V311] {
        let options = || Options::new("s").version(version).resume();
        for (wait, there) in [(99, true), (101, false)] {
            let mut peer = connect(&server, Options { clean_start: true, ..options() }).await;
            drop(peer);
            peer = connect(&server, options()).await;
            subscribe(&mut peer, "t", QOS1).await;
            drop(peer);
            quiet().await;
            publish(&mut publisher, Outgoing::new("t", "queued").qos(QOS1)).await;
            tokio::time::sleep(seconds(wait)).await;
            let mut peer = connect(&server, options()).await;
            if there {
                assert_eq!(text(&mut peer).await, "queued");
            } else {
                silent(&mut peer, seconds(1)).await;
            }
        }
    }
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn message_expiry_counts_down_while_a_message_waits() {
    // [MQTT-3.3.2-6]
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut peer = connect(&server, lasting("s")).await;
    subscribe(&mut peer, "t", QOS1).await;
    publish(&mut publisher, Outgoing::new("t", "live").qos(QOS1).expiry(10)).await;
    let live = message_of(&mut peer).await;
    assert_eq!(live.message_expiry, Some(10));
    drop(peer);
    quiet().await;
    for expiry in [0, 1, 5, 100, u32::MAX] {
        let message = Outgoing::new("t", expiry.to_string()).qos(QOS1).expiry(expiry);
        publish(&mut publisher, message).await;
    }
    publish(&mut publisher, Outgoing::new("t", "for ever").qos(QOS1)).await;
    tokio::time::sleep(seconds(30)).await;
    let mut peer = connect(&server, lasting("s")).await;
    let mut left = Vec::new();
    for _ in 0..3 {
        let message = message_of(&mut peer).await;
        left.push((message.payload, message.message_expiry));
    }
    let never = u32::MAX.to_string();
    let about = |left: Option<u32>, expected: u32| left.is_some_and(|left| left.abs_diff(expected) <= 1);
    assert_eq!(
        (&left[0].0, &left[1].0, &left[2]),
        (&"100".into(), &never.into(), &("for ever".into(), None))
    );
    assert!(about(left[0].1, 70) && about(left[1].1, u32::MAX - 30), "{left:?}");
    quiet().await;
    assert_eq!(account(&server).expired, 3);
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_full_pipe_expires_too() {
    // Finding 21: encoded when the socket takes more, not when it was published.
    let limits = Limits { outbox_bytes: 2000, ..Limits::default() };
    let server = server(limits).await;
    let mut publisher = client(&server, "p").await;
    let (mut peer, _) = connect_over(open(&server, 1000), Options::new("s")).await;
    subscribe(&mut peer, "t", QOS0).await;
    for number in 0..50 {
        let expiry = if number % 2 == 0 { 10 } else { 1000 };
        let message = Outgoing::new("t", format!("{number:0200}")).expiry(expiry);
        publisher.publish(message).await.unwrap();
    }
    publisher.ping().await.unwrap();
    tokio::time::sleep(seconds(20)).await;
    let mut late = 0;
    while let Ok(Some(packet)) = peer.receive_within(seconds(1)).await {
        let message = packet.into_message().unwrap();
        let number: usize = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
        late += usize::from(number.is_multiple_of(2));
    }
    // Some were on their way; the many that waited have expired.
    assert!(late <= 10, "{late} came too late");
    let account = account(&server);
    assert_eq!(account.expired as usize, 25 - late);
    assert_eq!(account.completed as usize, 25 + late);
}

#[tokio::test(start_paused = true)]
async fn a_retained_message_expires() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    publish(&mut publisher, Outgoing::new("t", "short").qos(QOS1).retain().expiry(10)).await;
    publish(&mut publisher, Outgoing::new("u", "replaced").qos(QOS1).retain().expiry(10)).await;
    publish(&mut publisher, Outgoing::new("u", "long").qos(QOS1).retain().expiry(100)).await;
    tokio::time::sleep(seconds(9)).await;
    let mut peer = client(&server, "s").await;
    subscribe(&mut peer, "+", QOS1).await;
    let first = message_of(&mut peer).await;
    assert_eq!((first.payload, first.message_expiry), ("short".into(), Some(1)));
    assert_eq!(text(&mut peer).await, "long");
    tokio::time::sleep(seconds(2)).await;
    subscribe(&mut peer, "+", QOS1).await;
    let left = message_of(&mut peer).await;
    assert_eq!(left.payload, "long");
    assert!(matches!(left.message_expiry, Some(88..=89)), "{:?}", left.message_expiry);
    silent(&mut peer, seconds(1)).await;
    tokio::time::sleep(seconds(100)).await;
    subscribe(&mut peer, "+", QOS1).await;
    silent(&mut peer, seconds(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_takes_its_messages_and_subscriptions_with_it() {
    let server = server(Limits::default()).await;
    let mut publisher = client(&server, "p").await;
    let mut peer = connect(&server, expiring("s", 10)).await;
    for number in 0..200 {
        subscribe(&mut peer, &format!("t/{number}"), QOS1).await;
    }
    drop(peer);
    quiet().await;
    for number in 0..200 {
        let message = Outgoing::new(format!("t/{number}"), "x").qos(QOS1);
        assert_eq!(publish(&mut publisher, message).await, ReasonCode::Success);
    }
    assert_eq!(account(&server).waiting, 200);
    tokio::time::sleep(seconds(11)).await;
    expect_nothing_held(&server);
    for number in 0..200 {
        let message = Outgoing::new(format!("t/{number}"), "x").qos(QOS1);
        assert_eq!(publish(&mut publisher, message).await, ReasonCode::NoMatchingSubscribers);
    }
}
