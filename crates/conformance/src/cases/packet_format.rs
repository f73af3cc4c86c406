//! 2 MQTT control packet format: flags, packet identifiers, properties.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, not_shown, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{
    Ack, Disconnect, Packet, Publish, Subscribe, Subscription, Unsubscribe, first, frame, reason, text,
};
use std::collections::BTreeSet;
use std::time::Duration;

cases! {
    V311 "MQTT-2.2.2-1" the_broker_s_flags_are_those_of_the_table;
    V5 "MQTT-2.1.3-1" the_broker_s_flags_are_those_of_the_table;
    V311 "MQTT-2.2.2-2" a_packet_with_other_flags_closes_the_connection;
    V5 "MQTT-2.1.3-1" a_packet_with_other_flags_closes_the_connection;
    V311 "MQTT-2.3.1-1" identifier_0_is_refused;
    V5 "MQTT-2.2.1-3" identifier_0_is_refused;
    V311 "MQTT-2.3.1-4" the_broker_uses_identifiers_that_are_free;
    V5 "MQTT-2.2.1-4" the_broker_uses_identifiers_that_are_free;
    V311 "MQTT-2.3.1-4" an_identifier_that_is_held_is_passed_over;
    V5 "MQTT-2.2.1-4" an_identifier_that_is_held_is_passed_over;
    V311 "MQTT-2.3.1-5" a_message_at_qos_0_has_no_identifier;
    V5 "MQTT-2.2.1-2" a_message_at_qos_0_has_no_identifier;
    V311 "MQTT-2.3.1-6" acknowledgements_repeat_the_identifier;
    V5 "MQTT-2.2.1-5" acknowledgements_repeat_the_identifier;
    V311 "MQTT-2.3.1-7" suback_and_unsuback_repeat_the_identifier;
    V5 "MQTT-2.2.1-6" suback_and_unsuback_repeat_the_identifier;
    V5 "MQTT-2.2.2-1" no_properties_are_a_length_of_zero;
}

/// One of each kind that a broker sends; the strict reader compares the first byte with the table.
fn the_broker_s_flags_are_those_of_the_table(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut peer = stage.client("c")?;
    peer.subscribe(&topic, 2)?;
    for qos in 0..3 {
        peer.publish(Publish::new(&topic, "x").qos(qos))?;
        peer.receive()?;
    }
    peer.ping()?;
    let unsuback = peer.unsubscribe(&topic)?;
    let codes = if stage.version.is_5() { 1 } else { 0 };
    same("the codes of UNSUBACK", &unsuback.codes.len(), &codes)?;
    peer.disconnect()
}

/// All that a client sends after CONNECT but PUBLISH, whose flags mean something.
const WITH_FIXED_FLAGS: [u8; 8] = [
    first::PUBACK,
    first::PUBREC,
    first::PUBREL,
    first::PUBCOMP,
    first::SUBSCRIBE,
    first::UNSUBSCRIBE,
    first::PINGREQ,
    first::DISCONNECT,
];

/// A connection that waits for the packet which begins like this, and that packet.
fn due(stage: &Stage<'_>, first: u8) -> Outcome<(Peer, Vec<u8>)> {
    let mut peer = stage.client("b")?;
    let topic = stage.topic("o");
    let packet: Packet = match first {
        first::PUBACK | first::PUBREC | first::PUBCOMP => {
            let qos = if first == first::PUBACK { 1 } else { 2 };
            peer.subscribe(&topic, qos)?;
            stage.client("p")?.publish(Publish::new(&topic, "x").qos(qos))?;
            let id = peer.message()?.packet_id.unwrap_or_default();
            if first == first::PUBCOMP {
                peer.send(Ack::new(first::PUBREC, id))?;
                peer.ack(first::PUBREL, id)?;
            }
            Ack::new(first, id).into()
        }
        first::PUBREL => {
            peer.send(Publish::new(&topic, "x").qos(2).id(9))?;
            peer.ack(first::PUBREC, 9)?;
            Ack::new(first, 9).into()
        }
        first::SUBSCRIBE => Subscribe::new(9, Subscription::new(&topic, 0)).into(),
        first::UNSUBSCRIBE => Unsubscribe::new(9, [&topic]).into(),
        first::DISCONNECT => Disconnect::default().into(),
        _ => Packet::Pingreq,
    };
    let bytes = packet.to_bytes(stage.version);
    Ok((peer, bytes))
}

