//! 3.3.2.3: what a broker passes on unaltered, and message expiry.

use super::cases;
use crate::outcome::{Outcome, ensure, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Property, Publish, reason};
use std::time::{Duration, Instant};

cases! {
    V5 "MQTT-3.3.2-4" the_payload_format_indicator_is_passed_on;
    V5 "MQTT-3.3.2-5" an_expired_message_is_not_delivered;
    V5 "MQTT-3.3.2-6" what_waits_has_less_time_left;
    V5 "MQTT-3.3.2-13" a_response_topic_that_is_not_utf_8_is_refused;
    V5 "MQTT-3.3.2-14" a_response_topic_with_a_wildcard_is_refused;
    V5 "MQTT-3.3.2-15" the_response_topic_is_passed_on;
    V5 "MQTT-3.3.2-16" correlation_data_is_passed_on;
    V5 "MQTT-3.3.2-17" user_properties_are_passed_on;
    V5 "MQTT-3.3.2-18" user_properties_keep_their_order;
    V5 "MQTT-3.3.2-19" a_content_type_that_is_not_utf_8_is_refused;
    V5 "MQTT-3.3.2-20" the_content_type_is_passed_on;
}

/// What a subscriber gets of a message with these properties: live, and once more as the retained message.
fn passed_on(stage: &Stage<'_>, name: &str, properties: &[Property]) -> Outcome<[Publish; 2]> {
    let topic = stage.topic(name);
    let mut live = stage.client(&format!("s{name}"))?;
    live.subscribe(&topic, 1)?;
    let publish = Publish { properties: properties.to_vec(), ..Publish::new(&topic, "x") };
    stage.retain(publish)?;
    let mut late = stage.client(&format!("l{name}"))?;
    late.subscribe(&topic, 1)?;
    Ok([live.receive()?, late.receive()?])
}

/// The property arrives as it was sent; without it, none arrives.
fn is_passed_on(stage: &Stage<'_>, values: &[Property]) -> Outcome {
    for (number, property) in values.iter().enumerate() {
        for message in passed_on(stage, &format!("v{number}"), std::slice::from_ref(property))? {
            same("the property", &message.properties.find(property.id), &Some(property))?;
        }
    }
    for message in passed_on(stage, "without", &[])? {
        let id = values.first().map_or(0, |property| property.id);
        same("the property of a message without it", &message.properties.find(id), &None)?;
    }
    Ok(())
}

fn the_payload_format_indicator_is_passed_on(stage: &Stage<'_>) -> Outcome {
    is_passed_on(stage, &[0, 1].map(|value| Property::byte(property::PAYLOAD_FORMAT, value)))
}

fn the_response_topic_is_passed_on(stage: &Stage<'_>) -> Outcome {
    is_passed_on(
        stage,
        &["r", "an/answer/ö", "$SYS/x"].map(|topic| Property::text(property::RESPONSE_TOPIC, topic)),
    )
}

fn correlation_data_is_passed_on(stage: &Stage<'_>) -> Outcome {
    let values: [&[u8]; 3] = [&[], &[0, 255, 0xC3, 0x28], b"text"];
    is_passed_on(stage, &values.map(|value| Property::binary(property::CORRELATION_DATA, value)))
}

fn the_content_type_is_passed_on(stage: &Stage<'_>) -> Outcome {
    is_passed_on(stage, &["text/plain", "ö", ""].map(|kind| Property::text(property::CONTENT_TYPE, kind)))
}

fn user_properties_are_passed_on(stage: &Stage<'_>) -> Outcome {
    for (number, pair) in [("name", "value"), ("", ""), ("ö", "€")].iter().enumerate() {
        for message in passed_on(stage, &format!("u{number}"), &[Property::user(pair.0, pair.1)])? {
            let expected = vec![(pair.0.as_bytes().to_vec(), pair.1.as_bytes().to_vec())];
            same("the user properties", &message.properties.user(), &expected)?;
        }
    }
    Ok(())
}

/// Names that repeat, not sorted, between other properties.
fn user_properties_keep_their_order(stage: &Stage<'_>) -> Outcome {
    let pairs = [("z", "1"), ("a", "2"), ("z", "0"), ("m", "1"), ("a", "2"), ("b", "")];
    let mut properties: Vec<Property> =
        pairs.iter().map(|(name, value)| Property::user(name, value)).collect();
    properties.insert(2, Property::text(property::CONTENT_TYPE, "between"));
    let expected: Vec<_> =
        pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    for message in passed_on(stage, "order", &properties)? {
        same("the user properties", &message.properties.user(), &expected)?;
    }
    Ok(())
}

/// A good value is served, then the bad one is refused and not passed on.
fn is_refused(stage: &Stage<'_>, good: Property, bad: Property, codes: &[u8]) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "good").qos(1).with(good))?;
    same("the good one", &subscriber.receive()?.payload, &b"good".to_vec())?;
    publisher.send(Publish::new(&topic, "bad").qos(1).id(9).with(bad))?;
    publisher.refused(codes)?;
    stage.client("q")?.publish(Publish::new(&topic, "marker").qos(1))?;
    let before = subscriber.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came although it was refused"))
}

