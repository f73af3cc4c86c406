//! 3.3 PUBLISH: flags, topic names, answers.

use super::cases;
use crate::offers::Feature;
use crate::outcome::{Outcome, ensure, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::{Ack, Packet, Publish, binary, first, frame, reason};

cases! {
    V311 "MQTT-3.3.1-1" what_is_sent_again_has_dup;
    V5 "MQTT-3.3.1-1" what_is_sent_again_has_dup;
    V311 "MQTT-3.3.1-2" a_message_at_qos_0_has_no_dup;
    V5 "MQTT-3.3.1-2" a_message_at_qos_0_has_no_dup;
    V311 "MQTT-3.3.1-2" a_client_that_sets_dup_at_qos_0_gets_nothing_done_wrong;
    V311 "MQTT-3.3.1-3" dup_is_not_passed_on;
    V5 "MQTT-3.3.1-3" dup_is_not_passed_on;
    V311 "MQTT-3.3.1-4" both_qos_bits_close_the_connection;
    V5 "MQTT-3.3.1-4" both_qos_bits_close_the_connection;
    V311 "MQTT-3.3.2-1" the_topic_name_comes_first_and_is_utf_8;
    V5 "MQTT-3.3.2-1" the_topic_name_comes_first_and_is_utf_8;
    V311 "MQTT-3.3.2-2" a_topic_name_with_a_wildcard_is_refused;
    V5 "MQTT-3.3.2-2" a_topic_name_with_a_wildcard_is_refused;
    V311 "MQTT-3.3.2-3" what_comes_matches_the_filter;
    V5 "MQTT-3.3.2-3" what_comes_matches_the_filter;
    V311 "MQTT-3.3.4-1" each_quality_of_service_has_its_answer;
    V5 "MQTT-3.3.4-1" each_quality_of_service_has_its_answer;
    V311 "MQTT-3.3.5-2" a_message_that_is_not_allowed_is_acknowledged_or_the_connection_closed;
}

fn what_is_sent_again_has_dup(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    for qos in [1, 2] {
        publisher.publish(Publish::new(&topic, format!("{qos}")).qos(qos))?;
    }
    let first_time = [subscriber.message()?, subscriber.message()?];
    ensure(first_time.iter().all(|one| !one.dup), || format!("DUP the first time: {first_time:?}"))?;
    // Twice: the second time again is no new message either.
    for _ in 0..2 {
        subscriber.vanish()?;
        subscriber = stage.open(stage.lasting("s"))?;
        for sent in &first_time {
            let again = subscriber.message()?;
            same("the payload", &again.payload, &sent.payload)?;
            same("the identifier", &again.packet_id, &sent.packet_id)?;
            same("DUP", &again.dup, &true)?;
        }
    }
    Ok(())
}

/// A message published at QoS 0, and one that is lowered to it.
fn a_message_at_qos_0_has_no_dup(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 0)?;
    let mut publisher = stage.client("p")?;
    for (payload, qos) in [("a", 0), ("b", 1), ("c", 2)] {
        let publish = Publish::new(&topic, payload).qos(qos);
        publisher.publish(if qos > 0 { publish.again() } else { publish })?;
        let message = subscriber.message()?;
        same("the payload", &message.payload, &payload.as_bytes().to_vec())?;
        same("its QoS and DUP", &(message.qos, message.dup), &(0, false))?;
    }
    Ok(())
}

/// 3.1.1 does not say what a broker does with it. It may close, or take it; passed on, it has no DUP.
fn a_client_that_sets_dup_at_qos_0_gets_nothing_done_wrong(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 0)?;
    let mut publisher = stage.client("p")?;
    publisher.send(Publish::new(&topic, "dup").again())?;
    let is_served = publisher.ping().is_ok();
    stage.client("q")?.publish(Publish::new(&topic, "marker"))?;
    let before = subscriber.until("marker")?;
    ensure(before.iter().all(|one| !one.dup), || format!("{before:?} was passed on with DUP"))?;
    ensure(is_served || before.is_empty(), || "a message of a connection that was closed came".to_owned())
}

