//! 3.14 DISCONNECT, from both sides.

use super::cases;
use crate::outcome::{Outcome, ensure, not_shown, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Connect, Disconnect, Packet, Property, Publish, Will, first, frame, reason};

cases! {
    V5 "MQTT-3.14.0-1" no_disconnect_comes_before_a_good_connack;
    V311 "MQTT-3.14.1-1" disconnect_with_other_flags_is_refused;
    V5 "MQTT-3.14.1-1" disconnect_with_other_flags_is_refused;
    V5 "MQTT-3.14.2-1" the_broker_s_disconnect_has_one_of_its_codes;
    V5 "MQTT-3.14.2-1" a_client_s_disconnect_with_another_code_is_refused;
    V5 "MQTT-3.14.2-2" the_broker_s_disconnect_has_no_session_expiry;
    V5 "MQTT-3.14.2-3" disconnect_leaves_out_a_reason_string_that_is_too_large;
    V5 "MQTT-3.14.2-4" disconnect_leaves_out_user_properties_that_are_too_large;
    V5 "MQTT-3.14.4-1" nothing_comes_after_the_broker_s_disconnect;
    V5 "MQTT-3.14.4-1" nothing_is_done_of_what_follows_a_client_s_disconnect;
    V5 "MQTT-3.14.4-2" the_broker_closes_after_its_disconnect;
    V311 "MQTT-3.14.4-3" a_disconnect_discards_the_will;
    V5 "MQTT-3.14.4-3" a_disconnect_discards_the_will;
}

/// CONNECTs that are refused, each for another reason: a CONNACK may come, or nothing, and no DISCONNECT.
fn no_disconnect_comes_before_a_good_connack(stage: &Stage<'_>) -> Outcome {
    let good = stage.connect("c");
    let bad: [Vec<u8>; 5] = [
        Connect { flags: Some(0x03), ..good.clone() }.to_bytes(stage.version),
        Connect { level: 77, ..good.clone() }.to_bytes(stage.version),
        good.clone().with(Property::two(property::RECEIVE_MAXIMUM, 0)).to_bytes(stage.version),
        good.clone().with(Property::text(property::REASON_STRING, "no")).to_bytes(stage.version),
        Publish::new(stage.topic("t"), "first").to_bytes(stage.version),
    ];
    stage.open(good)?.disconnect()?;
    for bytes in bad {
        let mut peer = stage.socket()?;
        peer.send_bytes(&bytes)?;
        let codes = [reason::MALFORMED, reason::PROTOCOL_ERROR, reason::UNSUPPORTED_VERSION, 0x01];
        peer.refused_in_any_version(&codes)?;
    }
    Ok(())
}

fn disconnect_with_other_flags_is_refused(stage: &Stage<'_>) -> Outcome {
    // The will shows that the packet did not count as a DISCONNECT.
    let topic = stage.topic("will");
    let mut witness = stage.client("w")?;
    witness.subscribe(&topic, 1)?;
    for flags in [0xE1, 0xE2, 0xE8, 0xEF] {
        let mut connect = stage.connect("c");
        connect.will = Some(Will { qos: 1, ..Will::new(&topic, format!("{flags:02X}")) });
        let mut peer = stage.open(connect)?;
        peer.ping()?;
        peer.send_bytes(&frame(flags, []))?;
        peer.refused(&[reason::MALFORMED])?;
        same("the will", &witness.receive()?.payload, &format!("{flags:02X}").into_bytes())?;
    }
    stage.client("g")?.disconnect()
}

/// DISCONNECTs of the broker, each provoked in another way; the strict reader knows the codes and properties.
fn provoked(stage: &Stage<'_>, connect: impl Fn(&str) -> Connect) -> Outcome<Vec<Disconnect>> {
    let topic = stage.topic("t");
    let mut said = Vec::new();
    let mut second = stage.open(connect("a"))?;
    second.send(connect("a"))?;
    said.extend(second.closed()?);
    let bad: [Vec<u8>; 3] = [
        frame(first::SUBSCRIBE | 1, [0, 1, 0, 0, 1, b'a', 0]),
        Publish::new("a/#", "x").to_bytes(stage.version),
        Publish::new(&topic, "x").with(Property::two(property::TOPIC_ALIAS, 0)).to_bytes(stage.version),
    ];
    for bytes in bad {
        let mut peer = stage.open(connect("b"))?;
        peer.send_bytes(&bytes)?;
        said.extend(peer.closed()?);
    }
    let mut old = stage.open(connect("d"))?;
    let new = stage.open(connect("d"))?;
    said.extend(old.closed()?);
    new.disconnect()?;
    Ok(said)
}

fn some(said: Vec<Disconnect>) -> Outcome<Vec<Disconnect>> {
    if said.is_empty() { not_shown("the broker closes without a DISCONNECT") } else { Ok(said) }
}

fn the_broker_s_disconnect_has_one_of_its_codes(stage: &Stage<'_>) -> Outcome {
    let said = some(provoked(stage, |suffix| stage.connect(suffix))?)?;
    let errors = said.iter().all(|one| one.code >= 0x80);
    ensure(errors, || format!("{said:?}: a broker that ends a connection for an error says 0x80 or more"))
}

fn the_broker_s_disconnect_has_no_session_expiry(stage: &Stage<'_>) -> Outcome {
    let said = some(provoked(stage, |suffix| stage.lasting(suffix))?)?;
    let expiry = said.iter().find(|one| one.properties.find(property::SESSION_EXPIRY).is_some());
    ensure(expiry.is_none(), || format!("{expiry:?} has a Session Expiry Interval"))
}

