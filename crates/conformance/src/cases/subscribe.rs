//! 3.8 SUBSCRIBE and 3.9 SUBACK.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, granted, not_shown, same};
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Packet, Property, Publish, Subscribe, Subscription, first, frame, reason};

cases! {
    V311 "MQTT-3.8.1-1" subscribe_with_other_flags_is_refused;
    V5 "MQTT-3.8.1-1" subscribe_with_other_flags_is_refused;
    V311 "MQTT-3.8.3-1" a_filter_that_is_not_utf_8_is_refused;
    V5 "MQTT-3.8.3-1" a_filter_that_is_not_utf_8_is_refused;
    V311 "MQTT-3.8.3-3" a_subscribe_without_a_filter_is_refused;
    V5 "MQTT-3.8.3-2" a_subscribe_without_a_filter_is_refused;
    V5 "MQTT-3.8.3-3" no_local_keeps_a_client_s_own_messages_from_it;
    V5 "MQTT-3.8.3-4" no_local_on_a_shared_subscription_is_refused;
    V311 "MQTT-3.8.3-4" reserved_bits_in_the_options_are_refused;
    V5 "MQTT-3.8.3-5" reserved_bits_in_the_options_are_refused;
    V311 "MQTT-3.8.4-1" subscribe_is_answered_with_suback;
    V5 "MQTT-3.8.4-1" subscribe_is_answered_with_suback;
    V311 "MQTT-3.8.4-2" suback_repeats_the_identifier;
    V5 "MQTT-3.8.4-2" suback_repeats_the_identifier;
    V311 "MQTT-3.8.4-3" the_same_filter_again_replaces_the_subscription;
    V5 "MQTT-3.8.4-3" the_same_filter_again_replaces_the_subscription;
    V311 "MQTT-3.8.4-3" a_replacement_sends_retained_messages_again_and_loses_nothing;
    V5 "MQTT-3.8.4-4" a_replacement_sends_retained_messages_again_and_loses_nothing;
    V311 "MQTT-3.8.4-4" several_filters_act_like_several_packets_with_one_answer;
    V5 "MQTT-3.8.4-5" several_filters_act_like_several_packets_with_one_answer;
    V311 "MQTT-3.8.4-5" suback_has_a_code_for_each_filter;
    V5 "MQTT-3.8.4-6" suback_has_a_code_for_each_filter;
    V5 "MQTT-3.8.4-7" each_code_is_the_granted_qos_or_a_failure;
    V311 "MQTT-3.8.4-5" each_code_is_the_granted_qos_or_a_failure;
    V311 "MQTT-3.8.4-6" the_lower_qos_of_message_and_subscription_counts;
    V5 "MQTT-3.8.4-8" the_lower_qos_of_message_and_subscription_counts;
    V5 "MQTT-3.9.2-1" suback_leaves_out_a_reason_string_that_is_too_large;
    V5 "MQTT-3.9.2-2" suback_leaves_out_user_properties_that_are_too_large;
    V311 "MQTT-3.9.3-1" the_codes_are_in_the_order_of_the_filters;
    V5 "MQTT-3.9.3-1" the_codes_are_in_the_order_of_the_filters;
    V311 "MQTT-3.9.3-2" suback_has_no_other_codes;
    V5 "MQTT-3.9.3-2" suback_has_no_other_codes;
}

/// A good SUBSCRIBE is served; the spoiled one closes the connection.
fn is_refused(stage: &Stage<'_>, good: &Subscribe, bad: &[u8]) -> Outcome {
    let mut subscriber = stage.client("s")?;
    subscriber.exchange_subscribe(good.clone())?;
    subscriber.send_bytes(bad)?;
    subscriber.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR, reason::TOPIC_FILTER_INVALID])
}

fn good(stage: &Stage<'_>) -> Subscribe {
    Subscribe::new(10, Subscription::new(stage.topic("t"), 1))
}

fn subscribe_with_other_flags_is_refused(stage: &Stage<'_>) -> Outcome {
    for flags in [0x80, 0x81, 0x83, 0x86, 0x8A, 0x8F] {
        let mut bad = good(stage).to_bytes(stage.version);
        if let Some(first) = bad.first_mut() {
            *first = flags;
        }
        is_refused(stage, &good(stage), &bad)?;
    }
    Ok(())
}

