//! 3.3.2.3.4: topic aliases, in both directions.

use super::cases;
use crate::offers::Feature;
use crate::outcome::{Fault, Outcome, ensure, not_shown, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Property, Publish, reason};
use std::collections::BTreeMap;

cases! {
    V5 "MQTT-3.3.2-7" a_client_s_aliases_do_not_outlive_the_connection;
    V5 "MQTT-3.3.2-7" a_broker_s_aliases_do_not_outlive_the_connection;
    V5 "MQTT-3.3.2-8" alias_0_is_refused;
    V5 "MQTT-3.3.2-9" an_alias_above_the_maximum_is_refused;
    V5 "MQTT-3.3.2-11" the_broker_keeps_to_the_client_s_maximum;
    V5 "MQTT-3.3.2-12" every_alias_up_to_the_maximum_is_taken;
}

/// A publisher and the number of aliases that the broker takes, at least 1.
fn publisher(stage: &Stage<'_>, suffix: &str) -> Outcome<(Peer, u16)> {
    stage.door(Feature::TopicAliases)?;
    let (peer, connack) = stage.accepted(stage.connect(suffix))?;
    match connack.properties.number(property::TOPIC_ALIAS_MAXIMUM) {
        None | Some(0) => Err(Fault::NotOffered(Feature::TopicAliases)),
        Some(maximum) => Ok((peer, maximum as u16)),
    }
}

fn aliased(topic: &str, alias: u16, payload: &str) -> Publish {
    Publish::new(topic, payload).qos(1).with(Property::two(property::TOPIC_ALIAS, alias))
}

fn a_client_s_aliases_do_not_outlive_the_connection(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    stage.door(Feature::TopicAliases)?;
    publisher(stage, "x")?;
    let mut first = stage.open(stage.lasting("p"))?;
    first.publish(aliased(&topic, 1, "named"))?;
    first.publish(aliased("", 1, "by alias"))?;
    for payload in ["named", "by alias"] {
        same("the payload", &subscriber.receive()?.payload, &payload.as_bytes().to_vec())?;
    }
    first.vanish()?;
    // The session is the same, the connection is not.
    let mut second = stage.open(stage.lasting("p"))?;
    second.send(aliased("", 1, "old alias").id(77))?;
    second.refused(&[reason::PROTOCOL_ERROR, reason::TOPIC_ALIAS_INVALID, reason::MALFORMED])?;
    stage.client("q")?.publish(Publish::new(&topic, "marker").qos(1))?;
    let before = subscriber.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came by an alias of an earlier connection"))
}

/// Topic and payload.
type Message = (Vec<u8>, Vec<u8>);

/// Receives that many messages, resolves their aliases, and says whether an alias was used at all.
fn resolved(subscriber: &mut Peer, count: usize, maximum: u16) -> Outcome<(Vec<Message>, bool)> {
    let mut names: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    let mut messages = Vec::new();
    for _ in 0..count {
        let message = subscriber.receive()?;
        let mut topic = message.topic.clone();
        if let Some(alias) = message.properties.number(property::TOPIC_ALIAS) {
            ensure(alias >= 1 && alias <= u32::from(maximum), || {
                format!("topic alias {alias} came, and the client takes up to {maximum}")
            })?;
            if topic.is_empty() {
                topic = names.get(&alias).cloned().unwrap_or_default();
                ensure(!topic.is_empty(), || format!("topic alias {alias} came before its topic"))?;
            } else {
                names.insert(alias, topic.clone());
            }
        }
        ensure(!topic.is_empty(), || "a message without topic and without alias came".to_owned())?;
        messages.push((topic, message.payload));
    }
    Ok((messages, !names.is_empty()))
}

fn a_broker_s_aliases_do_not_outlive_the_connection(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let connect = || stage.lasting("s").with(Property::two(property::TOPIC_ALIAS_MAXIMUM, 4));
    let mut subscriber = stage.open(connect())?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = stage.client("p")?;
    let mut used = false;
    for round in 0..2 {
        for number in 0..3 {
            publisher.publish(Publish::new(&topic, format!("{round}{number}")).qos(1))?;
        }
        // With a table of its own for each connection: an alias has to be given again before it stands alone.
        let (messages, uses) = resolved(&mut subscriber, 3, 4)?;
        used |= uses;
        for (number, (name, payload)) in messages.iter().enumerate() {
            same("the topic", name, &topic.clone().into_bytes())?;
            same("the payload", payload, &format!("{round}{number}").into_bytes())?;
        }
        subscriber.vanish()?;
        subscriber = stage.open(connect())?;
    }
    if used { Ok(()) } else { not_shown("the broker uses no topic alias") }
}

fn the_broker_keeps_to_the_client_s_maximum(stage: &Stage<'_>) -> Outcome {
    let mut subscriber =
        stage.open(stage.connect("s").with(Property::two(property::TOPIC_ALIAS_MAXIMUM, 2)))?;
    subscriber.subscribe(stage.topic("+"), 1)?;
    let mut publisher = stage.client("p")?;
    let mut sent = Vec::new();
    for number in 0..15 {
        let topic = stage.topic(&format!("{}", number % 5));
        publisher.publish(Publish::new(&topic, number.to_string()).qos(1))?;
        sent.push((topic.into_bytes(), number.to_string().into_bytes()));
    }
    let (mut got, used) = resolved(&mut subscriber, 15, 2)?;
    got.sort();
    sent.sort();
    same("topics and payloads", &got, &sent)?;
    if used { Ok(()) } else { not_shown("the broker uses no topic alias") }
}

fn alias_0_is_refused(stage: &Stage<'_>) -> Outcome {
    is_refused(stage, |_| 0)
}

fn an_alias_above_the_maximum_is_refused(stage: &Stage<'_>) -> Outcome {
    let (_, maximum) = publisher(stage, "m")?;
    if maximum == u16::MAX {
        return not_shown("the broker takes every alias there is");
    }
    is_refused(stage, |maximum| maximum + 1)?;
    is_refused(stage, |_| u16::MAX)
}

fn is_refused(stage: &Stage<'_>, alias: impl Fn(u16) -> u16) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    let (mut peer, maximum) = publisher(stage, "p")?;
    peer.publish(aliased(&topic, maximum, "good"))?;
    same("a message with the largest alias", &subscriber.receive()?.payload, &b"good".to_vec())?;
    peer.send(aliased(&topic, alias(maximum), "bad").id(77))?;
    peer.refused(&[reason::TOPIC_ALIAS_INVALID, reason::PROTOCOL_ERROR, reason::MALFORMED])?;
    stage.client("q")?.publish(Publish::new(&topic, "marker").qos(1))?;
    let before = subscriber.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came with a forbidden alias"))
}

/// All of them where they are few, else some from both ends; each is set, used, set anew, and used.
fn every_alias_up_to_the_maximum_is_taken(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(stage.topic("#"), 1)?;
    let (mut peer, maximum) = publisher(stage, "p")?;
    let aliases: Vec<u16> = (1..=maximum).filter(|alias| *alias <= 20 || maximum - alias < 20).collect();
    for round in ["a", "b"] {
        for alias in &aliases {
            let topic = stage.topic(&format!("{round}{alias}"));
            peer.publish(aliased(&topic, *alias, "named"))?;
            same("the topic", &subscriber.receive()?.topic, &topic.into_bytes())?;
        }
        for alias in &aliases {
            peer.publish(aliased("", *alias, "by alias"))?;
            let topic = stage.topic(&format!("{round}{alias}"));
            same("the topic by alias", &subscriber.receive()?.topic, &topic.into_bytes())?;
        }
    }
    Ok(())
}
