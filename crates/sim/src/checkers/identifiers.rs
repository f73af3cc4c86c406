//! A packet identifier stands for one message at a time [MQTT-2.2.1-4].

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::Fact;
use aldis_packet::{AckKind, Packet};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Identifiers {
    /// What each identifier of a life stands for: message and topic.
    open: BTreeMap<usize, BTreeMap<u16, (Option<usize>, String)>>,
}

impl Checker for Identifiers {
    fn name(&self) -> &'static str {
        "identifiers"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, _: &mut Census) -> Verdict {
        match fact {
            Fact::Down { conn, publish: Some(publish), .. } if publish.qos > 0 => {
                let Some(life) = ground.conns[*conn].life else { return Ok(()) };
                let new = (publish.message, publish.topic.clone());
                let old = self.open.entry(life).or_default().insert(publish.id, new.clone());
                if let Some(old) = old.filter(|old| *old != new) {
                    let name = ground.name(ground.conns[*conn].client);
                    return Err(format!(
                        "{name} was sent message {:?} with the identifier {}, which is that of message {:?}, \
                         not acknowledged yet",
                        new.0, publish.id, old.0
                    ));
                }
            }
            Fact::Up { conn, packet: Packet::Ack(ack), .. } => {
                let ends = match ack.kind {
                    AckKind::Puback | AckKind::Pubcomp => true,
                    AckKind::Pubrec => ack.reason.is_error(),
                    AckKind::Pubrel => false,
                };
                if let (true, Some(life)) = (ends, ground.conns[*conn].life) {
                    self.open.entry(life).or_default().remove(&ack.packet_id.get());
                }
            }
            // What was sent and not recorded is forgotten.
            Fact::Crashes(_) => self.open.clear(),
            _ => {}
        }
        Ok(())
    }
}
