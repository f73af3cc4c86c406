//! A message for a shared subscription reaches one of its members [MQTT-4.8.2-4], whoever comes and goes, or is
//! counted as dropped or expired.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::{Ground, Life, Message, matches};
use crate::watch::{Fact, Figures};
use aldis_packet::{AckKind, Packet};
use aldis_session::{DropReason, Session, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;

#[derive(Default)]
pub(super) struct Shared {
    waiting: BTreeMap<(usize, u16), usize>,
    /// Messages that were acknowledged while a shared subscription certainly had a member, with it.
    owed: BTreeMap<usize, BTreeSet<String>>,
    got: BTreeSet<usize>,
    /// What is in flight to the members, by life and identifier.
    in_flight: BTreeSet<(usize, u16)>,
    /// Shared subscriptions with a member that takes QoS 0 only, and may lose what it gets.
    careless: BTreeSet<String>,
    /// What is excused by counts of lives of the broker before a crash, and what ended with a session in them.
    excused: u64,
    ended: u64,
}

impl Shared {
    fn acknowledged(&mut self, number: usize, ground: &Ground) {
        let message = &ground.messages[number];
        let Some(read_at) = message.read_at else { return };
        for life in (0..ground.lives.len()).filter(|life| ground.lasts(*life) && !ground.may_be_over(*life)) {
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
        census.add("a shared message has come", self.got.len() as u64);
        let missing = |has_stayed: bool| -> Vec<usize> {
            let owed = self.owed.iter().filter(|(message, _)| !self.got.contains(message));
            let owed = owed.filter(|(message, groups)| {
                self.has_member(&ground.messages[**message], groups, has_stayed, ground)
            });
            owed.map(|(message, _)| *message).collect()
        };
        let excused = self.excused + excused(figures) + away(figures);
        // With a member that stayed all the while the end of another one is no excuse, at QoS 1.
        let at_qos_1: Vec<usize> =
            missing(true).into_iter().filter(|message| ground.messages[*message].qos == 1).collect();
        let all = missing(false);
        if at_qos_1.len() as u64 > excused {
            return Err(format!(
                "no member of a shared subscription got {at_qos_1:?}; {excused} are dropped, expired or with \
                 members that are away"
            ));
        }
        let ended = self.ended + dropped(figures, DropReason::SessionEnded);
        if all.len() as u64 > excused + ended {
            return Err(format!(
                "no member of a shared subscription got {all:?}; {excused} are dropped, expired or with members \
                 that are away, and {ended} ended with a session"
            ));
        }
        Ok(())
    }

    /// The broker crashes. Sessions that do not last are gone, with what they had at QoS 2, and what came to shared
    /// subscriptions while nobody in them lasted.
    fn crash(&mut self, figures: &Figures<'_>, ground: &Ground) {
        self.excused += excused(figures);
        let ends = figures.sessions.iter().filter(|session| !lasts(session, ground));
        let gone: usize = ends.map(|session| session.outbox.lock().outbound.in_flight()).sum();
        self.ended += dropped(figures, DropReason::SessionEnded) + gone as u64;
        let kept: Vec<&Life> = ground.lives.iter().filter(|life| is_kept(life, ground)).collect();
        self.owed.retain(|message, groups| {
            let read_at = ground.messages[*message].read_at;
            groups.retain(|group| {
                // A member that came later makes nothing durable that was acknowledged before.
                let mut subs = kept.iter().flat_map(|life| &life.subs);
                subs.any(|sub| {
                    let came_before = sub.since.is_some_and(|since| Some(since) < read_at);
                    sub.text == *group && came_before && sub.leaving_at.is_none()
                })
            });
            !groups.is_empty()
        });
        self.waiting.clear();
    }

    /// Whether one of the shared subscriptions that were owed a message has a member that is here, and so has
    /// taken what there was to take; and, if it has to, has been one since before the message came.
    fn has_member(
        &self,
        message: &Message,
        groups: &BTreeSet<String>,
        has_stayed: bool,
        ground: &Ground,
    ) -> bool {
        let here = ground.lives.iter().filter(|life| !life.is_over && ground.is_here(life.client));
        here.flat_map(|life| &life.subs).any(|sub| {
            let since = if has_stayed { message.read_at } else { None };
            sub.is_shared
                && groups.contains(&sub.text)
                && !self.careless.contains(&sub.text)
                && sub.since.is_some_and(|is| since.is_none_or(|since| is < since))
                && sub.leaving_at.is_none()
        })
    }
}

fn dropped(figures: &Figures<'_>, reason: DropReason) -> u64 {
    figures.counters.dropped[reason as usize].load(Relaxed)
}

/// What did not come, and was counted for a reason.
fn excused(figures: &Figures<'_>) -> u64 {
    let reasons = [
        DropReason::QueueFull,
        DropReason::MemoryWatermark,
        DropReason::TooLarge,
        DropReason::RefusedByClient,
    ];
    let dropped: u64 = reasons.into_iter().map(|reason| dropped(figures, reason)).sum();
    dropped + figures.counters.expired.load(Relaxed)
}

/// Whether the session of a life outlives the connection that it has, or had last.
fn is_kept(life: &Life, ground: &Ground) -> bool {
    !life.is_over && life.has_lasted && ground.conns[life.conn].expiry > 0
}

/// Whether a session is kept.
fn lasts(session: &Session, ground: &Ground) -> bool {
    let mut lives = ground.lives.iter().filter(|life| is_kept(life, ground));
    lives.any(|life| *session.client_id == *format!("c{}", life.client))
}

/// Messages that belong to members whose sessions last, although they are away.
fn away(figures: &Figures<'_>) -> u64 {
    let outboxes = figures.sessions.iter().map(|session| session.outbox.lock());
    let away = outboxes.filter(|outbox| outbox.state() != State::Idle);
    away.map(|outbox| (outbox.outbound.in_flight() + outbox.outbound.queued()) as u64).sum()
}

impl Checker for Shared {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Down { conn, publish: Some(publish), .. } => {
                if let (Some(life), true) = (ground.conns[*conn].life, publish.topic.starts_with("s/")) {
                    self.in_flight.extend((publish.qos > 0).then_some((life, publish.id)));
                }
            }
            Fact::Up { conn, packet: Packet::Ack(ack), .. } => {
                if let Some(life) = ground.conns[*conn].life {
                    self.in_flight.remove(&(life, ack.packet_id.get()));
                }
            }
            Fact::Attached { conn } => {
                let client = ground.conns[*conn].client;
                let ended = |life: usize| ground.lives[life].client == client && ground.lives[life].is_over;
                if self.in_flight.iter().any(|(life, _)| ended(*life)) {
                    census.count("a shared member ended with messages in flight");
                }
                self.in_flight.retain(|(life, _)| !ended(*life));
            }
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
            Fact::Crashes(figures) => self.crash(figures, ground),
            Fact::Rest(figures) => return self.rest(figures, ground, census),
            _ => {}
        }
        Ok(())
    }
}
