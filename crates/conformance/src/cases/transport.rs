//! 4.2 and 7: the transport.

use super::cases;
use crate::outcome::{Outcome, same};
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Packet, Publish, first};

cases! {
    V5 "MQTT-4.2-1" bytes_go_both_ways_in_order_and_without_loss;
    V311 "MQTT-7.1.1-1" bytes_go_both_ways_in_order_and_without_loss;
}

/// Packets cut into single bytes, many packets in one write, and one packet that takes many reads.
fn bytes_go_both_ways_in_order_and_without_loss(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    let (mut publisher, connack) = stage.accepted(stage.connect("p"))?;
    let announced = |id, otherwise| connack.properties.number(id).unwrap_or(otherwise);
    for byte in Publish::new(&topic, "cut").qos(1).id(1).to_bytes(stage.version) {
        publisher.send_bytes(&[byte])?;
    }
    publisher.ack(first::PUBACK, 1)?;
    same("what was cut", &subscriber.receive()?.payload, &b"cut".to_vec())?;
    // A broker may limit what is unacknowledged: ten at a time, or fewer.
    let at_a_time = announced(property::RECEIVE_MAXIMUM, 10).min(10) as u16;
    for round in 0..10_u16 {
        let ids = round * 10 + 2..round * 10 + 2 + at_a_time;
        let bytes: Vec<u8> = ids
            .clone()
            .flat_map(|id| Publish::new(&topic, id.to_string()).qos(1).id(id).to_bytes(stage.version))
            .chain(Packet::Pingreq.to_bytes(stage.version))
            .collect();
        publisher.send_bytes(&bytes)?;
        for id in ids.clone() {
            publisher.pick_ack(first::PUBACK, id)?;
        }
        publisher.pick("PINGRESP", |packet| matches!(packet, Packet::Pingresp).then_some(()))?;
        for id in ids {
            same("one of many", &subscriber.receive()?.payload, &id.to_string().into_bytes())?;
        }
    }
    // With room for the topic and the properties in what a broker takes.
    let length = announced(property::MAXIMUM_PACKET_SIZE, 200_100).min(200_100).saturating_sub(100);
    let large: Vec<u8> = (0..length).map(|place| (place * 7 % 251) as u8).collect();
    publisher.publish(Publish::new(&topic, &large).qos(1))?;
    let got = subscriber.receive()?.payload;
    same("the length of a large payload", &got.len(), &large.len())?;
    same("where it differs", &got.iter().zip(&large).position(|(found, sent)| found != sent), &None)
}
