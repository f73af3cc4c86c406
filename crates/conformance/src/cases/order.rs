//! 4.6: the order of messages, and of the packets that acknowledge them.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::{Ack, Packet, Publish, first};

cases! {
    V311 "MQTT-4.6.0-1" what_comes_again_comes_in_its_first_order;
    V311 "MQTT-4.6.0-2" pubacks_come_in_the_order_of_the_publishes;
    V311 "MQTT-4.6.0-3" pubrecs_come_in_the_order_of_the_publishes;
    V311 "MQTT-4.6.0-4" pubrels_come_in_the_order_of_the_pubrecs;
    V311 "MQTT-4.6.0-5" every_topic_is_ordered;
    V5 "MQTT-4.6.0-6" every_topic_is_ordered;
    V311 "MQTT-4.6.0-6" each_quality_of_service_keeps_its_order;
    V5 "MQTT-4.6.0-5" each_quality_of_service_keeps_its_order;
    V311 "MQTT-4.6.0-6" what_waited_comes_in_order;
    V5 "MQTT-4.6.0-5" what_waited_comes_in_order;
}

/// Enough that a broker which sorts them by anything else is found out.
const MANY: u16 = 20;

fn numbers() -> Vec<String> {
    (0..MANY).map(|number| number.to_string()).collect()
}

fn payloads(messages: &[Publish]) -> Vec<String> {
    messages.iter().map(|one| String::from_utf8_lossy(&one.payload).into_owned()).collect()
}

/// Messages of both kinds, of which the second quarter is acknowledged before the connection is lost.
fn what_comes_again_comes_in_its_first_order(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    let mut held = Vec::new();
    for number in 0..8_u8 {
        publisher.publish(Publish::new(&topic, number.to_string()).qos(1 + number % 2))?;
        let message = subscriber.message()?;
        if matches!(number, 2 | 3) {
            subscriber.acknowledge(&message)?;
        } else {
            held.push(message);
        }
    }
    subscriber.ping()?;
    subscriber.vanish()?;
    let mut subscriber = stage.open(stage.lasting("s"))?;
    let mut again = Vec::new();
    for _ in &held {
        again.push(subscriber.message()?);
    }
    same("the order in which they came again", &payloads(&again), &payloads(&held))
}

/// All PUBLISHes in one write, to topics with and without subscribers, so that some are quicker to answer.
fn sent_at_once(stage: &Stage<'_>, qos: u8) -> Outcome<(Peer, Vec<u16>)> {
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(stage.topic("wanted"), 2)?;
    let mut publisher = stage.client("p")?;
    // Not in the order of their numbers.
    let ids: Vec<u16> = (1..=MANY).map(|number| number * 8 % (MANY + 1)).collect();
    let mut bytes = Vec::new();
    for id in &ids {
        let topic = stage.topic(if id % 2 == 0 { "wanted" } else { "unwanted" });
        bytes.extend(Publish::new(topic, "x").qos(qos).id(*id).to_bytes(stage.version));
    }
    publisher.send_bytes(&bytes)?;
    Ok((publisher, ids))
}

fn come_in_order(peer: &mut Peer, first: u8, ids: &[u16]) -> Outcome {
    let mut found = Vec::new();
    for _ in ids {
        match peer.next("an acknowledgement")? {
            Packet::Ack(ack) if ack.first == first => found.push(ack.packet_id),
            other => return failed(format!("{other:?} came between the acknowledgements")),
        }
    }
    same("the order of the acknowledgements", &found, &ids.to_vec())
}

fn pubacks_come_in_the_order_of_the_publishes(stage: &Stage<'_>) -> Outcome {
    let (mut publisher, ids) = sent_at_once(stage, 1)?;
    come_in_order(&mut publisher, first::PUBACK, &ids)
}

