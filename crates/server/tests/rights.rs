//! Law 11: the one function that decides is asked on every path a message can take. The policy of
//! these tests denies by topic, and can change its mind while messages wait.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod harness;

use aldis_client::{Client, ClientError, Message, Options, Outgoing};
use aldis_packet::{AckKind, ProtocolVersion, ReasonCode, Will};
use aldis_server::{Act, DropReason, Limits, RefuseReason, Rights, Server, Verdict};
use harness::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Denies (act, topic) pairs; everything else is allowed.
#[derive(Default)]
struct Denied(parking_lot::Mutex<BTreeSet<(u8, String)>>);

impl Denied {
    fn deny(&self, act: Act, topic: &str) {
        self.0.lock().insert((act as u8, topic.to_owned()));
    }
}

impl Rights for Denied {
    fn allows(&self, client_id: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        Verdict::from(client_id == "chief" || !self.0.lock().contains(&(act as u8, topic.to_owned())))
    }
}

async fn guarded() -> (Server, Arc<Denied>) {
    let denied = Arc::new(Denied::default());
    (server_with_rights(Limits::default(), Arc::clone(&denied) as _).await, denied)
}

fn refused(server: &Server, reason: RefuseReason) -> u64 {
    server.counters().refused[reason as usize].load(Relaxed)
}

/// Everything that comes within a moment, acknowledged.
async fn drain(peer: &mut Peer) -> Vec<Message> {
    let mut all = Vec::new();
    while let Ok(message) = tokio::time::timeout(millis(20), peer.next_message()).await {
        let message = message.unwrap();
        peer.acknowledge(&message).await.unwrap();
        all.push(message);
    }
    all
}

