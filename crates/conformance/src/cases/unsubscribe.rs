//! 3.10 UNSUBSCRIBE and 3.11 UNSUBACK.

use super::cases;
use crate::outcome::{Outcome, ensure, failed, not_shown, same};
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Packet, Property, Publish, Unsubscribe, reason};

cases! {
    V311 "MQTT-3.10.1-1" unsubscribe_with_other_flags_is_refused;
    V5 "MQTT-3.10.1-1" unsubscribe_with_other_flags_is_refused;
    V311 "MQTT-3.10.3-1" a_filter_that_is_not_utf_8_is_refused;
    V5 "MQTT-3.10.3-1" a_filter_that_is_not_utf_8_is_refused;
    V311 "MQTT-3.10.3-2" an_unsubscribe_without_a_filter_is_refused;
    V5 "MQTT-3.10.3-2" an_unsubscribe_without_a_filter_is_refused;
    V311 "MQTT-3.10.4-1" an_equal_filter_is_deleted_and_no_other;
    V5 "MQTT-3.10.4-1" an_equal_filter_is_deleted_and_no_other;
    V311 "MQTT-3.10.4-2" nothing_new_comes_after_unsuback;
    V5 "MQTT-3.10.4-2" nothing_new_comes_after_unsuback;
    V311 "MQTT-3.10.4-3" what_was_begun_is_completed;
    V5 "MQTT-3.10.4-3" what_was_begun_is_completed;
    V311 "MQTT-3.10.4-4" unsubscribe_is_answered_with_unsuback;
    V5 "MQTT-3.10.4-4" unsubscribe_is_answered_with_unsuback;
    V311 "MQTT-3.10.4-5" unsuback_comes_although_nothing_was_deleted;
    V5 "MQTT-3.10.4-5" unsuback_comes_although_nothing_was_deleted;
    V311 "MQTT-3.10.4-6" several_filters_act_like_several_packets_with_one_answer;
    V5 "MQTT-3.10.4-6" several_filters_act_like_several_packets_with_one_answer;
    V5 "MQTT-3.11.2-1" unsuback_leaves_out_a_reason_string_that_is_too_large;
    V5 "MQTT-3.11.2-2" unsuback_leaves_out_user_properties_that_are_too_large;
    V5 "MQTT-3.11.3-1" the_codes_are_in_the_order_of_the_filters;
    V5 "MQTT-3.11.3-2" unsuback_has_no_other_codes;
}

/// A good UNSUBSCRIBE is served, the spoiled one closes the connection.
fn is_refused(stage: &Stage<'_>, bad: &[u8]) -> Outcome {
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(stage.topic("t"), 1)?;
    subscriber.unsubscribe(stage.topic("t"))?;
    subscriber.send_bytes(bad)?;
    subscriber.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR, reason::TOPIC_FILTER_INVALID])
}

fn unsubscribe_with_other_flags_is_refused(stage: &Stage<'_>) -> Outcome {
    for flags in [0xA0, 0xA1, 0xA3, 0xA6, 0xAA, 0xAF] {
        let mut bad = Unsubscribe::new(9, [stage.topic("t")]).to_bytes(stage.version);
        if let Some(first) = bad.first_mut() {
            *first = flags;
        }
        is_refused(stage, &bad)?;
    }
    Ok(())
}

fn a_filter_that_is_not_utf_8_is_refused(stage: &Stage<'_>) -> Outcome {
    let bad_ends: [&[u8]; 3] = [&[0xC3, 0x28], &[0xED, 0xA0, 0x80], &[0xC0, 0x80]];
    for end in bad_ends {
        let filter = [stage.topic("t").as_bytes(), end].concat();
        is_refused(
            stage,
            &Unsubscribe::new(9, [stage.topic("t").into_bytes(), filter]).to_bytes(stage.version),
        )?;
    }
    Ok(())
}

fn an_unsubscribe_without_a_filter_is_refused(stage: &Stage<'_>) -> Outcome {
    is_refused(stage, &Unsubscribe::new::<&str>(9, []).to_bytes(stage.version))
}

