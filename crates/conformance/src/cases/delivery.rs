//! 4.3: the three qualities of service, in both directions.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Ack, Packet, Property, Publish, first, reason};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

cases! {
    V311 "MQTT-4.3.1-1" a_message_at_qos_0_comes_once_without_dup_or_identifier;
    V5 "MQTT-4.3.1-1" a_message_at_qos_0_comes_once_without_dup_or_identifier;
    V311 "MQTT-4.3.2-1" new_messages_at_qos_1_have_identifiers_of_their_own;
    V5 "MQTT-4.3.2-1" new_messages_at_qos_1_have_identifiers_of_their_own;
    V5 "MQTT-4.3.2-2" a_new_message_at_qos_1_has_its_qos_and_no_dup;
    V311 "MQTT-4.3.2-1" a_new_message_at_qos_1_has_its_qos_and_no_dup;
    V5 "MQTT-4.3.2-3" without_its_puback_a_message_stays_unacknowledged;
    V311 "MQTT-4.3.2-1" without_its_puback_a_message_stays_unacknowledged;
    V5 "MQTT-4.3.2-4" a_message_at_qos_1_is_answered_with_puback_and_passed_on;
    V311 "MQTT-4.3.2-2" a_message_at_qos_1_is_answered_with_puback_and_passed_on;
    V5 "MQTT-4.3.2-5" after_puback_the_identifier_is_that_of_a_new_message;
    V311 "MQTT-4.3.2-2" after_puback_the_identifier_is_that_of_a_new_message;
    V5 "MQTT-4.3.3-1" new_messages_at_qos_2_have_identifiers_of_their_own;
    V311 "MQTT-4.3.3-1" new_messages_at_qos_2_have_identifiers_of_their_own;
    V5 "MQTT-4.3.3-2" a_new_message_at_qos_2_has_its_qos_and_no_dup;
    V311 "MQTT-4.3.3-1" a_new_message_at_qos_2_has_its_qos_and_no_dup;
    V5 "MQTT-4.3.3-3" without_its_pubrec_a_message_stays_unacknowledged;
    V311 "MQTT-4.3.3-1" without_its_pubrec_a_message_stays_unacknowledged;
    V5 "MQTT-4.3.3-4" pubrec_is_answered_with_pubrel;
    V311 "MQTT-4.3.3-1" pubrec_is_answered_with_pubrel;
    V5 "MQTT-4.3.3-5" without_its_pubcomp_a_pubrel_stays_unacknowledged;
    V311 "MQTT-4.3.3-1" without_its_pubcomp_a_pubrel_stays_unacknowledged;
    V5 "MQTT-4.3.3-6" after_pubrec_the_publish_does_not_come_again;
    V311 "MQTT-4.3.3-1" after_pubrec_the_publish_does_not_come_again;
    V5 "MQTT-4.3.3-7" a_message_that_was_sent_does_not_expire;
    V5 "MQTT-4.3.3-8" a_message_at_qos_2_is_answered_with_pubrec_and_passed_on;
    V311 "MQTT-4.3.3-2" a_message_at_qos_2_is_answered_with_pubrec_and_passed_on;
    V5 "MQTT-4.3.3-9" after_a_refusing_pubrec_the_identifier_is_that_of_a_new_message;
    V5 "MQTT-4.3.3-10" a_repeated_publish_gets_pubrec_again_and_is_not_passed_on;
    V311 "MQTT-4.3.3-2" a_repeated_publish_gets_pubrec_again_and_is_not_passed_on;
    V5 "MQTT-4.3.3-11" pubrel_is_answered_with_pubcomp;
    V311 "MQTT-4.3.3-2" pubrel_is_answered_with_pubcomp;
    V5 "MQTT-4.3.3-12" after_pubcomp_the_identifier_is_that_of_a_new_message;
    V311 "MQTT-4.3.3-2" after_pubcomp_the_identifier_is_that_of_a_new_message;
    V5 "MQTT-4.3.3-13" the_exchange_goes_on_although_the_message_expired;
}

/// A subscriber at that QoS, a publisher, and their topic.
fn pair(stage: &Stage<'_>, qos: u8) -> Outcome<(Peer, Peer, String)> {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, qos)?;
    Ok((subscriber, stage.client("p")?, topic))
}

fn a_message_at_qos_0_comes_once_without_dup_or_identifier(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, 0)?;
    publisher.publish(Publish::new(&topic, "once"))?;
    publisher.publish(Publish::new(&topic, "marker"))?;
    let once = subscriber.message()?;
    same("the payload", &once.payload, &b"once".to_vec())?;
    same("the QoS, DUP and identifier", &(once.qos, once.dup, once.packet_id), &(0, false, None))?;
    same("what comes next", &subscriber.message()?.payload, &b"marker".to_vec())
}

