//! 3.1.2.11: what a client asks for in the properties of CONNECT.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, not_shown, same};
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Ack, Connect, Packet, Property, Publish, Subscribe, Subscription, Unsubscribe, first};
use std::collections::BTreeMap;

cases! {
    V5 "MQTT-3.1.2-24" nothing_larger_than_the_client_takes_is_sent;
    V5 "MQTT-3.1.2-24" no_answer_is_larger_than_the_client_takes;
    V5 "MQTT-3.1.2-25" a_message_that_is_too_large_counts_as_delivered;
    V5 "MQTT-3.1.2-26" no_alias_above_the_client_s_maximum_is_sent;
    V5 "MQTT-3.1.2-27" no_alias_is_sent_to_a_client_that_takes_none;
    V5 "MQTT-3.1.2-28" response_information_comes_only_when_it_is_asked_for;
    V5 "MQTT-3.1.2-29" problem_information_can_be_refused;
}

/// Messages of all sizes around the limit, live and retained; those that fit come, and no other.
fn nothing_larger_than_the_client_takes_is_sent(stage: &Stage<'_>) -> Outcome {
    let (live, kept) = (stage.topic("live"), stage.topic("kept"));
    let limit = 100;
    let fits = |publish: &Publish, id: Option<u16>| {
        Publish { packet_id: id, ..publish.clone() }.to_bytes(stage.version).len() <= limit
    };
    stage.retain(Publish::new(&kept, vec![b'k'; limit]))?;
    let connect = stage.connect("s").with(Property::four(property::MAXIMUM_PACKET_SIZE, limit as u32));
    let mut subscriber = stage.open(connect)?;
    subscriber.subscribe(&live, 1)?;
    subscriber.subscribe(&kept, 1)?;
    let mut publisher = stage.client("p")?;
    let mut expected = Vec::new();
    for length in (limit - 60..limit + 20).chain([1_000, 100_000]) {
        for qos in [0, 1] {
            let publish = Publish::new(&live, vec![b'a' + qos; length]).qos(qos);
            if fits(&publish, (qos > 0).then_some(1)) {
                expected.push(publish.payload.clone());
            }
            publisher.publish(publish)?;
        }
    }
    publisher.publish(Publish::new(&live, "marker").qos(1))?;
    let mut got: Vec<_> = subscriber.until("marker")?.into_iter().map(|one| one.payload).collect();
    // The two qualities of service may overtake each other.
    got.sort();
    expected.sort();
    let lengths = |list: &[Vec<u8>]| -> Vec<usize> { list.iter().map(Vec::len).collect() };
    let missing: Vec<_> = expected.iter().filter(|one| !got.contains(one)).cloned().collect();
    let too_many: Vec<_> = got.iter().filter(|one| !expected.contains(one)).cloned().collect();
    ensure(missing.is_empty() && too_many.is_empty(), || {
        format!(
            "payloads of {:?} bytes fit and did not come, of {:?} came and do not fit",
            lengths(&missing),
            lengths(&too_many)
        )
    })?;
    same("the number of messages", &got.len(), &expected.len())
}

/// SUBACK and UNSUBACK have a byte for each filter. What a broker does instead is its own choice: it may leave the
/// answer out, or close.
fn no_answer_is_larger_than_the_client_takes(stage: &Stage<'_>) -> Outcome {
    let limit = 100;
    let names: Vec<String> = (0..150).map(|number| stage.topic(&number.to_string())).collect();
    let filters = |count| names.iter().take(count).map(|name| Subscription::new(name, 0)).collect();
    let requests = |count| -> [Packet; 2] {
        let subscribe = Subscribe { packet_id: 1, properties: Vec::new(), subscriptions: filters(count) };
        [subscribe.into(), Unsubscribe::new(1, names.iter().take(count)).into()]
    };
    let answer = |request: Packet, maximum: u32| -> Outcome<Option<Packet>> {
        let limit = Property::four(property::MAXIMUM_PACKET_SIZE, maximum);
        let mut peer = stage.open(stage.connect("c").with(limit))?;
        peer.send(request)?;
        peer.send(Packet::Pingreq)?;
        peer.closed_or_packet()
    };
    for (small, large) in requests(20).into_iter().zip(requests(150)) {
        for (request, maximum) in [(small, limit), (large.clone(), u32::MAX)] {
            match answer(request, maximum)? {
                Some(Packet::Suback(_) | Packet::Unsuback(_)) => {}
                other => return not_shown(format!("{other:?} came for a request whose answer would fit")),
            }
        }
        if let Some(packet) = answer(large, limit)? {
            let size = packet.to_bytes(stage.version).len();
            ensure(size <= limit as usize, || {
                format!("{} of {size} bytes came to a client that takes {limit}", packet.name())
            })?;
        }
    }
    Ok(())
}

/// With room for one message in flight: were the large one in flight, the small one could not come.
fn a_message_that_is_too_large_counts_as_delivered(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let connect = stage
        .lasting("s")
        .with(Property::four(property::MAXIMUM_PACKET_SIZE, 100))
        .with(Property::two(property::RECEIVE_MAXIMUM, 1));
    let mut subscriber = stage.open(connect)?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    for qos in [1, 2] {
        publisher.publish(Publish::new(&topic, vec![b'x'; 200]).qos(qos))?;
        publisher.publish(Publish::new(&topic, "small").qos(qos))?;
        same("what comes", &subscriber.receive()?.payload, &b"small".to_vec())?;
    }
    subscriber.ping()?;
    subscriber.vanish()?;
    // Delivered, as far as the session goes: a client that takes more is not sent it later.
    publisher.publish(Publish::new(&topic, "marker").qos(2))?;
    let got = stage.open(stage.lasting("s"))?.until("marker")?;
    ensure(got.is_empty(), || format!("{} messages came that count as delivered", got.len()))
}