fn dup_is_not_passed_on(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    for qos in [1, 2] {
        publisher.publish(Publish::new(&topic, "x").qos(qos).again())?;
        same("DUP of a message that came with it", &subscriber.receive()?.dup, &false)?;
    }
    // The other way about: sent without, but this is a retransmission to the subscriber.
    publisher.publish(Publish::new(&topic, "y").qos(1))?;
    subscriber.message()?;
    subscriber.vanish()?;
    let mut subscriber = stage.open(stage.lasting("s"))?;
    same("DUP of a message that came without", &subscriber.receive()?.dup, &true)
}

/// Nothing of what the good one and the bad one say is lost or done: the subscriber gets the good one alone.
fn refused_and_not_passed_on(
    stage: &Stage<'_>,
    topic: &str,
    good: &[u8],
    bad: &[u8],
    codes: &[u8],
) -> Outcome {
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(topic, 0)?;
    let mut publisher = stage.client("p")?;
    publisher.send_bytes(good)?;
    publisher.ping()?;
    publisher.drain();
    same(
        "what the subscriber gets of the good one",
        &subscriber.message()?.topic,
        &topic.as_bytes().to_vec(),
    )?;
    publisher.send_bytes(bad)?;
    publisher.refused(codes)?;
    stage.client("q")?.publish(Publish::new(topic, "marker"))?;
    let before = subscriber.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came of a PUBLISH that was refused"))
}