fn a_new_message_at_qos_1_has_its_qos_and_no_dup(stage: &Stage<'_>) -> Outcome {
    is_sent_with_its_qos_and_no_dup(stage, 1)
}

fn a_new_message_at_qos_2_has_its_qos_and_no_dup(stage: &Stage<'_>) -> Outcome {
    is_sent_with_its_qos_and_no_dup(stage, 2)
}

/// The publisher sends with DUP, so that a broker which passes the flag on is found out.
fn is_sent_with_its_qos_and_no_dup(stage: &Stage<'_>, qos: u8) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, qos)?;
    publisher.publish(Publish::new(&topic, "plain").qos(qos))?;
    publisher.publish(Publish::new(&topic, "dup").qos(qos).again())?;
    for payload in ["plain", "dup"] {
        let message = subscriber.receive()?;
        same("the payload", &message.payload, &payload.as_bytes().to_vec())?;
        same("its QoS and DUP", &(message.qos, message.dup), &(qos, false))?;
    }
    Ok(())
}

fn new_messages_at_qos_1_have_identifiers_of_their_own(stage: &Stage<'_>) -> Outcome {
    have_identifiers_of_their_own(stage, 1)
}

fn new_messages_at_qos_2_have_identifiers_of_their_own(stage: &Stage<'_>) -> Outcome {
    have_identifiers_of_their_own(stage, 2)
}

/// Ten messages in flight at a time, none acknowledged before all are there.
fn have_identifiers_of_their_own(stage: &Stage<'_>, qos: u8) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, qos)?;
    for number in 0..10 {
        publisher.publish(Publish::new(&topic, format!("{number}")).qos(qos))?;
    }
    let mut messages = Vec::new();
    for _ in 0..10 {
        messages.push(subscriber.message()?);
    }
    let ids: BTreeSet<_> = messages.iter().filter_map(|message| message.packet_id).collect();
    same("the number of identifiers of ten messages in flight", &ids.len(), &10)?;
    messages.iter().try_for_each(|message| subscriber.acknowledge(message))
}

/// A lasting subscriber, gone and back: what it left unacknowledged is there again.
fn without_its_puback_a_message_stays_unacknowledged(stage: &Stage<'_>) -> Outcome {
    stays_unacknowledged(stage, 1)
}

fn without_its_pubrec_a_message_stays_unacknowledged(stage: &Stage<'_>) -> Outcome {
    stays_unacknowledged(stage, 2)
}

fn stays_unacknowledged(stage: &Stage<'_>, qos: u8) -> Outcome {
    let (mut subscriber, topic) = lasting(stage, qos)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "kept").qos(qos))?;
    let sent = subscriber.message()?;
    subscriber.vanish()?;
    let mut subscriber = stage.open(stage.lasting("s"))?;
    let again = subscriber.receive()?;
    same("the identifier", &again.packet_id, &sent.packet_id)?;
    same("the payload", &again.payload, &sent.payload)?;
    // Acknowledged now: it must not come a third time.
    subscriber.ping()?;
    subscriber.vanish()?;
    publisher.publish(Publish::new(&topic, "marker").qos(qos))?;
    let before = stage.open(stage.lasting("s"))?.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came again after it was acknowledged"))
}

/// A lasting subscriber at that QoS, and its topic.
fn lasting(stage: &Stage<'_>, qos: u8) -> Outcome<(Peer, String)> {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(&topic, qos)?;
    Ok((subscriber, topic))
}

fn a_message_at_qos_1_is_answered_with_puback_and_passed_on(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, 1)?;
    for packet_id in [1, 300, 65_535] {
        publisher.send(Publish::new(&topic, format!("{packet_id}")).qos(1).id(packet_id))?;
        let puback = publisher.ack(first::PUBACK, packet_id)?;
        ensure(puback.code < 0x80, || format!("PUBACK 0x{:02X} for a message somebody wants", puback.code))?;
        same("the payload", &subscriber.receive()?.payload, &packet_id.to_string().into_bytes())?;
    }
    Ok(())
}

/// DUP or not: the sender may have lost the PUBACK of an older message, and means a new one.
fn after_puback_the_identifier_is_that_of_a_new_message(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, 1)?;
    let first_time = Publish::new(&topic, "first").qos(1).id(7);
    for message in [
        first_time,
        Publish::new(&topic, "second").qos(1).id(7),
        Publish::new(&topic, "third").qos(1).id(7).again(),
    ] {
        publisher.send(message)?;
        publisher.ack(first::PUBACK, 7)?;
    }
    for payload in ["first", "second", "third"] {
        same("the payload", &subscriber.receive()?.payload, &payload.as_bytes().to_vec())?;
    }
    Ok(())
}

