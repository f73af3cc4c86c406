//! 3.3.1.3: retained messages, and what a subscription says about them.

use super::cases;
use crate::outcome::{Outcome, ensure, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::{Publish, Subscribe, Subscription};

cases! {
    V311 "MQTT-3.3.1-5" a_retained_message_is_kept_with_its_qos;
    V5 "MQTT-3.3.1-5" a_retained_message_is_kept_with_its_qos;
    V5 "MQTT-3.3.1-5" the_last_retained_message_replaces_the_one_before;
    V311 "MQTT-3.3.1-6" the_last_retained_message_replaces_the_one_before;
    V311 "MQTT-3.3.1-6" a_new_subscription_gets_the_retained_message_of_each_topic;
    V5 "MQTT-3.3.1-9" a_new_subscription_gets_the_retained_message_of_each_topic;
    V311 "MQTT-3.3.1-7" a_retained_message_at_qos_0_replaces_one_at_qos_1;
    V311 "MQTT-3.3.1-8" what_comes_for_a_new_subscription_has_retain;
    V311 "MQTT-3.3.1-9" what_comes_for_an_established_subscription_has_no_retain;
    V5 "MQTT-3.3.1-12" what_comes_for_an_established_subscription_has_no_retain;
    V311 "MQTT-3.3.1-10" an_empty_retained_message_is_delivered_and_removes;
    V5 "MQTT-3.3.1-6" an_empty_retained_message_is_delivered_and_removes;
    V311 "MQTT-3.3.1-11" an_empty_retained_message_is_not_stored;
    V5 "MQTT-3.3.1-7" an_empty_retained_message_is_not_stored;
    V311 "MQTT-3.3.1-12" a_message_without_retain_leaves_the_retained_one;
    V5 "MQTT-3.3.1-8" a_message_without_retain_leaves_the_retained_one;
    V5 "MQTT-3.3.1-9" retain_handling_0_sends_them_every_time;
    V5 "MQTT-3.3.1-10" retain_handling_1_sends_them_the_first_time;
    V5 "MQTT-3.3.1-11" retain_handling_2_sends_none;
    V5 "MQTT-3.3.1-13" retain_as_published_keeps_the_flag;
}

/// What a new client gets for a subscription to this filter, before a message that is published afterwards.
fn found(stage: &Stage<'_>, filter: &str, qos: u8) -> Outcome<Vec<Publish>> {
    let mut subscriber = stage.client("look")?;
    subscriber.subscribe(filter, qos)?;
    let messages = up_to_marker(stage, &mut subscriber)?;
    subscriber.disconnect()?;
    Ok(messages)
}

/// All that comes before a marker; the subscriber is subscribed to the marker's topic first.
fn up_to_marker(stage: &Stage<'_>, subscriber: &mut Peer) -> Outcome<Vec<Publish>> {
    let marker = stage.topic("end/of/it");
    subscriber.subscribe(&marker, 0)?;
    stage.client("marker")?.publish(Publish::new(&marker, "marker"))?;
    subscriber.until("marker")
}

fn a_retained_message_is_kept_with_its_qos(stage: &Stage<'_>) -> Outcome {
    for qos in [1, 2] {
        let topic = stage.topic(&format!("q{qos}"));
        stage.retain(Publish::new(&topic, "kept").qos(qos))?;
        for asked in [qos, 0] {
            let messages = found(stage, &topic, asked)?;
            let [message] = messages.as_slice() else {
                return crate::outcome::failed(format!(
                    "{messages:?} came where one retained message was due"
                ));
            };
            same("its payload", &message.payload, &b"kept".to_vec())?;
            same(&format!("its QoS at a subscription with QoS {asked}"), &message.qos, &asked)?;
        }
    }
    Ok(())
}

fn payloads(messages: &[Publish]) -> Vec<String> {
    messages.iter().map(|one| String::from_utf8_lossy(&one.payload).into_owned()).collect()
}

fn the_last_retained_message_replaces_the_one_before(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    for payload in ["first", "second", "third"] {
        stage.retain(Publish::new(&topic, payload))?;
        same("what is retained", &payloads(&found(stage, &topic, 1)?), &vec![payload.to_owned()])?;
    }
    Ok(())
}

fn a_new_subscription_gets_the_retained_message_of_each_topic(stage: &Stage<'_>) -> Outcome {
    for name in ["a", "b", "b/c", "b/c/d"] {
        stage.retain(Publish::new(stage.topic(name), name))?;
    }
    let expected: [(&str, &[&str]); 5] = [
        ("a", &["a"]),
        ("+", &["a", "b"]),
        ("b/#", &["b", "b/c", "b/c/d"]),
        ("b/+/d", &["b/c/d"]),
        ("b/c/d/+", &[]),
    ];
    for (filter, names) in expected {
        let mut got = payloads(&found(stage, &stage.topic(filter), 1)?);
        got.sort();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        same(&format!("what came for {filter}"), &got, &names)?;
    }
    Ok(())
}

/// The standard allows a broker to forget a retained message at QoS 0, but not to go on with the one before it.
fn a_retained_message_at_qos_0_replaces_one_at_qos_1(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    stage.retain(Publish::new(&topic, "old").qos(1))?;
    same("what is retained at first", &payloads(&found(stage, &topic, 1)?), &vec!["old".to_owned()])?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "new").retained())?;
    let got = payloads(&found(stage, &topic, 1)?);
    ensure(got.is_empty() || got == ["new"], || format!("{got:?} came where only the newest may"))
}

