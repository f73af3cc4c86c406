//! Takes the pieces of a packet off its bytes: numbers, strings, properties. Each rule on a piece is asked for
//! here by name. What the pieces mean together is for `decode` and `decode_connect`.

use super::rule::Rule::{self, V5, V311};
use super::rule::Rules;
use crate::wire::property::{self, Holder, Kind, rule_of};
use crate::wire::{Property, Value, Version, reason};

/// Why a packet is not accepted: the reason code that MQTT 5 has for it, and words for its reason string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) code: u8,
    pub(super) why: &'static str,
}

pub(super) type Read<T> = Result<T, Violation>;

/// The packet's bytes do not follow its format.
pub(super) fn malformed<T>(why: &'static str) -> Read<T> {
    Err(Violation { code: reason::MALFORMED, why })
}

/// The format is right, and the content is forbidden.
pub(super) fn protocol_error<T>(why: &'static str) -> Read<T> {
    Err(Violation { code: reason::PROTOCOL_ERROR, why })
}

/// Takes the first whole packet off the bytes: its first byte and its body. None while it is not whole.
pub(super) fn take_frame(rules: Rules, bytes: &mut Vec<u8>) -> Read<Option<(u8, Vec<u8>)>> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let mut reader = Reader { rules, version: Version::V5, rest: bytes.get(1..).unwrap_or_default() };
    let length = match reader.variable() {
        Ok(length) => length as usize,
        Err(_) if bytes.len() < 5 && bytes.iter().skip(1).all(|byte| byte & 0x80 != 0) => return Ok(None),
        Err(violation) => return Err(violation),
    };
    let start = bytes.len() - reader.rest.len();
    if start + length > super::MAXIMUM_PACKET_SIZE && rules.keep(&[V5("MQTT-3.2.2-15")]) {
        return Err(Violation { code: reason::PACKET_TOO_LARGE, why: "larger than the Maximum Packet Size" });
    }
    if reader.rest.len() < length {
        return Ok(None);
    }
    let rest = bytes.split_off(start + length);
    let packet = std::mem::replace(bytes, rest);
    Ok(Some((first, packet.into_iter().skip(start).collect())))
}