/// The aliases with fifteen messages to five topics.
fn aliases(stage: &Stage<'_>, suffix: &str, maximum: Option<u16>) -> Outcome<Vec<u32>> {
    let mut connect = stage.connect(suffix);
    connect.properties.extend(maximum.map(|maximum| Property::two(property::TOPIC_ALIAS_MAXIMUM, maximum)));
    let mut subscriber = stage.open(connect)?;
    subscriber.subscribe(stage.topic("+"), 1)?;
    let mut publisher = stage.client("p")?;
    let mut aliases = Vec::new();
    let mut names: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for number in 0..15 {
        let topic = stage.topic(&format!("{}", number % 5));
        publisher.publish(Publish::new(&topic, "x").qos(1))?;
        let message = subscriber.receive()?;
        let alias = message.properties.number(property::TOPIC_ALIAS);
        let name = match alias {
            Some(alias) if message.topic.is_empty() => names.get(&alias).cloned().unwrap_or_default(),
            _ => message.topic,
        };
        same("the topic", &name, &topic.into_bytes())?;
        if let Some(alias) = alias {
            names.insert(alias, name);
            aliases.push(alias);
        }
    }
    Ok(aliases)
}

fn no_alias_above_the_client_s_maximum_is_sent(stage: &Stage<'_>) -> Outcome {
    let mut seen = false;
    for (suffix, maximum) in [("a", 1), ("b", 3), ("c", 65_535)] {
        let found = aliases(stage, suffix, Some(maximum))?;
        seen |= !found.is_empty();
        ensure(found.iter().all(|alias| *alias >= 1 && *alias <= u32::from(maximum)), || {
            format!("aliases {found:?} came to a client that takes up to {maximum}")
        })?;
    }
    if seen { Ok(()) } else { not_shown("the broker uses no topic alias") }
}

fn no_alias_is_sent_to_a_client_that_takes_none(stage: &Stage<'_>) -> Outcome {
    for (suffix, maximum) in [("a", None), ("b", Some(0))] {
        let found = aliases(stage, suffix, maximum)?;
        ensure(found.is_empty(), || format!("aliases {found:?} came to a client that takes none"))?;
    }
    // A broker that never uses one keeps the rule without effort.
    match aliases(stage, "c", Some(10))?.is_empty() {
        true => not_shown("the broker uses no topic alias"),
        false => Ok(()),
    }
}

fn response_information_comes_only_when_it_is_asked_for(stage: &Stage<'_>) -> Outcome {
    let asked = |value: Option<u8>| -> Outcome<bool> {
        let mut connect = stage.connect("c");
        connect
            .properties
            .extend(value.map(|value| Property::byte(property::REQUEST_RESPONSE_INFORMATION, value)));
        let (_, connack) = stage.accepted(connect)?;
        Ok(connack.properties.find(property::RESPONSE_INFORMATION).is_some())
    };
    for value in [None, Some(0)] {
        same(&format!("response information for a request of {value:?}"), &asked(value)?, &false)?;
    }
    if asked(Some(1))? { Ok(()) } else { not_shown("the broker has no response information") }
}

/// Reason strings and user properties in packets that answer what is refused, other than PUBLISH, CONNACK and
/// DISCONNECT. Each request has a connection of its own, because a broker may close after one.
fn words(stage: &Stage<'_>, properties: &[Property]) -> Outcome<usize> {
    let denied = &stage.doors.denied_topic;
    let requests: [Packet; 6] = [
        Publish::new(denied, "x").qos(1).id(1).into(),
        Publish::new(stage.topic("nobody"), "x").qos(2).id(2).into(),
        Subscribe::new(3, Subscription::new(denied, 0)).into(),
        Unsubscribe::new(4, [stage.topic("never")]).into(),
        Ack::new(first::PUBREL, 4711).into(),
        Ack::new(first::PUBREC, 4711).into(),
    ];
    let mut count = 0;
    for request in requests {
        let connect = Connect { properties: properties.to_vec(), ..stage.connect("c") };
        let door = stage.doors.rights.unwrap_or(stage.doors.plain);
        let mut peer = stage.open_at(door, connect)?;
        peer.send(request)?;
        let properties = match peer.closed_or_next()? {
            None => continue,
            Some(Packet::Ack(ack)) => ack.properties,
            Some(Packet::Suback(suback)) => suback.properties,
            Some(Packet::Unsuback(unsuback)) => unsuback.properties,
            Some(other) => return failed(format!("{other:?} came where an answer was due")),
        };
        let is_a_word = |one: &&Property| matches!(one.id, property::REASON_STRING | property::USER_PROPERTY);
        count += properties.iter().filter(is_a_word).count();
    }
    Ok(count)
}

fn problem_information_can_be_refused(stage: &Stage<'_>) -> Outcome {
    let found = words(stage, &[Property::byte(property::REQUEST_PROBLEM_INFORMATION, 0)])?;
    ensure(found == 0, || format!("{found} reason strings or user properties came"))?;
    match words(stage, &[])? {
        0 => not_shown("no answer came with a reason string or user properties"),
        _ => Ok(()),
    }
}
