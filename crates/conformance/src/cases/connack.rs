//! 3.2 CONNACK.

use super::cases;
use crate::offers::Feature;
use crate::outcome::{Fault, Outcome, ensure, failed, not_shown, same};
use crate::stage::Stage;
use crate::wire::property::{self, Holder, Properties};
use crate::wire::{Connack, Connect, Packet, Property, Publish, Version, reason};

cases! {
    V311 "MQTT-3.2.0-1" connack_is_the_first_packet;
    V5 "MQTT-3.2.0-1" connack_is_the_first_packet;
    V5 "MQTT-3.2.0-2" there_is_one_connack;
    V5 "MQTT-3.2.2-1" the_other_acknowledge_flags_are_0;
    V311 "MQTT-3.2.2-1" a_clean_start_has_no_session_present;
    V5 "MQTT-3.2.2-2" a_clean_start_has_no_session_present;
    V311 "MQTT-3.2.2-2" session_present_tells_what_was_stored;
    V311 "MQTT-3.2.2-3" session_present_tells_what_was_stored;
    V5 "MQTT-3.2.2-3" session_present_tells_what_was_stored;
    V311 "MQTT-3.2.2-4" a_refusal_has_no_session_present;
    V5 "MQTT-3.2.2-6" a_refusal_has_no_session_present;
    V311 "MQTT-3.2.2-5" a_refusal_is_followed_by_the_end;
    V5 "MQTT-3.2.2-7" a_refusal_is_followed_by_the_end;
    V5 "MQTT-3.2.2-8" connack_has_one_of_its_codes;
    V5 "MQTT-3.2.2-11" a_message_above_the_maximum_qos_is_refused;
    V5 "MQTT-3.2.2-15" a_packet_above_the_maximum_size_is_refused;
    V5 "MQTT-3.2.2-17" an_alias_above_the_maximum_is_refused;
    V5 "MQTT-3.2.2-18" an_alias_without_a_maximum_is_refused;
    V5 "MQTT-3.2.2-19" connack_leaves_out_a_reason_string_that_is_too_large;
    V5 "MQTT-3.2.2-20" connack_leaves_out_user_properties_that_are_too_large;
}

/// A lasting session with a message that waits, and one in flight: neither may come before CONNACK.
fn connack_is_the_first_packet(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.open(stage.lasting("s"))?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = stage.client("p")?;
    publisher.publish(Publish::new(&topic, "in flight").qos(1))?;
    subscriber.message()?;
    subscriber.vanish()?;
    publisher.publish(Publish::new(&topic, "waiting").qos(1))?;
    let mut back = stage.socket()?;
    // Its own requests come with the CONNECT; their answers follow CONNACK, too.
    let bytes = [
        stage.lasting("s").to_bytes(stage.version),
        Publish::new(stage.topic("o"), "x").qos(1).id(1).to_bytes(stage.version),
        Packet::Pingreq.to_bytes(stage.version),
    ];
    back.send_bytes(&bytes.concat())?;
    same("the code", &back.connack()?.code, &0)?;
    for payload in ["in flight", "waiting"] {
        let message = back.pick("PUBLISH", |packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })?;
        same("what follows", &message.payload, &payload.as_bytes().to_vec())?;
        back.acknowledge(&message)?;
    }
    back.pick_ack(crate::wire::first::PUBACK, 1)?;
    back.pick("PINGRESP", |packet| matches!(packet, Packet::Pingresp).then_some(()))
}

/// On a good connection, on one that is refused, and for a second CONNECT.
fn there_is_one_connack(stage: &Stage<'_>) -> Outcome {
    let mut peer = stage.client("c")?;
    peer.subscribe(stage.topic("t"), 0)?;
    peer.quiet()?;
    peer.send(stage.connect("c"))?;
    peer.refused(&[reason::PROTOCOL_ERROR])?;
    let mut refused = stage.socket()?;
    refused.send(stage.connect("r").with(Property::two(property::RECEIVE_MAXIMUM, 0)))?;
    let codes = [reason::MALFORMED, reason::PROTOCOL_ERROR];
    refused.refused_in_any_version(&codes).map(drop)
}

/// The strict reader refuses any other bit; here both values of the one that there is are seen.
fn the_other_acknowledge_flags_are_0(stage: &Stage<'_>) -> Outcome {
    let (peer, connack) = stage.accepted(stage.lasting("s"))?;
    same("session present at first", &connack.session_present, &false)?;
    peer.disconnect()?;
    let (_, connack) = stage.accepted(stage.lasting("s"))?;
    same("session present afterwards", &connack.session_present, &true)
}

