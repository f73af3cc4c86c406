//! Retained messages (3.3.1.3): which are kept, and who gets them on subscribing.

use super::broker::Broker;
use super::rule::Rule::{V5, V311};
use super::session::{Held, Message, Outgoing};
use super::topic;

impl Broker {
    /// Keeps a message that was published with RETAIN 1; an empty one removes what was kept.
    pub(super) fn retain(&mut self, message: &Message) {
        let publish = &message.publish;
        if !publish.retain && !self.keeps(&[V311("MQTT-3.3.1-12: removes"), V5("MQTT-3.3.1-8: removes")]) {
            self.retained.remove(&publish.topic);
        }
        if !publish.retain && self.keeps(&[V311("MQTT-3.3.1-12"), V5("MQTT-3.3.1-8")]) {
            return;
        }
        let held = self.retained.contains_key(&publish.topic);
        if publish.payload.is_empty() {
            if !self.keeps(&[V311("MQTT-3.3.1-11"), V5("MQTT-3.3.1-7")]) {
                self.retained.insert(publish.topic.clone(), message.clone());
            } else if self.keeps(&[V311("MQTT-3.3.1-10"), V5("MQTT-3.3.1-6")]) {
                self.retained.remove(&publish.topic);
            }
            return;
        }
        let replaces = publish.qos > 0 || !held || self.keeps(&[V311("MQTT-3.3.1-7")]);
        let stores = self.keeps(&[V311("MQTT-3.3.1-5"), V5("MQTT-3.3.1-5: the first")])
            && (!held || self.keeps(&[V5("MQTT-3.3.1-5")]));
        if replaces && stores {
            let mut kept = message.clone();
            if !self.keeps(&[V311("MQTT-3.3.1-5: QoS"), V5("MQTT-3.3.1-5: QoS")]) {
                kept.publish.qos = 0;
            }
            self.retained.insert(publish.topic.clone(), kept);
        }
    }

    /// Sends a new subscription, or a renewed one, the retained messages that match it.
    pub(super) fn send_retained(&mut self, client_id: &[u8], held: &Held) {
        if !self.keeps(&[V311("MQTT-3.3.1-6")]) {
            return;
        }
        let flag = self.keeps(&[V311("MQTT-3.3.1-8")]);
        let matching: Vec<Outgoing> = self
            .retained
            .iter()
            .filter(|(name, message)| {
                topic::matches(self.rules, &held.matched, name) && !message.is_expired(self.now)
            })
            .filter(|(_, message)| !held.no_local || message.publisher != client_id)
            .map(|(_, message)| Outgoing {
                retain: flag,
                ..self.copy_for(message, held, Vec::from_iter(held.identifier))
            })
            .collect();
        let all = self.keeps(&[V311("MQTT-3.3.1-6: one topic"), V5("MQTT-3.3.1-9: one topic")]);
        for outgoing in matching.into_iter().take(if all { usize::MAX } else { 1 }) {
            self.enqueue(client_id, outgoing);
        }
    }
}
