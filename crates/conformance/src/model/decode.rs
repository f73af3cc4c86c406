//! Reads the packets that a client may send, apart from CONNECT. A packet that comes out of here is well formed;
//! whether it fits what went before is for the parts that process it.

use super::reader::{Read, Reader, Violation, malformed, protocol_error};
use super::rule::Rule::{self, V5, V311};
use super::rule::Rules;
use super::topic;
use crate::wire::property::{Holder, Properties, RESPONSE_TOPIC, SUBSCRIPTION_IDENTIFIER};
use crate::wire::{
    Ack, Auth, Disconnect, Packet, Publish, Subscribe, Subscription, Unsubscribe, Version, first, reason,
};

/// Reads one packet from its first byte and its body.
pub(super) fn decode(rules: Rules, version: Version, first_byte: u8, body: &[u8]) -> Read<Packet> {
    let mut reader = Reader { rules, version, rest: body };
    let kind = first_byte & 0xF0;
    if kind == first::PUBLISH {
        return reader.publish(first_byte);
    }
    reader.flags(first_byte)?;
    let packet = match kind {
        first::PUBACK => reader.ack(first::PUBACK, Holder::Puback)?,
        first::PUBREC => reader.ack(first::PUBREC, Holder::Pubrec)?,
        0x60 => reader.ack(first::PUBREL, Holder::Pubrel)?,
        first::PUBCOMP => reader.ack(first::PUBCOMP, Holder::Pubcomp)?,
        0x80 => reader.subscribe()?,
        0xA0 => reader.unsubscribe()?,
        first::PINGREQ => Packet::Pingreq,
        first::DISCONNECT => reader.disconnect()?,
        first::AUTH if version.is_5() => reader.auth()?,
        _ => return protocol_error("a packet that a client may not send"),
    };
    reader.end(&[])?;
    Ok(packet)
}

