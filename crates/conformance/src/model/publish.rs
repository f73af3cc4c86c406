//! What clients publish (3.3), and the acknowledgements of both directions (3.4 to 3.7, 4.3).

use super::broker::Broker;
use super::reader::{Read, Violation, protocol_error};
use super::rule::Rule::{V5, V311};
use super::session::{InFlight, Message, Step};
use super::{DENIED_TOPIC, Door};
use crate::wire::property::{MESSAGE_EXPIRY, Properties, SUBSCRIPTION_IDENTIFIER, TOPIC_ALIAS};
use crate::wire::{Ack, Packet, Publish, first, reason};
use std::time::Duration;

impl Broker {
    /// A client published.
    pub(super) fn publish(&mut self, number: u64, mut publish: Publish) -> Read<()> {
        self.resolve_alias(number, &mut publish)?;
        self.check_abilities(number, &publish)?;
        let packet_id = publish.packet_id.unwrap_or_default();
        match publish.qos {
            0 => {
                self.own(number, publish);
                Ok(())
            }
            1 => self.publish_once_or_more(number, packet_id, publish),
            _ => self.publish_exactly_once(number, packet_id, publish),
        }
    }

    /// Puts the topic of an alias in its place (3.3.2.3.4).
    fn resolve_alias(&mut self, number: u64, publish: &mut Publish) -> Read<()> {
        let rules = self.rules;
        let offered = self.manner.topic_alias_maximum();
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        let Some(alias) = publish.properties.number(TOPIC_ALIAS).map(|alias| alias as u16) else {
            let named = !publish.topic.is_empty() || !rules.keep(&[V5("MQTT-4.7.3-1")]);
            return if named { Ok(()) } else { protocol_error("an empty topic without an alias") };
        };
        let maximum = if connection.door == Door::Limited { 0 } else { offered };
        let beyond = match maximum {
            0 => &[V5("MQTT-3.2.2-18")][..],
            _ => &[V5("MQTT-3.3.2-9"), V5("MQTT-3.2.2-17")],
        };
        let last_refused = alias == maximum && !rules.keep(&[V5("MQTT-3.3.2-12")]);
        if (alias > maximum && rules.keep(beyond)) || last_refused {
            return Err(Violation {
                code: reason::TOPIC_ALIAS_INVALID,
                why: "a topic alias above the maximum",
            });
        }
        if !publish.topic.is_empty() {
            connection.aliases_in.insert(alias, publish.topic.clone());
            return Ok(());
        }
        match connection.aliases_in.get(&alias) {
            Some(topic) => publish.topic.clone_from(topic),
            None => return protocol_error("a topic alias that stands for nothing"),
        }
        Ok(())
    }

    /// What CONNACK said that this broker cannot do must not be asked of it.
    fn check_abilities(&self, number: u64, publish: &Publish) -> Read<()> {
        if publish.topic == DENIED_TOPIC.as_bytes() && self.manner.is_sparing() {
            let why = "nobody may publish to this topic";
            return Err(Violation { code: reason::NOT_AUTHORISED, why });
        }
        let Some(connection) = self.connections.get(&number) else { return Ok(()) };
        if connection.version.is_5() && connection.door == Door::Limited {
            if publish.qos > 1 && self.keeps(&[V5("MQTT-3.2.2-11")]) {
                return Err(Violation {
                    code: reason::QOS_NOT_SUPPORTED,
                    why: "a QoS above the Maximum QoS",
                });
            }
            if publish.retain {
                return Err(Violation {
                    code: reason::RETAIN_NOT_SUPPORTED,
                    why: "nothing is retained here",
                });
            }
        }
        let Some(session) = self.sessions.get(&connection.client_id) else { return Ok(()) };
        let new = publish.packet_id.is_some_and(|id| !session.received.contains(&id));
        let full =
            publish.qos == 2 && new && session.received.len() >= usize::from(self.manner.receive_maximum());
        if connection.version.is_5() && full && self.keeps(&[V5("MQTT-3.3.4-7")]) {
            let why = "more messages unacknowledged than the Receive Maximum";
            return Err(Violation { code: reason::RECEIVE_MAXIMUM_EXCEEDED, why });
        }
        Ok(())
    }

