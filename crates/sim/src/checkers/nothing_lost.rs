//! What the broker has acknowledged reaches everybody who was subscribed all the while at QoS 1 or 2, if the
//! session lasts [MQTT-4.3.2-1], [MQTT-3.1.2-5]. A message that does not must be counted as dropped, for a reason, or
//! as expired.

use super::{Checker, Verdict};
use crate::agenda::Time;
use crate::census::Census;
use crate::ground::Ground;
use crate::seams::Policy;
use crate::watch::{Fact, Figures};
use aldis_packet::{AckKind, Packet};
use aldis_session::{Act, DropReason, Session, State};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct NothingLost {
    /// Messages that wait for their acknowledgement, by connection and identifier.
    waiting: BTreeMap<(usize, u16), usize>,
    /// What each life has to get, and what it got.
    owed: BTreeMap<usize, BTreeSet<usize>>,
    got: BTreeMap<usize, BTreeSet<usize>>,
    carried: Carried,
    /// Wills that were offered, and when: nobody waits until they are on disk.
    wills: Vec<(usize, Time)>,
}

/// Excuses of lives of the broker before a crash, by the life of the session.
#[derive(Default)]
pub(super) struct Carried(BTreeMap<usize, (u64, u64)>);

impl Carried {
    /// The broker crashes: its sessions forget what they have counted.
    pub(super) fn carry(&mut self, figures: &Figures<'_>, ground: &Ground) {
        for (client, life) in &ground.life_of {
            let id = format!("c{client}");
            let of_client = figures.sessions.iter().filter(|session| *session.client_id == *id);
            for session in of_client {
                let (dropped, expired) = excuses(session);
                let carried = self.0.entry(*life).or_default();
                (carried.0, carried.1) = (carried.0 + dropped, carried.1 + expired);
            }
        }
    }

    /// Excuses of a session, with those of before.
    pub(super) fn excuses(&self, life: usize, session: &Session) -> (u64, u64) {
        let (dropped, expired) = excuses(session);
        let carried = self.0.get(&life).copied().unwrap_or_default();
        (dropped + carried.0, expired + carried.1)
    }
}

impl NothingLost {
    fn acknowledged(&mut self, number: usize, ground: &Ground) {
        let message = &ground.messages[number];
        for life in ground.life_of.values() {
            let client = ground.lives[*life].client;
            let is_owed = !message.removes
                && ground.is_certain_for(*life, message).is_some_and(|qos| qos > 0)
                && Policy::allows(client, Act::Receive, &message.topic);
            if is_owed {
                self.owed.entry(*life).or_default().insert(number);
            }
        }
    }

    fn rest(&self, figures: &Figures<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        for (life, owed) in &self.owed {
            let client = ground.lives[*life].client;
            if ground.life_of.get(&client) != Some(life) {
                continue;
            }
            let Some(session) = session_of(client, figures) else { continue };
            let (excused, expired) = self.carried.excuses(*life, session);
            let nothing = BTreeSet::new();
            let got = self.got.get(life).unwrap_or(&nothing);
            let missing: Vec<usize> = owed.difference(got).copied().collect();
            let lasting = missing.iter().filter(|message| !ground.messages[**message].expires).count() as u64;
            census.add("a message that was owed has come", (owed.len() - missing.len()) as u64);
            if lasting > excused || missing.len() as u64 > excused + expired {
                return Err(format!(
                    "{} was to get {} messages and never got {}: {missing:?}; counted are {excused} dropped and \
                     {expired} expired",
                    ground.name(client),
                    owed.len(),
                    missing.len()
                ));
            }
        }
        Ok(())
    }
}

/// The session of a client that is connected and idle: everything that waited for it has left.
pub(super) fn session_of<'a>(client: usize, figures: &'a Figures<'_>) -> Option<&'a Session> {
    let id = format!("c{client}");
    let session = figures.sessions.iter().rev().find(|session| *session.client_id == *id)?;
    (session.outbox.lock().state() == State::Idle).then_some(session)
}

/// Drops that are counted for a session and excuse a message of QoS 1 or 2, and those that expired.
fn excuses(session: &Session) -> (u64, u64) {
    let outbox = session.outbox.lock();
    let ledger = &outbox.outbound.ledger;
    let reasons = [
        DropReason::QueueFull,
        DropReason::MemoryWatermark,
        DropReason::TooLarge,
        DropReason::RefusedByClient,
    ];
    (reasons.iter().map(|reason| ledger.dropped(*reason)).sum(), ledger.expired)
}

impl Checker for NothingLost {
    fn name(&self) -> &'static str {
        "nothing-lost"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Up { conn, publish: Some(publish), .. } if publish.qos > 0 => {
                if let Some(message) = publish.message {
                    self.waiting.insert((*conn, publish.id), message);
                }
            }
            Fact::Down { conn, packet: Packet::Ack(ack), .. } => {
                let answers = matches!(ack.kind, AckKind::Puback | AckKind::Pubrec);
                if !answers {
                    return Ok(());
                }
                let message = self.waiting.remove(&(*conn, ack.packet_id.get()));
                let client = ground.conns[*conn].client;
                if let Some(message) = message.filter(|_| !ack.reason.is_error())
                    && Policy::allows(client, Act::Publish, &ground.messages[message].topic)
                {
                    self.acknowledged(message, ground);
                }
            }
            Fact::WillRouted { message } => {
                self.wills.push((*message, ground.now));
                self.acknowledged(*message, ground);
            }
            Fact::Taken { life, publish, .. } => {
                if let Some(message) = publish.message {
                    self.got.entry(*life).or_default().insert(message);
                }
            }
            Fact::Crashes(figures) => {
                self.carried.carry(figures, ground);
                for (message, _) in self.wills.drain(..).filter(|(_, at)| *at >= figures.whole_at) {
                    self.owed.values_mut().for_each(|owed| {
                        owed.remove(&message);
                    });
                }
            }
            Fact::Rest(figures) => return self.rest(figures, ground, census),
            _ => {}
        }
        Ok(())
    }
}