/// The bytes of a packet that were not taken yet.
pub(super) struct Reader<'a> {
    pub(super) rules: Rules,
    pub(super) version: Version,
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Nothing happens if the condition holds; if not, the packet is malformed, unless one of these rules is broken.
    pub(super) fn demand(&self, holds: bool, rules: &[Rule], why: &'static str) -> Read<()> {
        if holds || !self.rules.keep(rules) { Ok(()) } else { malformed(why) }
    }

    /// The same for content that is forbidden rather than malformed.
    pub(super) fn demand_content(&self, holds: bool, rules: &[Rule], why: &'static str) -> Read<()> {
        if holds || !self.rules.keep(rules) { Ok(()) } else { protocol_error(why) }
    }

    pub(super) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => malformed("the packet ends too early"),
        }
    }

    pub(super) fn byte(&mut self) -> Read<u8> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    pub(super) fn two(&mut self) -> Read<u16> {
        Ok(self.take(2)?.iter().fold(0, |value, byte| value << 8 | u16::from(*byte)))
    }

    fn four(&mut self) -> Read<u32> {
        Ok(self.take(4)?.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    /// A variable byte integer: at most four bytes, and no more than it needs.
    pub(super) fn variable(&mut self) -> Read<u32> {
        let mut value = 0_u32;
        for place in 0..4 {
            let byte = self.byte()?;
            value |= u32::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                let shortest = place == 0 || byte != 0;
                self.demand(shortest, &[V5("MQTT-1.5.5-1")], "a variable byte integer longer than it needs")?;
                return Ok(value);
            }
        }
        malformed("a variable byte integer of more than four bytes")
    }

    pub(super) fn binary(&mut self) -> Read<Vec<u8>> {
        let length = self.two()?;
        Ok(self.take(usize::from(length))?.to_vec())
    }

    /// A string: UTF-8 without U+0000. `utf8` names the rules of this field that say so once more.
    pub(super) fn text(&mut self, utf8: &[Rule]) -> Read<Vec<u8>> {
        let mut bytes = self.binary()?;
        if !self.is_utf8(&bytes) && self.rules.keep(utf8) {
            self.demand(false, &[V311("MQTT-1.5.3-1"), V5("MQTT-1.5.4-1")], "a string that is not UTF-8")?;
        }
        if bytes.contains(&0) && self.rules.keep(&[V311("MQTT-1.5.3-2"), V5("MQTT-1.5.4-2")]) {
            return malformed("a string with U+0000");
        }
        if !self.rules.keep(&[V311("MQTT-1.5.3-3"), V5("MQTT-1.5.4-3")]) {
            bytes = without_byte_order_marks(&bytes);
        }
        Ok(bytes)
    }

    /// Whether the bytes are well-formed UTF-8, which holds no surrogates and nothing in more bytes than it needs.
    fn is_utf8(&self, bytes: &[u8]) -> bool {
        let surrogates =
            !self.rules.keep(&[V311("MQTT-1.5.3-1: surrogates"), V5("MQTT-1.5.4-1: surrogates")]);
        let longer = !self.rules.keep(&[V311("MQTT-1.5.3-1: overlong"), V5("MQTT-1.5.4-1: overlong")]);
        let mut rest = bytes;
        loop {
            rest =
                match (std::str::from_utf8(rest).map_err(|error| rest.split_at(error.valid_up_to()).1), rest)
                {
                    (Ok(_), _) => return true,
                    (Err([0xED, 0xA0..=0xBF, _, tail @ ..]), _) if surrogates => tail,
                    (Err([0xC0 | 0xC1, _, tail @ ..]), _) if longer => tail,
                    (Err([0xE0, 0x80..=0x9F, _, tail @ ..]), _) if longer => tail,
                    _ => return false,
                }
        }
    }

    /// A topic name or filter: a string of at least one character, which holds no U+0000.
    pub(super) fn topic(&mut self, utf8: &[Rule]) -> Read<Vec<u8>> {
        let no_null = [V311("MQTT-4.7.3-2"), V5("MQTT-4.7.3-2")];
        if !self.rules.keep(&no_null) {
            return self.binary();
        }
        let topic = self.text(utf8)?;
        self.demand_content(
            !topic.is_empty(),
            &[V311("MQTT-4.7.3-1"), V5("MQTT-4.7.3-1")],
            "an empty topic name or filter",
        )?;
        Ok(topic)
    }

    /// The identifier of a packet that needs one. `own` names the rules for this kind of packet.
    pub(super) fn packet_id(&mut self, own: &[Rule]) -> Read<u16> {
        let packet_id = self.two()?;
        self.demand_content(
            packet_id != 0 || !self.rules.keep(own),
            &[V311("MQTT-2.3.1-1"), V5("MQTT-2.2.1-3")],
            "a packet identifier of 0",
        )?;
        Ok(packet_id)
    }

    /// The properties of a packet of MQTT 5, with their length before them; other versions have none.
    pub(super) fn properties(&mut self, holder: Holder) -> Read<Vec<Property>> {
        if !self.version.is_5() {
            return Ok(Vec::new());
        }
        if self.rest.is_empty() && !self.rules.keep(&[V5("MQTT-2.2.2-1")]) {
            return Ok(Vec::new());
        }
        let length = self.variable()? as usize;
        let mut inner = Reader { rest: self.take(length)?, rules: self.rules, version: self.version };
        let mut list: Vec<Property> = Vec::new();
        while !inner.rest.is_empty() {
            let property = inner.property(holder)?;
            let repeats = rule_of(property.id).is_some_and(|rule| rule.may_repeat(false));
            if !repeats && list.iter().any(|other| other.id == property.id) {
                return protocol_error("a property that stands twice");
            }
            list.push(property);
        }
        Ok(list)
    }

    fn property(&mut self, holder: Holder) -> Read<Property> {
        let id = u8::try_from(self.variable()?).unwrap_or(u8::MAX);
        let Some(rule) = rule_of(id) else { return malformed("a property that does not exist") };
        if !rule.may_stand_in(holder) {
            return malformed("a property that this packet may not carry");
        }
        let value = match rule.kind {
            Kind::Byte => Value::Byte(self.byte()?),
            Kind::Two => Value::Two(self.two()?),
            Kind::Four => Value::Four(self.four()?),
            Kind::Variable => Value::Variable(self.variable()?),
            Kind::Text => Value::Text(self.text(rules_of_text(id))?),
            Kind::Binary => Value::Binary(self.binary()?),
            Kind::Pair => {
                let rules = &[V5("MQTT-1.5.7-1")];
                Value::Pair(self.text(rules)?, self.text(rules)?)
            }
        };
        let property = Property { id, value };
        let (from, to) = rule.bounds.unwrap_or((0, u32::MAX));
        let inside = property.number().is_none_or(|number| (from..=to).contains(&number));
        if inside || (id == property::TOPIC_ALIAS && !self.rules.keep(&[V5("MQTT-3.3.2-8")])) {
            Ok(property)
        } else if id == property::TOPIC_ALIAS {
            Err(Violation { code: reason::TOPIC_ALIAS_INVALID, why: "topic alias 0" })
        } else {
            protocol_error("a property with a value that it may not have")
        }
    }

    /// Nothing may stand behind the last field.
    pub(super) fn end(&self, rules: &[Rule]) -> Read<()> {
        self.demand(self.rest.is_empty(), rules, "bytes behind the end of the packet")
    }
}

/// The rules that say of one property that it is a UTF-8 string.
fn rules_of_text(id: u8) -> &'static [Rule] {
    match id {
        property::RESPONSE_TOPIC => &[V5("MQTT-3.3.2-13")],
        property::CONTENT_TYPE => &[V5("MQTT-3.3.2-19")],
        _ => &[],
    }
}

fn without_byte_order_marks(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        match rest.strip_prefix(b"\xEF\xBB\xBF".as_slice()) {
            Some(after) => rest = after,
            None => {
                kept.push(byte);
                rest = tail;
            }
        }
    }
    kept
}