fn topics(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.topic.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn publishing_at_every_quality_of_service_in_every_version() {
    let (server, denied) = guarded().await;
    denied.deny(Act::Publish, "closed");
    let mut chief = client(&server, "chief").await;
    subscribe(&mut chief, "#", QOS2).await;
    subscribe(&mut chief, "$SYS/#", QOS2).await;
    let mut refusals = 0;
    for version in [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5] {
        let mut peer = connect(&server, Options::new("c").version(version)).await;
        for topic in ["closed", "$SYS", "$SYS/broker/uptime"] {
            for (qos, retain) in
                [(QOS0, false), (QOS1, false), (QOS2, false), (QOS0, true), (QOS1, true), (QOS2, true)]
            {
                let message = Outgoing::new(topic, "x").qos(qos);
                let message = if retain { message.retain() } else { message };
                let reason = publish(&mut peer, message).await;
                // 3.x knows no refusal: the exchange runs to its end [MQTT-3.3.5-2].
                let expected = match (version, qos) {
                    (ProtocolVersion::V5, QOS1 | QOS2) => ReasonCode::NotAuthorized,
                    _ => ReasonCode::Success,
                };
                assert_eq!(reason, expected, "{version} {qos} {topic}");
                refusals += 1;
            }
        }
        // A topic that only begins like $SYS is an ordinary one.
        publish(&mut peer, Outgoing::new("$SYSTEM", "x").qos(QOS1)).await;
        publish(&mut peer, Outgoing::new("open", "x").qos(QOS1)).await;
        assert_eq!(topics(&drain(&mut chief).await), ["open"]);
    }
    assert_eq!(refused(&server, RefuseReason::NotAuthorized), refusals);
    // Nothing of it was retained either.
    let mut late = client(&server, "late").await;
    subscribe(&mut late, "closed", QOS0).await;
    subscribe(&mut late, "$SYS/#", QOS0).await;
    assert_eq!(drain(&mut late).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_refused_qos_2_leaves_its_identifier_free_in_mqtt_5() {
    let (server, denied) = guarded().await;
    denied.deny(Act::Publish, "closed");
    let mut peer = client(&server, "c").await;
    let id = peer.publish(Outgoing::new("closed", "x").qos(QOS2)).await.unwrap().unwrap();
    assert_eq!(expect_ack(&mut peer, AckKind::Pubrec).await.reason, ReasonCode::NotAuthorized);
    subscribe(&mut peer, "open", QOS0).await;
    peer.publish(Outgoing::new("open", "new").qos(QOS2).packet_id(id)).await.unwrap();
    assert_eq!(text(&mut peer).await, "new");
}

#[tokio::test(start_paused = true)]
async fn by_a_topic_alias_too() {
    let (server, denied) = guarded().await;
    let mut chief = client(&server, "chief").await;
    subscribe(&mut chief, "#", QOS0).await;
    let mut peer = client(&server, "c").await;
    publish(&mut peer, Outgoing::new("t", "1").qos(QOS1).alias(3)).await;
    denied.deny(Act::Publish, "t");
    assert_eq!(
        publish(&mut peer, Outgoing::new("", "2").qos(QOS1).alias(3)).await,
        ReasonCode::NotAuthorized
    );
    assert_eq!(publish(&mut peer, Outgoing::new("t", "3").qos(QOS1)).await, ReasonCode::NotAuthorized);
    assert_eq!(drain(&mut chief).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn subscribing_plain_and_shared() {
    let (server, denied) = guarded().await;
    denied.deny(Act::Subscribe, "secret/#");
    let mut chief = client(&server, "chief").await;
    for (version, refusal) in [(ProtocolVersion::V5, 0x87), (ProtocolVersion::V311, 0x80)] {
        let mut peer = connect(&server, Options::new("c").version(version)).await;
        let options = aldis_packet::SubscriptionOptions::new(QOS1);
        let filters = [("secret/#", options), ("$share/g/secret/#", options), ("open/#", options)];
        let suback = peer.subscribe(&filters, None).await.unwrap();
        assert_eq!(suback.reasons, [refusal, refusal, 1]);
        publish(&mut chief, Outgoing::new("secret/x", "x").qos(QOS1)).await;
        publish(&mut chief, Outgoing::new("open/x", "x").qos(QOS1)).await;
        assert_eq!(topics(&drain(&mut peer).await), ["open/x"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_subscription_leaves_the_one_that_is_there() {
    let (server, denied) = guarded().await;
    let mut chief = client(&server, "chief").await;
    let mut peer = client(&server, "c").await;
    subscribe(&mut peer, "t", QOS1).await;
    denied.deny(Act::Subscribe, "t");
    assert_eq!(subscribe(&mut peer, "t", QOS2).await.reasons, [0x87]);
    publish(&mut chief, Outgoing::new("t", "x").qos(QOS2)).await;
    assert_eq!(drain(&mut peer).await[0].qos, QOS1);
}

#[tokio::test(start_paused = true)]
async fn live_delivery() {
    let (server, denied) = guarded().await;
    denied.deny(Act::Receive, "t/secret");
    let mut chief = client(&server, "chief").await;
    let mut peer = client(&server, "c").await;
    subscribe(&mut peer, "t/#", QOS2).await;
    for (number, qos) in [QOS0, QOS1, QOS2].into_iter().enumerate() {
        publish(&mut chief, Outgoing::new("t/secret", "x").qos(qos)).await;
        publish(&mut chief, Outgoing::new("t/open", "x").qos(qos)).await;
        assert_eq!(topics(&drain(&mut peer).await), ["t/open"]);
        assert_eq!(dropped(&server, DropReason::NotAuthorized), number as u64 + 1);
    }
    // Revoked in the middle of a live connection.
    denied.deny(Act::Receive, "t/open");
    publish(&mut chief, Outgoing::new("t/open", "x").qos(QOS1)).await;
    assert_eq!(drain(&mut peer).await, []);
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_a_queue_while_the_right_is_revoked() {
    let (server, denied) = guarded().await;
    let mut chief = client(&server, "chief").await;
    let mut peer = connect(&server, lasting("c")).await;
    subscribe(&mut peer, "#", QOS1).await;
    drop(peer);
    quiet().await;
    for topic in ["a", "b", "c", "b"] {
        publish(&mut chief, Outgoing::new(topic, "x").qos(QOS1)).await;
    }
    denied.deny(Act::Receive, "b");
    let mut peer = connect(&server, lasting("c")).await;
    assert_eq!(topics(&drain(&mut peer).await), ["a", "c"]);
    assert_eq!(dropped(&server, DropReason::NotAuthorized), 2);
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_when_the_right_was_revoked_is_not_sent_again() {
    let (server, denied) = guarded().await;
    let mut chief = client(&server, "chief").await;
    let mut peer = connect(&server, lasting("c")).await;
    subscribe(&mut peer, "#", QOS2).await;
    for (topic, qos) in [("a", QOS1), ("b", QOS1), ("b", QOS2), ("c", QOS2)] {
        publish(&mut chief, Outgoing::new(topic, "x").qos(qos)).await;
    }
    quiet().await;
    drop(peer);
    quiet().await;
    denied.deny(Act::Receive, "b");
    let mut peer = connect(&server, lasting("c")).await;
    assert_eq!(topics(&drain(&mut peer).await), ["a", "c"]);
    assert_eq!(dropped(&server, DropReason::NotAuthorized), 2);
    expect_nothing_held(&server);
}

#[tokio::test(start_paused = true)]
async fn what_waits_in_a_group_while_the_right_is_revoked() {
    let (server, denied) = guarded().await;
    let mut chief = client(&server, "chief").await;
    let mut peer = connect(&server, lasting("c")).await;
    subscribe(&mut peer, "$share/g/#", QOS1).await;
    drop(peer);
    quiet().await;
    for topic in ["a", "b", "c", "b"] {
        publish(&mut chief, Outgoing::new(topic, "x").qos(QOS1)).await;
    }
    denied.deny(Act::Receive, "b");
    let mut peer = connect(&server, lasting("c")).await;
    assert_eq!(topics(&drain(&mut peer).await), ["a", "c"]);
    // They do not stand in the way of what comes later.
    publish(&mut chief, Outgoing::new("d", "x").qos(QOS1)).await;
    assert_eq!(topics(&drain(&mut peer).await), ["d"]);
}

#[tokio::test(start_paused = true)]
async fn retained_messages() {
    let (server, denied) = guarded().await;
    let mut chief = client(&server, "chief").await;
    for topic in ["t/a", "t/b", "t/c"] {
        publish(&mut chief, Outgoing::new(topic, "x").qos(QOS1).retain()).await;
    }
    denied.deny(Act::Receive, "t/b");
    let mut peer = client(&server, "c").await;
    for filter in ["t/#", "t/+", "t/b"] {
        subscribe(&mut peer, filter, QOS1).await;
        let expected = if filter == "t/b" { vec![] } else { vec!["t/a", "t/c"] };
        assert_eq!(topics(&drain(&mut peer).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_will_to_a_forbidden_topic_is_refused_at_connect() {
    let (server, denied) = guarded().await;
    denied.deny(Act::Publish, "will");
    let mut chief = client(&server, "chief").await;
    subscribe(&mut chief, "#", QOS1).await;
    drop(connect(&server, lasting("c")).await);
    for (topic, version) in
        [("will", ProtocolVersion::V5), ("$SYS/will", ProtocolVersion::V5), ("will", ProtocolVersion::V311)]
    {
        let options = Options { version, ..Options::new("c").will(Outgoing::new(topic, "x")) };
        match Client::connect(open(&server, CAPACITY), options).await {
            Err(ClientError::Refused(connack)) => assert_eq!(connack.reason, ReasonCode::NotAuthorized),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
    assert_eq!(drain(&mut chief).await, []);
    // A refused CONNECT changes nothing: the session is still there.
    assert!(connect_present(&server, lasting("c")).await.1);
}

#[tokio::test(start_paused = true)]
async fn a_will_is_not_sent_when_the_right_was_revoked_meanwhile() {
    let (server, denied) = guarded().await;
    let mut chief = client(&server, "chief").await;
    subscribe(&mut chief, "#", QOS1).await;
    let will = |delay| Will { delay, ..Will::from(Outgoing::new("will", "x").qos(QOS1).retain()) };
    drop(connect(&server, lasting("delayed").will(will(10))).await);
    let at_once = connect(&server, Options::new("at once").will(will(0))).await;
    denied.deny(Act::Publish, "will");
    drop(at_once);
    tokio::time::sleep(seconds(20)).await;
    assert_eq!(drain(&mut chief).await, []);
    assert_eq!(refused(&server, RefuseReason::NotAuthorized), 2);
    let mut late = client(&server, "late").await;
    subscribe(&mut late, "will", QOS1).await;
    assert_eq!(drain(&mut late).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_will_that_somebody_may_not_receive() {
    let (server, denied) = guarded().await;
    denied.deny(Act::Receive, "will");
    let mut chief = client(&server, "chief").await;
    let mut other = client(&server, "other").await;
    subscribe(&mut chief, "#", QOS1).await;
    subscribe(&mut other, "#", QOS1).await;
    drop(connect(&server, Options::new("c").will(Outgoing::new("will", "x"))).await);
    assert_eq!(topics(&drain(&mut chief).await), ["will"]);
    assert_eq!(drain(&mut other).await, []);
}

#[tokio::test(start_paused = true)]
async fn the_policy_of_whoever_holds_the_session_now_counts() {
    // A session changes hands with its client id: rights are those of the connection.
    let policy =
        Policy(|id: &str, act, topic: &str| !(id == "c" && act == Act::Receive && topic == "secret"));
    let server = server_with_rights(Limits::default(), Arc::new(policy)).await;
    let mut publisher = client(&server, "p").await;
    let mut peer = connect(&server, lasting("c")).await;
    subscribe(&mut peer, "#", QOS1).await;
    publish(&mut publisher, Outgoing::new("secret", "x").qos(QOS1)).await;
    publish(&mut publisher, Outgoing::new("secret", "x").qos(QOS1).retain()).await;
    publish(&mut publisher, Outgoing::new("open", "x").qos(QOS1)).await;
    assert_eq!(topics(&drain(&mut peer).await), ["open"]);
}