fn a_clean_start_has_no_session_present(stage: &Stage<'_>) -> Outcome {
    for _ in 0..2 {
        let (peer, connack) = stage.accepted(stage.connect("n"))?;
        same("code and session present", &(connack.code, connack.session_present), &(0, false))?;
        peer.disconnect()?;
    }
    stage.open(stage.lasting("s"))?.disconnect()?;
    let (_, connack) = stage.accepted(stage.connect("s"))?;
    same("code and session present over a session", &(connack.code, connack.session_present), &(0, false))
}

fn session_present_tells_what_was_stored(stage: &Stage<'_>) -> Outcome {
    for expected in [false, true, true] {
        let (peer, connack) = stage.accepted(stage.lasting("s"))?;
        same("code and session present", &(connack.code, connack.session_present), &(0, expected))?;
        peer.disconnect()?;
    }
    stage.client("s")?.disconnect()?;
    let (_, connack) = stage.accepted(stage.lasting("s"))?;
    same("session present after a clean session", &connack.session_present, &false)
}

/// CONNACKs that refuse, for a client that has a session.
fn refusals(stage: &Stage<'_>) -> Outcome<Vec<(crate::peer::Peer, Connack)>> {
    stage.open(stage.lasting("s"))?.disconnect()?;
    let mut refusals = Vec::new();
    let mut try_at = |door, connect: Connect| -> Outcome {
        match stage.answered_at(door, connect)? {
            Some((_, connack)) if connack.code == 0 => failed("a CONNECT that is not allowed was accepted"),
            answer => {
                refusals.extend(answer);
                Ok(())
            }
        }
    };
    let plain = stage.doors.plain;
    if stage.version == Version::V5 {
        try_at(plain, stage.lasting("s").with(Property::two(property::RECEIVE_MAXIMUM, 0)))?;
        let will = crate::wire::Will::new(stage.topic("a/#"), "x");
        try_at(plain, Connect { will: Some(will), ..stage.lasting("s") })?;
    } else {
        try_at(plain, Connect { client_id: Vec::new(), ..stage.lasting("s") })?;
    }
    if let Some(door) = stage.doors.login {
        try_at(door, stage.lasting("s"))?;
    }
    if refusals.is_empty() { not_shown("the broker closes without a CONNACK") } else { Ok(refusals) }
}

fn a_refusal_has_no_session_present(stage: &Stage<'_>) -> Outcome {
    for (_, connack) in refusals(stage)? {
        same("session present of a refusal", &connack.session_present, &false)?;
    }
    let (_, connack) = stage.accepted(stage.lasting("s"))?;
    same("session present of the session all the while", &connack.session_present, &true)
}

fn a_refusal_is_followed_by_the_end(stage: &Stage<'_>) -> Outcome {
    for (mut peer, _) in refusals(stage)? {
        peer.closed_without_a_word()?;
    }
    Ok(())
}

fn connack_has_one_of_its_codes(stage: &Stage<'_>) -> Outcome {
    for (_, connack) in refusals(stage)? {
        ensure(reason::of_broker(Holder::Connack).contains(&connack.code) && connack.code >= 0x80, || {
            format!("CONNACK with code 0x{:02X}", connack.code)
        })?;
    }
    let (_, connack) = stage.accepted(stage.connect("c"))?;
    same("the code of success", &connack.code, &reason::SUCCESS)
}

fn a_message_above_the_maximum_qos_is_refused(stage: &Stage<'_>) -> Outcome {
    let door = stage.door(Feature::MaximumQos)?;
    let mut peer = stage.socket_to(door)?;
    peer.send(stage.connect("c"))?;
    let connack = peer.connack()?;
    let maximum = connack.properties.number(property::MAXIMUM_QOS).unwrap_or(2) as u8;
    if maximum == 2 {
        return Err(Fault::NotOffered(Feature::MaximumQos));
    }
    peer.publish(Publish::new(stage.topic("t"), "good").qos(maximum))?;
    peer.send(Publish::new(stage.topic("t"), "bad").qos(maximum + 1).id(99))?;
    peer.refused(&[reason::QOS_NOT_SUPPORTED, reason::PROTOCOL_ERROR])
}

