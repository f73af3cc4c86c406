//! CONNECT, and what its answer means for what the client keeps.

use super::client::{Client, Connection, Kept};
use crate::ground::Message;
use crate::plan::Feature;
use crate::wire::Link;
use crate::world::World;
use aldis_packet::{
    Ack, AckKind, Connack, Connect, ConnectProperties, Packet, PacketId, ProtocolVersion, QoS, ReasonCode,
    Will,
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

impl Client {
    /// Opens a connection and sends CONNECT.
    pub fn connect(&mut self, world: &World) {
        let drains = world.is_draining();
        let clean = !drains && self.random.one_in(self.persona.clean_in);
        // A session of 3.1 cannot be told from a new one: its CONNACK does not say.
        let clean = clean || self.persona.version == ProtocolVersion::V31;
        let clean = std::mem::take(&mut self.starts_clean) || clean;
        if clean {
            // Its own half of the session ends, too [MQTT-3.1.2-4].
            self.kept = Kept::default();
        }
        let expiry = if drains { 600 } else { self.random.pick(&self.persona.expiries) };
        let will = self.will(world);
        let properties = ConnectProperties {
            session_expiry: Some(expiry).filter(|expiry| *expiry > 0),
            receive_maximum: self.persona.receive_maximum,
            maximum_packet_size: self.persona.maximum_packet_size,
            topic_alias_maximum: Some(self.persona.alias_maximum).filter(|maximum| *maximum > 0),
            ..ConnectProperties::default()
        };
        let is_v5 = self.is_v5();
        let connect = Connect {
            version: self.persona.version,
            clean_start: clean,
            keep_alive: if drains { 0 } else { self.persona.keep_alive },
            client_id: format!("c{}", self.number),
            will,
            user_name: None,
            password: None,
            properties: if is_v5 { properties } else { ConnectProperties::default() },
        };
        let expiry = match (is_v5, clean) {
            (true, _) => expiry,
            (false, true) => 0,
            (false, false) => 1,
        };
        let link = world.open(self.number, if drains { usize::MAX } else { self.persona.room });
        self.open(link, clean, expiry);
        self.encode(&Packet::Connect(Box::new(connect)));
        self.send_some(world);
    }

    /// A connection of which nothing is known but the CONNECT that is sent.
    pub fn open(&mut self, link: Arc<Link>, clean: bool, expiry: u32) {
        self.connection = Some(Connection {
            link,
            is_open: false,
            inbox: Vec::new(),
            unsent: VecDeque::new(),
            owed: VecDeque::new(),
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            alias_maximum: 0,
            receive_maximum: u16::MAX,
            asked: BTreeSet::new(),
            life: usize::MAX,
            clean,
            expiry,
        });
    }

    fn will(&mut self, world: &World) -> Option<Will> {
        let (has, delay, retain, qos, expires) = (
            self.random.one_in(2),
            self.random.pick(&[0, 0, 1, 2]),
            self.random.one_in(3),
            self.random.below(3) as u8,
            self.random.one_in(5),
        );
        if !has || world.is_draining() || !world.plan.has(Feature::Wills) {
            return None;
        }
        let delay = if self.is_v5() { delay } else { 0 };
        let expires = expires && self.is_v5() && world.plan.has(Feature::MessageExpiry);
        let topic = format!("w/{}", self.number);
        let retain = retain && world.plan.has(Feature::Retained);
        let message = world.new_message(Message {
            publisher: self.number,
            topic: topic.clone(),
            qos,
            retain,
            is_will: true,
            expires,
            removes: false,
            read_at: None,
            reads: 0,
            read_last: 0,
            answered_at: None,
            is_refused: false,
            may_have_come_again: false,
        });
        Some(Will {
            qos: QoS::from_u8(qos).unwrap_or_default(),
            retain,
            topic,
            payload: Bytes::from(format!("{message} will")),
            delay,
            message_expiry: expires.then_some(1),
            forwarded: Bytes::new(),
        })
    }

    /// CONNACK has come.
    pub fn connected(&mut self, connack: &Connack, world: &World) {
        let Some(connection) = &mut self.connection else { return };
        if connack.reason != ReasonCode::Success {
            world.count("a CONNECT was refused");
            connection.link.close();
            world.nudge(connection.link.number);
            self.connection = None;
            return;
        }
        connection.is_open = true;
        connection.life = world.life_of(self.number);
        connection.receive_maximum = connack.properties.receive_maximum.unwrap_or(u16::MAX);
        connection.alias_maximum = connack.properties.topic_alias_maximum.unwrap_or(0);
        if let Some(expiry) = connack.properties.session_expiry {
            connection.expiry = expiry;
        }
        self.kept.lasts = connection.expiry > 0;
        if connack.session_present {
            world.count("a session was resumed");
            if self.kept.life.is_none() {
                // A session that this client has given up: not one to go on with [MQTT-3.2.2-4].
                world.count("a client closed for a session that it has not");
                self.starts_clean = true;
                return self.over(world);
            }
            // The old session may have ended, and the answer that said so may have been lost. No client can know;
            // what would come of it is nobody's fault, so the model is told.
            if Some(connection.life) == self.kept.life {
                return self.repeat(world);
            }
        }
        // Nothing of the old session is known to the broker, so nothing of it counts here.
        self.kept.unfinished.clear();
        self.kept.received.clear();
        self.kept.life = Some(world.life_of(self.number));
        self.filters.clear();
    }

    /// Sends again what was not finished, in its order [MQTT-4.4.0-1].
    fn repeat(&mut self, world: &World) {
        for unfinished in self.kept.unfinished.clone() {
            let Some(id) = PacketId::new(unfinished.id) else { continue };
            if unfinished.is_released {
                self.encode(&Packet::Ack(Ack::new(AckKind::Pubrel, id, ReasonCode::Success)));
            } else {
                world.count("a client sent a PUBLISH again");
                self.encode_publish(unfinished.message, Some(id), true, unfinished.expiry, world);
            }
        }
    }
}
