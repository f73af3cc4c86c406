//! What a client publishes.

use super::client::{Client, Unfinished};
use crate::ground::Message;
use crate::plan::Feature;
use crate::world::World;
use aldis_packet::{Packet, PacketId, Publish, PublishProperties, QoS};

/// Exchanges that a client begins before it has seen the end of the first.
const WINDOW: usize = 6;

impl Client {
    /// Publishes one message, or a storm of retained ones.
    pub fn publish(&mut self, world: &World) {
        let count = if self.random.one_in(20) { 8 } else { 1 + self.random.below(2) };
        for _ in 0..count {
            self.publish_one(world);
        }
    }

    fn publish_one(&mut self, world: &World) {
        let kind = self.random.below(20);
        let place = self.random.below(4);
        let mut qos = self.random.below(3) as u8;
        let (retain, removes) = (kind < 4 && world.plan.has(Feature::Retained), kind == 0);
        let topic = match kind {
            0..4 => format!("r/{}/{}", self.number, place.min(2)),
            4..16 if world.plan.shares_much => format!("s/{}", place.min(1)),
            4..8 if world.plan.has(Feature::Shared) => format!("s/{}", place.min(1)),
            8 if world.plan.has(Feature::Rights) => format!("d/{}", place.min(1)),
            _ => format!("t/{place}"),
        };
        let expires = self.random.one_in(8) && self.is_v5() && world.plan.has(Feature::MessageExpiry);
        if qos == 2 && !world.plan.has(Feature::Qos2) {
            qos = 1;
        }
        if qos == 0 && !world.plan.has(Feature::Qos0) {
            qos = 1;
        }
        if qos > 0 && !self.may_begin() {
            return;
        }
        let message = world.new_message(Message {
            publisher: self.number,
            topic,
            qos,
            retain,
            is_will: false,
            expires,
            removes: retain && removes,
            read_at: None,
            reads: 0,
            read_last: 0,
            answered_at: None,
            is_refused: false,
            may_have_come_again: false,
        });
        let expiry = expires.then(|| 1 + self.random.below(3) as u32);
        let id = (qos > 0).then(|| self.next_id());
        if let Some(id) = id {
            let unfinished = Unfinished { id: id.get(), message, expiry, is_released: false };
            self.kept.unfinished.push(unfinished);
        }
        self.encode_publish(message, id, false, expiry, world);
    }

    /// Whether another exchange may be begun: the broker's receive maximum is kept.
    fn may_begin(&self) -> bool {
        let maximum =
            self.connection.as_ref().map_or(0, |connection| usize::from(connection.receive_maximum));
        self.kept.unfinished.len() < maximum.min(WINDOW)
    }

    /// Encodes a PUBLISH, with a topic alias if the broker takes one.
    pub fn encode_publish(
        &mut self,
        message: usize,
        id: Option<PacketId>,
        dup: bool,
        expiry: Option<u32>,
        world: &World,
    ) {
        let Message { topic, qos, retain, removes, .. } = world.message(message);
        let padding = message * 37 % (self.persona.padding + 1);
        let payload = if removes { String::new() } else { format!("{message} {}", "x".repeat(padding)) };
        let Some(connection) = &mut self.connection else { return };
        if removes {
            world.sends_empty(connection.link.number, message);
        }
        let mut alias = None;
        let mut shown = topic.as_str();
        if connection.alias_maximum > 0 && self.random.one_in(2) {
            match connection.aliases_out.get(&topic) {
                Some(known) => (alias, shown) = (Some(*known), ""),
                None => {
                    let new = 1 + self.random.below(usize::from(connection.alias_maximum)) as u16;
                    connection.aliases_out.retain(|_, known| *known != new);
                    connection.aliases_out.insert(topic.clone(), new);
                    alias = Some(new);
                }
            }
            world.count("a client used a topic alias");
        }
        let properties =
            PublishProperties { message_expiry: expiry, topic_alias: alias, ..PublishProperties::default() };
        self.encode(&Packet::Publish(Publish {
            dup,
            qos: QoS::from_u8(qos).unwrap_or_default(),
            retain,
            topic: shown,
            packet_id: id,
            properties,
            payload: payload.as_bytes(),
        }));
    }
}