fn a_packet_with_other_flags_closes_the_connection(stage: &Stage<'_>) -> Outcome {
    for first in WITH_FIXED_FLAGS {
        let (mut peer, good) = due(stage, first)?;
        peer.send_bytes(&good)?;
        match first {
            first::DISCONNECT => peer.closed_without_a_word()?,
            _ => peer.ping()?,
        }
        for flags in [0x01, 0x02, 0x04, 0x08, 0x0F] {
            let (mut peer, mut bad) = due(stage, first)?;
            if let Some(byte) = bad.first_mut() {
                *byte ^= flags;
            }
            peer.send_bytes(&bad)?;
            let what = format!("a packet that begins with 0x{:02X}", first ^ flags);
            peer.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR]).map_err(|fault| fault.about(&what))?;
        }
    }
    let mut connect = stage.connect("c").to_bytes(stage.version);
    if let Some(byte) = connect.first_mut() {
        *byte |= 0x02;
    }
    super::connect::is_refused(stage, &connect, &[reason::MALFORMED, reason::PROTOCOL_ERROR])
}

fn identifier_0_is_refused(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut witness = stage.client("w")?;
    witness.subscribe(&topic, 1)?;
    let with = |id: u16| {
        [
            Publish::new(&topic, "x").qos(1).id(id).to_bytes(stage.version),
            Publish::new(&topic, "x").qos(2).id(id).to_bytes(stage.version),
            Subscribe::new(id, Subscription::new(stage.topic("s"), 0)).to_bytes(stage.version),
            Unsubscribe::new(id, [stage.topic("s")]).to_bytes(stage.version),
        ]
    };
    for (good, bad) in with(1).iter().zip(with(0)) {
        let mut peer = stage.client("c")?;
        peer.send_bytes(good)?;
        peer.next("an answer")?;
        peer.send_bytes(&bad)?;
        peer.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    }
    stage.client("q")?.publish(Publish::new(&topic, "marker").qos(1))?;
    // The one at QoS 2 was not released: a broker may keep it until then.
    let got = witness.until("marker")?.len();
    ensure(got == 1 || got == 2, || format!("{got} messages came of one or two that were good"))
}

/// A window that is held open while messages are acknowledged out of order and new ones come.
fn the_broker_uses_identifiers_that_are_free(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    let mut open: Vec<Publish> = Vec::new();
    for number in 0..30_usize {
        publisher.publish(Publish::new(&topic, number.to_string()).qos(1 + (number % 2) as u8))?;
        let message = subscriber.message()?;
        let id = message.packet_id;
        ensure(open.iter().all(|other| other.packet_id != id), || {
            format!("identifier {id:?} came for a new message while an older one has it")
        })?;
        open.push(message);
        // Out of the middle, so that the next one could fall on a hole or on a neighbour.
        if open.len() > 5 {
            let message = open.remove(number % 4);
            subscriber.acknowledge(&message)?;
        }
    }
    let ids: BTreeSet<_> = open.iter().filter_map(|message| message.packet_id).collect();
    same("the number of identifiers in flight", &ids.len(), &open.len())
}

/// So many messages that a counter of two bytes comes round, while the first is not acknowledged.
fn an_identifier_that_is_held_is_passed_over(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    let (mut publisher, connack) = stage.accepted(stage.connect("p"))?;
    let window = connack.properties.number(property::RECEIVE_MAXIMUM).unwrap_or(100).min(100) as u16;
    if window < 10 {
        return not_shown(format!(
            "with {window} messages at a time the counter does not come round in time"
        ));
    }
    publisher.publish(Publish::new(&topic, "held").qos(1))?;
    let held = subscriber.message()?;
    let batch: Vec<u8> =
        (1..=window).flat_map(|id| Publish::new(&topic, "x").qos(1).id(id).to_bytes(stage.version)).collect();
    let mut acks = Vec::new();
    for _ in 0..=(u16::MAX / window) {
        publisher.send_bytes(&batch)?;
        for number in 0..window {
            let Some(message) = subscriber.message_within(Duration::from_secs(1))? else {
                // A broker may wait for the identifier that is next in its order, and goes on when it is free.
                subscriber.send_bytes(&acks)?;
                subscriber.acknowledge(&held)?;
                return subscriber.receive().map(drop);
            };
            ensure(message.packet_id != held.packet_id, || {
                format!("identifier {:?} came for a new message while an older one has it", held.packet_id)
            })?;
            acks.extend(
                Ack::new(first::PUBACK, message.packet_id.unwrap_or_default()).to_bytes(stage.version),
            );
            if number % 10 == 9 {
                subscriber.send_bytes(&std::mem::take(&mut acks))?;
            }
        }
        (1..=window).try_for_each(|id| publisher.pick_ack(first::PUBACK, id).map(drop))?;
    }
    subscriber.send_bytes(&acks)?;
    subscriber.acknowledge(&held)?;
    subscriber.quiet()
}