fn a_filter_that_is_not_utf_8_is_refused(stage: &Stage<'_>) -> Outcome {
    let bad_ends: [&[u8]; 4] = [&[0xC3, 0x28], &[0xED, 0xA0, 0x80], &[0xFF], &[0xC0, 0x80]];
    for end in bad_ends {
        let filter = [stage.topic("t").as_bytes(), end].concat();
        let bad = Subscribe::new(11, Subscription::new(filter, 1)).to_bytes(stage.version);
        is_refused(stage, &good(stage), &bad)?;
    }
    is_refused(
        stage,
        &Subscribe::new(10, Subscription::new(stage.topic("ö€"), 1)),
        &frame(first::SUBSCRIBE, [0]),
    )
}

fn a_subscribe_without_a_filter_is_refused(stage: &Stage<'_>) -> Outcome {
    let bad = Subscribe { subscriptions: Vec::new(), ..good(stage) }.to_bytes(stage.version);
    is_refused(stage, &good(stage), &bad)
}

/// By client id: another client's message comes, and the client's own do not, at any QoS.
fn no_local_keeps_a_client_s_own_messages_from_it(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut own = stage.client("o")?;
    own.subscribe_with(Subscription::new(&topic, 1).no_local())?;
    let mut plain = stage.client("p")?;
    plain.subscribe(&topic, 1)?;
    for qos in 0..3 {
        own.publish(Publish::new(&topic, format!("own{qos}")).qos(qos))?;
        same("the other subscriber's", &plain.receive()?.payload, &format!("own{qos}").into_bytes())?;
    }
    plain.publish(Publish::new(&topic, "marker").qos(1))?;
    same("what a subscriber without No Local gets", &plain.receive()?.payload, &b"marker".to_vec())?;
    let before = own.until("marker")?;
    ensure(before.is_empty(), || format!("{before:?} came back to its own publisher"))
}

fn no_local_on_a_shared_subscription_is_refused(stage: &Stage<'_>) -> Outcome {
    let (_, connack) = stage.accepted(stage.connect("i"))?;
    if connack.properties.number(property::SHARED_AVAILABLE) == Some(0) {
        return not_shown("the broker has no shared subscriptions");
    }
    let filter = format!("$share/{}/{}", stage.client_id("g"), stage.topic("t"));
    let good = Subscribe::new(10, Subscription::new(&filter, 1));
    let bad = Subscribe::new(11, Subscription::new(&filter, 1).no_local()).to_bytes(stage.version);
    is_refused(stage, &good, &bad)
}

fn reserved_bits_in_the_options_are_refused(stage: &Stage<'_>) -> Outcome {
    let bad: &[u8] =
        if stage.version.is_5() { &[0x41, 0x81, 0xC0, 0x03] } else { &[0x04, 0x08, 0x11, 0x80, 0x03] };
    for options in bad {
        let filter = stage.topic("t").into_bytes();
        let bad = Subscribe::new(11, Subscription { filter, options: *options });
        is_refused(stage, &good(stage), &bad.to_bytes(stage.version))?;
    }
    Ok(())
}

fn subscribe_is_answered_with_suback(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    for qos in 0..3 {
        let packet_id = subscriber.new_id();
        let filter = stage.topic(&format!("t{qos}"));
        subscriber.send(Subscribe::new(packet_id, Subscription::new(&filter, qos)))?;
        match subscriber.next("SUBACK")? {
            Packet::Suback(suback) => {
                let is_granted = matches!(suback.codes.as_slice(), [code] if *code <= qos);
                ensure(is_granted, || format!("the codes {:02X?} came for QoS {qos}", suback.codes))?;
            }
            other => return failed(format!("{other:?} came where SUBACK was due")),
        }
        subscriber.publish(Publish::new(&filter, "x").qos(qos))?;
        same("the topic that was subscribed to", &subscriber.receive()?.topic, &filter.into_bytes())?;
    }
    subscriber.quiet()
}

fn suback_repeats_the_identifier(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    // In one write and with different codes, so that an answer with another's identifier shows.
    let ids: [(u16, u8); 5] = [(65_535, 0), (1, 1), (256, 2), (255, 0), (4711, 1)];
    let mut bytes = Vec::new();
    for (id, qos) in ids {
        let subscription = Subscription::new(stage.topic(&format!("{id}")), qos);
        bytes.extend(Subscribe::new(id, subscription).to_bytes(stage.version));
    }
    subscriber.send_bytes(&bytes)?;
    let mut found = Vec::new();
    for _ in ids {
        match subscriber.next("SUBACK")? {
            Packet::Suback(suback) => found.push((suback.packet_id, suback.codes)),
            other => return failed(format!("{other:?} came where SUBACK was due")),
        }
    }
    found.sort_unstable();
    let mut expected = ids.to_vec();
    expected.sort_unstable();
    let (found, codes): (Vec<u16>, Vec<Vec<u8>>) = found.into_iter().unzip();
    let (expected, asked): (Vec<u16>, Vec<u8>) = expected.into_iter().unzip();
    same("the identifiers of the SUBACKs", &found, &expected)?;
    granted(&codes.concat(), &asked)
}

