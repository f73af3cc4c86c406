//! Retained messages: what is stored, for how long, and how a replay behaves beside live messages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod stage;

use aldis_packet::{AckKind, QoS, ReasonCode, SubscriptionOptions};
use aldis_session::{Limits, Offering, Publication, Router};
use stage::scripted_wire::{Random, Seen, Step, acknowledge, publication};
use stage::{Client, Stage, asks};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

fn lasts(stage: &Stage, topic: &str, payload: &str, seconds: u64) -> Publication {
    let expires_at = Some(stage.now + Duration::from_secs(seconds));
    Publication { expires_at, ..publication(topic, payload.to_owned(), QoS::AtMostOnce) }
}

#[test]
fn a_retained_topic_has_one_timer_however_often_it_is_replaced() {
    let mut stage = Stage::new(Limits::default());
    for seconds in [1_000_000, 10, 1_000] {
        let message = lasts(&stage, "a", "value", seconds);
        stage.retain(vec![message]);
        assert_eq!(stage.timeout(), Some(seconds), "the timers of replaced messages are gone");
    }
    let message = lasts(&stage, "b", "value", 500);
    stage.retain(vec![message]);
    assert_eq!(stage.timeout(), Some(500));
    stage.retain(vec![publication("b", "", QoS::AtMostOnce)]);
    assert_eq!(stage.timeout(), Some(1_000), "removed with its message");
    stage.retain(vec![publication("a", "lasts for ever", QoS::AtMostOnce)]);
    assert_eq!(stage.timeout(), None);
    stage.pass(2_000_000);
    assert_eq!(stage.retained.get("a").unwrap().payload, "lasts for ever");
}

#[test]
fn a_message_that_a_limit_refuses_leaves_the_timer_of_the_one_that_stays() {
    let mut stage = Stage::new(Limits { retained_bytes: 300, ..Limits::default() });
    let first = lasts(&stage, "a", "value", 10);
    let second = lasts(&stage, "a", &"x".repeat(1_000), 5);
    assert_eq!(stage.retain(vec![first]), [0; 0]);
    assert_eq!(stage.retain(vec![second]), [0]);
    assert_eq!(stage.timeout(), Some(10));
    stage.pass(11);
    assert_eq!((stage.retained.messages(), stage.retained.bytes()), (0, 0));
}

/// One publisher of numbered retained values, a step at a time: stored first, offered live later.
struct Values {
    newest: HashMap<String, u32>,
    stored: VecDeque<Arc<Publication>>,
}

impl Values {
    fn store(&mut self, stage: &mut Stage, random: &mut Random) {
        let topic = format!("t/{}", random.below(100));
        let value = self.newest.entry(topic.clone()).or_default();
        *value += 1;
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce][random.below(2)];
        // One quality of service a topic: order is promised within it.
        let qos = if topic.ends_with(['1', '3', '5', '7', '9']) {
            QoS::AtMostOnce
        } else {
            qos.max(QoS::AtLeastOnce)
        };
        let message = Publication { retain: true, ..publication(&topic, value.to_string(), qos) };
        stage.retain(vec![message.clone()]);
        self.stored.push_back(Arc::new(message));
    }

    fn offer_live(&mut self, stage: &mut Stage) {
        let Some(message) = self.stored.pop_front() else { return };
        stage.routes.resolve(&message.topic).deliver(&Offering::of(&message), &mut stage.bench);
        stage.bench.finish();
    }
}

/// The values of one topic that a subscriber saw last: of all, and of those that came live.
#[derive(Debug, Default)]
struct LastSeen {
    last: u32,
    live: u32,
}

/// One step of a subscriber's Client: it goes on with its replay, its socket takes bytes again, or
/// it acknowledges what it read.
fn move_subscriber(
    stage: &mut Stage,
    client: &mut Client,
    seen: &mut HashMap<String, LastSeen>,
    random: &mut Random,
) {
    let errands = client.session.outbox.lock().errands(client.connection);
    if errands.pump && random.below(2) == 0 {
        stage.retained.replay(&client.session, &mut stage.bench);
    }
    let mut outbox = client.session.outbox.lock();
    if errands.flush || errands.blocked && outbox.unblocked(client.connection, &mut stage.bench) {
        stage.bench.owe(&client.session);
    }
    drop(outbox);
    stage.bench.finish();
    for packet in client.peer.read() {
        let Seen::Publish(message) = packet else { continue };
        let value: u32 = String::from_utf8(message.payload).unwrap().parse().unwrap();
        let seen = seen.entry(message.topic.clone()).or_default();
        // A copy of the store may be newer than what is still on its way live, never older.
        let newer = if message.retain { value >= seen.last } else { value > seen.live };
        assert!(newer, "{}: {value} after {seen:?}, retain {}", message.topic, message.retain);
        seen.last = value;
        seen.live = if message.retain { seen.live } else { value };
        if message.id != 0 {
            let kind = AckKind::Puback;
            acknowledge(
                &client.session,
                client.connection,
                kind,
                message.id,
                ReasonCode::Success,
                &mut stage.bench,
            )
            .unwrap();
        }
    }
}

#[test]
fn law_13_a_replay_beside_live_messages_never_sends_an_older_value_last() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let limits =
            Limits { in_flight: 1 + random.below(20) as u16, outbox_bytes: 600, ..Limits::default() };
        let mut stage = Stage::new(limits);
        let mut values = Values { newest: HashMap::new(), stored: VecDeque::new() };
        for _ in 0..150 {
            values.store(&mut stage, &mut random);
        }
        let mut client = stage.connect(asks("subscriber", 0));
        let options = SubscriptionOptions::new(QoS::AtLeastOnce);
        stage.ask_to_subscribe(&client, &[("t/#", options)], None);
        let mut seen = HashMap::new();
        for _ in 0..600 {
            match random.below(5) {
                0 => values.store(&mut stage, &mut random),
                1 => values.offer_live(&mut stage),
                2 => {
                    let step =
                        [Step::Block, Step::Take(1 + random.below(200)), Step::Take(5)][random.below(3)];
                    client.peer.wire.will([step]);
                }
                _ => move_subscriber(&mut stage, &mut client, &mut seen, &mut random),
            }
        }
        while !values.stored.is_empty() {
            values.offer_live(&mut stage);
        }
        for _ in 0..2_000 {
            move_subscriber(&mut stage, &mut client, &mut seen, &mut random);
        }
        let last: HashMap<_, _> = seen.into_iter().map(|(topic, seen)| (topic, seen.last)).collect();
        assert_eq!(last, values.newest, "seed {seed}: every topic ends with its newest value");
    }
}