    /// Takes a message over and distributes it. Returns the reason code for its acknowledgement.
    fn own(&mut self, number: u64, mut publish: Publish) -> u8 {
        let client_id = self.connections.get(&number).map(|one| one.client_id.clone()).unwrap_or_default();
        if publish.topic == DENIED_TOPIC.as_bytes() {
            return reason::NOT_AUTHORISED;
        }
        let seconds = publish.properties.number(MESSAGE_EXPIRY);
        publish
            .properties
            .retain(|one| !matches!(one.id, MESSAGE_EXPIRY | TOPIC_ALIAS | SUBSCRIPTION_IDENTIFIER));
        publish.packet_id = None;
        let message = Message {
            publish,
            publisher: client_id,
            arrived: self.now,
            expiry: seconds.map(|seconds| Duration::from_secs(u64::from(seconds))),
        };
        self.messages += 1;
        let ordered =
            self.keeps(&[V311("MQTT-4.6.0-5"), V311("MQTT-4.6.0-6"), V5("MQTT-4.6.0-5"), V5("MQTT-4.6.0-6")]);
        if !ordered && self.messages % 7 == 1 {
            self.distribute_late(message);
            return reason::SUCCESS;
        }
        if self.distribute(message) || self.manner.is_sparing() {
            reason::SUCCESS
        } else {
            reason::NO_MATCHING_SUBSCRIBERS
        }
    }

    fn publish_once_or_more(&mut self, number: u64, packet_id: u16, publish: Publish) -> Read<()> {
        let forgets = self.keeps(&[V311("MQTT-4.3.2-2"), V5("MQTT-4.3.2-5")]);
        let dup = publish.dup;
        let seen = self.session_of(number).is_some_and(|session| {
            let seen = session.finished.contains(&packet_id);
            session.finished.push(packet_id);
            seen
        });
        let code = if seen && dup && !forgets { 0 } else { self.own(number, publish) };
        if self.keeps(&[
            V311("MQTT-3.3.4-1"),
            V5("MQTT-3.3.4-1"),
            V311("MQTT-4.3.2-2: PUBACK"),
            V5("MQTT-4.3.2-4"),
        ]) {
            self.acknowledge(number, first::PUBACK, packet_id, code);
        }
        Ok(())
    }

    fn publish_exactly_once(&mut self, number: u64, packet_id: u16, publish: Publish) -> Read<()> {
        let again = &[V311("MQTT-4.3.3-2"), V5("MQTT-4.3.3-10")];
        let repeats = !self.keeps(again);
        let Some(session) = self.session_of(number) else { return Ok(()) };
        let mut code = reason::SUCCESS;
        if repeats || !session.received.contains(&packet_id) {
            session.received.push(packet_id);
            code = self.own(number, publish);
        }
        if code >= 0x80 && self.keeps(&[V5("MQTT-4.3.3-9")]) {
            self.forget_received(number, packet_id);
        }
        if self.keeps(&[
            V311("MQTT-3.3.4-1"),
            V5("MQTT-3.3.4-1"),
            V311("MQTT-4.3.3-2: PUBREC"),
            V5("MQTT-4.3.3-8"),
        ]) {
            self.acknowledge(number, first::PUBREC, packet_id, code);
        }
        Ok(())
    }

    fn forget_received(&mut self, number: u64, packet_id: u16) -> bool {
        let Some(session) = self.session_of(number) else { return false };
        let before = session.received.len();
        session.received.retain(|id| *id != packet_id);
        session.received.len() < before
    }

