//! DUP says whether a PUBLISH is a repetition [MQTT-3.3.1-1], it is set on a repetition only, and there is one on
//! a new connection only [MQTT-4.4.0-1]; after PUBREL there is none [MQTT-4.3.3-6].

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::{Ground, Published};
use crate::watch::Fact;
use aldis_packet::{AckKind, Packet};
use std::collections::BTreeMap;

struct Sent {
    message: Option<usize>,
    topic: String,
    conn: usize,
    is_released: bool,
}

#[derive(Default)]
pub(super) struct Repeats {
    /// What was sent with each identifier of a life and is not acknowledged.
    sent: BTreeMap<usize, BTreeMap<u16, Sent>>,
}

impl Repeats {
    fn publish(
        &mut self,
        number: usize,
        publish: &Published,
        ground: &Ground,
        census: &mut Census,
    ) -> Verdict {
        let conn = &ground.conns[number];
        let Some(life) = conn.life else { return Ok(()) };
        let name = ground.name(conn.client);
        let what = format!("message {:?} with the identifier {}", publish.message, publish.id);
        let open = self.sent.entry(life).or_default();
        let again = open
            .get(&publish.id)
            .filter(|sent| sent.message == publish.message && sent.topic == publish.topic);
        match again {
            Some(sent) if sent.conn == number => {
                return Err(format!("{name} was sent {what} twice on one connection"));
            }
            Some(sent) if sent.is_released => {
                return Err(format!("{name} was sent {what} again after its PUBREL"));
            }
            Some(_) if !publish.dup => {
                return Err(format!("{name} was sent {what} once more, without DUP"));
            }
            Some(_) => census.count("a delivery was repeated with DUP"),
            None if publish.dup => {
                let read_at = publish.message.and_then(|message| ground.messages[message].read_at);
                let is_old = conn.session_present
                    && read_at.is_none_or(|read| conn.connack_at.is_some_and(|connack| read < connack));
                if !is_old {
                    return Err(format!("{name} was sent {what} for the first time, with DUP"));
                }
            }
            None => {}
        }
        let (message, topic) = (publish.message, publish.topic.clone());
        open.insert(publish.id, Sent { message, topic, conn: number, is_released: false });
        Ok(())
    }
}

impl Checker for Repeats {
    fn name(&self) -> &'static str {
        "repeats"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Down { conn, publish: Some(publish), .. } if publish.qos > 0 => {
                return self.publish(*conn, publish, ground, census);
            }
            Fact::Down { conn, packet: Packet::Ack(ack), .. } if ack.kind == AckKind::Pubrel => {
                let Some(life) = ground.conns[*conn].life else { return Ok(()) };
                if let Some(sent) = self.sent.entry(life).or_default().get_mut(&ack.packet_id.get()) {
                    sent.is_released = true;
                }
            }
            Fact::Up { conn, packet: Packet::Ack(ack), .. } => {
                let ends = match ack.kind {
                    AckKind::Puback | AckKind::Pubcomp => true,
                    AckKind::Pubrec => ack.reason.is_error(),
                    AckKind::Pubrel => false,
                };
                if let (true, Some(life)) = (ends, ground.conns[*conn].life) {
                    self.sent.entry(life).or_default().remove(&ack.packet_id.get());
                }
            }
            Fact::Crashes(_) => self.sent.clear(),
            _ => {}
        }
        Ok(())
    }
}