impl Reader<'_> {
    /// The low half of the first byte is reserved in all packets but PUBLISH.
    fn flags(&self, first_byte: u8) -> Read<()> {
        let expected = match first_byte & 0xF0 {
            0x60 | 0x80 | 0xA0 => 2,
            _ => 0,
        };
        let general = &[V311("MQTT-2.2.2-1"), V311("MQTT-2.2.2-2"), V5("MQTT-2.1.3-1")];
        let right = first_byte & 0x0F == expected || !self.rules.keep(rules_of_flags(first_byte & 0xF0));
        self.demand(right, general, "reserved flags that are not as they must be")
    }

    fn publish(&mut self, first_byte: u8) -> Read<Packet> {
        let dup = first_byte & 0x08 != 0;
        let qos = first_byte >> 1 & 3;
        self.demand(qos != 3, &[V311("MQTT-3.3.1-4"), V5("MQTT-3.3.1-4")], "PUBLISH with both QoS bits set")?;
        self.demand(
            qos != 0 || !dup,
            &[V311("MQTT-3.3.1-2"), V5("MQTT-3.3.1-2"), V311("MQTT-4.3.1-1"), V5("MQTT-4.3.1-1")],
            "PUBLISH at QoS 0 with DUP",
        )?;
        let topic = self.topic_of_publish()?;
        let numbered = &[V311("MQTT-2.3.1-1: PUBLISH"), V5("MQTT-2.2.1-3: PUBLISH")];
        let packet_id = if qos > 0 { Some(self.packet_id(numbered)?) } else { None };
        let properties = self.properties(Holder::Publish)?;
        if properties.find(SUBSCRIPTION_IDENTIFIER).is_some() && self.rules.keep(&[V5("MQTT-3.3.4-6")]) {
            return protocol_error("a client's PUBLISH with a Subscription Identifier");
        }
        if let Some(response_topic) = properties.bytes(RESPONSE_TOPIC) {
            self.demand_content(
                topic::has_no_wildcard(response_topic),
                &[V5("MQTT-3.3.2-14")],
                "a Response Topic with a wildcard",
            )?;
        }
        let payload = std::mem::take(&mut self.rest).to_vec();
        let retain = first_byte & 1 != 0;
        Ok(Publish { dup, qos: qos.min(2), retain, topic, packet_id, properties, payload }.into())
    }

    /// A topic name. In MQTT 5 it may be empty where a topic alias stands for it, which `publish` looks into.
    fn topic_of_publish(&mut self) -> Read<Vec<u8>> {
        if self.version.is_5() && self.rest.starts_with(&[0, 0]) {
            return self.binary();
        }
        let name = self.topic(&[V311("MQTT-3.3.2-1"), V5("MQTT-3.3.2-1")])?;
        let rules = &[V311("MQTT-3.3.2-2"), V5("MQTT-3.3.2-2"), V311("MQTT-4.7.1-1"), V5("MQTT-4.7.0-1")];
        let plus = [V311("MQTT-3.3.2-2: +"), V5("MQTT-3.3.2-2: +")];
        let plus_alone = !name.contains(&b'#') && !self.rules.keep(&plus);
        if topic::has_no_wildcard(&name) || !self.rules.keep(rules) || plus_alone {
            Ok(name)
        } else {
            Err(Violation { code: reason::TOPIC_NAME_INVALID, why: "a topic name with a wildcard" })
        }
    }

    fn ack(&mut self, first: u8, holder: Holder) -> Read<Packet> {
        let packet_id = self.packet_id(&[])?;
        let (allowed, rule): (&[u8], _) = match holder {
            Holder::Puback => (reason::of_broker(holder), "MQTT-3.4.2-1"),
            Holder::Pubrec => (reason::of_broker(holder), "MQTT-3.5.2-1"),
            Holder::Pubrel => (reason::of_broker(holder), "MQTT-3.6.2-1"),
            _ => (reason::of_broker(holder), "MQTT-3.7.2-1"),
        };
        let (code, properties) = self.ending(holder, allowed, rule)?;
        Ok(Ack { first, packet_id, code, properties }.into())
    }

    /// Reason code and properties, both of which may be left out.
    fn ending(
        &mut self,
        holder: Holder,
        allowed: &[u8],
        rule: &'static str,
    ) -> Read<(u8, Vec<crate::wire::Property>)> {
        if !self.version.is_5() || self.rest.is_empty() {
            return Ok((0, Vec::new()));
        }
        let code = self.byte()?;
        self.demand_content(
            allowed.contains(&code),
            &[V5(rule)],
            "a reason code that this packet may not carry",
        )?;
        let properties = if self.rest.is_empty() { Vec::new() } else { self.properties(holder)? };
        Ok((code, properties))
    }

    fn subscribe(&mut self) -> Read<Packet> {
        let packet_id = self.packet_id(&[V311("MQTT-2.3.1-1: SUBSCRIBE"), V5("MQTT-2.2.1-3: SUBSCRIBE")])?;
        let properties = self.properties(Holder::Subscribe)?;
        let mut subscriptions = Vec::new();
        while !self.rest.is_empty() {
            let filter = self.filter(&[V311("MQTT-3.8.3-1"), V5("MQTT-3.8.3-1")])?;
            let options = self.options()?;
            let shared = self.version.is_5() && filter.starts_with(b"$share/");
            self.demand_content(
                !shared || options & 0x04 == 0,
                &[V5("MQTT-3.8.3-4")],
                "No Local on a shared subscription",
            )?;
            subscriptions.push(Subscription { filter, options });
        }
        self.demand_content(
            !subscriptions.is_empty(),
            &[V311("MQTT-3.8.3-3"), V5("MQTT-3.8.3-2")],
            "SUBSCRIBE without a filter",
        )?;
        Ok(Subscribe { packet_id, properties, subscriptions }.into())
    }

    /// The byte behind a filter: a QoS, and in MQTT 5 the other options.
    fn options(&mut self) -> Read<u8> {
        let options = self.byte()?;
        let reserved = if self.version.is_5() { 0xC0 } else { 0xFC };
        self.demand(
            options & reserved == 0,
            &[V311("MQTT-3.8.3-4"), V311("MQTT-3.8.3-4: reserved bits"), V5("MQTT-3.8.3-5")],
            "reserved bits in the options of a subscription",
        )?;
        self.demand_content(
            options & 3 != 3,
            &[V311("MQTT-3.8.3-4"), V311("MQTT-3.8.3-4: QoS 3")],
            "a subscription at QoS 3",
        )?;
        if self.version.is_5() && options & 0x30 == 0x30 {
            return protocol_error("Retain Handling 3");
        }
        Ok(options & !reserved)
    }

    /// A topic filter whose wildcards stand where they may.
    fn filter(&mut self, utf8: &[Rule]) -> Read<Vec<u8>> {
        let filter = self.topic(utf8)?;
        let (share, plain) = topic::split_share(self.version, &filter);
        if let Some(share) = share {
            self.demand_content(
                !share.is_empty(),
                &[V5("MQTT-4.8.2-1")],
                "a shared subscription without a share name",
            )?;
            let named = topic::has_no_wildcard(share) && plain.is_some_and(|plain| !plain.is_empty());
            self.demand_content(
                named,
                &[V5("MQTT-4.8.2-2")],
                "a share name with a wildcard, or no filter behind it",
            )?;
        }
        let plain = plain.unwrap_or_default();
        let hash = topic::hash_stands_last(plain)
            || !self.rules.keep(&[V311("MQTT-4.7.1-2"), V5("MQTT-4.7.1-1")])
            || (topic::hash_fills_its_level(plain)
                && !self
                    .rules
                    .keep(&[V311("MQTT-4.7.1-2: in the middle"), V5("MQTT-4.7.1-1: in the middle")]));
        let plus = topic::plus_fills_its_level(plain)
            || !self.rules.keep(&[V311("MQTT-4.7.1-3"), V5("MQTT-4.7.1-2")]);
        if hash && plus {
            Ok(filter)
        } else {
            Err(Violation { code: reason::TOPIC_FILTER_INVALID, why: "a wildcard where none may stand" })
        }
    }

    fn unsubscribe(&mut self) -> Read<Packet> {
        let packet_id =
            self.packet_id(&[V311("MQTT-2.3.1-1: UNSUBSCRIBE"), V5("MQTT-2.2.1-3: UNSUBSCRIBE")])?;
        let properties = self.properties(Holder::Unsubscribe)?;
        let mut filters = Vec::new();
        while !self.rest.is_empty() {
            filters.push(self.filter(&[V311("MQTT-3.10.3-1"), V5("MQTT-3.10.3-1")])?);
        }
        self.demand_content(
            !filters.is_empty(),
            &[V311("MQTT-3.10.3-2"), V5("MQTT-3.10.3-2")],
            "UNSUBSCRIBE without a filter",
        )?;
        Ok(Unsubscribe { packet_id, properties, filters }.into())
    }

    fn disconnect(&mut self) -> Read<Packet> {
        const OF_A_CLIENT: &[u8] =
            &[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
        let (code, properties) = self.ending(Holder::Disconnect, OF_A_CLIENT, "MQTT-3.14.2-1")?;
        let code = if OF_A_CLIENT.contains(&code) { code } else { reason::SUCCESS };
        Ok(Disconnect { code, properties }.into())
    }

    fn auth(&mut self) -> Read<Packet> {
        const OF_A_CLIENT: &[u8] = &[reason::CONTINUE_AUTHENTICATION, reason::RE_AUTHENTICATE];
        let (code, properties) = self.ending(Holder::Auth, OF_A_CLIENT, "MQTT-3.15.2-1")?;
        if code == 0 && self.rules.keep(&[V5("MQTT-3.15.2-1")]) {
            return malformed("AUTH of a client with code 0");
        }
        Ok(Auth { code, properties }.into())
    }
}

