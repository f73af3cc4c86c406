//! 1.5 Data representation: strings and variable byte integers.

use super::cases;
use crate::outcome::{Outcome, ensure, same};
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{
    Connect, Property, Publish, Subscribe, Subscription, Unsubscribe, Will, first, frame, reason, text,
};

cases! {
    V311 "MQTT-1.5.3-1" a_string_that_is_not_utf_8_closes_the_connection;
    V5 "MQTT-1.5.4-1" a_string_that_is_not_utf_8_closes_the_connection;
    V311 "MQTT-1.5.3-2" a_string_with_u_0000_closes_the_connection;
    V5 "MQTT-1.5.4-2" a_string_with_u_0000_closes_the_connection;
    V311 "MQTT-1.5.3-3" u_feff_is_kept_wherever_it_stands;
    V5 "MQTT-1.5.4-3" u_feff_is_kept_wherever_it_stands;
    V5 "MQTT-1.5.5-1" a_variable_byte_integer_has_no_bytes_to_spare;
    V5 "MQTT-1.5.7-1" both_halves_of_a_pair_are_strings;
}

/// What a broker may say of a string that is none.
const CODES: [u8; 5] = [
    reason::MALFORMED,
    reason::PROTOCOL_ERROR,
    reason::TOPIC_NAME_INVALID,
    reason::TOPIC_FILTER_INVALID,
    reason::CLIENT_ID_NOT_VALID,
];

/// The string in every place of CONNECT where one stands.
fn connects(stage: &Stage<'_>, string: &[u8]) -> Vec<Connect> {
    let connect = || stage.connect("c");
    let will = Will::new(stage.topic("w"), "x");
    vec![
        Connect { client_id: string.to_vec(), ..connect() },
        Connect { user_name: Some(string.to_vec()), password: Some(b"x".to_vec()), ..connect() },
        Connect { will: Some(Will { topic: string.to_vec(), ..will }), ..connect() },
    ]
}

/// The string in every other packet of a client that holds one.
fn packets(stage: &Stage<'_>, string: &[u8]) -> Vec<Vec<u8>> {
    let version = stage.version;
    vec![
        Publish::new(string, "x").to_bytes(version),
        Subscribe::new(1, Subscription::new(string, 0)).to_bytes(version),
        Unsubscribe::new(1, [string]).to_bytes(version),
    ]
}

/// A CONNECT with a good string in its place is served, one with the bad one is not.
fn close(stage: &Stage<'_>, good: &str, bad: &[&[u8]]) -> Outcome {
    let prefix = stage.client_id("");
    let spoiled = |ending: &[u8]| [prefix.as_bytes(), ending].concat();
    for packet in packets(stage, &spoiled(good.as_bytes())) {
        let mut peer = stage.client("g")?;
        peer.send_bytes(&packet)?;
        peer.ping()?;
    }
    // A broker may dislike an id of such letters.
    let mut liked = Vec::new();
    for connect in connects(stage, &spoiled(good.as_bytes())) {
        let odd_id = connect.client_id != stage.client_id("c").into_bytes();
        let answer = stage.answered_at(stage.doors.plain, connect)?.filter(|(_, connack)| connack.code == 0);
        liked.push(answer.is_some());
        ensure(odd_id || answer.is_some(), || "a good CONNECT was refused".to_owned())?;
        answer.map_or(Ok(()), |(mut peer, _)| peer.ping())?;
    }
    for ending in bad {
        for packet in packets(stage, &spoiled(ending)) {
            let mut peer = stage.client("b")?;
            peer.ping()?;
            peer.send_bytes(&packet)?;
            peer.refused(&CODES)?;
        }
        for (connect, _) in
            connects(stage, &spoiled(ending)).into_iter().zip(&liked).filter(|(_, liked)| **liked)
        {
            super::connect::is_refused(stage, &connect.to_bytes(stage.version), &CODES)?;
        }
    }
    Ok(())
}

/// Cut short, overlong, surrogates, beyond U+10FFFF, bytes that never stand in UTF-8.
fn a_string_that_is_not_utf_8_closes_the_connection(stage: &Stage<'_>) -> Outcome {
    let bad: [&[u8]; 9] = [
        &[0xC3],
        &[0xE2, 0x82],
        &[0xC0, 0xAF],
        &[0xE0, 0x80, 0xAF],
        &[0xED, 0xA0, 0x80],
        &[0xED, 0xBF, 0xBF],
        &[0xF4, 0x90, 0x80, 0x80],
        &[0x80],
        &[0xFF],
    ];
    close(stage, "aé€\u{10FFFD}\u{D7FF}\u{E000}", &bad)
}