fn pubrecs_come_in_the_order_of_the_publishes(stage: &Stage<'_>) -> Outcome {
    let (mut publisher, ids) = sent_at_once(stage, 2)?;
    come_in_order(&mut publisher, first::PUBREC, &ids)
}

/// The PUBRECs go in the order of the PUBLISHes, as a client has to send them.
fn pubrels_come_in_the_order_of_the_pubrecs(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    let mut ids = Vec::new();
    for number in numbers().iter().take(10) {
        publisher.publish(Publish::new(&topic, number).qos(2))?;
        ids.push(subscriber.message()?.packet_id.unwrap_or_default());
    }
    let pubrecs: Vec<u8> = ids
        .iter()
        .flat_map(|id| Packet::from(Ack::new(first::PUBREC, *id)).to_bytes(stage.version))
        .collect();
    subscriber.send_bytes(&pubrecs)?;
    come_in_order(&mut subscriber, first::PUBREL, &ids)
}

fn every_topic_is_ordered(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(stage.topic("#"), 1)?;
    let topics: Vec<String> =
        ["a", "a/b", "z", "$inner", "a b"].iter().map(|name| stage.topic(name)).collect();
    let mut publisher = stage.client("p")?;
    let mut bytes = Vec::new();
    for number in 0..MANY {
        for (place, topic) in topics.iter().enumerate() {
            let id = number * topics.len() as u16 + place as u16 + 1;
            let publish = Publish::new(topic, number.to_string()).qos(1).id(id);
            bytes.extend(publish.to_bytes(stage.version));
        }
        // A bounded number at a time: a broker may limit what is unacknowledged.
        publisher.send_bytes(&std::mem::take(&mut bytes))?;
        for _ in &topics {
            publisher.next("PUBACK")?;
        }
    }
    let mut messages = Vec::new();
    for _ in 0..usize::from(MANY) * topics.len() {
        messages.push(subscriber.receive()?);
    }
    for topic in &topics {
        let of_topic: Vec<Publish> =
            messages.iter().filter(|one| one.topic == topic.as_bytes()).cloned().collect();
        same(&format!("the order on {topic}"), &payloads(&of_topic), &numbers())?;
    }
    Ok(())
}

/// Two publishers, both qualities that are acknowledged and the one that is not, all mixed.
fn each_quality_of_service_keeps_its_order(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 2)?;
    let mut publishers = [stage.client("p")?, stage.client("q")?];
    for number in 0..MANY {
        for (name, publisher) in ["p", "q"].iter().zip(&mut publishers) {
            for qos in 0..3 {
                publisher.publish(Publish::new(&topic, format!("{name}{qos}/{number}")).qos(qos))?;
            }
        }
    }
    let mut messages = Vec::new();
    for _ in 0..MANY * 6 {
        messages.push(subscriber.receive()?);
    }
    let got = payloads(&messages);
    for stream in ["p0/", "p1/", "p2/", "q0/", "q1/", "q2/"] {
        let of_stream: Vec<String> =
            got.iter().filter_map(|one| one.strip_prefix(stream)).map(str::to_owned).collect();
        same(&format!("the order of {stream}"), &of_stream, &numbers())?;
    }
    Ok(())
}

/// More than fit into one window of a subscriber, published while it is away.
fn what_waited_comes_in_order(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(&topic, 1)?;
    subscriber.vanish()?;
    let mut publisher = stage.client("p")?;
    for number in numbers() {
        publisher.publish(Publish::new(&topic, number).qos(1))?;
    }
    let mut subscriber = stage.open(stage.lasting("s"))?;
    let mut messages = Vec::new();
    for number in 0..usize::from(MANY) {
        messages.push(subscriber.receive()?);
        if number == 10 {
            publisher.publish(Publish::new(&topic, "marker").qos(1))?;
        }
    }
    same("the order of what waited", &payloads(&messages), &numbers())?;
    let last = subscriber.receive()?;
    ensure(last.payload == b"marker", || format!("{last:?} came where the newest message was due"))
}
