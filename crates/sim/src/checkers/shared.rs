//! A message for a shared subscription reaches one of its members [MQTT-4.8.2-4], whoever comes and goes, or is
//! counted as dropped or expired.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::{Ground, matches};
use crate::watch::{Fact, Figures};
use aldis_packet::{AckKind, Packet};
use aldis_session::{DropReason, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;

#[derive(Default)]
pub struct Shared {
    waiting: BTreeMap<(usize, u16), usize>,
    /// Messages that were acknowledged while a shared subscription certainly had a member, with it.
    owed: BTreeMap<usize, BTreeSet<String>>,
    got: BTreeSet<usize>,
    /// Shared subscriptions with a member that takes QoS 0 only, and may lose what it gets.
    careless: BTreeSet<String>,
}

impl Shared {
    fn acknowledged(&mut self, number: usize, ground: &Ground) {
        let message = &ground.messages[number];
        let Some(read_at) = message.read_at else { return };
        for life in (0..ground.lives.len()).filter(|life| ground.lasts(*life)) {
            for sub in &ground.lives[life].subs {
                let is_member = sub.is_shared
                    && sub.qos > 0
                    && !message.removes
                    && sub.since.is_some_and(|since| since < read_at)
                    && sub.leaving_at.is_none();
                if is_member && message.qos > 0 && matches(&sub.filter, &message.topic) {
                    self.owed.entry(number).or_default().insert(sub.text.clone());
                }
            }
        }
    }

    fn rest(&self, figures: &Figures<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        // Groups with a member that is here, and so has taken what there was to take.
        let here: BTreeSet<&str> = ground
            .lives
            .iter()
            .filter(|life| !life.is_over && ground.is_here(life.client))
            .flat_map(|life| &life.subs)
            .filter(|sub| !self.careless.contains(&sub.text))
            .filter(|sub| sub.is_shared && sub.since.is_some() && sub.leaving_at.is_none())
            .map(|sub| sub.text.as_str())
            .collect();
        let missing: Vec<usize> = self
            .owed
            .iter()
            .filter(|(message, groups)| {
                !self.got.contains(message) && groups.iter().any(|group| here.contains(group.as_str()))
            })
            .map(|(message, _)| *message)
            .collect();
        census.add("a shared message has come", self.got.len() as u64);
        let dropped = |reason: DropReason| figures.counters.dropped[reason as usize].load(Relaxed);
        let qos0 = [DropReason::Offline, DropReason::SessionEndedQos0, DropReason::ConnectionClosed];
        let excused: u64 = DropReason::ALL
            .iter()
            .filter(|reason| !qos0.contains(reason))
            .map(|reason| dropped(*reason))
            .sum();
        let expired = figures.counters.expired.load(Relaxed);
        // What was sent to a member whose session lasts is its own, although the member is away.
        let away = figures.sessions.iter().map(|session| session.outbox.lock());
        let away = away.filter(|outbox| outbox.state() != State::Idle);
        let away: usize = away.map(|outbox| outbox.outbound.in_flight() + outbox.outbound.queued()).sum();
        if missing.len() as u64 > excused + expired + away as u64 {
            return Err(format!(
                "no member of a shared subscription got {missing:?}; counted are {excused} dropped, {away} with members that are away, and {expired} \
                 expired"
            ));
        }
        Ok(())
    }
}

impl Checker for Shared {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Up { packet: Packet::Subscribe(subscribe), .. } => {
                let careless = subscribe.filters.iter().filter(|(_, options)| options.qos.value() == 0);
                self.careless.extend(careless.map(|(filter, _)| filter.clone()));
            }
            Fact::Up { conn, publish: Some(publish), .. } if publish.qos > 0 => {
                if let Some(message) = publish.message {
                    self.waiting.insert((*conn, publish.id), message);
                }
            }
            Fact::Down { conn, packet: Packet::Ack(ack), .. } => {
                let answers = matches!(ack.kind, AckKind::Puback | AckKind::Pubrec);
                if answers
                    && let Some(message) = self.waiting.remove(&(*conn, ack.packet_id.get()))
                    && !ack.reason.is_error()
                {
                    self.acknowledged(message, ground);
                }
            }
            Fact::Taken { publish, .. } if publish.topic.starts_with("s/") => {
                self.got.extend(publish.message);
            }
            Fact::Rest(figures) => return self.rest(figures, ground, census),
            _ => {}
        }
        Ok(())
    }
}
