//! 4.8 of 3.1.1 and 4.13 of 5: what follows from an error.

use super::cases;
use crate::outcome::{Outcome, failed, same};
use crate::stage::Stage;
use crate::wire::{
    Ack, Packet, Property, Publish, Subscribe, Subscription, Version, first, frame, property, reason,
};

cases! {
    V311 "MQTT-4.8.0-1" a_protocol_violation_closes_the_connection;
    V5 "MQTT-4.13.1-1" a_malformed_packet_or_protocol_error_closes_the_connection;
    V5 "MQTT-4.13.2-1" a_code_of_0x80_or_more_closes_the_connection;
}

/// What no client may send, with the codes that MQTT 5 has for it.
fn violations(stage: &Stage<'_>) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let version: Version = stage.version;
    let both = || vec![reason::MALFORMED, reason::PROTOCOL_ERROR];
    vec![
        ("a second CONNECT", stage.connect("c").to_bytes(version), vec![reason::PROTOCOL_ERROR]),
        ("packet type 0", frame(0x00, []), both()),
        ("a CONNACK", frame(first::CONNACK, [0, 0]), both()),
        ("a SUBACK", frame(first::SUBACK, [0, 1, 0]), both()),
        ("a PINGRESP", frame(first::PINGRESP, []), both()),
        ("packet identifier 0", Publish::new(stage.topic("t"), "bad").qos(1).id(0).to_bytes(version), both()),
        (
            "SUBSCRIBE with identifier 0",
            Subscribe::new(0, Subscription::new(stage.topic("t"), 0)).to_bytes(version),
            both(),
        ),
        ("QoS 3", frame(0x36, [0, 1, b'a', 0, 1, 0]), both()),
        ("PINGREQ with a flag", frame(0xC1, []), both()),
        ("a Remaining Length of five bytes", vec![first::PUBLISH, 0x80, 0x80, 0x80, 0x80, 0x01], both()),
        ("a PUBLISH shorter than its topic", frame(first::PUBLISH, [0, 9, b'a']), both()),
    ]
}

/// The connection that breaks the rule ends, and nothing comes of it; another one goes on.
fn each_closes(stage: &Stage<'_>) -> Outcome {
    let mut witness = stage.client("w")?;
    witness.subscribe(stage.topic("t"), 1)?;
    for (what, bytes, codes) in violations(stage) {
        let mut peer = stage.client("c")?;
        peer.publish(Publish::new(stage.topic("t"), "good").qos(1))?;
        same("a message before it", &witness.receive()?.payload, &b"good".to_vec())?;
        peer.send_bytes(&bytes)?;
        peer.refused(&codes).map_err(|fault| fault.about(what))?;
    }
    witness.quiet()
}

fn a_protocol_violation_closes_the_connection(stage: &Stage<'_>) -> Outcome {
    each_closes(stage)
}

fn a_malformed_packet_or_protocol_error_closes_the_connection(stage: &Stage<'_>) -> Outcome {
    each_closes(stage)
}

/// A CONNACK and a DISCONNECT that say so are the last packets; a PUBCOMP that may say so, 0x92, is not.
fn a_code_of_0x80_or_more_closes_the_connection(stage: &Stage<'_>) -> Outcome {
    let mut refused = stage.socket()?;
    refused.send(stage.connect("r").with(Property::two(property::RECEIVE_MAXIMUM, 0)))?;
    refused.refused_in_any_version(&[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    let mut old = stage.client("c")?;
    let new = stage.client("c")?;
    old.refused(&[reason::SESSION_TAKEN_OVER])?;
    new.disconnect()?;
    // Of the client's side: the broker does not go on either.
    let mut leaving = stage.client("l")?;
    leaving.send(crate::wire::Disconnect { code: reason::UNSPECIFIED, properties: Vec::new() })?;
    leaving.left()?;
    let mut staying = stage.client("s")?;
    staying.send(Ack::new(first::PUBREL, 4711))?;
    match staying.next("PUBCOMP")? {
        Packet::Ack(ack) => same("PUBCOMP", &(ack.first, ack.packet_id), &(first::PUBCOMP, 4711))?,
        other => return failed(format!("{other:?} came where PUBCOMP was due")),
    }
    staying.ping()
}