fn a_string_with_u_0000_closes_the_connection(stage: &Stage<'_>) -> Outcome {
    close(stage, "a\u{10000}b", &[b"a\0b", b"\0"])
}

/// At the beginning, inside, and at the end; each topic is another one.
fn u_feff_is_kept_wherever_it_stands(stage: &Stage<'_>) -> Outcome {
    let names = ["\u{FEFF}a", "a\u{FEFF}", "a\u{FEFF}b", "a", "ab", "\u{FEFF}"];
    let mut subscriber = stage.client("s")?;
    // The whole topic begins with it, too: a byte order mark would be stripped there.
    let whole = format!("\u{FEFF}{}", stage.topic("w"));
    subscriber.subscribe(&whole, 1)?;
    subscriber.subscribe(stage.topic("+"), 1)?;
    let mut publisher = stage.client("p")?;
    for name in names {
        publisher.publish(Publish::new(stage.topic(name), name).qos(1))?;
        let message = subscriber.receive()?;
        same("the topic", &message.topic, &stage.topic(name).into_bytes())?;
        same("the payload", &message.payload, &name.as_bytes().to_vec())?;
    }
    publisher.publish(Publish::new(&whole, "whole").qos(1))?;
    same("the topic that begins with U+FEFF", &subscriber.receive()?.topic, &whole.into_bytes())?;
    // A subscription without it is another one.
    let mut exact = stage.client("e")?;
    exact.subscribe(stage.topic("a"), 1)?;
    publisher.publish(Publish::new(stage.topic("\u{FEFF}a"), "with").qos(1))?;
    publisher.publish(Publish::new(stage.topic("a"), "without").qos(1))?;
    same("what comes for the topic without it", &exact.receive()?.payload, &b"without".to_vec())
}

/// In a Remaining Length, a property length, and a property.
fn a_variable_byte_integer_has_no_bytes_to_spare(stage: &Stage<'_>) -> Outcome {
    let topic = text(stage.topic("t"));
    let id = [0, 1];
    let identifier = |value: &[u8]| [&[property::SUBSCRIPTION_IDENTIFIER][..], value].concat();
    let subscribe = |properties: &[u8]| frame(first::SUBSCRIBE, [&id[..], properties, &topic, &[0]].concat());
    let mut good = vec![frame(first::PINGREQ, []), subscribe(&[0])];
    let mut bad = vec![
        vec![first::PINGREQ, 0x80, 0x00],
        subscribe(&[0x80, 0x00]),
        vec![first::PINGREQ, 0x80, 0x80, 0x80, 0x80, 0x00],
    ];
    let (_, connack) = stage.accepted(stage.connect("i"))?;
    if connack.properties.number(property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE) != Some(0) {
        good.push(subscribe(&[&[2][..], &identifier(&[0x7F])].concat()));
        bad.push(subscribe(&[&[3][..], &identifier(&[0xFF, 0x00])].concat()));
    }
    for bytes in good {
        let mut peer = stage.client("g")?;
        peer.send_bytes(&bytes)?;
        peer.next("an answer")?;
        peer.drain();
        peer.ping()?;
    }
    for bytes in bad {
        let mut peer = stage.client("b")?;
        peer.ping()?;
        peer.send_bytes(&bytes)?;
        peer.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    }
    Ok(())
}

fn both_halves_of_a_pair_are_strings(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = stage.client("g")?;
    publisher.publish(Publish::new(&topic, "good").qos(1).with(Property::user("nä", "€")))?;
    let good = subscriber.receive()?.properties.user();
    same("a good pair", &good, &vec![("nä".as_bytes().to_vec(), "€".as_bytes().to_vec())])?;
    let bad: [(&[u8], &[u8]); 4] =
        [(&[0xC3, 0x28], b"v"), (b"n", &[0xC3, 0x28]), (b"n\0", b"v"), (b"n", b"\0v")];
    for (name, value) in bad {
        let mut peer = stage.client("b")?;
        peer.ping()?;
        peer.send(Publish::new(&topic, "bad").with(Property::user(name, value)))?;
        peer.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    }
    publisher.publish(Publish::new(&topic, "marker").qos(1))?;
    let got = subscriber.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came although its pair is none"))
}
