//! SUBSCRIBE and UNSUBSCRIBE, and their answers (3.8 to 3.11).

use super::broker::Broker;
use super::reader::{Read, protocol_error};
use super::rule::Rule::{V5, V311};
use super::session::{Held, InFlight};
use super::timers::DELAY;
use super::topic;
use crate::wire::property::{Properties, SUBSCRIPTION_IDENTIFIER};
use crate::wire::{Suback, Subscribe, Subscription, Unsuback, Unsubscribe, Version, reason};

impl Broker {
    /// A client subscribed: each filter is taken, then all are answered, then retained messages follow.
    pub(super) fn subscribe(&mut self, number: u64, subscribe: Subscribe) -> Read<()> {
        let Some(connection) = self.connections.get(&number) else { return Ok(()) };
        let (client_id, version) = (connection.client_id.clone(), connection.version);
        if self.session_of(number).is_none() {
            return protocol_error("a subscription without a session");
        }
        let identifier = subscribe.properties.number(SUBSCRIPTION_IDENTIFIER);
        if identifier.is_some() && self.manner.is_sparing() {
            return protocol_error("subscription identifiers are not available");
        }
        let one_by_one = !self.keeps(&[V311("MQTT-3.8.4-4"), V5("MQTT-3.8.4-5")]);
        let mut codes = Vec::new();
        let mut due = Vec::new();
        for subscription in &subscribe.subscriptions {
            let mut held = held(version, subscription, identifier);
            held.qos = held.qos.min(self.manner.granted());
            if held.share.is_some() && self.manner.is_sparing() {
                codes.push(reason::SHARED_NOT_SUPPORTED);
                continue;
            }
            codes.push(held.qos);
            let new = self.hold(&client_id, held.clone());
            if held.share.is_none() && self.wants_retained(subscription, new) {
                due.push(held);
            }
            if one_by_one {
                self.suback(number, subscribe.packet_id, std::mem::take(&mut codes));
            }
        }
        // Retained messages may come before SUBACK.
        if self.manner.is_sparing() {
            due.drain(..).for_each(|held| self.send_retained(&client_id, &held));
        }
        if !one_by_one {
            self.suback(number, subscribe.packet_id, codes);
        }
        due.into_iter().for_each(|held| self.send_retained(&client_id, &held));
        Ok(())
    }

    /// Adds a subscription to a session, in the place of one with an equal filter. Returns whether it is new.
    fn hold(&mut self, client_id: &[u8], held: Held) -> bool {
        let (rules, now) = (self.rules, self.now);
        let Some(session) = self.sessions.get_mut(client_id) else { return true };
        let equal = session.subscriptions.iter_mut().find(|one| one.filter == held.filter);
        match equal {
            Some(one) if rules.keep(&[V311("MQTT-3.8.4-3"), V5("MQTT-3.8.4-3")]) => {
                let loses = !rules.keep(&[V311("MQTT-3.8.4-3: loses"), V5("MQTT-3.8.4-4: loses")]);
                *one = Held { deaf_until: loses.then_some(now + DELAY), ..held };
                false
            }
            _ => {
                session.subscriptions.push(held);
                true
            }
        }
    }

    /// Retain Handling: 0 wants retained messages always, 1 for a new subscription, 2 never. Before MQTT 5 it is 0.
    fn wants_retained(&self, subscription: &Subscription, new: bool) -> bool {
        match subscription.options >> 4 & 3 {
            0 => {
                self.keeps(&[V5("MQTT-3.3.1-9")])
                    && (new || self.keeps(&[V311("MQTT-3.8.4-3: retained"), V5("MQTT-3.8.4-4")]))
            }
            1 => new || !self.keeps(&[V5("MQTT-3.3.1-10")]),
            _ => !self.keeps(&[V5("MQTT-3.3.1-11")]),
        }
    }

