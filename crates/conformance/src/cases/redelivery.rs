//! 4.4: what is sent again on a new connection, and 4.5: who gets a message.

use super::cases;
use crate::outcome::{Outcome, ensure, not_shown, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::{Ack, Packet, Publish, Subscription, first, reason};
use std::time::{Duration, Instant};

cases! {
    V311 "MQTT-4.4.0-1" what_is_unacknowledged_comes_again_with_its_identifiers;
    V5 "MQTT-4.4.0-1" what_is_unacknowledged_comes_again_with_its_identifiers;
    V5 "MQTT-4.4.0-1" nothing_comes_again_on_a_connection_that_lives;
    V5 "MQTT-4.4.0-1" nothing_comes_again_after_a_clean_start;
    V5 "MQTT-4.4.0-2" what_was_acknowledged_or_refused_does_not_come_again;
    V311 "MQTT-4.5.0-1" every_matching_subscriber_gets_the_message;
    V5 "MQTT-4.5.0-1" every_matching_subscriber_gets_the_message;
    V311 "MQTT-4.5.0-1" a_subscriber_that_is_away_gets_the_message_when_it_is_back;
    V5 "MQTT-4.5.0-1" a_subscriber_that_is_away_gets_the_message_when_it_is_back;
}

/// A lasting subscriber that holds two PUBLISHes at QoS 1, one at QoS 2, and one PUBREL, all unacknowledged.
fn holding(stage: &Stage<'_>) -> Outcome<(Peer, Vec<Publish>, u16)> {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "released").qos(2))?;
    let released = subscriber.message()?.packet_id.unwrap_or_default();
    subscriber.send(Ack::new(first::PUBREC, released))?;
    subscriber.ack(first::PUBREL, released)?;
    let mut held = Vec::new();
    for (payload, qos) in [("one", 1), ("two", 2), ("three", 1)] {
        publisher.publish(Publish::new(&topic, payload).qos(qos))?;
        held.push(subscriber.message()?);
    }
    Ok((subscriber, held, released))
}

fn what_is_unacknowledged_comes_again_with_its_identifiers(stage: &Stage<'_>) -> Outcome {
    let (subscriber, held, released) = holding(stage)?;
    subscriber.vanish()?;
    let (mut subscriber, connack) = stage.accepted(stage.lasting("s"))?;
    same("session present", &connack.session_present, &true)?;
    let mut again = Vec::new();
    let mut pubrels = Vec::new();
    for _ in 0..4 {
        match subscriber.next("what was unacknowledged")? {
            Packet::Publish(publish) => again.push(publish),
            Packet::Ack(ack) if ack.first == first::PUBREL => pubrels.push(ack.packet_id),
            other => return crate::outcome::failed(format!("{other:?} came where something was due again")),
        }
    }
    same("the PUBRELs that came again", &pubrels, &vec![released])?;
    let told = |list: &[Publish]| -> Vec<(Vec<u8>, Option<u16>, u8)> {
        list.iter().map(|one| (one.payload.clone(), one.packet_id, one.qos)).collect()
    };
    same("payload, identifier and QoS of what came again", &told(&again), &told(&held))?;
    ensure(again.iter().all(|one| one.dup), || {
        format!("without DUP, and not for the first time: {again:?}")
    })?;
    subscriber.quiet()
}

/// Other traffic passes while three messages stay unacknowledged; none of them comes a second time.
fn nothing_comes_again_on_a_connection_that_lives(stage: &Stage<'_>) -> Outcome {
    let start = Instant::now();
    let (mut subscriber, _, _) = holding(stage)?;
    let mut publisher = stage.client("q")?;
    for number in 0..5 {
        publisher.publish(Publish::new(stage.topic("t"), format!("later{number}")).qos(1))?;
        let message = subscriber.receive()?;
        same("what came next", &message.payload, &format!("later{number}").into_bytes())?;
        subscriber.quiet()?;
    }
    // Nor when a while has passed, as brokers with a timer for it would do.
    stage.until(start, Duration::from_secs(3));
    subscriber.quiet()
}

fn nothing_comes_again_after_a_clean_start(stage: &Stage<'_>) -> Outcome {
    let (subscriber, _, _) = holding(stage)?;
    subscriber.vanish()?;
    let (mut subscriber, connack) = stage.accepted(stage.connect("s"))?;
    same("session present", &connack.session_present, &false)?;
    subscriber.subscribe(stage.topic("t"), 1)?;
    stage.client("q")?.publish(Publish::new(stage.topic("t"), "marker").qos(1))?;
    let before = subscriber.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came in a new session"))
}

/// A PUBACK, a PUBACK that refuses, and a PUBREC that refuses: each ends its message.
fn what_was_acknowledged_or_refused_does_not_come_again(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, held, released) = holding(stage)?;
    let codes = [reason::SUCCESS, reason::UNSPECIFIED, reason::UNSPECIFIED];
    for (message, code) in held.iter().zip(codes) {
        let first = if message.qos == 1 { first::PUBACK } else { first::PUBREC };
        subscriber.send(Ack::new(first, message.packet_id.unwrap_or_default()).code(code))?;
    }
    subscriber.send(Ack::new(first::PUBCOMP, released))?;
    subscriber.quiet()?;
    subscriber.vanish()?;
    stage.client("q")?.publish(Publish::new(stage.topic("t"), "marker").qos(1))?;
    let before = stage.open(stage.lasting("s"))?.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came again after it was acknowledged or refused"))
}

/// By the topic itself, by each kind of wildcard, and twice over.
fn every_matching_subscriber_gets_the_message(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("a/b");
    let filters =
        [topic.clone(), stage.topic("a/+"), stage.topic("#"), stage.topic("+/b"), stage.topic("a/b/#")];
    let mut subscribers = Vec::new();
    for (number, filter) in filters.iter().enumerate() {
        let mut subscriber = stage.client(&format!("s{number}"))?;
        subscriber.subscribe(filter, 1)?;
        subscribers.push(subscriber);
    }
    let mut publisher = stage.client("p")?;
    for number in 0..3 {
        publisher.publish(Publish::new(&topic, format!("{number}")).qos(1))?;
    }
    for subscriber in &mut subscribers {
        for number in 0..3 {
            let message = subscriber.receive()?;
            same(
                "topic and payload",
                &(message.topic, message.payload),
                &(topic.clone().into_bytes(), number.to_string().into_bytes()),
            )?;
        }
    }
    Ok(())
}

fn a_subscriber_that_is_away_gets_the_message_when_it_is_back(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    let suback = subscriber.subscribe_with(Subscription::new(&topic, 2))?;
    if suback.codes != [2] {
        return not_shown(format!("QoS 2 was not granted: {:02X?}", suback.codes));
    }
    subscriber.vanish()?;
    let mut publisher = stage.client("p")?;
    for (payload, qos) in [("one", 1), ("two", 2), ("three", 1), ("four", 2)] {
        publisher.publish(Publish::new(&topic, payload).qos(qos))?;
    }
    let mut subscriber = stage.open(stage.lasting("s"))?;
    let mut got = Vec::new();
    for _ in 0..4 {
        got.push(String::from_utf8_lossy(&subscriber.receive()?.payload).into_owned());
    }
    // Messages of different QoS may overtake each other.
    got.sort();
    same("what waited", &got, &["four", "one", "three", "two"].map(str::to_owned).to_vec())
}
