//! How the broker behaves on a connection: CONNACK comes first [MQTT-3.2.0-1], nothing follows DISCONNECT
//! [MQTT-3.14.4-1], no packet is larger than the client takes [MQTT-3.1.2-24], and it sends what a server sends.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::Fact;
use aldis_packet::{Packet, ProtocolVersion};
use std::collections::BTreeSet;

#[derive(Default)]
pub(super) struct Conduct {
    begun: BTreeSet<usize>,
    ended: BTreeSet<usize>,
}

impl Checker for Conduct {
    fn name(&self) -> &'static str {
        "conduct"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        let Fact::Down { conn: number, packet, size, .. } = fact else { return Ok(()) };
        let conn = &ground.conns[*number];
        let name = ground.name(conn.client);
        if conn.version == ProtocolVersion::V5 && *size > conn.maximum_packet_size as usize {
            let most = conn.maximum_packet_size;
            return Err(format!("{name} takes packets of {most} bytes and was sent one of {size}: {packet}"));
        }
        if self.ended.contains(number) {
            return Err(format!("{name} was sent something after DISCONNECT: {packet}"));
        }
        match packet {
            Packet::Connack(connack) => {
                if !self.begun.insert(*number) {
                    return Err(format!("{name} was sent a second CONNACK"));
                }
                let is_accepted = connack.reason == aldis_packet::ReasonCode::Success;
                if is_accepted && connack.session_present != conn.session_present {
                    // 3.1 has no word for it.
                    if conn.version != ProtocolVersion::V31 {
                        return Err(format!("{name} is told the opposite of what it gets: {packet}"));
                    }
                }
                if connack.session_present && conn.clean {
                    return Err(format!("{name} asked for a clean start and has a session"));
                }
            }
            _ if !self.begun.contains(number) => {
                return Err(format!("{name} was sent something before CONNACK: {packet}"));
            }
            Packet::Disconnect(disconnect) => {
                if conn.version != ProtocolVersion::V5 {
                    return Err(format!("{name} speaks MQTT {} and was sent DISCONNECT", conn.version));
                }
                if disconnect.reason == aldis_packet::ReasonCode::SessionTakenOver {
                    census.count("DISCONNECT: taken over");
                }
                self.ended.insert(*number);
            }
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::Pingreq => {
                return Err(format!("a server does not send this: {packet}"));
            }
            _ => {}
        }
        Ok(())
    }
}
