//! The will (3.1.2.5): what a CONNECT leaves behind, and how it is published.

use super::broker::Broker;
use super::rule::Rule::{self, V5, V311};
use super::session::Message;
use crate::wire::property::{MESSAGE_EXPIRY, Properties, WILL_DELAY};
use crate::wire::{Connect, Publish, Will};
use std::time::Duration;

impl Broker {
    /// The will that a CONNECT leaves with the session.
    pub(super) fn will_of(&mut self, connect: &Connect) -> Option<Will> {
        if !self.keeps(&[V5("MQTT-3.1.2-7")]) {
            return None;
        }
        match &connect.will {
            Some(will) => {
                self.old_wills.insert(connect.client_id.clone(), will.clone());
                Some(will.clone())
            }
            None if self.keeps(&[V311("MQTT-3.1.2-12")]) => None,
            None => self.old_wills.get(&connect.client_id).cloned(),
        }
    }

    /// A will is published for whatever reason the connection ended. Nothing happens here unless that is broken.
    pub(super) fn forget_will(&mut self, number: u64, rules: &[Rule]) {
        let kept = self.keeps(rules);
        if let Some(session) = self.session_of(number).filter(|_| !kept) {
            session.will = None;
        }
    }

    /// Publishes the will of a session, if there is one, and takes it out of the session.
    pub(super) fn publish_will(&mut self, client_id: &[u8]) {
        let once = self.keeps(&[V311("MQTT-3.1.2-10"), V5("MQTT-3.1.2-10")]);
        let published = self.keeps(&[V311("MQTT-3.1.2-8")]);
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        session.will_due = None;
        let will = if once { session.will.take() } else { session.will.clone() };
        let Some(will) = will.filter(|_| published) else { return };
        let flag = match will.retain {
            true => self.keeps(&[V311("MQTT-3.1.2-17"), V5("MQTT-3.1.2-15")]),
            false => !self.keeps(&[V311("MQTT-3.1.2-16"), V5("MQTT-3.1.2-14")]),
        };
        let mut properties = will.properties;
        properties.retain(|property| property.id != WILL_DELAY);
        if !self.keeps(&[V5("MQTT-3.1.2-9: properties")]) {
            properties.clear();
        }
        if !self.keeps(&[V5("MQTT-3.1.3-10")]) {
            properties.reverse();
        }
        let seconds = properties.number(MESSAGE_EXPIRY);
        properties.retain(|property| property.id != MESSAGE_EXPIRY);
        let publish = Publish {
            dup: false,
            qos: if self.keeps(&[V311("MQTT-3.1.2-9: QoS")]) { will.qos } else { 0 },
            retain: flag,
            topic: will.topic,
            packet_id: None,
            properties,
            payload: will.payload,
        };
        let message = Message {
            publish,
            publisher: client_id.to_vec(),
            arrived: self.now,
            expiry: seconds.map(|seconds| Duration::from_secs(u64::from(seconds))),
        };
        self.distribute(message);
    }
}