    /// Answers a PUBLISH, or a packet that follows from it, with its packet identifier.
    fn acknowledge(&mut self, number: u64, first: u8, packet_id: u16, code: u8) {
        let version = self.connections.get(&number).map(|one| one.version);
        if code >= 0x80 && !self.keeps(&[V311("MQTT-3.3.5-2")]) {
            return;
        }
        let (order, known) = match first {
            first::PUBACK => (&[V311("MQTT-4.6.0-2")][..], V5("MQTT-3.4.2-1")),
            first::PUBREC => (&[V311("MQTT-4.6.0-3")][..], V5("MQTT-3.5.2-1")),
            first::PUBREL => (&[V311("MQTT-4.6.0-4")][..], V5("MQTT-3.6.2-1")),
            _ => (&[][..], V5("MQTT-3.7.2-1")),
        };
        let mut ack = Ack::new(first, packet_id);
        if version.is_some_and(|version| version.is_5()) {
            ack.code = if self.keeps(&[known]) { code } else { 0x03 };
        }
        let own = match first {
            first::PUBACK => [V311("MQTT-2.3.1-6: PUBACK"), V5("MQTT-2.2.1-5: PUBACK")],
            first::PUBREC => [V311("MQTT-2.3.1-6: PUBREC"), V5("MQTT-2.2.1-5: PUBREC")],
            first::PUBREL => [V311("MQTT-2.3.1-6: PUBREL"), V5("MQTT-2.2.1-5: PUBREL")],
            _ => [V311("MQTT-2.3.1-6"), V5("MQTT-2.2.1-5: PUBCOMP")],
        };
        if !self.keeps(&own) || !self.keeps(&[V311("MQTT-2.3.1-6"), V5("MQTT-2.2.1-5")]) {
            ack.packet_id = packet_id.wrapping_add(1).max(1);
        }
        if !self.keeps(&[V311("MQTT-2.2.2-1"), V5("MQTT-2.1.3-1")]) {
            ack.first |= 1;
        }
        let why = match code {
            reason::NOT_AUTHORISED => "nobody may publish to this topic",
            reason::NO_MATCHING_SUBSCRIBERS => "nobody has subscribed to this topic",
            reason::PACKET_ID_NOT_FOUND => "no exchange has this packet identifier",
            _ => "received",
        };
        self.send_in_order(number, Packet::from(ack), why, order);
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP came.
    pub(super) fn acknowledged(&mut self, number: u64, ack: &Ack) -> Read<()> {
        match ack.first {
            first::PUBREL => self.released(number, ack.packet_id),
            first::PUBREC if ack.code < 0x80 => self.received(number, ack.packet_id),
            first::PUBCOMP => self.finish(number, ack, Step::Release),
            _ => self.finish(number, ack, Step::Publish),
        }
        Ok(())
    }

    /// PUBREL: the client knows that its message is ours, and may use the identifier for another.
    fn released(&mut self, number: u64, packet_id: u16) {
        let known = match self.keeps(&[V5("MQTT-4.3.3-12"), V311("MQTT-4.3.3-2: after PUBCOMP")]) {
            true => self.forget_received(number, packet_id),
            false => true,
        };
        let code = if known { reason::SUCCESS } else { reason::PACKET_ID_NOT_FOUND };
        if self.keeps(&[V311("MQTT-4.3.3-2: PUBCOMP"), V5("MQTT-4.3.3-11")]) {
            self.acknowledge(number, first::PUBCOMP, packet_id, code);
        }
    }

    /// PUBREC: the client owns the message.
    fn received(&mut self, number: u64, packet_id: u16) {
        let (rules, now) = (self.rules, self.now);
        let Some(session) = self.session_of(number) else { return };
        let found =
            session.in_flight.iter_mut().find(|one| one.packet_id == packet_id && one.outgoing.qos == 2);
        let Some(exchange) = found else {
            // 3.1.1 has no code to say so.
            if self.connections.get(&number).is_some_and(|one| one.version.is_5()) {
                self.acknowledge(number, first::PUBREL, packet_id, reason::PACKET_ID_NOT_FOUND);
            }
            return;
        };
        if exchange.outgoing.message.is_expired(now) && !rules.keep(&[V5("MQTT-4.3.3-13")]) {
            return;
        }
        exchange.step = Step::Release;
        if rules.keep(&[V5("MQTT-4.3.3-4"), V311("MQTT-4.3.3-1")]) {
            self.acknowledge(number, first::PUBREL, packet_id, reason::SUCCESS);
        }
    }

    /// PUBACK, PUBCOMP, or a PUBREC that says no: the exchange is over, and the identifier free.
    fn finish(&mut self, number: u64, ack: &Ack, step: Step) {
        let rules = self.rules;
        let Some(session) = self.session_of(number) else { return };
        let is_it = |one: &InFlight| one.packet_id == ack.packet_id && one.step == step;
        let Some(index) = session.in_flight.iter().position(is_it) else { return };
        let done = match step == Step::Release || rules.keep(&[V5("MQTT-4.4.0-2")]) {
            true => Some(session.in_flight.remove(index)),
            false => None,
        };
        let Some(connection) = self.connections.get(&number) else { return };
        let client_id = connection.client_id.clone();
        let shared = done.filter(|done| ack.code >= 0x80 && done.outgoing.shared.is_some());
        if let Some(refused) = shared.filter(|_| !rules.keep(&[V5("MQTT-4.8.2-6")])) {
            self.give_to_another(refused.outgoing, &client_id);
        }
        self.flush(&client_id);
        self.send_held_back(number);
    }
}
