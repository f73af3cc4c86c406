//! What a broker sent, read strictly: every rule that one packet alone can break is checked here, and
//! named. A broker that breaks one fails whichever test was listening.

use super::packet::{Ack, Auth, Connack, Disconnect, Packet, Publish, Suback, Unsuback};
use super::property::{Holder, Kind, Property, Value, rule_of};
use super::{Version, first, reason};

/// A rule that bytes from a broker break, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

type Read<T> = Result<T, Malformed>;

fn malformed<T>(what: impl Into<String>) -> Read<T> {
    Err(Malformed(what.into()))
}

/// Takes the first whole packet off the bytes: its first byte and its body. None while it is not whole.
pub fn take_frame(bytes: &mut Vec<u8>) -> Read<Option<(u8, Vec<u8>)>> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let mut length = 0_usize;
    for place in 0..4 {
        let Some(&byte) = bytes.get(1 + place) else { return Ok(None) };
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            if place > 0 && byte == 0 {
                return malformed("a Remaining Length in more bytes than it needs [MQTT-1.5.5-1]");
            }
            let start = 2 + place;
            if bytes.len() < start + length {
                return Ok(None);
            }
            let rest = bytes.split_off(start + length);
            let packet = std::mem::replace(bytes, rest);
            return Ok(Some((first, packet.into_iter().skip(start).collect())));
        }
    }
    malformed("a Remaining Length of more than four bytes")
}

