//! What a client does with what it reads.

use super::client::Client;
use crate::world::World;
use aldis_packet::{Ack, AckKind, DecodeLimits, Framed, Packet, Publish, QoS, decode, next_frame};

impl Client {
    /// Reads up to so many bytes and does what the whole packets among them ask for.
    pub fn read(&mut self, count: usize, world: &World) {
        let Some(connection) = &mut self.connection else { return };
        let bytes = connection.link.receive(count);
        if bytes.is_empty() {
            return;
        }
        // There is room again.
        world.nudge(connection.link.number);
        connection.inbox.extend(bytes);
        let all = std::mem::take(&mut connection.inbox);
        let mut done = 0;
        // Bytes that are no packets were noticed at the broker's end.
        while let Ok(Framed::Whole { frame, size }) = next_frame(&all[done..], 1 << 28) {
            done += size;
            let Ok(packet) = decode(&frame, self.persona.version, &DecodeLimits::default()) else { break };
            self.take(&packet, world);
            if self.connection.is_none() {
                return;
            }
        }
        if let Some(connection) = &mut self.connection {
            connection.inbox = all[done..].to_vec();
        }
    }

    fn take(&mut self, packet: &Packet<'_>, world: &World) {
        match packet {
            Packet::Connack(connack) => self.connected(connack, world),
            Packet::Publish(publish) => self.receive(publish, world),
            Packet::Ack(ack) => self.acknowledged(ack),
            Packet::Suback(suback) => self.answered(suback.packet_id.get()),
            Packet::Unsuback(unsuback) => self.answered(unsuback.packet_id.get()),
            Packet::Disconnect(_) => {
                if let Some(connection) = self.connection.take() {
                    connection.link.close();
                    world.nudge(connection.link.number);
                    world.count("the broker sent DISCONNECT");
                }
            }
            _ => {}
        }
    }

    fn answered(&mut self, id: u16) {
        if let Some(connection) = &mut self.connection {
            connection.asked.remove(&id);
        }
    }

    fn receive(&mut self, publish: &Publish<'_>, world: &World) {
        let Some(connection) = &mut self.connection else { return };
        let mut topic = publish.topic.to_owned();
        if let Some(alias) = publish.properties.topic_alias {
            if topic.is_empty() {
                topic = connection.aliases_in.get(&alias).cloned().unwrap_or_default();
            } else {
                connection.aliases_in.insert(alias, topic.clone());
            }
        }
        let life = connection.life;
        let id = publish.packet_id.map_or(0, |id| id.get());
        let is_new = match publish.qos {
            QoS::AtMostOnce => true,
            QoS::AtLeastOnce => {
                connection.owed.push_back((AckKind::Puback, id));
                true
            }
            QoS::ExactlyOnce => {
                connection.owed.push_back((AckKind::Pubrec, id));
                // Not released yet: the same message once more [MQTT-4.3.3-10].
                self.kept.received.insert(id)
            }
        };
        if is_new {
            world.taken(self.number, life, publish, topic);
        }
    }

    fn acknowledged(&mut self, ack: &Ack) {
        let id = ack.packet_id.get();
        match ack.kind {
            AckKind::Puback | AckKind::Pubcomp => {
                self.kept.unfinished.retain(|unfinished| unfinished.id != id);
            }
            AckKind::Pubrec if ack.reason.is_error() => {
                self.kept.unfinished.retain(|unfinished| unfinished.id != id);
            }
            AckKind::Pubrec => {
                for unfinished in self.kept.unfinished.iter_mut().filter(|unfinished| unfinished.id == id) {
                    unfinished.is_released = true;
                }
                self.encode(&Packet::Ack(Ack::new(
                    AckKind::Pubrel,
                    ack.packet_id,
                    aldis_packet::ReasonCode::Success,
                )));
            }
            AckKind::Pubrel => {
                self.kept.received.remove(&id);
                if let Some(connection) = &mut self.connection {
                    connection.owed.push_back((AckKind::Pubcomp, id));
                }
            }
        }
    }
}
