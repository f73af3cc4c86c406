//! The tap at the broker's end of every wire: bytes become packets, packets become facts.
//!
//! What is written counts when its last byte is taken, what is read when the
//! broker begins to handle it. The decoder is
//! that of `aldis-packet`; that a packet means what it should is for the checkers.

use crate::ground::{Goodbye, Ground, Published};
use crate::watch::{Fact, Watch};
use aldis_packet::{
    AckKind, DecodeLimits, Framed, Packet, ProtocolVersion, Publish, QoS, ReasonCode, decode, next_frame,
};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a client to the broker.
    Up,
    /// From the broker to a client.
    Down,
}

impl Watch {
    /// Bytes went by. What the broker wrote counts at once; what it read, but for the CONNECT, when it begins to
    /// handle it.
    pub fn tap(&mut self, number: usize, way: Way, bytes: &[u8]) {
        let conn = &mut self.ground.conns[number];
        let buffer = if way == Way::Up { &mut conn.up } else { &mut conn.down };
        buffer.extend_from_slice(bytes);
        let mut all = std::mem::take(buffer);
        let mut done = 0;
        loop {
            let size = match next_frame(&all[done..], 1 << 28) {
                Ok(Framed::Whole { size, .. }) => size,
                Ok(Framed::Partial { .. }) => break,
                Err(error) => {
                    self.fail("conduct", format!("bytes that are no packet on connection {number}: {error}"));
                    return;
                }
            };
            let frame = &all[done..done + size];
            if way == Way::Up && self.ground.conns[number].has_connect {
                self.ground.conns[number].unhandled.push_back(frame.to_vec());
            } else {
                self.frame(number, way, frame);
            }
            done += size;
        }
        all.drain(..done);
        let conn = &mut self.ground.conns[number];
        *(if way == Way::Up { &mut conn.up } else { &mut conn.down }) = all;
    }

    /// The broker begins to handle the next packet that it has read from a connection.
    pub fn handles(&mut self, number: usize) {
        if let Some(frame) = self.ground.conns[number].unhandled.pop_front() {
            self.frame(number, Way::Up, &frame);
        }
    }

    fn frame(&mut self, number: usize, way: Way, bytes: &[u8]) {
        let version = self.ground.conns[number].version;
        let Ok(Framed::Whole { frame, size }) = next_frame(bytes, 1 << 28) else { return };
        match decode(&frame, version, &DecodeLimits::default()) {
            Ok(packet) => self.packet(number, way, &packet, size),
            Err(error) => {
                let what = format!("a packet on connection {number} breaks the standard: {error}");
                self.fail("conduct", what);
            }
        }
    }

    fn packet(&mut self, number: usize, way: Way, packet: &Packet<'_>, size: usize) {
        self.ground.tick();
        self.tell(|ground| {
            let name = ground.name(ground.conns[number].client);
            let number = format!("#{number}");
            match way {
                Way::Up => format!("the broker hears from {name} {number}: {packet}{}", payload(packet)),
                Way::Down => format!("the broker writes to {name} {number}: {packet}{}", payload(packet)),
            }
        });
        let publish = match packet {
            Packet::Publish(publish) => Some(published(&mut self.ground, number, way, publish)),
            _ => None,
        };
        let publish = publish.as_ref();
        match way {
            Way::Up => {
                self.note_up(number, packet, publish);
                self.see(&Fact::Up { conn: number, packet, publish });
                self.after_up(number, packet, publish);
            }
            Way::Down => {
                self.note_down(number, packet);
                self.see(&Fact::Down { conn: number, packet, publish, size });
            }
        }
    }

