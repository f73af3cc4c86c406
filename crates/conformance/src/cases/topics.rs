//! 4.7: topic names and topic filters.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, not_shown, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::{Packet, Publish, Subscribe, Subscription, Unsubscribe, reason};

cases! {
    V311 "MQTT-4.7.1-1" wildcards_are_for_filters_only;
    V5 "MQTT-4.7.0-1" wildcards_are_for_filters_only;
    V311 "MQTT-4.7.1-2" the_multi_level_wildcard_stands_last_and_alone;
    V5 "MQTT-4.7.1-1" the_multi_level_wildcard_stands_last_and_alone;
    V311 "MQTT-4.7.1-2" the_multi_level_wildcard_matches_its_parent_and_all_below;
    V5 "MQTT-4.7.1-1" the_multi_level_wildcard_matches_its_parent_and_all_below;
    V311 "MQTT-4.7.1-3" the_single_level_wildcard_fills_a_level;
    V5 "MQTT-4.7.1-2" the_single_level_wildcard_fills_a_level;
    V311 "MQTT-4.7.1-3" the_single_level_wildcard_matches_one_level;
    V5 "MQTT-4.7.1-2" the_single_level_wildcard_matches_one_level;
    V311 "MQTT-4.7.2-1" a_leading_wildcard_matches_no_dollar;
    V5 "MQTT-4.7.2-1" a_leading_wildcard_matches_no_dollar;
    V311 "MQTT-4.7.3-1" an_empty_topic_is_refused;
    V5 "MQTT-4.7.3-1" an_empty_topic_is_refused;
    V311 "MQTT-4.7.3-2" a_topic_with_u_0000_is_refused;
    V5 "MQTT-4.7.3-2" a_topic_with_u_0000_is_refused;
    V311 "MQTT-4.7.3-4" nothing_is_normalised;
    V5 "MQTT-4.7.3-4" nothing_is_normalised;
}

/// What the broker may say of a topic name, or of a filter, that is none.
const CODES: [u8; 4] =
    [reason::MALFORMED, reason::PROTOCOL_ERROR, reason::TOPIC_NAME_INVALID, reason::TOPIC_FILTER_INVALID];

/// After a good message to the same subscriber, a PUBLISH to this name closes, and is not passed on.
fn publish_is_refused(stage: &Stage<'_>, name: &[u8]) -> Outcome {
    let mut witness = stage.client("w")?;
    witness.subscribe(stage.topic("#"), 1)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(stage.topic("a"), "good").qos(1))?;
    publisher.send(Publish::new(name, "bad").qos(1).id(9))?;
    publisher.refused(&CODES)?;
    stage.client("q")?.publish(Publish::new(stage.topic("a"), "marker").qos(1))?;
    let got: Vec<_> = witness.until("marker")?.into_iter().map(|one| one.payload).collect();
    same("what the witness got", &got, &vec![b"good".to_vec()])
}

/// A SUBSCRIBE with a filter that is none: the connection is closed, or SUBACK says that it is not granted. It
/// is never granted.
fn subscribe_is_refused(stage: &Stage<'_>, filter: &[u8]) -> Outcome {
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(stage.topic("good"), 1)?;
    subscriber.send(Subscribe::new(99, Subscription::new(filter, 1)))?;
    match subscriber.closed_or_next()? {
        None => Ok(()),
        Some(Packet::Suback(suback)) if suback.packet_id == 99 => {
            ensure(suback.codes.iter().all(|code| *code >= 0x80), || {
                format!("{:?} was granted with {:02X?}", String::from_utf8_lossy(filter), suback.codes)
            })
        }
        Some(other) => failed(format!("{other:?} came for a filter that is none")),
    }
}

fn wildcards_are_for_filters_only(stage: &Stage<'_>) -> Outcome {
    for name in ["a/+", "+", "a/#", "b+c/d", "e#"] {
        publish_is_refused(stage, stage.topic(name).as_bytes())?;
    }
    // In filters they are good.
    let mut subscriber = stage.client("s")?;
    for filter in ["a/+", "a/#", "+/+/#"] {
        subscriber.subscribe(stage.topic(filter), 1)?;
    }
    Ok(())
}

fn the_multi_level_wildcard_stands_last_and_alone(stage: &Stage<'_>) -> Outcome {
    for filter in ["a/#/b", "a#", "a/b#", "#/a", "a/#b", "##"] {
        subscribe_is_refused(stage, stage.topic(filter).as_bytes())?;
    }
    let mut subscriber = stage.client("g")?;
    subscriber.subscribe(stage.topic("a/#"), 1)
}

fn the_single_level_wildcard_fills_a_level(stage: &Stage<'_>) -> Outcome {
    for filter in ["a+", "+a", "a/+b", "a/b+/c", "++"] {
        subscribe_is_refused(stage, stage.topic(filter).as_bytes())?;
    }
    let mut subscriber = stage.client("g")?;
    for filter in ["+", "+/a", "a/+/b", "+/+"] {
        subscriber.subscribe(stage.topic(filter), 1)?;
    }
    Ok(())
}