fn a_message_at_qos_0_has_no_identifier(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 0)?;
    let mut publisher = stage.client("p")?;
    // Two bytes too many would be the first of the payload.
    for (payload, qos) in [("ab", 0), ("cd", 1), ("ef", 2)] {
        publisher.publish(Publish::new(&topic, payload).qos(qos))?;
        let message = subscriber.message()?;
        same("payload and identifier", &(message.payload, message.packet_id), &(payload.into(), None))?;
    }
    // The other way about: what a client sends at QoS 0 is payload from the first byte on.
    publisher.send(Publish::new(&topic, [0, 9, b'x']))?;
    publisher.quiet()?;
    same("a payload that looks like an identifier", &subscriber.message()?.payload, &vec![0, 9, b'x'])
}

fn acknowledgements_repeat_the_identifier(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut peer: Peer = stage.client("p")?;
    for id in [65_535, 1, 256, 255] {
        peer.send(Publish::new(&topic, "x").qos(1).id(id))?;
        peer.ack(first::PUBACK, id)?;
        peer.send(Publish::new(&topic, "x").qos(2).id(id))?;
        peer.ack(first::PUBREC, id)?;
        peer.send(Ack::new(first::PUBREL, id))?;
        peer.ack(first::PUBCOMP, id)?;
    }
    // Several at a time, so that the last identifier that was read does not do.
    let ids = [7, 3, 5];
    let together = ids.map(|id| Publish::new(&topic, "x").qos(1).id(id).to_bytes(stage.version));
    peer.send_bytes(&together.concat())?;
    ids.iter().try_for_each(|id| peer.pick_ack(first::PUBACK, *id).map(drop))?;
    // And in PUBREL, which the broker sends.
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 2)?;
    for _ in 0..3 {
        peer.publish(Publish::new(&topic, "x").qos(2))?;
    }
    let ids: Vec<_> = (0..3)
        .map(|_| subscriber.message().map(|message| message.packet_id.unwrap_or_default()))
        .collect::<Outcome<_>>()?;
    for id in ids {
        subscriber.send(Ack::new(first::PUBREC, id))?;
        subscriber.ack(first::PUBREL, id)?;
    }
    Ok(())
}

fn suback_and_unsuback_repeat_the_identifier(stage: &Stage<'_>) -> Outcome {
    let mut peer = stage.client("c")?;
    for id in [65_535, 1, 256, 255] {
        peer.send(Subscribe::new(id, Subscription::new(stage.topic("t"), 0)))?;
        match peer.next("SUBACK")? {
            Packet::Suback(suback) => same("the identifier of SUBACK", &suback.packet_id, &id)?,
            other => return failed(format!("{other:?} came where SUBACK was due")),
        }
        peer.send(Unsubscribe::new(id, [stage.topic("t")]))?;
        match peer.next("UNSUBACK")? {
            Packet::Unsuback(unsuback) => same("the identifier of UNSUBACK", &unsuback.packet_id, &id)?,
            other => return failed(format!("{other:?} came where UNSUBACK was due")),
        }
    }
    Ok(())
}

/// A PUBLISH with a length of zero is served; one that leaves the length out is read as something else.
fn no_properties_are_a_length_of_zero(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 0)?;
    let mut publisher = stage.client("p")?;
    publisher.send(Publish::new(&topic, "payload"))?;
    let message = subscriber.message()?;
    same("payload and properties", &(message.payload, message.properties.len()), &(b"payload".to_vec(), 0))?;
    publisher.send_bytes(&frame(first::PUBLISH, text(&topic)))?;
    publisher.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    let mut subscriber = stage.client("q")?;
    subscriber.send_bytes(&frame(first::SUBSCRIBE, [0, 1]))?;
    subscriber.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])
}