    /// What a packet of a client changes in what is known.
    fn note_up(&mut self, number: usize, packet: &Packet<'_>, publish: Option<&Published>) {
        let (default, longest) = self.expiries;
        let ground = &mut self.ground;
        match packet {
            Packet::Connect(connect) => ground.connect(number, connect, default, longest),
            Packet::Subscribe(subscribe) => {
                ground.asks_to_subscribe(number, subscribe.packet_id.get(), &subscribe.filters);
            }
            Packet::Unsubscribe(unsubscribe) => {
                ground.asks_to_unsubscribe(number, unsubscribe.packet_id.get(), &unsubscribe.filters);
            }
            Packet::Disconnect(disconnect) => {
                let conn = &mut ground.conns[number];
                conn.goodbye = Some(Goodbye { with_will: disconnect.reason != ReasonCode::Success });
                if let Some(expiry) = disconnect.session_expiry {
                    conn.expiry = expiry.min(longest);
                }
            }
            _ => {}
        }
        if let Some(Published { message: Some(message), is_repeat: false, .. }) = publish {
            let moment = ground.moment;
            let may_be_repeat = publish.is_some_and(|publish| publish.may_be_repeat);
            let message = &mut ground.messages[*message];
            message.may_have_come_again |= may_be_repeat;
            message.read_at.get_or_insert(moment);
            message.read_last = moment;
            message.reads += 1;
        }
    }

    /// What it changes once the checkers have seen it.
    fn after_up(&mut self, number: usize, packet: &Packet<'_>, publish: Option<&Published>) {
        let ground = &mut self.ground;
        // A session that this connection does not have yet may have identifiers, too: those of its client.
        let client = ground.conns[number].client;
        if let (Some(publish), true) = (publish, publish.is_some_and(|publish| publish.qos == 2)) {
            let message = publish.message.unwrap_or(usize::MAX);
            ground.unreleased.entry(client).or_default().entry(publish.id).or_insert(message);
        }
        if let Packet::Ack(ack) = packet
            && ack.kind == AckKind::Pubrel
        {
            ground.unreleased.entry(client).or_default().remove(&ack.packet_id.get());
            ground.unreleased_before.entry(client).or_default().remove(&ack.packet_id.get());
        }
    }

    /// What a packet of the broker changes.
    fn note_down(&mut self, number: usize, packet: &Packet<'_>) {
        let ground = &mut self.ground;
        match packet {
            Packet::Connack(connack) if connack.reason == ReasonCode::Success => {
                ground.conns[number].connack_at = Some(ground.moment);
            }
            Packet::Suback(suback) => {
                ground.subscribed(number, suback.packet_id.get(), &suback.reasons);
            }
            Packet::Unsuback(unsuback) => ground.unsubscribed(number, unsuback.packet_id.get()),
            Packet::Disconnect(_) => ground.conns[number].farewell = true,
            _ => {}
        }
    }
}

/// Which message a payload is, in words.
fn payload(packet: &Packet<'_>) -> String {
    let Packet::Publish(publish) = packet else { return String::new() };
    let digits = publish.payload.split(|byte| *byte == b' ').next().unwrap_or_default();
    if digits.is_empty() {
        return " (empty: takes the retained message away)".to_owned();
    }
    format!(" (message {})", String::from_utf8_lossy(digits))
}

fn published(ground: &mut Ground, number: usize, way: Way, publish: &Publish<'_>) -> Published {
    let mut message = ground.message_in(publish.payload);
    let client = ground.conns[number].client;
    let id = publish.packet_id.map_or(0, |id| id.get());
    let held = ground.unreleased.get(&client).and_then(|held| held.get(&id)).copied();
    let conn = &mut ground.conns[number];
    if way == Way::Up && publish.payload.is_empty() {
        message = conn.empties.pop_front();
    }
    let aliases = if way == Way::Up { &mut conn.up_aliases } else { &mut conn.down_aliases };
    let mut topic = publish.topic.to_owned();
    if let (Some(alias), ProtocolVersion::V5) = (publish.properties.topic_alias, conn.version) {
        if topic.is_empty() {
            topic = aliases.get(&alias).cloned().unwrap_or_default();
        } else {
            aliases.insert(alias, topic.clone());
        }
    }
    let is_qos2 = way == Way::Up && publish.qos == QoS::ExactlyOnce;
    let before = ground.unreleased_before.get(&client).is_some_and(|held| held.contains_key(&id));
    let is_repeat = is_qos2 && held.is_some();
    let may_be_repeat = is_qos2 && before && !is_repeat;
    Published {
        message,
        topic,
        qos: publish.qos.value(),
        id,
        dup: publish.dup,
        retain: publish.retain,
        is_repeat,
        may_be_repeat,
    }
}
