//! The PUBLISH that a subscriber gets: what of the message goes into it, and what of the connection.

use super::broker::Broker;
use super::rule::Rule::{self, V5, V311};
use super::session::Outgoing;
use crate::wire::property::{
    CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY, PAYLOAD_FORMAT, RESPONSE_TOPIC, SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS, USER_PROPERTY,
};
use crate::wire::{Packet, Property, Publish};

impl Broker {
    /// Sends a message to one subscriber. Returns false if it is larger than that one takes, and so is not sent.
    pub(super) fn send_publish(
        &mut self,
        number: u64,
        outgoing: &Outgoing,
        packet_id: Option<u16>,
        dup: bool,
    ) -> bool {
        let message = &outgoing.message;
        let five = self.connections.get(&number).is_some_and(|one| one.version.is_5());
        let mut properties = Vec::new();
        if five {
            properties = self.forwarded(&message.publish.properties);
            properties.extend(self.remaining_expiry(outgoing));
            let identifiers = outgoing.identifiers.iter();
            properties.extend(identifiers.map(|one| Property::variable(SUBSCRIPTION_IDENTIFIER, *one)));
        }
        let mut publish = Publish {
            dup,
            qos: outgoing.qos,
            retain: outgoing.retain,
            topic: message.publish.topic.clone(),
            packet_id,
            properties,
            payload: message.publish.payload.clone(),
        };
        if outgoing.qos == 0 {
            publish.dup = !self.keeps(&[
                V311("MQTT-3.3.1-2"),
                V5("MQTT-3.3.1-2"),
                V311("MQTT-4.3.1-1"),
                V5("MQTT-4.3.1-1"),
            ]);
            let numbered = !self.keeps(&[V311("MQTT-2.3.1-5"), V5("MQTT-2.2.1-2")]);
            publish.packet_id = numbered.then_some(1);
        }
        let alias = if five { self.put_alias(number, &mut publish) } else { None };
        let Some(connection) = self.connections.get_mut(&number) else { return false };
        let size = Packet::from(publish.clone()).to_bytes(connection.version).len();
        if size > connection.maximum_packet_size && self.rules.keep(&[V5("MQTT-3.1.2-24")]) {
            return false;
        }
        if let Some(alias) = alias {
            connection.aliases_out.insert(message.publish.topic.clone(), alias);
        }
        self.send(number, publish);
        true
    }

    /// Uses a topic alias where the client allows one. Returns it if it is new.
    fn put_alias(&self, number: u64, publish: &mut Publish) -> Option<u16> {
        let connection = self.connections.get(&number)?;
        let maximum = match connection.alias_maximum {
            0 if self.keeps(&[V5("MQTT-3.1.2-27")]) => return None,
            0 => 1,
            maximum => maximum,
        };
        if let Some(alias) = connection.aliases_out.get(&publish.topic) {
            publish.topic.clear();
            publish.properties.push(Property::two(TOPIC_ALIAS, *alias));
            return None;
        }
        let used = connection.aliases_out.len() as u16;
        if used >= maximum {
            return None;
        }
        let beyond = if self.keeps(&[V5("MQTT-3.1.2-26"), V5("MQTT-3.3.2-11")]) { 0 } else { maximum };
        let alias = used + 1 + beyond;
        publish.properties.push(Property::two(TOPIC_ALIAS, alias));
        Some(alias)
    }

    /// The properties that are forwarded as they came (3.3.2.3).
    fn forwarded(&self, properties: &[Property]) -> Vec<Property> {
        let mut list: Vec<Property> =
            properties.iter().filter(|one| self.keeps(forwarding_rules(one.id))).cloned().collect();
        if !self.keeps(&[V5("MQTT-3.3.2-18")]) {
            list.reverse();
        }
        list
    }

    /// The Message Expiry Interval that is left (3.3.2.3.3).
    fn remaining_expiry(&self, outgoing: &Outgoing) -> Option<Property> {
        let expiry = outgoing.message.expiry?;
        let waited = match self.keeps(&[V5("MQTT-3.3.2-6")]) {
            true => self.now.saturating_duration_since(outgoing.message.arrived),
            false => std::time::Duration::ZERO,
        };
        let left = expiry.as_secs().saturating_sub(waited.as_secs());
        Some(Property::four(MESSAGE_EXPIRY, left as u32))
    }
}

/// The rules that forward a property unaltered.
fn forwarding_rules(id: u8) -> &'static [Rule] {
    match id {
        PAYLOAD_FORMAT => &[V5("MQTT-3.3.2-4")],
        RESPONSE_TOPIC => &[V5("MQTT-3.3.2-15")],
        CORRELATION_DATA => &[V5("MQTT-3.3.2-16")],
        USER_PROPERTY => &[V5("MQTT-3.3.2-17")],
        CONTENT_TYPE => &[V5("MQTT-3.3.2-20")],
        _ => &[],
    }
}