fn a_response_topic_that_is_not_utf_8_is_refused(stage: &Stage<'_>) -> Outcome {
    let good = Property::text(property::RESPONSE_TOPIC, "answer");
    let bad = Property::text(property::RESPONSE_TOPIC, [0xC3, 0x28]);
    is_refused(stage, good, bad, &[reason::MALFORMED, reason::PROTOCOL_ERROR, reason::TOPIC_NAME_INVALID])
}

fn a_response_topic_with_a_wildcard_is_refused(stage: &Stage<'_>) -> Outcome {
    for wildcard in ["a/#", "+/b", "#"] {
        let good = Property::text(property::RESPONSE_TOPIC, "a/b");
        let bad = Property::text(property::RESPONSE_TOPIC, wildcard);
        let codes = [reason::PROTOCOL_ERROR, reason::TOPIC_NAME_INVALID, reason::MALFORMED];
        is_refused(stage, good, bad, &codes)?;
    }
    Ok(())
}

fn a_content_type_that_is_not_utf_8_is_refused(stage: &Stage<'_>) -> Outcome {
    let good = Property::text(property::CONTENT_TYPE, "text");
    let bad = Property::text(property::CONTENT_TYPE, [0xED, 0xA0, 0x80]);
    is_refused(stage, good, bad, &[reason::MALFORMED, reason::PROTOCOL_ERROR])
}

/// A message with this expiry, or none.
fn expiring(topic: &str, payload: &str, seconds: Option<u32>) -> Publish {
    let publish = Publish::new(topic, payload).qos(1);
    match seconds {
        Some(seconds) => publish.with(Property::four(property::MESSAGE_EXPIRY, seconds)),
        None => publish,
    }
}

/// A subscriber that is away, and a retained message: after a second neither copy is delivered any more, and
/// before it both are.
fn an_expired_message_is_not_delivered(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut publisher = stage.client("p")?;
    let mut away = stage.open(stage.lasting("s"))?;
    away.subscribe(&topic, 1)?;
    away.vanish()?;
    stage.retain(expiring(&stage.topic("early"), "early", Some(600)))?;
    let start = Instant::now();
    publisher.publish(expiring(&topic, "short", Some(1)))?;
    publisher.publish(expiring(&topic, "long", Some(600)))?;
    publisher.publish(expiring(&topic, "endless", None))?;
    stage.retain(expiring(&stage.topic("late"), "late", Some(1)))?;
    stage.until(start, Duration::from_millis(3_500));
    let mut back = stage.open(stage.lasting("s"))?;
    publisher.publish(expiring(&topic, "marker", None))?;
    let got: Vec<_> = back.until("marker")?.into_iter().map(|one| one.payload).collect();
    same("what waited", &got, &vec![b"long".to_vec(), b"endless".to_vec()])?;
    let mut new = stage.client("n")?;
    new.subscribe(stage.topic("+"), 1)?;
    // Retained messages may come behind what is published meanwhile: so the one that has to come is waited for.
    let mut got = vec![new.receive()?.payload];
    got.extend(new.pending()?.into_iter().map(|one| one.payload));
    same("what is still retained", &got, &vec![b"early".to_vec()])
}

fn what_waits_has_less_time_left(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut publisher = stage.client("p")?;
    let mut here = stage.client("h")?;
    here.subscribe(&topic, 1)?;
    let mut away = stage.open(stage.lasting("s"))?;
    away.subscribe(&topic, 1)?;
    away.vanish()?;
    let sent = Instant::now();
    stage.retain(expiring(&topic, "x", Some(100)))?;
    let at_once = here.receive()?.properties.number(property::MESSAGE_EXPIRY);
    let passed = sent.elapsed().as_secs() as u32 + 1;
    ensure(at_once.is_some_and(|left| left <= 100 && left + passed >= 100), || {
        format!("an interval of 100 s is {at_once:?} when it is passed on at once")
    })?;
    let stored = Instant::now();
    stage.until(stored, Duration::from_millis(3_100));
    // The least is known before the broker can send: it counts when it sends, not when this test reads.
    let least = stored.elapsed();
    let mut back = stage.open(stage.lasting("s"))?;
    has_less_left(&mut back, sent, least)?;
    let mut late = stage.client("l")?;
    let least = stored.elapsed();
    late.subscribe(&topic, 1)?;
    has_less_left(&mut late, sent, least)?;
    publisher.ping()
}

/// The message was stored between two moments; what is left of 100 s fits both, to the second.
fn has_less_left(peer: &mut Peer, sent: Instant, least: Duration) -> Outcome {
    let least = least.as_secs() as u32;
    let left = peer.receive()?.properties.number(property::MESSAGE_EXPIRY);
    let most = sent.elapsed().as_secs() as u32 + 2;
    ensure(left.is_some_and(|left| left <= 100 - least && left + most >= 100), || {
        format!("{left:?} s are left of 100 after {least} to {most} s")
    })
}
