//! 3.1 CONNECT: what the packet may hold, and what is checked before a session is there.

use super::cases;
use crate::offers::Feature;
use crate::outcome::{Outcome, ensure, failed, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::wire::{Connect, Packet, Publish, Version, Will, first, frame, reason, text};

cases! {
    V311 "MQTT-3.1.0-1" the_first_packet_is_a_connect;
    V5 "MQTT-3.1.0-1" the_first_packet_is_a_connect;
    V311 "MQTT-3.1.0-2" a_second_connect_closes_the_connection;
    V5 "MQTT-3.1.0-2" a_second_connect_closes_the_connection;
    V311 "MQTT-3.1.2-1" another_protocol_name_is_not_served;
    V5 "MQTT-3.1.2-1" another_protocol_name_is_not_served;
    V311 "MQTT-3.1.2-2" another_protocol_level_is_not_served;
    V5 "MQTT-3.1.2-2" another_protocol_level_is_not_served;
    V311 "MQTT-3.1.2-3" the_reserved_flag_is_checked;
    V5 "MQTT-3.1.2-3" the_reserved_flag_is_checked;
    V311 "MQTT-3.1.2-9" a_will_flag_needs_a_will;
    V5 "MQTT-3.1.2-9" a_will_flag_needs_a_will;
    V311 "MQTT-3.1.2-11" without_a_will_flag_there_is_no_will;
    V311 "MQTT-3.1.2-13" will_qos_needs_a_will_flag;
    V5 "MQTT-3.1.2-11" will_qos_needs_a_will_flag;
    V311 "MQTT-3.1.2-14" will_qos_3_is_refused;
    V5 "MQTT-3.1.2-12" will_qos_3_is_refused;
    V311 "MQTT-3.1.2-15" will_retain_needs_a_will_flag;
    V5 "MQTT-3.1.2-13" will_retain_needs_a_will_flag;
    V311 "MQTT-3.1.2-18" without_the_user_name_flag_there_is_no_user_name;
    V5 "MQTT-3.1.2-16" without_the_user_name_flag_there_is_no_user_name;
    V311 "MQTT-3.1.2-19" the_user_name_flag_needs_a_user_name;
    V5 "MQTT-3.1.2-17" the_user_name_flag_needs_a_user_name;
    V311 "MQTT-3.1.2-20" without_the_password_flag_there_is_no_password;
    V5 "MQTT-3.1.2-18" without_the_password_flag_there_is_no_password;
    V311 "MQTT-3.1.2-21" the_password_flag_needs_a_password;
    V5 "MQTT-3.1.2-19" the_password_flag_needs_a_password;
    V311 "MQTT-3.1.2-22" a_password_needs_a_user_name;
    V311 "MQTT-3.1.3-1" the_fields_have_their_order;
    V5 "MQTT-3.1.3-1" the_fields_have_their_order;
    V311 "MQTT-3.1.3-10" a_will_topic_that_is_not_utf_8_is_refused;
    V5 "MQTT-3.1.3-11" a_will_topic_that_is_not_utf_8_is_refused;
    V311 "MQTT-3.1.3-11" a_user_name_that_is_not_utf_8_is_refused;
    V5 "MQTT-3.1.3-12" a_user_name_that_is_not_utf_8_is_refused;
    V311 "MQTT-3.1.4-1" a_connect_that_breaks_the_rules_gets_no_connack;
    V5 "MQTT-3.1.4-1" a_connect_that_breaks_the_rules_is_closed;
    V5 "MQTT-3.1.4-2" a_connect_that_fails_a_check_is_closed;
    V311 "MQTT-3.1.4-4" a_good_connect_is_answered_with_connack_0;
    V5 "MQTT-3.1.4-5" a_good_connect_is_answered_with_connack_0;
    V311 "MQTT-3.1.4-5" nothing_is_done_behind_a_refused_connect;
    V5 "MQTT-3.1.4-6" nothing_is_done_behind_a_refused_connect;
}

const MALFORMED: [u8; 2] = [reason::MALFORMED, reason::PROTOCOL_ERROR];

/// The connection has to be closed, after a CONNACK that refuses or without one; in MQTT 5 the CONNACK may have one
/// of these codes.
pub(super) fn is_refused(stage: &Stage<'_>, connect: &[u8], codes: &[u8]) -> Outcome {
    let mut peer = stage.socket()?;
    peer.send_bytes(connect)?;
    match peer.closed_or_packet()? {
        None => Ok(()),
        Some(Packet::Connack(connack)) => {
            let fits = if stage.version.is_5() { codes.contains(&connack.code) } else { connack.code != 0 };
            ensure(fits, || format!("CONNACK 0x{:02X} where one of {codes:02X?} fits", connack.code))?;
            peer.closed_without_a_word()
        }
        Some(other) => failed(format!("{other:?} came for a CONNECT that is none")),
    }
}

/// The good one is served, the spoiled one is not.
fn served_and_refused(stage: &Stage<'_>, good: &Connect, bad: &[u8]) -> Outcome {
    let mut peer = stage.open(good.clone())?;
    peer.ping()?;
    peer.disconnect()?;
    is_refused(stage, bad, &MALFORMED)
}

fn the_first_packet_is_a_connect(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut witness = stage.client("w")?;
    witness.subscribe(&topic, 1)?;
    for bytes in [
        Publish::new(&topic, "first").to_bytes(stage.version),
        Publish::new(&topic, "first").qos(1).id(1).to_bytes(stage.version),
        Packet::Pingreq.to_bytes(stage.version),
        frame(first::DISCONNECT, []),
        frame(first::PUBACK, [0, 1]),
        frame(first::SUBSCRIBE, [0, 1, 0, 1, b'a', 0]),
    ] {
        let mut peer = stage.socket()?;
        // A good CONNECT behind it changes nothing.
        peer.send_bytes(&[bytes, stage.connect("c").to_bytes(stage.version)].concat())?;
        match peer.closed_or_packet()? {
            None => {}
            Some(Packet::Connack(connack)) if connack.code != 0 => peer.closed_without_a_word()?,
            Some(Packet::Disconnect(_)) => peer.closed_without_a_word()?,
            Some(other) => return failed(format!("{other:?} came before a CONNECT")),
        }
    }
    stage.client("q")?.publish(Publish::new(&topic, "marker").qos(1))?;
    let got = witness.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came from a connection without CONNECT"))
}

fn a_second_connect_closes_the_connection(stage: &Stage<'_>) -> Outcome {
    let mut peer = stage.client("c")?;
    peer.ping()?;
    peer.send(stage.connect("c"))?;
    peer.refused(&[reason::PROTOCOL_ERROR])?;
    // Another name makes it no better, and a session of that name is not touched.
    let mut other = stage.client("o")?;
    let mut peer = stage.client("c")?;
    peer.ping()?;
    peer.send(stage.connect("o"))?;
    peer.refused(&[reason::PROTOCOL_ERROR])?;
    other.ping()
}

fn another_protocol_name_is_not_served(stage: &Stage<'_>) -> Outcome {
    stage.client("g")?.ping()?;
    for name in ["MQTTX", "mqtt", "MQT", "", "HTTP"] {
        let connect = Connect { protocol: name.into(), ..stage.connect("c") };
        let codes = [reason::UNSUPPORTED_VERSION, reason::MALFORMED, reason::PROTOCOL_ERROR, 0x01];
        let mut peer = stage.socket()?;
        peer.send(connect)?;
        // A CONNACK may come in the form of any version: the broker cannot know which one is meant.
        peer.refused_in_any_version(&codes)?;
    }
    Ok(())
}

fn another_protocol_level_is_not_served(stage: &Stage<'_>) -> Outcome {
    stage.client("g")?.ping()?;
    for level in [0, 1, 2, 6, 127, 255] {
        let mut peer = stage.socket()?;
        peer.send(Connect { level, ..stage.connect("c") })?;
        let codes = [reason::UNSUPPORTED_VERSION, reason::MALFORMED, reason::PROTOCOL_ERROR, 0x01];
        let answered = peer.refused_in_any_version(&codes)?;
        // 3.1.1 demands the CONNACK. A level above 5 may get the one of a later version.
        if stage.version == Version::V311 && level < 4 {
            ensure(answered == Some(1), || format!("level {level}: {answered:?} where CONNACK 1 was due"))?;
        }
    }
    Ok(())
}

fn the_reserved_flag_is_checked(stage: &Stage<'_>) -> Outcome {
    let good = stage.connect("c");
    let bad = Connect { flags: Some(good.usual_flags() | 1), ..good.clone() };
    served_and_refused(stage, &good, &bad.to_bytes(stage.version))
}

fn with_will(stage: &Stage<'_>) -> Connect {
    Connect { will: Some(Will::new(stage.topic("w"), "will")), ..stage.connect("c") }
}

/// The flag without the fields, and the fields cut short.
fn a_will_flag_needs_a_will(stage: &Stage<'_>) -> Outcome {
    let good = with_will(stage);
    let missing = Connect { flags: Some(good.usual_flags()), ..stage.connect("c") };
    served_and_refused(stage, &good, &missing.to_bytes(stage.version))?;
    let mut half = missing.to_bytes(stage.version);
    let rest = if stage.version.is_5() { [vec![0], text("topic")].concat() } else { text("topic") };
    grow(&mut half, &rest);
    served_and_refused(stage, &good, &half)
}

/// Adds to the body of a short packet.
fn grow(packet: &mut Vec<u8>, more: &[u8]) {
    if let Some(length) = packet.get_mut(1) {
        *length += more.len() as u8;
    }
    packet.extend(more);
}

/// No flag: fields of a will are bytes behind the end, and none is published.
fn without_a_will_flag_there_is_no_will(stage: &Stage<'_>) -> Outcome {
    let mut witness = stage.client("s")?;
    witness.subscribe(stage.topic("w"), 1)?;
    let will = with_will(stage);
    let bad = Connect { flags: Some(0x02), ..will };
    served_and_refused(stage, &stage.connect("c"), &bad.to_bytes(stage.version))?;
    for flags in [0x0A, 0x12, 0x22] {
        let bad = Connect { flags: Some(flags), ..stage.connect("c") };
        is_refused(stage, &bad.to_bytes(stage.version), &MALFORMED)?;
    }
    stage.client("q")?.publish(Publish::new(stage.topic("w"), "marker").qos(1))?;
    let got = witness.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came of a will without its flag"))
}

fn will_qos_needs_a_will_flag(stage: &Stage<'_>) -> Outcome {
    for qos in [1, 2, 3] {
        let bad = Connect { flags: Some(0x02 | qos << 3), ..stage.connect("c") };
        served_and_refused(stage, &stage.connect("c"), &bad.to_bytes(stage.version))?;
    }
    Ok(())
}

fn will_qos_3_is_refused(stage: &Stage<'_>) -> Outcome {
    for qos in 0..3 {
        let mut good = with_will(stage);
        if let Some(will) = &mut good.will {
            will.qos = qos;
        }
        let bad = Connect { flags: Some(0x02 | 0x04 | 3 << 3), ..good.clone() };
        served_and_refused(stage, &good, &bad.to_bytes(stage.version))?;
    }
    Ok(())
}

fn will_retain_needs_a_will_flag(stage: &Stage<'_>) -> Outcome {
    let bad = Connect { flags: Some(0x02 | 0x20), ..stage.connect("c") };
    served_and_refused(stage, &stage.connect("c"), &bad.to_bytes(stage.version))
}

fn with_user(stage: &Stage<'_>) -> Connect {
    Connect { user_name: Some(b"user".to_vec()), password: Some(b"secret".to_vec()), ..stage.connect("c") }
}

/// The flag is cleared, the field stays: bytes that mean nothing.
fn without_the_user_name_flag_there_is_no_user_name(stage: &Stage<'_>) -> Outcome {
    let with_name = Connect { password: None, ..with_user(stage) };
    let bad = Connect { flags: Some(0x02), ..with_name.clone() };
    served_and_refused(stage, &with_name, &bad.to_bytes(stage.version))
}

fn the_user_name_flag_needs_a_user_name(stage: &Stage<'_>) -> Outcome {
    let with_name = Connect { password: None, ..with_user(stage) };
    let bad = Connect { flags: Some(0x82), ..stage.connect("c") };
    served_and_refused(stage, &with_name, &bad.to_bytes(stage.version))
}

fn without_the_password_flag_there_is_no_password(stage: &Stage<'_>) -> Outcome {
    let bad = Connect { flags: Some(0x82), ..with_user(stage) };
    served_and_refused(stage, &with_user(stage), &bad.to_bytes(stage.version))
}

fn the_password_flag_needs_a_password(stage: &Stage<'_>) -> Outcome {
    let bad = Connect { flags: Some(0xC2), password: None, ..with_user(stage) };
    served_and_refused(stage, &with_user(stage), &bad.to_bytes(stage.version))
}

fn a_password_needs_a_user_name(stage: &Stage<'_>) -> Outcome {
    let bad = Connect { user_name: None, ..with_user(stage) };
    served_and_refused(stage, &with_user(stage), &bad.to_bytes(stage.version))
}

/// Each field shows where a broker looked for it: the client id in a take-over, the will's topic and payload in
/// the will, user name and password in a login where there is a door for one.
fn the_fields_have_their_order(stage: &Stage<'_>) -> Outcome {
    let mut witness = stage.client("w")?;
    witness.subscribe(stage.topic("w"), 1)?;
    let full = Connect {
        user_name: Some(stage.doors.user.clone().into_bytes()),
        password: Some(stage.doors.password.clone().into_bytes()),
        ..with_will(stage)
    };
    let mut first = stage.open(full.clone())?;
    let second = stage.open(full.clone())?;
    first.refused(&[reason::SESSION_TAKEN_OVER])?;
    second.vanish()?;
    let will = witness.receive()?;
    same(
        "topic and payload of the will",
        &(will.topic, will.payload),
        &(stage.topic("w").into_bytes(), b"will".to_vec()),
    )?;
    if let Some(door) = stage.doors.login {
        let mut peer = stage.socket_to(door)?;
        peer.send(full)?;
        same("CONNACK for user and password", &peer.connack()?.code, &0)?;
    }
    Ok(())
}

fn a_will_topic_that_is_not_utf_8_is_refused(stage: &Stage<'_>) -> Outcome {
    for topic in [&[b'a', 0xC3, 0x28][..], &[b'a', 0xED, 0xA0, 0x80], &[b'a', 0]] {
        let bad = Connect { will: Some(Will::new(topic, "x")), ..stage.connect("c") };
        let mut peer = stage.open(with_will(stage))?;
        peer.ping()?;
        peer.disconnect()?;
        let codes = [reason::MALFORMED, reason::PROTOCOL_ERROR, reason::TOPIC_NAME_INVALID];
        is_refused(stage, &bad.to_bytes(stage.version), &codes)?;
    }
    Ok(())
}

fn a_user_name_that_is_not_utf_8_is_refused(stage: &Stage<'_>) -> Outcome {
    for name in [&[b'u', 0xC3, 0x28][..], &[b'u', 0xED, 0xA0, 0x80], &[b'u', 0]] {
        let bad = Connect { user_name: Some(name.to_vec()), ..with_user(stage) };
        let good = Connect { user_name: Some("ü".into()), ..with_user(stage) };
        stage.open(good)?.disconnect()?;
        let codes = [reason::MALFORMED, reason::PROTOCOL_ERROR, reason::BAD_USER_NAME_OR_PASSWORD];
        is_refused(stage, &bad.to_bytes(stage.version), &codes)?;
    }
    Ok(())
}

/// CONNECTs that section 3.1 does not allow.
fn broken(stage: &Stage<'_>) -> Vec<Vec<u8>> {
    let version = stage.version;
    let good = stage.connect("c");
    let mut longer = good.to_bytes(version);
    grow(&mut longer, &[0]);
    let mut shorter = good.to_bytes(version);
    shorter.pop();
    if let Some(length) = shorter.get_mut(1) {
        *length -= 1;
    }
    vec![
        longer,
        shorter,
        Connect { flags: Some(0x03), ..good.clone() }.to_bytes(version),
        Connect { flags: Some(0x82), ..good.clone() }.to_bytes(version),
        Connect { flags: Some(0x22), ..good }.to_bytes(version),
        frame(first::CONNECT, []),
        frame(first::CONNECT, text(version.protocol())),
    ]
}

fn a_connect_that_breaks_the_rules_gets_no_connack(stage: &Stage<'_>) -> Outcome {
    stage.client("g")?.disconnect()?;
    for bytes in broken(stage) {
        let mut peer = stage.socket()?;
        peer.send_bytes(&bytes)?;
        peer.closed_without_a_word()?;
    }
    Ok(())
}

fn a_connect_that_breaks_the_rules_is_closed(stage: &Stage<'_>) -> Outcome {
    stage.client("g")?.disconnect()?;
    broken(stage).iter().try_for_each(|bytes| is_refused(stage, bytes, &MALFORMED))
}

/// A good packet for a user who is not known.
fn a_connect_that_fails_a_check_is_closed(stage: &Stage<'_>) -> Outcome {
    let door = stage.door(Feature::Login)?;
    let login = |password: &str| -> Outcome<Peer> {
        let mut peer = stage.socket_to(door)?;
        peer.send(Connect {
            user_name: Some(stage.doors.user.clone().into_bytes()),
            password: Some(password.into()),
            ..stage.connect("c")
        })?;
        Ok(peer)
    };
    let mut good = login(&stage.doors.password)?;
    same("CONNACK for the right password", &good.connack()?.code, &0)?;
    good.ping()?;
    let mut bad = login("wrong")?;
    match bad.closed_or_packet()? {
        None => {}
        Some(Packet::Connack(connack)) => {
            ensure(connack.code >= 0x80, || "the wrong password was accepted".to_owned())?;
            bad.closed_without_a_word()?;
        }
        Some(other) => return failed(format!("{other:?} came for the wrong password")),
    }
    // The client that is connected with the same id is not touched by it.
    good.ping()
}

fn a_good_connect_is_answered_with_connack_0(stage: &Stage<'_>) -> Outcome {
    for connect in [stage.connect("a"), with_will(stage), with_user(stage), stage.lasting("b")] {
        let (mut peer, connack) = stage.attempt(connect)?;
        same("the code", &connack.code, &0)?;
        peer.quiet()?;
        peer.disconnect()?;
    }
    Ok(())
}

/// A refused CONNECT with a message behind it in the same write.
fn nothing_is_done_behind_a_refused_connect(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let mut witness = stage.client("w")?;
    witness.subscribe(&topic, 1)?;
    let message = |payload: &str| Publish::new(&topic, payload).qos(1).id(1).to_bytes(stage.version);
    let mut good = stage.socket()?;
    good.send_bytes(&[stage.connect("g").to_bytes(stage.version), message("good")].concat())?;
    same("a message behind a good CONNECT", &witness.receive()?.payload, &b"good".to_vec())?;
    for level in [1, 99] {
        let refused = Connect { level, ..stage.connect("b") }.to_bytes(stage.version);
        let mut bad = stage.socket()?;
        bad.send_bytes(&[refused, message("bad")].concat())?;
        bad.refused_in_any_version(&[
            reason::UNSUPPORTED_VERSION,
            reason::MALFORMED,
            reason::PROTOCOL_ERROR,
            0x01,
        ])?;
    }
    if let Some(door) = stage.doors.login {
        let mut bad = stage.socket_to(door)?;
        bad.send_bytes(&[stage.connect("b").to_bytes(stage.version), message("bad")].concat())?;
        bad.refused_in_any_version(&[reason::BAD_USER_NAME_OR_PASSWORD, reason::NOT_AUTHORISED, 0x04, 0x05])?;
    }
    stage.client("q")?.publish(Publish::new(&topic, "marker").qos(1))?;
    let got = witness.until("marker")?;
    ensure(got.is_empty(), || format!("{got:?} came from behind a CONNECT that was refused"))
}