/// Reads a packet that a broker sent on a connection of this version.
pub fn decode_from_broker(version: Version, first_byte: u8, body: &[u8]) -> Read<Packet> {
    let mut reader = Reader { rest: body, version };
    let packet = match first_byte {
        first::CONNACK => reader.connack()?,
        _ if first_byte & 0xF0 == first::PUBLISH => reader.publish(first_byte)?,
        first::PUBACK => reader.ack(first_byte, Holder::Puback)?,
        first::PUBREC => reader.ack(first_byte, Holder::Pubrec)?,
        first::PUBREL => reader.ack(first_byte, Holder::Pubrel)?,
        first::PUBCOMP => reader.ack(first_byte, Holder::Pubcomp)?,
        first::SUBACK => reader.suback()?,
        first::UNSUBACK => reader.unsuback()?,
        first::PINGRESP => Packet::Pingresp,
        first::DISCONNECT if version.is_5() => reader.disconnect()?,
        first::AUTH if version.is_5() => reader.auth()?,
        _ => {
            return malformed(format!(
                "a packet that begins with 0x{first_byte:02X}, which no broker may send"
            ));
        }
    };
    if reader.rest.is_empty() {
        Ok(packet)
    } else {
        malformed(format!("{} bytes behind the end of a {}", reader.rest.len(), packet.name()))
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    version: Version,
}

impl Reader<'_> {
    fn take(&mut self, length: usize) -> Read<&[u8]> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => malformed(format!("a packet that ends {} bytes too early", length - self.rest.len())),
        }
    }

    fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn two(&mut self) -> Read<u16> {
        Ok(self.take(2)?.iter().fold(0, |value, byte| value << 8 | u16::from(*byte)))
    }

    fn four(&mut self) -> Read<u32> {
        Ok(self.take(4)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn variable(&mut self) -> Read<u32> {
        let mut value = 0_u32;
        for place in 0..4 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                if place > 0 && byte == 0 {
                    return malformed("a variable byte integer in more bytes than it needs [MQTT-1.5.5-1]");
                }
                return Ok(value);
            }
        }
        malformed("a variable byte integer of more than four bytes")
    }

    fn binary(&mut self) -> Read<Vec<u8>> {
        let length = self.two()?;
        Ok(self.take(usize::from(length))?.to_vec())
    }

    fn text(&mut self) -> Read<Vec<u8>> {
        let bytes = self.binary()?;
        match std::str::from_utf8(&bytes) {
            Ok(text) if text.contains('\0') => malformed("a string with U+0000"),
            Ok(_) => Ok(bytes),
            Err(_) => malformed("a string that is not UTF-8"),
        }
    }

    fn packet_id(&mut self) -> Read<u16> {
        match self.two()? {
            0 => malformed("packet identifier 0"),
            packet_id => Ok(packet_id),
        }
    }

    fn properties(&mut self, holder: Holder) -> Read<Vec<Property>> {
        if !self.version.is_5() {
            return Ok(Vec::new());
        }
        let length = self.variable()?;
        let content = self.take(length as usize)?.to_vec();
        let mut inner = Reader { rest: &content, version: self.version };
        let mut list: Vec<Property> = Vec::new();
        while !inner.rest.is_empty() {
            let property = inner.property(holder)?;
            let repeats = rule_of(property.id).is_some_and(|rule| rule.may_repeat(true));
            if !repeats && list.iter().any(|other| other.id == property.id) {
                return malformed(format!("property 0x{:02X} twice in a {holder:?}", property.id));
            }
            list.push(property);
        }
        Ok(list)
    }

    fn property(&mut self, holder: Holder) -> Read<Property> {
        let id = u8::try_from(self.variable()?).unwrap_or(u8::MAX);
        let Some(rule) = rule_of(id) else { return malformed(format!("an unknown property 0x{id:02X}")) };
        if !rule.may_stand_in(holder) {
            return malformed(format!("{} in a {holder:?}, which may not carry it", rule.name));
        }
        let value = match rule.kind {
            Kind::Byte => Value::Byte(self.byte()?),
            Kind::Two => Value::Two(self.two()?),
            Kind::Four => Value::Four(self.four()?),
            Kind::Variable => Value::Variable(self.variable()?),
            Kind::Text => Value::Text(self.text()?),
            Kind::Binary => Value::Binary(self.binary()?),
            Kind::Pair => Value::Pair(self.text()?, self.text()?),
        };
        let property = Property { id, value };
        match (rule.bounds, property.number()) {
            (Some((from, to)), Some(number)) if number < from || number > to => {
                malformed(format!("{} of {number}; {from} to {to} are allowed", rule.name))
            }
            _ => Ok(property),
        }
    }

    fn connack(&mut self) -> Read<Packet> {
        let flags = self.byte()?;
        if flags > 1 {
            return malformed(format!("CONNACK with acknowledge flags 0x{flags:02X}"));
        }
        let code = self.byte()?;
        let properties = self.properties(Holder::Connack)?;
        if self.version.is_5() {
            known(Holder::Connack, code)?;
        } else if code > 5 {
            return malformed(format!("CONNACK with return code {code}"));
        }
        Ok(Connack { session_present: flags == 1, code, properties }.into())
    }

    fn publish(&mut self, first_byte: u8) -> Read<Packet> {
        let qos = first_byte >> 1 & 3;
        let dup = first_byte & 0x08 != 0;
        if qos == 3 {
            return malformed("PUBLISH with both QoS bits set");
        }
        if qos == 0 && dup {
            return malformed("PUBLISH at QoS 0 with DUP");
        }
        let topic = self.text()?;
        if topic.iter().any(|byte| matches!(byte, b'#' | b'+')) {
            return malformed("PUBLISH to a topic name with a wildcard");
        }
        let packet_id = if qos > 0 { Some(self.packet_id()?) } else { None };
        let properties = self.properties(Holder::Publish)?;
        let payload = std::mem::take(&mut self.rest).to_vec();
        Ok(Publish { dup, qos, retain: first_byte & 1 != 0, topic, packet_id, properties, payload }.into())
    }

    fn ack(&mut self, first: u8, holder: Holder) -> Read<Packet> {
        let packet_id = self.packet_id()?;
        let (code, properties) = self.ending(holder)?;
        Ok(Ack { first, packet_id, code, properties }.into())
    }

    /// Reason code and properties, both of which may be left out.
    fn ending(&mut self, holder: Holder) -> Read<(u8, Vec<Property>)> {
        if !self.version.is_5() || self.rest.is_empty() {
            return Ok((0, Vec::new()));
        }
        let code = self.byte()?;
        known(holder, code)?;
        let properties = if self.rest.is_empty() { Vec::new() } else { self.properties(holder)? };
        Ok((code, properties))
    }

    fn suback(&mut self) -> Read<Packet> {
        let packet_id = self.packet_id()?;
        let properties = self.properties(Holder::Suback)?;
        let codes = std::mem::take(&mut self.rest).to_vec();
        for code in &codes {
            if self.version.is_5() {
                known(Holder::Suback, *code)?;
            } else if !matches!(code, 0..=2 | 0x80) {
                return malformed(format!("SUBACK with code 0x{code:02X}"));
            }
        }
        if codes.is_empty() {
            return malformed("SUBACK without a code");
        }
        Ok(Suback { packet_id, properties, codes }.into())
    }

    fn unsuback(&mut self) -> Read<Packet> {
        let packet_id = self.packet_id()?;
        let properties = self.properties(Holder::Unsuback)?;
        let codes = if self.version.is_5() { std::mem::take(&mut self.rest).to_vec() } else { Vec::new() };
        for code in &codes {
            known(Holder::Unsuback, *code)?;
        }
        Ok(Unsuback { packet_id, properties, codes }.into())
    }

    fn disconnect(&mut self) -> Read<Packet> {
        let (code, properties) = self.ending(Holder::Disconnect)?;
        if properties.iter().any(|property| property.id == super::property::SESSION_EXPIRY) {
            return malformed("a broker's DISCONNECT with a Session Expiry Interval [MQTT-3.14.2-2]");
        }
        Ok(Disconnect { code, properties }.into())
    }

    fn auth(&mut self) -> Read<Packet> {
        let (code, properties) = self.ending(Holder::Auth)?;
        Ok(Auth { code, properties }.into())
    }
}

fn known(holder: Holder, code: u8) -> Read<()> {
    if reason::of_broker(holder).contains(&code) {
        Ok(())
    } else {
        malformed(format!("reason code 0x{code:02X} in a {holder:?}, which has no such code"))
    }
}