fn pubrec_is_answered_with_pubrel(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, 2)?;
    publisher.publish(Publish::new(&topic, "one").qos(2))?;
    let message = subscriber.message()?;
    let packet_id = message.packet_id.unwrap_or_default();
    subscriber.send(Ack::new(first::PUBREC, packet_id))?;
    subscriber.ack(first::PUBREL, packet_id)?;
    subscriber.send(Ack::new(first::PUBCOMP, packet_id))?;
    subscriber.quiet()
}

fn without_its_pubcomp_a_pubrel_stays_unacknowledged(stage: &Stage<'_>) -> Outcome {
    released_and_back(stage).and_then(|(mut subscriber, packet_id)| {
        let next = subscriber.next("PUBREL")?;
        match next {
            Packet::Ack(ack) if ack.first == first::PUBREL && ack.packet_id == packet_id => {
                subscriber.send(Ack::new(first::PUBCOMP, packet_id))?;
                subscriber.ping()
            }
            other => failed(format!("{other:?} came where PUBREL {packet_id} was due again")),
        }
    })
}

fn after_pubrec_the_publish_does_not_come_again(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, packet_id) = released_and_back(stage)?;
    let mut publisher = stage.client("p")?;
    subscriber.pick_ack(first::PUBREL, packet_id)?;
    subscriber.send(Ack::new(first::PUBCOMP, packet_id))?;
    publisher.publish(Publish::new(stage.topic("t"), "marker").qos(2))?;
    let before = subscriber.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came although its PUBREC had been sent"))
}

/// A lasting subscriber that has answered a message with PUBREC and got its PUBREL, and is back on a new
/// connection without having sent PUBCOMP.
fn released_and_back(stage: &Stage<'_>) -> Outcome<(Peer, u16)> {
    let (mut subscriber, topic) = lasting(stage, 2)?;
    let mut publisher = stage.client("q")?;
    publisher.publish(Publish::new(&topic, "released").qos(2))?;
    let packet_id = subscriber.message()?.packet_id.unwrap_or_default();
    subscriber.send(Ack::new(first::PUBREC, packet_id))?;
    subscriber.ack(first::PUBREL, packet_id)?;
    subscriber.vanish()?;
    Ok((stage.open(stage.lasting("s"))?, packet_id))
}

/// Sent with an expiry of one second, left unacknowledged for longer, and asked for again.
fn a_message_that_was_sent_does_not_expire(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, topic) = lasting(stage, 2)?;
    let mut publisher = stage.client("p")?;
    let start = Instant::now();
    publisher
        .publish(Publish::new(&topic, "short").qos(2).with(Property::four(property::MESSAGE_EXPIRY, 1)))?;
    let sent = subscriber.message()?;
    subscriber.vanish()?;
    stage.until(start, Duration::from_millis(2_500));
    let mut subscriber = stage.open(stage.lasting("s"))?;
    let again = subscriber.receive()?;
    same("the message that was sent before it expired", &again.payload, &sent.payload)?;
    same("its identifier", &again.packet_id, &sent.packet_id)
}

fn a_message_at_qos_2_is_answered_with_pubrec_and_passed_on(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, 2)?;
    for packet_id in [1, 300, 65_535] {
        publisher.send(Publish::new(&topic, format!("{packet_id}")).qos(2).id(packet_id))?;
        let pubrec = publisher.ack(first::PUBREC, packet_id)?;
        ensure(pubrec.code < 0x80, || format!("PUBREC 0x{:02X} for a message somebody wants", pubrec.code))?;
        publisher.send(Ack::new(first::PUBREL, packet_id))?;
        publisher.ack(first::PUBCOMP, packet_id)?;
        same("the payload", &subscriber.receive()?.payload, &packet_id.to_string().into_bytes())?;
    }
    Ok(())
}

