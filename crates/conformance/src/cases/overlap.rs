//! 3.3.4: overlapping subscriptions, and subscription identifiers.

use super::cases;
use crate::outcome::{Fault, Outcome, ensure, granted, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Property, Publish, Subscribe, Subscription, reason};
use std::collections::BTreeSet;

cases! {
    V311 "MQTT-3.3.5-1" overlapping_subscriptions_get_the_highest_qos;
    V5 "MQTT-3.3.4-2" overlapping_subscriptions_get_the_highest_qos;
    V5 "MQTT-3.3.4-3" a_message_carries_the_identifier_of_its_subscription;
    V5 "MQTT-3.3.4-4" a_single_copy_carries_all_identifiers;
    V5 "MQTT-3.3.4-5" of_several_copies_each_carries_its_own_identifier;
    V5 "MQTT-3.3.4-6" a_publish_with_a_subscription_identifier_is_refused;
}

/// A subscriber with these filters at these QoS, each with its own subscription identifier from 10 on in MQTT 5.
fn subscriber(stage: &Stage<'_>, subscriptions: &[(&str, u8)]) -> Outcome<Peer> {
    let (mut subscriber, connack) = stage.accepted(stage.connect("s"))?;
    let has_identifiers = stage.version.is_5()
        && connack.properties.number(property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE) != Some(0);
    for (number, (filter, qos)) in (10..).zip(subscriptions) {
        let packet_id = subscriber.new_id();
        let mut subscribe = Subscribe::new(packet_id, Subscription::new(stage.topic(filter), *qos));
        if has_identifiers {
            subscribe = subscribe.with(Property::variable(property::SUBSCRIPTION_IDENTIFIER, number));
        }
        granted(&subscriber.exchange_subscribe(subscribe)?.codes, &[*qos])?;
    }
    Ok(subscriber)
}

/// All copies of one message, which a broker may send as one or as one for each subscription.
fn copies(stage: &Stage<'_>, subscriber: &mut Peer, name: &str, qos: u8) -> Outcome<Vec<Publish>> {
    let mut publisher = stage.client("p")?;
    subscriber.subscribe(stage.topic("marker"), 0)?;
    publisher.publish(Publish::new(stage.topic(name), "x").qos(qos))?;
    publisher.publish(Publish::new(stage.topic("marker"), "marker"))?;
    publisher.disconnect()?;
    subscriber.around("marker")
}

fn overlapping_subscriptions_get_the_highest_qos(stage: &Stage<'_>) -> Outcome {
    let orders: [[(&str, u8); 3]; 2] =
        [[("a/b", 0), ("a/+", 2), ("a/#", 1)], [("a/b", 2), ("a/+", 1), ("a/#", 0)]];
    for subscriptions in orders {
        let mut subscriber = subscriber(stage, &subscriptions)?;
        for qos in [2, 1] {
            let got = copies(stage, &mut subscriber, "a/b", qos)?;
            let highest = got.iter().map(|one| one.qos).max();
            same(&format!("the highest QoS of a message at QoS {qos}"), &highest, &Some(qos))?;
            ensure(got.len() <= 3, || format!("{} copies came for three subscriptions", got.len()))?;
        }
        subscriber.disconnect()?;
    }
    Ok(())
}

fn identifiers(stage: &Stage<'_>) -> Outcome {
    let (_, connack) = stage.accepted(stage.connect("i"))?;
    if connack.properties.number(property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE) == Some(0) {
        return Err(Fault::NotShown("the broker has no subscription identifiers".to_owned()));
    }
    Ok(())
}

fn a_message_carries_the_identifier_of_its_subscription(stage: &Stage<'_>) -> Outcome {
    identifiers(stage)?;
    let mut subscriber = subscriber(stage, &[("a", 1), ("b", 0), ("c/+", 2)])?;
    for (name, expected) in [("a", 10), ("b", 11), ("c/d", 12)] {
        let got = copies(stage, &mut subscriber, name, 2)?;
        let found: Vec<_> = got.iter().map(|one| one.properties.subscription_identifiers()).collect();
        same(&format!("the identifiers with a message to {name}"), &found, &vec![vec![expected]])?;
    }
    // The largest there is, and a replaced subscription.
    let topic = stage.topic("a");
    let packet_id = subscriber.new_id();
    let largest = Property::variable(property::SUBSCRIPTION_IDENTIFIER, 268_435_455);
    subscriber.exchange_subscribe(Subscribe::new(packet_id, Subscription::new(&topic, 1)).with(largest))?;
    let got = copies(stage, &mut subscriber, "a", 1)?;
    let found: Vec<_> = got.iter().map(|one| one.properties.subscription_identifiers()).collect();
    same("the identifier of a subscription that was replaced", &found, &vec![vec![268_435_455]])
}

fn overlapped(stage: &Stage<'_>) -> Outcome<Vec<Vec<u32>>> {
    identifiers(stage)?;
    let mut subscriber = subscriber(stage, &[("a/b", 1), ("a/+", 1), ("a/#", 1), ("other", 1)])?;
    // One more without an identifier.
    subscriber.subscribe(stage.topic("+/b"), 1)?;
    let got = copies(stage, &mut subscriber, "a/b", 1)?;
    ensure(!got.is_empty(), || "no copy came".to_owned())?;
    Ok(got.iter().map(|one| one.properties.subscription_identifiers()).collect())
}

fn a_single_copy_carries_all_identifiers(stage: &Stage<'_>) -> Outcome {
    let found = overlapped(stage)?;
    let [single] = found.as_slice() else {
        return Err(Fault::NotShown(format!("the broker sends {} copies, one a subscription", found.len())));
    };
    let distinct: BTreeSet<u32> = single.iter().copied().collect();
    same("the identifiers of the one copy", &distinct, &BTreeSet::from([10, 11, 12]))?;
    same("how many there are", &single.len(), &3)
}

fn of_several_copies_each_carries_its_own_identifier(stage: &Stage<'_>) -> Outcome {
    let mut found = overlapped(stage)?;
    if found.len() == 1 {
        return Err(Fault::NotShown("the broker sends a single copy".to_owned()));
    }
    found.sort();
    same("the identifiers of the copies", &found, &vec![vec![], vec![10], vec![11], vec![12]])
}

fn a_publish_with_a_subscription_identifier_is_refused(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "good").qos(1))?;
    let forbidden = Property::variable(property::SUBSCRIPTION_IDENTIFIER, 1);
    publisher.send(Publish::new(&topic, "bad").qos(1).id(9).with(forbidden))?;
    publisher.refused(&[reason::PROTOCOL_ERROR, reason::MALFORMED])?;
    stage.client("q")?.publish(Publish::new(&topic, "marker").qos(1))?;
    let before: Vec<_> = subscriber.until("marker")?.into_iter().map(|one| one.payload).collect();
    same("what the subscriber got", &before, &vec![b"good".to_vec()])
}