/// Filters that are alike, or that match the same, stay.
fn an_equal_filter_is_deleted_and_no_other(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    for filter in ["a/b", "A/b", "a/c", "marker"] {
        subscriber.subscribe(stage.topic(filter), 1)?;
    }
    for filter in ["a/+", "a/#", "a/B", "a/b/", "#"] {
        subscriber.unsubscribe(stage.topic(filter))?;
    }
    subscriber.unsubscribe(stage.topic("a/b"))?;
    let mut publisher = stage.client("p")?;
    for name in ["a/b", "A/b", "a/c"] {
        publisher.publish(Publish::new(stage.topic(name), name).qos(1))?;
    }
    publisher.publish(Publish::new(stage.topic("marker"), "marker").qos(1))?;
    let mut got: Vec<_> = subscriber
        .around("marker")?
        .into_iter()
        .map(|one| String::from_utf8_lossy(&one.payload).into_owned())
        .collect();
    got.sort();
    same("what still comes", &got, &vec!["A/b".to_owned(), "a/c".to_owned()])
}

/// A message that comes before, and after UNSUBACK none at any QoS.
fn nothing_new_comes_after_unsuback(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    subscriber.subscribe(stage.topic("marker"), 1)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "before").qos(1))?;
    same("a message before", &subscriber.receive()?.payload, &b"before".to_vec())?;
    subscriber.unsubscribe(&topic)?;
    for qos in 0..3 {
        for _ in 0..5 {
            publisher.publish(Publish::new(&topic, "after").qos(qos))?;
        }
    }
    publisher.publish(Publish::new(stage.topic("marker"), "marker").qos(1))?;
    let got = subscriber.around("marker")?;
    ensure(got.is_empty(), || {
        format!("{} messages came after UNSUBACK, such as {:?}", got.len(), got.first())
    })
}

/// Begun at QoS 1 and 2 before the UNSUBSCRIBE: over the same connection, and over the next one.
fn what_was_begun_is_completed(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = stage.client("p")?;
    let mut begun = Vec::new();
    for (payload, qos) in [("a", 2), ("b", 1), ("c", 2)] {
        publisher.publish(Publish::new(&topic, payload).qos(qos))?;
        begun.push(subscriber.message()?);
    }
    subscriber.unsubscribe(&topic)?;
    if let Some(first) = begun.first() {
        // The PUBREL comes all the same.
        subscriber.acknowledge(first)?;
    }
    subscriber.ping()?;
    subscriber.vanish()?;
    let mut subscriber = stage.open(stage.lasting("s"))?;
    for message in begun.iter().skip(1) {
        let again = subscriber.receive()?;
        same(
            "what comes again",
            &(again.payload, again.packet_id),
            &(message.payload.clone(), message.packet_id),
        )?;
    }
    subscriber.quiet()
}

fn unsubscribe_is_answered_with_unsuback(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    for id in [1, 4711, 65_535] {
        let filter = stage.topic(&format!("t{id}"));
        subscriber.subscribe(&filter, 1)?;
        subscriber.send(Unsubscribe::new(id, [filter]))?;
        match subscriber.next("UNSUBACK")? {
            Packet::Unsuback(unsuback) => same("its identifier", &unsuback.packet_id, &id)?,
            other => return failed(format!("{other:?} came where UNSUBACK was due")),
        }
    }
    subscriber.quiet()
}

fn unsuback_comes_although_nothing_was_deleted(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    for id in [3, 65_534] {
        subscriber.send(Unsubscribe::new(id, [stage.topic("never")]))?;
        match subscriber.next("UNSUBACK")? {
            Packet::Unsuback(unsuback) => same("its identifier", &unsuback.packet_id, &id)?,
            other => return failed(format!("{other:?} came where UNSUBACK was due")),
        }
    }
    Ok(())
}