/// One subscription afterwards, with the newer QoS: one copy comes, and one UNSUBSCRIBE ends it. The marker goes
/// the same way as the message before it, for only what has the same topic and QoS keeps its order.
fn the_same_filter_again_replaces_the_subscription(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    let mut publisher = stage.client("p")?;
    for qos in [0, 2, 1] {
        subscriber.subscribe(&topic, qos)?;
        publisher.publish(Publish::new(&topic, "x").qos(2))?;
        publisher.publish(Publish::new(&topic, "marker").qos(2))?;
        let got: Vec<u8> = subscriber.until("marker")?.iter().map(|one| one.qos).collect();
        same("the QoS of the copies that came", &got, &vec![qos])?;
        subscriber.quiet()?;
    }
    subscriber.unsubscribe(&topic)?;
    subscriber.subscribe(stage.topic("marker"), 2)?;
    publisher.publish(Publish::new(&topic, "x").qos(2))?;
    publisher.publish(Publish::new(stage.topic("marker"), "marker").qos(2))?;
    let got = subscriber.around("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came after UNSUBSCRIBE: one subscription was left"))
}

/// The subscription is replaced again and again while numbered messages pass. A broker may send what it has
/// retained after what comes later, on another topic.
fn a_replacement_sends_retained_messages_again_and_loses_nothing(stage: &Stage<'_>) -> Outcome {
    let (topic, kept) = (stage.topic("a/t"), stage.topic("a/kept"));
    stage.retain(Publish::new(&kept, "kept"))?;
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(stage.topic("a/+"), 1)?;
    let mut publisher = stage.client("p")?;
    for number in 0..20 {
        let id = publisher.new_id();
        publisher.send(Publish::new(&topic, number.to_string()).qos(1).id(id))?;
        subscriber.subscribe(stage.topic("a/+"), 1 + number % 2)?;
        publisher.pick_ack(first::PUBACK, id)?;
    }
    publisher.publish(Publish::new(&topic, "marker").qos(1))?;
    let (again, live): (Vec<_>, Vec<_>) =
        subscriber.until("marker")?.into_iter().partition(|one| one.topic == kept.as_bytes());
    let live: Vec<_> = live.iter().map(|one| String::from_utf8_lossy(&one.payload).into_owned()).collect();
    let expected: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    same("the messages that passed meanwhile", &live, &expected)?;
    for number in again.len()..21 {
        let retained = subscriber.receive().map_err(|fault| {
            fault.about(&format!("{number} retained messages came for 21 SUBSCRIBEs, and then"))
        })?;
        same("the topic of what else comes", &retained.topic, &kept.clone().into_bytes())?;
    }
    subscriber.quiet()
}

fn several_filters_act_like_several_packets_with_one_answer(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    let subscribe = Subscribe::new(5, Subscription::new(stage.topic("a"), 0))
        .and(Subscription::new(stage.topic("b/+"), 1))
        .and(Subscription::new(stage.topic("c/#"), 2));
    let suback = subscriber.exchange_subscribe(subscribe)?;
    granted(&suback.codes, &[0, 1, 2])?;
    subscriber.quiet()?;
    let mut publisher = stage.client("p")?;
    for (name, qos) in [("a", 0), ("b/x", 1), ("c/x/y", 2)] {
        publisher.publish(Publish::new(stage.topic(name), name).qos(2))?;
        let message = subscriber.receive()?;
        same("payload and QoS", &(message.payload, message.qos), &(name.as_bytes().to_vec(), qos))?;
    }
    Ok(())
}

fn many(stage: &Stage<'_>, options: &[u8]) -> Subscribe {
    let filter = |number: usize| stage.topic(&format!("f{number}")).into_bytes();
    let subscriptions = options
        .iter()
        .enumerate()
        .map(|(number, options)| Subscription { filter: filter(number), options: *options })
        .collect();
    Subscribe { packet_id: 7, properties: Vec::new(), subscriptions }
}

fn suback_has_a_code_for_each_filter(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    for count in [1, 2, 3, 10, 50] {
        let suback = subscriber.exchange_subscribe(many(stage, &vec![1; count]))?;
        same("the number of codes", &suback.codes.len(), &count)?;
    }
    Ok(())
}