fn what_comes_for_a_new_subscription_has_retain(stage: &Stage<'_>) -> Outcome {
    stage.retain(Publish::new(stage.topic("a/1"), "one"))?;
    stage.retain(Publish::new(stage.topic("a/2"), "two").qos(2))?;
    for filter in ["a/1", "a/2", "a/+"] {
        let messages = found(stage, &stage.topic(filter), 2)?;
        ensure(!messages.is_empty(), || format!("nothing retained came for {filter}"))?;
        ensure(messages.iter().all(|one| one.retain), || format!("without RETAIN: {messages:?}"))?;
    }
    Ok(())
}

fn what_comes_for_an_established_subscription_has_no_retain(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 2)?;
    for qos in 0..3 {
        stage.will_retain(&topic);
        let mut publisher = stage.client(&format!("p{qos}"))?;
        publisher.publish(Publish::new(&topic, format!("{qos}")).qos(qos).retained())?;
        let message = subscriber.receive()?;
        same("its payload", &message.payload, &qos.to_string().into_bytes())?;
        same("its RETAIN", &message.retain, &false)?;
    }
    Ok(())
}

fn an_empty_retained_message_is_delivered_and_removes(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    stage.retain(Publish::new(&topic, "kept"))?;
    same("what is retained", &payloads(&found(stage, &topic, 1)?), &vec!["kept".to_owned()])?;
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    same("what the subscriber has", &subscriber.receive()?.payload, &b"kept".to_vec())?;
    stage.retain(Publish::new(&topic, ""))?;
    same("what an established subscription gets", &subscriber.receive()?.payload, &Vec::new())?;
    same("what is retained afterwards", &payloads(&found(stage, &topic, 1)?), &Vec::new())
}

fn an_empty_retained_message_is_not_stored(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    stage.retain(Publish::new(stage.topic("other"), "other"))?;
    for qos in [0, 1, 2] {
        let mut publisher = stage.client(&format!("p{qos}"))?;
        publisher.publish(Publish::new(&topic, "").qos(qos).retained())?;
    }
    // A message that is there shows that retained messages come at all.
    same("what is retained", &payloads(&found(stage, &stage.topic("+"), 1)?), &vec!["other".to_owned()])
}

fn a_message_without_retain_leaves_the_retained_one(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(stage.topic("none"), "passing").qos(1))?;
    stage.retain(Publish::new(&topic, "kept"))?;
    for payload in ["passing", ""] {
        publisher.publish(Publish::new(&topic, payload).qos(1))?;
        publisher.publish(Publish::new(&topic, payload))?;
    }
    same("what is retained", &payloads(&found(stage, &stage.topic("+"), 1)?), &vec!["kept".to_owned()])
}

/// What one subscription gets when it is made, and when it is made again.
fn handled(stage: &Stage<'_>, handling: u8) -> Outcome<[Vec<String>; 2]> {
    let topic = stage.topic("t");
    stage.retain(Publish::new(&topic, "kept"))?;
    let mut subscriber = stage.client("s")?;
    let mut got = [Vec::new(), Vec::new()];
    for place in &mut got {
        subscriber.subscribe_with(Subscription::new(&topic, 1).retain_handling(handling))?;
        *place = payloads(&up_to_marker(stage, &mut subscriber)?);
    }
    // Whatever came of the retained one: the subscription works.
    stage.client("p")?.publish(Publish::new(&topic, "live").qos(1))?;
    same("a live message", &subscriber.receive()?.payload, &b"live".to_vec())?;
    Ok(got)
}

fn retain_handling_0_sends_them_every_time(stage: &Stage<'_>) -> Outcome {
    let kept = || vec!["kept".to_owned()];
    same("what came for the first and the second SUBSCRIBE", &handled(stage, 0)?, &[kept(), kept()])
}

fn retain_handling_1_sends_them_the_first_time(stage: &Stage<'_>) -> Outcome {
    let expected = [vec!["kept".to_owned()], Vec::new()];
    same("what came for the first and the second SUBSCRIBE", &handled(stage, 1)?, &expected)?;
    // Unsubscribed meanwhile, it is new again.
    let topic = stage.topic("t");
    let mut subscriber = stage.client("n")?;
    let subscription = || Subscription::new(&topic, 1).retain_handling(1);
    subscriber.subscribe_with(subscription())?;
    same("what came first", &subscriber.receive()?.payload, &b"kept".to_vec())?;
    subscriber.unsubscribe(&topic)?;
    subscriber.subscribe_with(subscription())?;
    same("what came after UNSUBSCRIBE", &subscriber.receive()?.payload, &b"kept".to_vec())
}

fn retain_handling_2_sends_none(stage: &Stage<'_>) -> Outcome {
    same("what came for two SUBSCRIBEs", &handled(stage, 2)?, &[Vec::new(), Vec::new()])?;
    // Beside another filter of the same SUBSCRIBE that does want it.
    let topic = stage.topic("t");
    let mut subscriber = stage.client("n")?;
    let packet_id = subscriber.new_id();
    subscriber.exchange_subscribe(
        Subscribe::new(packet_id, Subscription::new(&topic, 1).retain_handling(2))
            .and(Subscription::new(stage.topic("+"), 1)),
    )?;
    let got = payloads(&up_to_marker(stage, &mut subscriber)?);
    same("what came for the filter that wants it alone", &got, &vec!["kept".to_owned()])
}

fn retain_as_published_keeps_the_flag(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe_with(Subscription::new(&topic, 2).retain_as_published())?;
    stage.will_retain(&topic);
    let mut publisher = stage.client("p")?;
    for qos in 0..3 {
        for retain in [true, false] {
            publisher.publish(Publish { retain, ..Publish::new(&topic, "x").qos(qos) })?;
            same(&format!("RETAIN of a message at QoS {qos}"), &subscriber.receive()?.retain, &retain)?;
        }
    }
    Ok(())
}
