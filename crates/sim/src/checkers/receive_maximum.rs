//! No more PUBLISH packets of QoS 1 and 2 are under way on a connection than its client takes
//! [MQTT-3.3.4-9].

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::Fact;
use aldis_packet::{AckKind, Packet, ProtocolVersion};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct ReceiveMaximum {
    open: BTreeMap<usize, BTreeSet<u16>>,
}

impl Checker for ReceiveMaximum {
    fn name(&self) -> &'static str {
        "receive-maximum"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Down { conn: number, publish: Some(publish), .. } if publish.qos > 0 => {
                let open = self.open.entry(*number).or_default();
                open.insert(publish.id);
                let conn = &ground.conns[*number];
                let most = usize::from(conn.receive_maximum);
                if conn.version != ProtocolVersion::V5 || open.len() < most {
                    return Ok(());
                }
                if open.len() == most {
                    census.count("limit: receive maximum of a client");
                    return Ok(());
                }
                let name = ground.name(conn.client);
                return Err(format!(
                    "{name} has a receive maximum of {most} and was sent {} at once",
                    open.len()
                ));
            }
            Fact::Up { conn, packet: Packet::Ack(ack), .. } => {
                let ends = match ack.kind {
                    AckKind::Puback | AckKind::Pubcomp => true,
                    AckKind::Pubrec => ack.reason.is_error(),
                    AckKind::Pubrel => false,
                };
                if ends {
                    self.open.entry(*conn).or_default().remove(&ack.packet_id.get());
                }
            }
            _ => {}
        }
        Ok(())
    }
}
