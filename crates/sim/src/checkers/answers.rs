//! What the broker answers is true, and comes in order: one answer for each question, PUBACK and PUBREC in the
//! order of their messages [MQTT-4.6.0-2] and not before the broker has asked where the message goes, and "no
//! matching subscribers" exactly when there are none.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::{Ground, Message, Published, matches};
use crate::seams::Policy;
use crate::watch::Fact;
use aldis_packet::{Ack, AckKind, Packet, ProtocolVersion, ReasonCode};
use aldis_session::Act;
use std::collections::{BTreeMap, VecDeque};

/// A PUBLISH of a client that waits for its answer.
struct Waiting {
    kind: AckKind,
    id: u16,
    message: Option<usize>,
    /// How many messages of this connection are routed when it is; `None` for one that is not.
    routed_by: Option<usize>,
}

#[derive(Default)]
struct Connection {
    waiting: VecDeque<Waiting>,
    released: VecDeque<u16>,
    asked: BTreeMap<u16, usize>,
    pings: usize,
    /// Messages that the broker has to route, and those it has asked about.
    to_route: usize,
    asked_routes: usize,
    refused: usize,
}

#[derive(Default)]
pub(super) struct Answers {
    conns: BTreeMap<usize, Connection>,
}

impl Answers {
    fn up(&mut self, number: usize, packet: &Packet<'_>, publish: Option<&Published>, ground: &Ground) {
        let conn = self.conns.entry(number).or_default();
        match packet {
            Packet::Pingreq => conn.pings += 1,
            Packet::Ack(ack) if ack.kind == AckKind::Pubrel => conn.released.push_back(ack.packet_id.get()),
            Packet::Subscribe(subscribe) => {
                conn.asked.insert(subscribe.packet_id.get(), subscribe.filters.len());
            }
            Packet::Unsubscribe(unsubscribe) => {
                conn.asked.insert(unsubscribe.packet_id.get(), unsubscribe.filters.len());
            }
            _ => {}
        }
        let Some(publish) = publish else { return };
        let is_allowed = Policy::allows(ground.conns[number].client, Act::Publish, &publish.topic);
        let routed_by = (is_allowed && !publish.is_repeat && !publish.may_be_repeat).then(|| {
            conn.to_route += 1;
            conn.to_route
        });
        let kind = match publish.qos {
            0 => return,
            1 => AckKind::Puback,
            _ => AckKind::Pubrec,
        };
        conn.waiting.push_back(Waiting { kind, id: publish.id, message: publish.message, routed_by });
    }

    fn ack(&mut self, number: usize, ack: &Ack, ground: &Ground, census: &mut Census) -> Verdict {
        let conn = self.conns.entry(number).or_default();
        let name = ground.name(ground.conns[number].client);
        let id = ack.packet_id.get();
        if ack.kind == AckKind::Pubcomp {
            return match conn.released.pop_front() {
                Some(first) if first == id => Ok(()),
                first => Err(format!("{name} was sent PUBCOMP {id}, and its next PUBREL is {first:?}")),
            };
        }
        if ack.kind == AckKind::Pubrel {
            return Ok(());
        }
        let Some(waiting) = conn.waiting.pop_front() else {
            return Err(format!("{name} was sent {:?} {id} and waits for no answer", ack.kind));
        };
        if (waiting.kind, waiting.id) != (ack.kind, id) {
            let (kind, first) = (waiting.kind, waiting.id);
            return Err(format!("{name} was sent {:?} {id}, and {kind:?} {first} comes first", ack.kind));
        }
        if ack.reason.is_error() {
            census.count("a publication was refused with a reason");
            conn.refused += usize::from(waiting.routed_by.is_some());
            return Ok(());
        }
        if let Some(routed_by) = waiting.routed_by
            && conn.asked_routes + conn.refused < routed_by
        {
            let what = format!("message {:?} of {name}", waiting.message);
            return Err(format!("{what} was acknowledged before the broker asked where it goes"));
        }
        let message = waiting.message.map(|message| &ground.messages[message]);
        match (message, waiting.routed_by) {
            (Some(message), Some(_)) if ground.conns[number].version == ProtocolVersion::V5 => {
                is_true(ack, message, ground)
            }
            _ => Ok(()),
        }
    }
}

/// Whether "nobody subscribes" is said when it is so.
fn is_true(ack: &Ack, message: &Message, ground: &Ground) -> Verdict {
    let Some(read_at) = message.read_at else { return Ok(()) };
    let topic = &message.topic;
    if ack.reason == ReasonCode::NoMatchingSubscribers {
        let certain = |life: &&crate::ground::Life| {
            !life.is_over
                && life.subs.iter().any(|sub| {
                    sub.since.is_some_and(|since| since < read_at)
                        && sub.leaving_at.is_none()
                        && matches(&sub.filter, topic)
                })
        };
        // A session that is about to end may have no routes any more.
        return match ground.lives.iter().find(certain) {
            Some(life) if ground.is_here(life.client) => Err(format!(
                "a message to {topic:?} was answered with \"no matching subscribers\", and {} subscribes",
                ground.name(life.client)
            )),
            _ => Ok(()),
        };
    }
    let anybody = (0..ground.lives.len()).any(|life| ground.is_possible_for(life, topic, read_at));
    if anybody {
        Ok(())
    } else {
        Err(format!("a message to {topic:?} found somebody, and nobody subscribes"))
    }
}

impl Checker for Answers {
    fn name(&self) -> &'static str {
        "answers"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Routes { conn } => self.conns.entry(*conn).or_default().asked_routes += 1,
            Fact::Up { conn, packet, publish } => self.up(*conn, packet, *publish, ground),
            Fact::Down { conn: number, packet, .. } => {
                let conn = self.conns.entry(*number).or_default();
                let name = ground.name(ground.conns[*number].client);
                let (id, count) = match packet {
                    Packet::Ack(ack) => return self.ack(*number, ack, ground, census),
                    Packet::Pingresp if conn.pings == 0 => {
                        return Err(format!("{name} was sent a PINGRESP too many"));
                    }
                    Packet::Pingresp => {
                        conn.pings -= 1;
                        return Ok(());
                    }
                    Packet::Suback(suback) => (suback.packet_id.get(), suback.reasons.len()),
                    // In 3.x it has no codes.
                    Packet::Unsuback(unsuback) if unsuback.reasons.is_empty() => {
                        let id = unsuback.packet_id.get();
                        (id, conn.asked.get(&id).copied().unwrap_or(0))
                    }
                    Packet::Unsuback(unsuback) => (unsuback.packet_id.get(), unsuback.reasons.len()),
                    _ => return Ok(()),
                };
                if conn.asked.remove(&id) != Some(count) {
                    return Err(format!("{name} did not ask for this: {packet}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