    fn suback(&mut self, number: u64, packet_id: u16, mut codes: Vec<u8>) {
        if !self.keeps(&[V311("MQTT-3.8.4-1"), V5("MQTT-3.8.4-1")]) {
            return;
        }
        if !self.keeps(&[V311("MQTT-3.8.4-5"), V5("MQTT-3.8.4-6")]) {
            codes.truncate(1);
        }
        if !self.keeps(&[V311("MQTT-3.8.4-5: QoS"), V5("MQTT-3.8.4-7")]) {
            codes.fill(0);
        }
        if !self.keeps(&[V311("MQTT-3.9.3-1"), V5("MQTT-3.9.3-1")]) {
            codes.reverse();
        }
        if !self.keeps(&[V311("MQTT-3.9.3-2"), V5("MQTT-3.9.3-2")]) {
            codes.fill(0x03);
        }
        let same = [V311("MQTT-2.3.1-7"), V5("MQTT-2.2.1-6"), V311("MQTT-3.8.4-2"), V5("MQTT-3.8.4-2")];
        let packet_id = if self.keeps(&same) { packet_id } else { other(packet_id) };
        self.explain(number, Suback { packet_id, properties: Vec::new(), codes }, "subscribed");
    }

    /// A client unsubscribed: equal filters are deleted, and the answer comes whether there were any.
    pub(super) fn unsubscribe(&mut self, number: u64, unsubscribe: Unsubscribe) -> Read<()> {
        let rules = self.rules;
        let Some(session) = self.session_of(number) else { return Ok(()) };
        let mut codes = Vec::new();
        for (index, filter) in unsubscribe.filters.iter().enumerate() {
            let exactly = rules.keep(&[V311("MQTT-3.10.4-1"), V5("MQTT-3.10.4-1")]);
            let equal = |held: &Held| {
                held.filter == *filter || (!exactly && topic::matches(rules, filter, &held.filter))
            };
            let existed = session.subscriptions.iter().any(equal);
            codes.push(if existed { reason::SUCCESS } else { reason::NO_SUBSCRIPTION_EXISTED });
            let in_turn = index == 0 || rules.keep(&[V311("MQTT-3.10.4-6"), V5("MQTT-3.10.4-6")]);
            if in_turn && rules.keep(&[V311("MQTT-3.10.4-2"), V5("MQTT-3.10.4-2")]) {
                session.subscriptions.retain(|held| !equal(held));
            }
            if !rules.keep(&[V311("MQTT-3.10.4-3"), V5("MQTT-3.10.4-3")]) {
                let begun =
                    |one: &InFlight| topic::matches(rules, filter, &one.outgoing.message.publish.topic);
                session.in_flight.retain(|one| !begun(one));
            }
        }
        self.unsuback(number, unsubscribe.packet_id, codes);
        Ok(())
    }

    fn unsuback(&mut self, number: u64, packet_id: u16, mut codes: Vec<u8>) {
        let nothing = codes.iter().all(|code| *code == reason::NO_SUBSCRIPTION_EXISTED);
        if !self.keeps(&[V311("MQTT-3.10.4-4"), V5("MQTT-3.10.4-4")])
            || (nothing && !self.keeps(&[V311("MQTT-3.10.4-5"), V5("MQTT-3.10.4-5")]))
        {
            return;
        }
        if !self.keeps(&[V5("MQTT-3.11.3-1")]) {
            codes.reverse();
        }
        if !self.keeps(&[V5("MQTT-3.11.3-2")]) {
            codes.fill(0x03);
        }
        let same = [
            V311("MQTT-2.3.1-7"),
            V5("MQTT-2.2.1-6"),
            V311("MQTT-2.3.1-7: UNSUBACK"),
            V5("MQTT-2.2.1-6: UNSUBACK"),
        ];
        let packet_id = if self.keeps(&same) { packet_id } else { other(packet_id) };
        if self.connections.get(&number).is_some_and(|one| !one.version.is_5()) {
            codes.clear();
        }
        self.explain(number, Unsuback { packet_id, properties: Vec::new(), codes }, "unsubscribed");
    }
}

/// A packet identifier that is not this one.
fn other(packet_id: u16) -> u16 {
    packet_id.wrapping_add(1).max(1)
}

/// The subscription as a session holds it.
fn held(version: Version, subscription: &Subscription, identifier: Option<u32>) -> Held {
    let (share, matched) = topic::split_share(version, &subscription.filter);
    Held {
        filter: subscription.filter.clone(),
        share: share.map(<[u8]>::to_vec),
        matched: matched.unwrap_or_default().to_vec(),
        qos: (subscription.options & 3).min(2),
        no_local: subscription.options & 0x04 != 0,
        retain_as_published: subscription.options & 0x08 != 0,
        identifier,
        deaf_until: None,
    }
}