/// The largest packet is served, a larger one is refused as soon as its length is known.
fn a_packet_above_the_maximum_size_is_refused(stage: &Stage<'_>) -> Outcome {
    let (mut peer, connack) = stage.accepted(stage.connect("c"))?;
    let Some(maximum) = connack.properties.number(property::MAXIMUM_PACKET_SIZE) else {
        return not_shown("the broker announces no Maximum Packet Size");
    };
    if maximum > 64 << 20 {
        return not_shown(format!("a Maximum Packet Size of {maximum} bytes is too much for a test"));
    }
    let sized = |size: u32| {
        let empty = Publish::new(stage.topic("t"), "").to_bytes(stage.version).len();
        // A Remaining Length of up to four bytes instead of one.
        let payload = (size as usize).saturating_sub(empty + 3);
        let mut publish = Publish::new(stage.topic("t"), vec![b'x'; payload]);
        while publish.to_bytes(stage.version).len() < size as usize {
            publish.payload.push(b'x');
        }
        publish
    };
    peer.send(sized(maximum))?;
    peer.ping()?;
    peer.send(sized(maximum + 1))?;
    peer.refused(&[reason::PACKET_TOO_LARGE])
}

fn an_alias_above_the_maximum_is_refused(stage: &Stage<'_>) -> Outcome {
    let (mut peer, connack) = stage.accepted(stage.connect("c"))?;
    let maximum = connack.properties.number(property::TOPIC_ALIAS_MAXIMUM).unwrap_or(0) as u16;
    if maximum == 0 {
        return Err(Fault::NotOffered(Feature::TopicAliases));
    }
    if maximum == u16::MAX {
        return not_shown("the broker takes every alias there is");
    }
    let alias = |alias| Publish::new(stage.topic("t"), "x").with(Property::two(property::TOPIC_ALIAS, alias));
    peer.send(alias(maximum))?;
    peer.ping()?;
    peer.send(alias(maximum + 1))?;
    peer.refused(&[reason::TOPIC_ALIAS_INVALID, reason::PROTOCOL_ERROR])
}

fn an_alias_without_a_maximum_is_refused(stage: &Stage<'_>) -> Outcome {
    for door in [Some(stage.doors.plain), stage.doors.limited].into_iter().flatten() {
        let mut peer = stage.socket_to(door)?;
        peer.send(stage.connect("c"))?;
        if peer.connack()?.properties.number(property::TOPIC_ALIAS_MAXIMUM).unwrap_or(0) > 0 {
            continue;
        }
        peer.send(Publish::new(stage.topic("t"), "good"))?;
        peer.ping()?;
        peer.send(Publish::new(stage.topic("t"), "x").with(Property::two(property::TOPIC_ALIAS, 1)))?;
        return peer.refused(&[reason::TOPIC_ALIAS_INVALID, reason::PROTOCOL_ERROR]);
    }
    not_shown("every door takes topic aliases")
}

/// A refusal with something to say, and the same one for a client that has no room for it.
fn leaves_out(stage: &Stage<'_>, id: u8) -> Outcome {
    let refused = |limit: Option<u32>| -> Outcome<Option<Connack>> {
        let mut peer = match stage.doors.login {
            Some(door) => stage.socket_to(door)?,
            None => stage.socket()?,
        };
        let mut connect = stage.connect("c");
        connect.properties.extend(limit.map(|limit| Property::four(property::MAXIMUM_PACKET_SIZE, limit)));
        if stage.doors.login.is_none() {
            connect = connect.with(Property::text(property::AUTHENTICATION_METHOD, "unknown"));
        }
        peer.send(connect)?;
        match peer.closed_or_packet()? {
            Some(Packet::Connack(connack)) => Ok(Some(connack)),
            Some(other) => failed(format!("{other:?} came where CONNACK was due")),
            None => Ok(None),
        }
    };
    let Some(full) = refused(None)? else { return not_shown("the broker closes without a CONNACK") };
    let alone: Vec<Property> = full.properties.iter().filter(|one| one.id == id).cloned().collect();
    if alone.is_empty() {
        return not_shown("no CONNACK came with the property");
    }
    let smallest = Packet::from(Connack { properties: alone, ..full.clone() });
    let size = smallest.to_bytes(stage.version).len() as u32;
    let Some(small) = refused(Some(size - 1))? else { return not_shown("no CONNACK came for small packets") };
    same("the code", &small.code, &full.code)?;
    ensure(small.properties.find(id).is_none(), || format!("{small:?} has the property all the same"))
}

fn connack_leaves_out_a_reason_string_that_is_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out(stage, property::REASON_STRING)
}

fn connack_leaves_out_user_properties_that_are_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out(stage, property::USER_PROPERTY)
}