/// Subscribes to the filter, publishes to all names, and compares with those that have to come.
fn matches(stage: &Stage<'_>, number: usize, filter: &str, names: &[&str], expected: &[&str]) -> Outcome {
    let mut subscriber = stage.client(&format!("m{number}"))?;
    subscriber.subscribe(stage.topic(filter), 1)?;
    subscriber.subscribe(stage.topic("end/of/it"), 1)?;
    let mut publisher = stage.client("p")?;
    for name in names {
        publisher.publish(Publish::new(stage.topic(name), name).qos(1))?;
    }
    publisher.publish(Publish::new(stage.topic("end/of/it"), "marker").qos(1))?;
    let got = subscriber.until("marker")?;
    let mut got: Vec<_> = got.iter().map(|one| String::from_utf8_lossy(&one.payload).into_owned()).collect();
    got.sort();
    let mut expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    same(&format!("what {filter} matched"), &got, &expected)
}

fn the_multi_level_wildcard_matches_its_parent_and_all_below(stage: &Stage<'_>) -> Outcome {
    let names = ["a", "a/", "a/b", "a/b/c", "a//b", "ab", "b", "b/a"];
    matches(stage, 0, "a/#", &names, &["a", "a/", "a/b", "a/b/c", "a//b"])?;
    matches(stage, 1, "a/b/#", &names, &["a/b", "a/b/c"])
}

fn the_single_level_wildcard_matches_one_level(stage: &Stage<'_>) -> Outcome {
    let names = ["a", "a/", "a/b", "a/b/c", "/a", "a//c", "b/b"];
    matches(stage, 0, "a/+", &names, &["a/", "a/b"])?;
    matches(stage, 1, "+/b", &names, &["a/b", "b/b"])?;
    matches(stage, 2, "a/+/c", &names, &["a/b/c", "a//c"])?;
    matches(stage, 3, "+", &names, &["a"])
}

/// Messages to a topic below `$` and to an ordinary one; subscribers to `#` and `+/…` see the second alone, one
/// to `$…/#` the first. A broker should keep clients from sending each other messages below `$`: where it does,
/// there is nothing to see.
fn a_leading_wildcard_matches_no_dollar(stage: &Stage<'_>) -> Outcome {
    let dollar = format!("${}", stage.topic("a"));
    let plain = stage.topic("a");
    let mut everything = stage.client("e")?;
    everything.subscribe("#", 1)?;
    let mut one_level = stage.client("o")?;
    one_level.subscribe("+/a", 1)?;
    let mut named = stage.client("n")?;
    named.subscribe(format!("${}", stage.topic("#")), 1)?;
    named.subscribe(&plain, 1)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&dollar, stage.client_id("x")).qos(1))?;
    publisher.publish(Publish::new(&plain, stage.client_id("y")).qos(1))?;
    let came: Vec<_> = named.until(stage.client_id("y"))?.into_iter().map(|one| one.topic).collect();
    if came.is_empty() {
        return not_shown("no message to a topic below $ was passed on to its subscriber");
    }
    same("the topics that the subscriber to $… gets", &came, &vec![dollar.into_bytes()])?;
    for subscriber in [&mut everything, &mut one_level] {
        let before = subscriber.until(stage.client_id("y"))?;
        let wrong = before.iter().find(|one| one.topic.starts_with(b"$"));
        ensure(wrong.is_none(), || format!("{wrong:?} came for a filter that begins with a wildcard"))?;
    }
    Ok(())
}

fn an_empty_topic_is_refused(stage: &Stage<'_>) -> Outcome {
    publish_is_refused(stage, b"")?;
    subscribe_is_refused(stage, b"")?;
    // One character is enough.
    let mut subscriber = stage.client("g")?;
    subscriber.subscribe("/", 1)?;
    let name = stage.client_id("one");
    stage.client("p")?.publish(Publish::new("/", &name).qos(1))?;
    subscriber.until(&name).map(drop)
}

fn a_topic_with_u_0000_is_refused(stage: &Stage<'_>) -> Outcome {
    let name = format!("{}\0b", stage.topic("a"));
    publish_is_refused(stage, name.as_bytes())?;
    subscribe_is_refused(stage, name.as_bytes())?;
    let mut subscriber = stage.client("u")?;
    subscriber.subscribe(stage.topic("good"), 1)?;
    subscriber.send(Unsubscribe::new(98, [name]))?;
    subscriber.refused(&CODES)
}

/// Spelt alike, and different: case, composed and decomposed letters, spaces, empty levels, U+FEFF.
fn nothing_is_normalised(stage: &Stage<'_>) -> Outcome {
    let names =
        ["Ä", "A\u{308}", "ä", "a", "A", " a", "a ", "/a", "a/", "a//b", "a/b", "\u{FEFF}a", "\u{10FFFD}"];
    let mut subscribers: Vec<Peer> = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let mut subscriber = stage.client(&format!("n{number}"))?;
        subscriber.subscribe(stage.topic(name), 1)?;
        subscriber.subscribe(stage.topic("end/of/it"), 1)?;
        subscribers.push(subscriber);
    }
    let mut publisher = stage.client("p")?;
    for name in names {
        publisher.publish(Publish::new(stage.topic(name), name).qos(1))?;
    }
    publisher.publish(Publish::new(stage.topic("end/of/it"), "marker").qos(1))?;
    for (name, subscriber) in names.iter().zip(&mut subscribers) {
        let got = subscriber.until("marker")?;
        let [only] = got.as_slice() else {
            return failed(format!("{got:?} came for {name:?}, which matches one message"));
        };
        same("its topic", &only.topic, &stage.topic(name).into_bytes())?;
        same("its payload", &only.payload, &name.as_bytes().to_vec())?;
    }
    Ok(())
}