fn both_qos_bits_close_the_connection(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let good = Publish::new(&topic, "x").qos(1).id(1).to_bytes(stage.version);
    for flags in [0x06, 0x07, 0x0E] {
        let mut bad = good.clone();
        if let Some(first) = bad.first_mut() {
            *first = first::PUBLISH | flags;
        }
        refused_and_not_passed_on(stage, &topic, &good, &bad, &[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    }
    Ok(())
}

/// The payload holds what a second topic would be, so that a broker that looks elsewhere is found out.
fn the_topic_name_comes_first_and_is_utf_8(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("tö");
    let good = Publish::new(&topic, binary("payload")).to_bytes(stage.version);
    let mut name = topic.clone().into_bytes();
    name.extend([0xC3, 0x28]);
    let bad = Publish::new(&name, "x").to_bytes(stage.version);
    refused_and_not_passed_on(
        stage,
        &topic,
        &good,
        &bad,
        &[reason::MALFORMED, reason::TOPIC_NAME_INVALID, reason::PROTOCOL_ERROR],
    )?;
    // A packet too short for the topic that it announces.
    let short = frame(first::PUBLISH, [0, 200, b'a']);
    refused_and_not_passed_on(stage, &topic, &good, &short, &[reason::MALFORMED, reason::PROTOCOL_ERROR])
}

fn a_topic_name_with_a_wildcard_is_refused(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("w")?;
    subscriber.subscribe(stage.topic("#"), 0)?;
    let codes = [reason::TOPIC_NAME_INVALID, reason::MALFORMED, reason::PROTOCOL_ERROR];
    for name in ["a/+", "+/a", "a/#", "#", "a/b+", "a#"] {
        let good = Publish::new(stage.topic("a"), "good").to_bytes(stage.version);
        let bad = Publish::new(stage.topic(name), "bad").to_bytes(stage.version);
        refused_and_not_passed_on(stage, &stage.topic("a"), &good, &bad, &codes)?;
    }
    let got = subscriber.pending()?;
    ensure(got.iter().all(|one| one.payload != b"bad"), || format!("{got:?}: one was passed on"))
}

fn what_comes_matches_the_filter(stage: &Stage<'_>) -> Outcome {
    let topics = ["a", "a/b", "a/b/c", "b", "a/c", "ab", "A", "a/"];
    let filters: [(&str, &[&str]); 5] = [
        ("a", &["a"]),
        ("a/+", &["a/", "a/b", "a/c"]),
        ("a/#", &["a", "a/", "a/b", "a/b/c", "a/c"]),
        ("+/b", &["a/b"]),
        ("a/b/c", &["a/b/c"]),
    ];
    let mut subscribers = Vec::new();
    for (number, (filter, _)) in filters.iter().enumerate() {
        let mut subscriber = stage.client(&format!("s{number}"))?;
        subscriber.subscribe(stage.topic(filter), 1)?;
        subscriber.subscribe(stage.topic("marker/marker"), 1)?;
        subscribers.push(subscriber);
    }
    let mut publisher = stage.client("p")?;
    for topic in topics {
        publisher.publish(Publish::new(stage.topic(topic), topic).qos(1))?;
    }
    publisher.publish(Publish::new(stage.topic("marker/marker"), "marker").qos(1))?;
    for ((filter, expected), subscriber) in filters.iter().zip(&mut subscribers) {
        let got = subscriber.until("marker")?;
        let mut names: Vec<String> = Vec::new();
        for message in got {
            let name = String::from_utf8_lossy(&message.payload).into_owned();
            same("the topic of a message", &message.topic, &stage.topic(&name).into_bytes())?;
            names.push(name);
        }
        names.sort();
        let expected: Vec<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        same(&format!("what came for {filter}"), &names, &expected)?;
    }
    Ok(())
}

fn each_quality_of_service_has_its_answer(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    // Nothing for QoS 0: the answer to PINGREQ is the next that comes.
    publisher.send(Publish::new(&topic, "0"))?;
    publisher.quiet()?;
    publisher.send(Publish::new(&topic, "1").qos(1).id(11))?;
    publisher.ack(first::PUBACK, 11)?;
    publisher.quiet()?;
    publisher.send(Publish::new(&topic, "2").qos(2).id(12))?;
    publisher.ack(first::PUBREC, 12)?;
    publisher.quiet()?;
    publisher.send(Ack::new(first::PUBREL, 12))?;
    publisher.ack(first::PUBCOMP, 12)?;
    publisher.quiet()?;
    let mut got: Vec<u8> = Vec::new();
    for _ in 0..3 {
        got.extend(subscriber.receive()?.payload);
    }
    got.sort_unstable();
    same("what was passed on", &got, &b"012".to_vec())
}

/// Acknowledged or closed: in neither case may somebody get it.
fn a_message_that_is_not_allowed_is_acknowledged_or_the_connection_closed(stage: &Stage<'_>) -> Outcome {
    let door = stage.door(Feature::Rights)?;
    let denied = &stage.doors.denied_topic;
    let mut subscriber = stage.client("s")?;
    subscriber.send(crate::wire::Subscribe::new(1, crate::wire::Subscription::new(denied, 2)))?;
    subscriber.next("SUBACK")?;
    subscriber.subscribe(stage.topic("marker"), 1)?;
    for qos in [1, 2] {
        let mut publisher: Peer = stage.open_at(door, stage.connect(&format!("p{qos}")))?;
        publisher.publish(Publish::new(stage.topic("allowed"), "x").qos(qos))?;
        publisher.send(Publish::new(denied, stage.client_id("")).qos(qos).id(5))?;
        let wanted = if qos == 1 { first::PUBACK } else { first::PUBREC };
        match publisher.closed_or_next()? {
            None => {}
            Some(Packet::Ack(ack)) if ack.first == wanted && ack.packet_id == 5 => {}
            Some(other) => return crate::outcome::failed(format!("{other:?} came for it")),
        }
    }
    stage.client("q")?.publish(Publish::new(stage.topic("marker"), "marker").qos(1))?;
    let got = subscriber.around("marker")?;
    ensure(got.iter().all(|one| one.payload != stage.client_id("").as_bytes()), || {
        "the message was delivered".to_owned()
    })
}