/// What a code grants is what a message at QoS 2 then has.
fn each_code_is_the_granted_qos_or_a_failure(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    let suback = subscriber.exchange_subscribe(many(stage, &[0, 1, 2]))?;
    let mut publisher = stage.client("p")?;
    for (number, code) in suback.codes.iter().enumerate() {
        ensure(*code <= 2, || format!("code 0x{code:02X} for a filter that anybody may subscribe to"))?;
        ensure(usize::from(*code) <= number, || format!("QoS {code} granted where {number} was asked for"))?;
        publisher.publish(Publish::new(stage.topic(&format!("f{number}")), "x").qos(2))?;
        same("the QoS of a message", &subscriber.receive()?.qos, code)?;
    }
    Ok(())
}

fn the_lower_qos_of_message_and_subscription_counts(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    let granted = subscriber.exchange_subscribe(many(stage, &[0, 1, 2]))?.codes;
    let mut publisher = stage.client("p")?;
    for (number, granted) in granted.iter().enumerate() {
        for qos in 0..3 {
            publisher.publish(Publish::new(stage.topic(&format!("f{number}")), "x").qos(qos))?;
            let found = subscriber.receive()?.qos;
            same(&format!("QoS {qos} for a subscription with {granted}"), &found, &qos.min(*granted))?;
        }
    }
    Ok(())
}

fn the_codes_are_in_the_order_of_the_filters(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    for order in [[2, 0, 1, 0, 2], [0, 1, 2, 2, 1], [1, 0, 0, 2, 2]] {
        let suback = subscriber.exchange_subscribe(many(stage, &order))?;
        granted(&suback.codes, &order)?;
    }
    Ok(())
}

/// Among them one for a topic that a broker may refuse; the strict reader knows the list of codes.
fn suback_has_no_other_codes(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    let mut subscribe = many(stage, &[0, 1, 2]);
    subscribe.subscriptions.push(Subscription::new(&stage.doors.denied_topic, 1));
    let suback = subscriber.exchange_subscribe(subscribe)?;
    let known: &[u8] = if stage.version.is_5() {
        &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]
    } else {
        &[0x00, 0x01, 0x02, 0x80]
    };
    for code in &suback.codes {
        ensure(known.contains(code), || format!("code 0x{code:02X} in SUBACK"))?;
    }
    let plain = suback.codes.iter().zip(0..3).all(|(code, asked)| *code <= asked);
    ensure(plain, || format!("SUBACK {:02X?} refuses plain filters, or grants more than asked", suback.codes))
}

/// A SUBACK with something to say, and the same one for a client that has no room for it.
fn leaves_out(stage: &Stage<'_>, id: u8) -> Outcome {
    for refusable in stage.refusable_filters() {
        let subscribe =
            Subscribe::new(7, Subscription::new(refusable, 1)).and(Subscription::new(stage.topic("t"), 1));
        if leaves_out_of_answer(stage, id, &subscribe)? {
            return Ok(());
        }
    }
    not_shown("no SUBACK came with the property")
}

/// False when the answer does not have it for anybody, or there is none.
fn leaves_out_of_answer(stage: &Stage<'_>, id: u8, subscribe: &Subscribe) -> Outcome<bool> {
    let door = stage.doors.rights.unwrap_or(stage.doors.plain);
    let mut roomy = stage.open_at(door, stage.connect("r"))?;
    roomy.send(subscribe.clone())?;
    let Some(Packet::Suback(full)) = roomy.closed_or_next()? else { return Ok(false) };
    let alone: Vec<Property> = full.properties.iter().filter(|one| one.id == id).cloned().collect();
    if alone.is_empty() {
        return Ok(false);
    }
    let smallest = Packet::from(crate::wire::Suback { properties: alone, ..full.clone() });
    let size = smallest.to_bytes(stage.version).len() as u32;
    let limit = Property::four(property::MAXIMUM_PACKET_SIZE, size - 1);
    let Some(mut narrow) = stage.narrow(door, limit)? else {
        return not_shown("the broker's CONNACK is larger than the SUBACK that is to be too large");
    };
    let found = narrow.exchange_subscribe(subscribe.clone())?;
    same("the codes", &found.codes, &full.codes)?;
    ensure(found.properties.find(id).is_none(), || format!("{found:?} has the property all the same"))?;
    narrow.ping().map(|()| true)
}

fn suback_leaves_out_a_reason_string_that_is_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out(stage, property::REASON_STRING)
}

fn suback_leaves_out_user_properties_that_are_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out(stage, property::USER_PROPERTY)
}
