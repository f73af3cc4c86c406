//! Reads CONNECT, the packet with the most rules: what its flags promise has to be in its payload.

use super::reader::{Read, Reader, Violation, malformed, protocol_error};
use super::rule::Rule::{V5, V311};
use super::rule::Rules;
use super::topic;
use crate::wire::property::{AUTHENTICATION_DATA, AUTHENTICATION_METHOD, Holder, Properties, RESPONSE_TOPIC};
use crate::wire::{Connect, Version, Will, reason};

/// The version that a CONNECT asks for, from the fields that are the same in all of them; or the level, where
/// there is no such version.
pub(super) fn version(rules: Rules, body: &[u8]) -> Read<Result<Version, u8>> {
    let mut reader = Reader { rules, version: Version::V5, rest: body };
    let name = reader.binary()?;
    let level = reader.byte()?;
    let named = match level {
        3 => name == b"MQIsdp",
        _ => name == b"MQTT",
    };
    if !named && rules.keep(&[V311("MQTT-3.1.2-1"), V5("MQTT-3.1.2-1")]) {
        return malformed("an unknown protocol name");
    }
    Ok(match level {
        3 => Ok(Version::V31),
        4 => Ok(Version::V311),
        5 => Ok(Version::V5),
        _ if !rules.keep(&[V311("MQTT-3.1.2-2"), V5("MQTT-3.1.2-2")]) => Ok(rules.usual_version()),
        unknown => Err(unknown),
    })
}

/// Reads the whole CONNECT in a version that [`version`] found.
pub(super) fn connect(rules: Rules, version: Version, first_byte: u8, body: &[u8]) -> Read<Connect> {
    let mut reader = Reader { rules, version, rest: body };
    let general = &[
        V311("MQTT-2.2.2-1"),
        V311("MQTT-2.2.2-2"),
        V311("MQTT-2.2.2-2: CONNECT"),
        V5("MQTT-2.1.3-1"),
        V5("MQTT-2.1.3-1: CONNECT"),
    ];
    reader.demand(first_byte & 0x0F == 0, general, "reserved flags that are not as they must be")?;
    let protocol = reader.binary()?;
    let level = reader.byte()?;
    let flags = reader.byte()?;
    reader.check_flags(flags)?;
    let keep_alive = reader.two()?;
    let properties = reader.properties(Holder::Connect)?;
    if properties.find(AUTHENTICATION_DATA).is_some() && properties.find(AUTHENTICATION_METHOD).is_none() {
        return protocol_error("authentication data without a method");
    }
    let client_id = reader.client_id()?;
    let will = reader.will(flags)?;
    let user_name = reader.user_name(flags)?;
    let password = reader.password(flags)?;
    reader.end(&[
        V311("MQTT-3.1.2-11"),
        V311("MQTT-3.1.2-18"),
        V311("MQTT-3.1.2-20"),
        V5("MQTT-3.1.2-16"),
        V5("MQTT-3.1.2-18"),
    ])?;
    let clean = flags & 0x02 != 0;
    Ok(Connect {
        protocol,
        level,
        clean,
        keep_alive,
        properties,
        client_id,
        will,
        user_name,
        password,
        flags: Some(flags),
    })
}

impl Reader<'_> {
    fn check_flags(&self, flags: u8) -> Read<()> {
        let will = flags & 0x04 != 0;
        let will_qos = flags >> 3 & 3;
        let will_retain = flags & 0x20 != 0;
        let (user_name, password) = (flags & 0x80 != 0, flags & 0x40 != 0);
        self.demand(
            flags & 1 == 0,
            &[V311("MQTT-3.1.2-3"), V5("MQTT-3.1.2-3")],
            "the reserved flag of CONNECT is set",
        )?;
        self.demand(
            will || will_qos == 0,
            &[V311("MQTT-3.1.2-11"), V311("MQTT-3.1.2-13"), V5("MQTT-3.1.2-11")],
            "Will QoS without a will",
        )?;
        self.demand(
            will || !will_retain,
            &[V311("MQTT-3.1.2-11"), V311("MQTT-3.1.2-15"), V5("MQTT-3.1.2-13")],
            "Will Retain without a will",
        )?;
        self.demand(will_qos != 3, &[V311("MQTT-3.1.2-14"), V5("MQTT-3.1.2-12")], "Will QoS 3")?;
        self.demand(
            self.version.is_5() || user_name || !password,
            &[V311("MQTT-3.1.2-22")],
            "a password without a user name",
        )
    }

    fn client_id(&mut self) -> Read<Vec<u8>> {
        if self.rest.is_empty() && !self.rules.keep(&[V311("MQTT-3.1.3-3"), V5("MQTT-3.1.3-3")]) {
            return Ok(Vec::new());
        }
        self.text(&[V311("MQTT-3.1.3-4"), V5("MQTT-3.1.3-4")])
    }

    fn will(&mut self, flags: u8) -> Read<Option<Will>> {
        if flags & 0x04 == 0 {
            return Ok(None);
        }
        if self.rest.is_empty() && !self.rules.keep(&[V311("MQTT-3.1.2-9"), V5("MQTT-3.1.2-9")]) {
            return Ok(None);
        }
        let properties = self.properties(Holder::Will)?;
        let will_topic = self.topic(&[V311("MQTT-3.1.3-10"), V5("MQTT-3.1.3-11")])?;
        let wildcards = &[V311("MQTT-4.7.1-1"), V5("MQTT-4.7.0-1")];
        if !topic::has_no_wildcard(&will_topic) && self.rules.keep(wildcards) {
            return Err(Violation { code: reason::TOPIC_NAME_INVALID, why: "a will topic with a wildcard" });
        }
        if properties.bytes(RESPONSE_TOPIC).is_some_and(|topic| !topic::has_no_wildcard(topic)) {
            self.demand_content(false, &[V5("MQTT-3.3.2-14")], "a Response Topic with a wildcard")?;
        }
        let payload = self.binary()?;
        let (topic, payload) = if self.rules.keep(&[V311("MQTT-3.1.3-1"), V5("MQTT-3.1.3-1")]) {
            (will_topic, payload)
        } else {
            (payload, will_topic)
        };
        Ok(Some(Will { topic, payload, qos: (flags >> 3 & 3).min(2), retain: flags & 0x20 != 0, properties }))
    }

    fn user_name(&mut self, flags: u8) -> Read<Option<Vec<u8>>> {
        let missing = self.rest.is_empty() && !self.rules.keep(&[V311("MQTT-3.1.2-19"), V5("MQTT-3.1.2-17")]);
        if flags & 0x80 == 0 || missing {
            return Ok(None);
        }
        Ok(Some(self.text(&[V311("MQTT-3.1.3-11"), V5("MQTT-3.1.3-12")])?))
    }

    fn password(&mut self, flags: u8) -> Read<Option<Vec<u8>>> {
        let missing = self.rest.is_empty() && !self.rules.keep(&[V311("MQTT-3.1.2-21"), V5("MQTT-3.1.2-19")]);
        if flags & 0x40 == 0 || missing {
            return Ok(None);
        }
        Ok(Some(self.binary()?))
    }
}
