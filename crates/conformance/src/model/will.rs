//! The will (3.1.2.5), and what else happens to a session when its connection is gone.

use super::broker::Broker;
use super::rule::Rule::{self, V5, V311};
use super::session::{Lasting, Message};
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

    /// The connection of a session is gone: its will is published, now or after its delay, and the session ends,
    /// now or when it expires.
    pub(super) fn detach(&mut self, number: u64) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let client_id = connection.client_id.clone();
        let aliases = std::mem::take(&mut connection.aliases_in);
        let aliases_out = std::mem::take(&mut connection.aliases_out);
        let forgets_aliases = self.keeps(&[V5("MQTT-3.3.2-7")]);
        let forgets_own_aliases = self.keeps(&[V5("MQTT-3.3.2-7: of the broker")]);
        let keeps_received = self.keeps(&[V311("MQTT-4.1.0-1")]);
        let stays = self.keeps(&[V5("MQTT-3.1.2-23")]);
        let expires = self.keeps(&[V5("MQTT-4.1.0-2")]);
        let waits = self.keeps(&[V5("MQTT-3.1.2-8")]);
        let early = !self.keeps(&[V5("MQTT-4.1.0-2: early")]);
        let Some(session) = self.sessions.get_mut(&client_id) else { return };
        if session.connection != Some(number) {
            return;
        }
        session.connection = None;
        if !forgets_aliases {
            session.old_aliases = aliases;
        }
        if !keeps_received {
            session.received.clear();
        }
        if !forgets_own_aliases {
            session.old_aliases_out = aliases_out;
        }
        for exchange in &mut session.in_flight {
            exchange.sent = false;
        }
        let delay = session.will.as_ref().and_then(|will| will.properties.number(WILL_DELAY)).unwrap_or(0);
        let mut lasting = session.lasting;
        if !stays {
            lasting = Lasting::Connection;
        }
        session.ends = match lasting {
            Lasting::For(time) if early => Some(now + time / 10),
            Lasting::For(time) if expires => Some(now + time),
            _ => None,
        };
        if session.will.is_some() && delay > 0 && lasting != Lasting::Connection {
            session.will_due = Some(now + Duration::from_secs(u64::from(if waits { delay } else { 0 })));
        } else {
            self.publish_will(&client_id);
        }
        self.settle_shared(&client_id);
        if lasting == Lasting::Connection && expires {
            self.end_session(&client_id);
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

    /// A session is over: its will goes out if it still waits, and everything else is forgotten.
    pub(super) fn end_session(&mut self, client_id: &[u8]) {
        let waits = self.sessions.get(client_id).is_some_and(|session| session.will_due.is_some());
        if waits && self.keeps(&[V5("MQTT-3.1.2-8: session end")]) {
            self.publish_will(client_id);
        }
        let Some(session) = self.sessions.remove(client_id) else { return };
        self.pass_on_shared(&session);
        if !self.keeps(&[V311("MQTT-3.1.2-7")]) {
            self.retained.retain(|_, message| message.publisher != client_id);
        }
    }
}