/// Codes that do not exist. The will shows that the packet did not count as a DISCONNECT.
fn a_client_s_disconnect_with_another_code_is_refused(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("will");
    let mut witness = stage.client("w")?;
    witness.subscribe(&topic, 1)?;
    for code in [0x03, 0x7F, 0xFF] {
        let mut connect = stage.connect("c");
        connect.will = Some(Will { qos: 1, ..Will::new(&topic, format!("{code:02X}")) });
        let mut peer = stage.open(connect)?;
        peer.send(Disconnect { code, properties: Vec::new() })?;
        peer.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
        let will =
            witness.receive().map_err(|fault| fault.about(&format!("the will after code {code:02X}")))?;
        same("the will", &will.payload, &format!("{code:02X}").into_bytes())?;
    }
    stage.client("g")?.disconnect()
}

/// The largest DISCONNECT with this property, and a client that is a byte too small for it.
fn leaves_out(stage: &Stage<'_>, id: u8) -> Outcome {
    let full = provoked(stage, |suffix| stage.connect(suffix))?;
    let sizes = full.iter().filter_map(|one| {
        let alone: Vec<Property> = one.properties.iter().filter(|one| one.id == id).cloned().collect();
        let smallest = Packet::from(Disconnect { code: one.code, properties: alone.clone() });
        (!alone.is_empty()).then(|| smallest.to_bytes(stage.version).len() as u32)
    });
    let Some(size) = sizes.min() else { return not_shown("no DISCONNECT came with the property") };
    let limit = || Property::four(property::MAXIMUM_PACKET_SIZE, size - 1);
    if stage.narrow(stage.doors.plain, limit())?.is_none() {
        return not_shown("the broker's CONNACK is larger than the DISCONNECT that is to be too large");
    }
    let small = provoked(stage, |suffix| stage.connect(suffix).with(limit()))?;
    for one in &small {
        let bytes = Packet::from(one.clone()).to_bytes(stage.version).len() as u32;
        ensure(bytes < size && one.properties.find(id).is_none(), || {
            format!("{one:?} has {bytes} bytes, and the client takes {}", size - 1)
        })?;
    }
    if small.is_empty() { not_shown("no DISCONNECT came to the client with small packets") } else { Ok(()) }
}

fn disconnect_leaves_out_a_reason_string_that_is_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out(stage, property::REASON_STRING)
}

fn disconnect_leaves_out_user_properties_that_are_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out(stage, property::USER_PROPERTY)
}

/// A subscriber that is taken over while messages stream to it: behind DISCONNECT there is nothing but the end.
fn nothing_comes_after_the_broker_s_disconnect(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let stream: Vec<u8> = (0..200).flat_map(|_| Publish::new(&topic, "x").to_bytes(stage.version)).collect();
    // A broker may close without a word: then once more.
    for _ in 0..3 {
        let mut old = stage.client("s")?;
        old.subscribe(&topic, 0)?;
        let mut publisher = stage.client("p")?;
        publisher.send_bytes(&stream)?;
        let new = stage.client("s")?;
        publisher.send_bytes(&stream)?;
        let last = old.pick("DISCONNECT", |packet| match packet {
            Packet::Disconnect(disconnect) => Some(disconnect.clone()),
            _ => None,
        });
        publisher.ping()?;
        new.disconnect()?;
        publisher.disconnect()?;
        if let Ok(disconnect) = last {
            same("its code", &disconnect.code, &reason::SESSION_TAKEN_OVER)?;
            old.drain();
            return old.closed_without_a_word();
        }
    }
    not_shown("the broker closes without a DISCONNECT")
}

/// DISCONNECT, and a message behind it in the same write.
fn nothing_is_done_of_what_follows_a_client_s_disconnect(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = stage.client("p")?;
    let bytes = [
        Publish::new(&topic, "before").qos(1).id(1).to_bytes(stage.version),
        Packet::from(Disconnect::default()).to_bytes(stage.version),
        Publish::new(&topic, "after").qos(1).id(2).to_bytes(stage.version),
    ];
    publisher.send_bytes(&bytes.concat())?;
    same("what came before it", &subscriber.receive()?.payload, &b"before".to_vec())?;
    let _ = publisher.ack(first::PUBACK, 1);
    publisher.left()?;
    stage.client("q")?.publish(Publish::new(&topic, "marker").qos(1))?;
    let got = subscriber.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came from behind a DISCONNECT"))
}

fn the_broker_closes_after_its_disconnect(stage: &Stage<'_>) -> Outcome {
    // Each of them waits for the end of the connection.
    some(provoked(stage, |suffix| stage.connect(suffix))?).map(drop)
}

/// A client that vanishes has its will published; one that says DISCONNECT has not.
fn a_disconnect_discards_the_will(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("will");
    let mut witness = stage.client("w")?;
    witness.subscribe(&topic, 1)?;
    let with_will = |payload: &str| -> Outcome<Peer> {
        let mut connect = stage.connect("c");
        connect.will = Some(Will { qos: 1, ..Will::new(&topic, payload) });
        stage.open(connect)
    };
    with_will("vanished")?.vanish()?;
    same("the will of a client that vanished", &witness.receive()?.payload, &b"vanished".to_vec())?;
    for _ in 0..3 {
        with_will("disconnected")?.disconnect()?;
    }
    with_will("marker")?.vanish()?;
    let got = witness.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came although the client said DISCONNECT"))
}
