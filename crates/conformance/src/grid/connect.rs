//! What can be wrong with the fields that CONNECT alone has.

use super::expect::{self, Clause, Expect, TEXT};
use super::flaw::{Flaw, Gathered};
use crate::wire::{Version, text};

const WILL: [&str; 3] = ["will properties", "will topic", "will payload"];

/// Names that belong to no version. A broker may say so with a CONNACK or without.
pub(super) fn protocol_name(gather: &mut Gathered<'_>, place: usize) {
    for name in ["", "M", "MQTTX", "mqtt", "MQIsdq", "HTTP", "MQT\u{e9}"] {
        let expect = gather.strictly(expect::PROTOCOL, Expect::NotTaken);
        let bytes = gather.shape.with(place, text(name));
        let clause = Clause("MQTT-3.1.2-1", "MQTT-3.1.2-1");
        gather.add(Flaw::Protocol, clause, format!("protocol name `{name}`"), bytes, expect);
    }
}

/// Levels that no version has. 3.1.1 demands the CONNACK; whoever knows 5 may answer in its words.
///
/// Levels with the highest bit set have no case: bridges ask with them for what only brokers agree on.
pub(super) fn protocol_level(gather: &mut Gathered<'_>, place: usize) {
    for level in [0, 1, 2, 6, 7, 16, 0x7F] {
        let expect = match gather.version() {
            Version::V31 => Expect::NotTaken,
            Version::V311 => Expect::Rejected(&[0x01, 0x84]),
            Version::V5 => Expect::Closed(expect::PROTOCOL),
        };
        let bytes = gather.shape.with(place, [level]);
        let clause = Clause("MQTT-3.1.2-2", "MQTT-3.1.2-2");
        gather.add(Flaw::Protocol, clause, format!("protocol level {level}"), bytes, expect);
    }
}

/// Flags that are wrong with the fields of a good packet behind them.
pub(super) fn flags(gather: &mut Gathered<'_>, place: usize) {
    let reserved = Clause("MQTT-3.1.2-3", "MQTT-3.1.2-3");
    let expect = gather.strictly(expect::FAULT, Expect::Open);
    gather.add(Flaw::ConnectFlags, reserved, "the reserved flag", gather.shape.with(place, [0x07]), expect);
    let expect = gather.strictly(expect::QOS, Expect::NotTaken);
    let clause = Clause("MQTT-3.1.2-14", "MQTT-3.1.2-12");
    for (name, flags) in [("not retained", 0x1E), ("retained", 0x3E)] {
        let what = format!("will QoS 3, {name}");
        gather.add(Flaw::ConnectFlags, clause, what, gather.shape.with(place, [flags]), expect);
    }
    let what = "no will flag, and yet a will";
    let expect = gather.strictly(expect::FAULT, Expect::Open);
    let clause = Clause("MQTT-3.1.2-11", "");
    gather.add(Flaw::ConnectFlags, clause, what, gather.shape.with(place, [0x02]), expect);
    for (qos, flags) in [(1, 0x0E), (2, 0x16)] {
        gather.allow(format!("will QoS {qos}"), gather.shape.with(place, [flags]));
    }
    gather.open("a will that is retained", gather.shape.with(place, [0x26]));
}

/// Flags against fields, where a field has to go or to come.
pub(super) fn fields_together(gather: &mut Gathered<'_>) {
    let plain = gather.shape.clone().without(&WILL);
    let strict = gather.strictly(expect::QOS, Expect::Open);
    gather.allow("no will", plain.clone().set("connect flags", [0x02]).bytes());
    let qos = Clause("MQTT-3.1.2-13", "MQTT-3.1.2-11");
    let retain = Clause("MQTT-3.1.2-15", "MQTT-3.1.2-13");
    for (what, clause, flags) in [
        ("will QoS 1 and no will flag", qos, 0x0A),
        ("will QoS 2 and no will flag", qos, 0x12),
        ("will QoS 3 and no will flag", qos, 0x1A),
        ("will retain and no will flag", retain, 0x22),
    ] {
        let bytes = plain.clone().set("connect flags", [flags]).bytes();
        gather.add(Flaw::ConnectFlags, clause, what, bytes, strict);
    }
    let user = expect::USER;
    let user_absent = Clause("MQTT-3.1.2-18", "MQTT-3.1.2-16");
    let password_absent = Clause("MQTT-3.1.2-20", "MQTT-3.1.2-18");
    let user_present = Clause("MQTT-3.1.2-19", "MQTT-3.1.2-17");
    let password_present = Clause("MQTT-3.1.2-21", "MQTT-3.1.2-19");
    for (what, clause, flags, fields) in [
        ("no user name flag, and yet a user name", user_absent, 0x02, &["user"][..]),
        ("no password flag, and yet a password", password_absent, 0x82, &["user", "password"]),
        ("a user name flag and no user name", user_present, 0x82, &[]),
        ("a password flag and no password", password_present, 0xC2, &["user"]),
    ] {
        let mut end = plain.clone().set("connect flags", [flags]);
        if let Some(client_id) = end.parts.last_mut() {
            client_id.bytes.extend(fields.iter().flat_map(text));
        }
        // 3.1 lets the Remaining Length overrule the flags.
        let expect = gather.strictly(user, Expect::Open);
        gather.add(Flaw::ConnectFlags, clause, what, end.bytes(), expect);
    }
    password_alone(gather);
    empty_client_id(gather);
}

/// Forbidden in 3.1.1, allowed in 5, where a broker may still refuse it for what it says.
fn password_alone(gather: &mut Gathered<'_>) {
    let mut alone = gather.shape.clone().without(&WILL).set("connect flags", [0x42]);
    if let Some(client_id) = alone.parts.last_mut() {
        client_id.bytes.extend(text("password"));
    }
    let expect = match gather.version() {
        Version::V311 => Expect::Closed(expect::USER),
        _ => Expect::Open,
    };
    let clause = Clause("MQTT-3.1.2-22", "");
    gather.add(Flaw::ConnectFlags, clause, "a password and no user name", alone.bytes(), expect);
}

/// Only 3.1.1 says what follows from an empty client identifier and a session that is to last.
fn empty_client_id(gather: &mut Gathered<'_>) {
    let plain = gather.shape.clone().without(&WILL).set("client identifier", text(""));
    gather.open("an empty client identifier", plain.clone().set("connect flags", [0x02]).bytes());
    let lasting = plain.set("connect flags", [0x00]).bytes();
    let what = "an empty client identifier, and not clean";
    match gather.version() {
        Version::V311 => {
            let clause = Clause("MQTT-3.1.3-8", "");
            gather.add(Flaw::ConnectFlags, clause, what, lasting, Expect::Rejected(&[0x02]));
        }
        _ => gather.add(Flaw::None, TEXT, what, lasting, Expect::Open),
    }
}
