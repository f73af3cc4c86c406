//! 3.3.4 and 4.9 of MQTT 5: Receive Maximum, in both directions.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Ack, Packet, Property, Publish, Subscription, first, reason};

cases! {
    V5 "MQTT-3.3.4-7" a_client_beyond_the_receive_maximum_is_told_so;
    V5 "MQTT-3.3.4-9" no_more_is_unacknowledged_than_the_client_allows;
    V5 "MQTT-3.3.4-10" other_packets_pass_a_used_up_receive_maximum;
    V5 "MQTT-4.9.0-1" the_first_messages_fill_the_receive_maximum_and_no_more;
    V5 "MQTT-4.9.0-2" each_acknowledgement_makes_room_for_one_message;
    V5 "MQTT-4.9.0-3" a_used_up_quota_holds_back_nothing_else;
}

/// A subscriber with that Receive Maximum, a publisher, and their topic.
fn narrow(stage: &Stage<'_>, maximum: u16) -> Outcome<(Peer, Peer, String)> {
    let topic = stage.topic("t");
    let connect = stage.connect("s").with(Property::two(property::RECEIVE_MAXIMUM, maximum));
    let mut subscriber = stage.open(connect)?;
    subscriber.subscribe(&topic, 2)?;
    Ok((subscriber, stage.client("p")?, topic))
}

/// PUBRELs are held back, so that QoS 2 messages stay open until more are open than CONNACK allows.
fn a_client_beyond_the_receive_maximum_is_told_so(stage: &Stage<'_>) -> Outcome {
    let (mut publisher, connack) = stage.accepted(stage.connect("p"))?;
    let maximum = connack.properties.number(property::RECEIVE_MAXIMUM).unwrap_or(65_535) as u16;
    let topic = stage.topic("t");
    for id in 1..=maximum {
        publisher.send(Publish::new(&topic, "").qos(2).id(id))?;
        if id % 100 == 0 || id == maximum {
            // Answers are read now and then, so that neither side's buffers fill.
            publisher.pick_ack(first::PUBREC, id)?;
        }
    }
    publisher.ping()?;
    if maximum == u16::MAX {
        return crate::outcome::not_shown("the broker allows every identifier there is");
    }
    publisher.drain();
    publisher.send(Publish::new(&topic, "").qos(2).id(maximum + 1))?;
    match publisher.closed_or_packet()? {
        // The DISCONNECT, a close without it, or a refusal of this one message.
        Some(Packet::Disconnect(disconnect)) => {
            same("the code", &disconnect.code, &reason::RECEIVE_MAXIMUM_EXCEEDED)?;
            publisher.closed_without_a_word()
        }
        Some(Packet::Ack(ack)) if ack.packet_id == maximum + 1 => {
            ensure(ack.code >= 0x80, || format!("one message more than the {maximum} allowed was taken"))
        }
        Some(other) => failed(format!("{other:?} came for one message more than the {maximum} allowed")),
        None => Ok(()),
    }
}

fn no_more_is_unacknowledged_than_the_client_allows(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = narrow(stage, 3)?;
    for number in 0..9_u8 {
        publisher.publish(Publish::new(&topic, number.to_string()).qos(1 + number % 2))?;
    }
    let mut open = std::collections::VecDeque::new();
    for acknowledged in 0..9 {
        open.extend(subscriber.pending()?);
        if open.is_empty() {
            open.push_back(subscriber.message()?);
        }
        ensure(open.len() <= 3, || format!("{} messages are unacknowledged, and 3 are allowed", open.len()))?;
        let Some(message) = open.pop_front() else {
            return failed(format!("only {acknowledged} of nine messages came"));
        };
        subscriber.acknowledge(&message)?;
    }
    subscriber.quiet()
}

fn other_packets_pass_a_used_up_receive_maximum(stage: &Stage<'_>) -> Outcome {
    pass_a_used_up_window(stage)
}

fn a_used_up_quota_holds_back_nothing_else(stage: &Stage<'_>) -> Outcome {
    pass_a_used_up_window(stage)
}

/// PINGRESP, SUBACK, UNSUBACK, the answers to a client's own messages, and QoS 0 messages.
fn pass_a_used_up_window(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = narrow(stage, 1)?;
    publisher.publish(Publish::new(&topic, "open").qos(1))?;
    publisher.publish(Publish::new(&topic, "waits").qos(1))?;
    let open = subscriber.message()?;
    subscriber.quiet()?;
    let other = stage.topic("other");
    same("SUBACK", &subscriber.subscribe_with(Subscription::new(&other, 0))?.codes, &vec![0])?;
    publisher.publish(Publish::new(&other, "free"))?;
    same("the QoS 0 message", &subscriber.message()?.payload, &b"free".to_vec())?;
    subscriber.unsubscribe(&other)?;
    for qos in [1, 2] {
        subscriber.publish(Publish::new(stage.topic("own"), "x").qos(qos))?;
    }
    subscriber.quiet()?;
    subscriber.acknowledge(&open)?;
    same("what waited", &subscriber.receive()?.payload, &b"waits".to_vec())
}

fn the_first_messages_fill_the_receive_maximum_and_no_more(stage: &Stage<'_>) -> Outcome {
    for maximum in [1, 2, 5] {
        let topic = stage.topic(&format!("t{maximum}"));
        let connect =
            stage.connect(&format!("s{maximum}")).with(Property::two(property::RECEIVE_MAXIMUM, maximum));
        let mut subscriber = stage.open(connect)?;
        subscriber.subscribe(&topic, 1)?;
        let mut publisher = stage.client("p")?;
        for number in 0..10 {
            publisher.publish(Publish::new(&topic, number.to_string()).qos(1))?;
        }
        let mut open = vec![subscriber.message()?];
        open.extend(subscriber.pending()?);
        ensure(open.len() <= usize::from(maximum), || {
            format!("{} messages came at once, and {maximum} are allowed", open.len())
        })?;
        publisher.disconnect()?;
    }
    Ok(())
}

/// PUBACK, PUBCOMP and a refusing PUBREC make room for one; a good PUBREC makes none.
fn each_acknowledgement_makes_room_for_one_message(stage: &Stage<'_>) -> Outcome {
    let (mut subscriber, mut publisher, topic) = narrow(stage, 1)?;
    for (payload, qos) in [("a", 1), ("b", 2), ("c", 2), ("d", 1)] {
        publisher.publish(Publish::new(&topic, payload).qos(qos))?;
    }
    let mut names = Vec::new();
    for _ in 0..4 {
        let message = subscriber.message()?;
        let id = message.packet_id.unwrap_or_default();
        names.push(String::from_utf8_lossy(&message.payload).into_owned());
        subscriber.quiet()?;
        match (message.qos, names.len()) {
            (1, _) => subscriber.send(Ack::new(first::PUBACK, id))?,
            (_, 2) => {
                subscriber.send(Ack::new(first::PUBREC, id))?;
                match subscriber.next("PUBREL")? {
                    Packet::Ack(ack) if ack.first == first::PUBREL && ack.packet_id == id => {}
                    other => return failed(format!("{other:?} came where PUBREL {id} was due")),
                }
                subscriber.quiet()?;
                subscriber.send(Ack::new(first::PUBCOMP, id))?;
            }
            _ => subscriber.send(Ack::new(first::PUBREC, id).code(reason::UNSPECIFIED))?,
        }
    }
    names.sort();
    ensure(names == ["a", "b", "c", "d"], || format!("{names:?} came of the four messages"))?;
    subscriber.quiet()
}