/// The rules on the reserved flags of one kind of packet.
fn rules_of_flags(kind: u8) -> &'static [Rule] {
    match kind {
        first::PUBACK => &[V311("MQTT-2.2.2-2: PUBACK"), V5("MQTT-2.1.3-1: PUBACK")],
        first::PUBREC => &[V311("MQTT-2.2.2-2: PUBREC"), V5("MQTT-2.1.3-1: PUBREC")],
        0x60 => &[V311("MQTT-3.6.1-1"), V5("MQTT-3.6.1-1")],
        first::PUBCOMP => &[V311("MQTT-2.2.2-2: PUBCOMP"), V5("MQTT-2.1.3-1: PUBCOMP")],
        0x80 => &[V311("MQTT-3.8.1-1"), V5("MQTT-3.8.1-1")],
        0xA0 => &[V311("MQTT-3.10.1-1"), V5("MQTT-3.10.1-1")],
        first::PINGREQ => &[V311("MQTT-2.2.2-2: PINGREQ"), V5("MQTT-2.1.3-1: PINGREQ")],
        first::DISCONNECT => &[V311("MQTT-3.14.1-1"), V5("MQTT-3.14.1-1")],
        first::AUTH => &[V5("MQTT-3.15.1-1")],
        _ => &[],
    }
}