fn several_filters_act_like_several_packets_with_one_answer(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    for filter in ["a", "b", "c", "d"] {
        subscriber.subscribe(stage.topic(filter), 1)?;
    }
    let filters = ["a", "never", "c", "b"].map(|name| stage.topic(name));
    subscriber.send(Unsubscribe::new(77, filters))?;
    match subscriber.next("UNSUBACK")? {
        Packet::Unsuback(unsuback) => {
            let codes = if stage.version.is_5() { 4 } else { 0 };
            same(
                "identifier and number of codes",
                &(unsuback.packet_id, unsuback.codes.len()),
                &(77, codes),
            )?;
        }
        other => return failed(format!("{other:?} came where UNSUBACK was due")),
    }
    subscriber.quiet()?;
    let mut publisher = stage.client("p")?;
    for name in ["a", "b", "c", "d"] {
        publisher.publish(Publish::new(stage.topic(name), name).qos(1))?;
    }
    same("what is still subscribed to", &subscriber.receive()?.payload, &b"d".to_vec())
}

/// Filters that are there and filters that are not, mixed.
fn the_codes_are_in_the_order_of_the_filters(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    for filter in ["a", "b", "c"] {
        subscriber.subscribe(stage.topic(filter), 1)?;
    }
    let filters = ["never", "a", "b", "a", "c", "other"].map(|name| stage.topic(name));
    subscriber.send(Unsubscribe::new(5, filters))?;
    let Packet::Unsuback(unsuback) = subscriber.next("UNSUBACK")? else {
        return failed("something else came where UNSUBACK was due");
    };
    let expected = vec![0x11, 0, 0, 0x11, 0, 0x11];
    same("the codes", &unsuback.codes, &expected)
}

fn unsuback_has_no_other_codes(stage: &Stage<'_>) -> Outcome {
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(stage.topic("a"), 1)?;
    for (filter, expected) in [("a", 0x00), ("a", 0x11), ("never", 0x11)] {
        let unsuback = subscriber.unsubscribe(stage.topic(filter))?;
        same("the codes", &unsuback.codes, &vec![expected])?;
    }
    Ok(())
}

/// An UNSUBACK with something to say, and the same one for a client that has no room for it.
fn leaves_out(stage: &Stage<'_>, id: u8) -> Outcome {
    for refusable in stage.refusable_filters() {
        if leaves_out_of_answer(stage, id, &Unsubscribe::new(7, [refusable, stage.topic("never")]))? {
            return Ok(());
        }
    }
    not_shown("no UNSUBACK came with the property")
}

/// False when the answer does not have it for anybody, or there is none.
fn leaves_out_of_answer(stage: &Stage<'_>, id: u8, unsubscribe: &Unsubscribe) -> Outcome<bool> {
    let mut roomy = stage.client("r")?;
    roomy.send(unsubscribe.clone())?;
    let Some(Packet::Unsuback(full)) = roomy.closed_or_next()? else { return Ok(false) };
    let alone: Vec<Property> = full.properties.iter().filter(|one| one.id == id).cloned().collect();
    if alone.is_empty() {
        return Ok(false);
    }
    let smallest = Packet::from(crate::wire::Unsuback { properties: alone, ..full.clone() });
    let size = smallest.to_bytes(stage.version).len() as u32;
    let limit = Property::four(property::MAXIMUM_PACKET_SIZE, size - 1);
    let Some(mut narrow) = stage.narrow(stage.doors.plain, limit)? else {
        return not_shown("the broker's CONNACK is larger than the UNSUBACK that is to be too large");
    };
    narrow.send(unsubscribe.clone())?;
    let Packet::Unsuback(found) = narrow.next("UNSUBACK")? else {
        return failed("something else came where UNSUBACK was due");
    };
    same("the codes", &found.codes, &full.codes)?;
    ensure(found.properties.find(id).is_none(), || format!("{found:?} has the property all the same"))?;
    narrow.ping().map(|()| true)
}

fn unsuback_leaves_out_a_reason_string_that_is_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out(stage, property::REASON_STRING)
}

fn unsuback_leaves_out_user_properties_that_are_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out(stage, property::USER_PROPERTY)
}