/// The topic that nobody may publish to gives the PUBREC of 0x80 or more.
fn after_a_refusing_pubrec_the_identifier_is_that_of_a_new_message(stage: &Stage<'_>) -> Outcome {
    let door = stage.door(crate::offers::Feature::Rights)?;
    let (mut subscriber, _, topic) = pair(stage, 2)?;
    let mut publisher = stage.open_at(door, stage.connect("r"))?;
    publisher.send(Publish::new(&stage.doors.denied_topic, "denied").qos(2).id(9))?;
    match publisher.closed_or_next()? {
        Some(Packet::Ack(ack)) if ack.first == first::PUBREC && ack.packet_id == 9 && ack.code >= 0x80 => {}
        _ => {
            return crate::outcome::not_shown(
                "no PUBREC of 0x80 or more came for the topic that is not allowed",
            );
        }
    }
    publisher.send(Publish::new(&topic, "allowed").qos(2).id(9))?;
    let second = match publisher.closed_or_next()? {
        Some(Packet::Ack(ack)) => ack,
        Some(other) => return failed(format!("{other:?} came where PUBREC was due")),
        None => return crate::outcome::not_shown("the broker closes after a PUBREC of 0x80 or more"),
    };
    same("the second PUBREC", &(second.first, second.code), &(first::PUBREC, reason::SUCCESS))?;
    publisher.send(Ack::new(first::PUBREL, 9))?;
    publisher.ack(first::PUBCOMP, 9)?;
    same("the payload", &subscriber.receive()?.payload, &b"allowed".to_vec())
}

/// Each repeat comes on a new connection, as the standard wants it.
fn a_repeated_publish_gets_pubrec_again_and_is_not_passed_on(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, _, topic) = pair(stage, 2)?;
    let mut publisher = stage.open(stage.lasting("r"))?;
    publisher.send(Publish::new(&topic, "one").qos(2).id(5))?;
    publisher.ack(first::PUBREC, 5)?;
    for _ in 0..3 {
        publisher.vanish()?;
        publisher = stage.open(stage.lasting("r"))?;
        publisher.send(Publish::new(&topic, "one").qos(2).id(5).again())?;
        let pubrec = publisher.ack(first::PUBREC, 5)?;
        ensure(pubrec.code < 0x80, || format!("PUBREC 0x{:02X} for a repeat", pubrec.code))?;
    }
    publisher.send(Ack::new(first::PUBREL, 5))?;
    publisher.ack(first::PUBCOMP, 5)?;
    publisher.publish(Publish::new(&topic, "marker").qos(2).id(6))?;
    let before: Vec<_> = subscriber.until("marker")?.into_iter().map(|message| message.payload).collect();
    same("what the subscriber got", &before, &vec![b"one".to_vec()])
}

fn pubrel_is_answered_with_pubcomp(stage: &Stage<'_>) -> Outcome {
    let mut publisher = stage.client("p")?;
    for packet_id in [2, 65_535] {
        publisher.send(Publish::new(stage.topic("t"), "x").qos(2).id(packet_id))?;
        publisher.ack(first::PUBREC, packet_id)?;
        publisher.send(Ack::new(first::PUBREL, packet_id))?;
        same("the code", &publisher.ack(first::PUBCOMP, packet_id)?.code, &reason::SUCCESS)?;
    }
    Ok(())
}

fn after_pubcomp_the_identifier_is_that_of_a_new_message(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, 2)?;
    publisher.publish(Publish::new(&topic, "first").qos(2).id(8))?;
    publisher.publish(Publish::new(&topic, "second").qos(2).id(8))?;
    publisher.publish(Publish::new(&topic, "third").qos(2).id(8).again())?;
    for payload in ["first", "second", "third"] {
        same("the payload", &subscriber.receive()?.payload, &payload.as_bytes().to_vec())?;
    }
    Ok(())
}

/// Both sides of the broker: a publisher that releases late, and a subscriber that answers late.
fn the_exchange_goes_on_although_the_message_expired(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = pair(stage, 2)?;
    let short = || Publish::new(&topic, "short").qos(2).with(Property::four(property::MESSAGE_EXPIRY, 1));
    let start = Instant::now();
    publisher.publish(short().id(3))?;
    let message = subscriber.message()?;
    let left = message.properties.number(property::MESSAGE_EXPIRY);
    ensure(left.is_some(), || "the expiry interval was not passed on".to_owned())?;
    // Nobody has subscribed to this one: its publisher's side alone counts.
    publisher.send(Publish { topic: stage.topic("other").into_bytes(), ..short().id(4) })?;
    publisher.ack(first::PUBREC, 4)?;
    stage.until(start, Duration::from_millis(2_500));
    publisher.send(Ack::new(first::PUBREL, 4))?;
    publisher.ack(first::PUBCOMP, 4)?;
    let packet_id = message.packet_id.unwrap_or_default();
    subscriber.send(Ack::new(first::PUBREC, packet_id))?;
    subscriber.ack(first::PUBREL, packet_id)?;
    subscriber.send(Ack::new(first::PUBCOMP, packet_id))?;
    subscriber.quiet()
}
