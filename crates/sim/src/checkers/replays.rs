//! A new subscription gets what is retained on its topics [MQTT-3.3.1-9], however often its client is away before
//! all of it is sent.
//!
//! Held to: a value that was accepted before the SUBSCRIBE and not replaced since, at QoS 1 or 2 on both sides.

use super::nothing_lost::{Carried, session_of};
use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::{Ground, Moment, Published, matches};
use crate::watch::{Fact, Figures};
use aldis_packet::{AckKind, Packet, RetainHandling, Subscribe};
use std::collections::{BTreeMap, BTreeSet};

/// Life, filter and message.
type Owed = (usize, String, usize);

#[derive(Default)]
pub(super) struct Replays {
    waiting: BTreeMap<(usize, u16), usize>,
    /// The value of each topic that was accepted last, if none came after it.
    current: BTreeMap<String, usize>,
    owed: BTreeMap<Owed, Moment>,
    got: BTreeMap<(usize, usize), Moment>,
    carried: Carried,
}

impl Replays {
    fn published(&mut self, conn: usize, publish: &Published) {
        if publish.retain {
            // From here on either value may be the right one.
            self.current.remove(&publish.topic);
            let current: BTreeSet<usize> = self.current.values().copied().collect();
            self.owed.retain(|(_, _, message), _| current.contains(message));
        }
        if let Some(message) = publish.message.filter(|_| publish.qos > 0) {
            self.waiting.insert((conn, publish.id), message);
        }
    }

    fn accepted(&mut self, message: usize, ground: &Ground) {
        let (number, message) = (message, &ground.messages[message]);
        let is_last = |other: &crate::ground::Message| {
            !other.retain || other.topic != message.topic || other.read_last <= message.read_last
        };
        let is_steady = message.retain && !message.removes && !message.expires && !message.is_will;
        // A repeat after a crash puts nothing in the place of what came between.
        let is_steady = is_steady && !message.may_have_come_again;
        if is_steady && ground.messages.iter().all(is_last) {
            self.current.insert(message.topic.clone(), number);
        }
    }

    fn subscribes(&mut self, conn: usize, subscribe: &Subscribe, ground: &Ground) {
        let Some(life) = ground.conns[conn].life else { return };
        for (filter, options) in &subscribe.filters {
            self.owed.retain(|(of, text, _), _| *of != life || text != filter);
            let is_known = ground.lives[life]
                .subs
                .iter()
                .any(|sub| sub.text == *filter && sub.asked_at < ground.moment && sub.left_at.is_none());
            let sends = match options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => !is_known,
                RetainHandling::DoNotSend => false,
            };
            if !sends || filter.starts_with("$share/") || options.qos.value() == 0 {
                continue;
            }
            for (topic, number) in self.current.iter().filter(|(topic, _)| matches(filter, topic)) {
                let message = &ground.messages[*number];
                let is_own = options.no_local && message.publisher == ground.lives[life].client;
                if message.qos > 0 && !is_own && topic.starts_with("r/") {
                    self.owed.insert((life, filter.clone(), *number), ground.moment);
                }
            }
        }
    }

    fn rest(&self, figures: &Figures<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        let mut missing: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for ((life, text, message), asked_at) in &self.owed {
            let of = &ground.lives[*life];
            let holds = |sub: &&crate::ground::Sub| sub.text == *text && sub.since.is_some();
            let is_held = of.subs.iter().any(|sub| holds(&sub) && sub.leaving_at.is_none());
            if of.is_over || !is_held {
                continue;
            }
            match self.got.get(&(*life, *message)) {
                Some(at) if at > asked_at => census.count("a replay that was owed has come"),
                _ => missing.entry(of.client).or_default().push(*message),
            }
        }
        for (client, missing) in missing {
            let Some(session) = session_of(client, figures) else { continue };
            let life = ground.life_of.get(&client).copied().unwrap_or(usize::MAX);
            let (excused, expired) = self.carried.excuses(life, session);
            if missing.len() as u64 > excused + expired && !ground.retained_is_bounded {
                let name = ground.name(client);
                return Err(format!("{name} subscribed, and was never sent {missing:?}, which are retained"));
            }
        }
        Ok(())
    }
}

impl Checker for Replays {
    fn name(&self) -> &'static str {
        "replays"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Up { conn, publish: Some(publish), .. } => self.published(*conn, publish),
            Fact::Up { conn, packet: Packet::Subscribe(subscribe), .. } => {
                self.subscribes(*conn, subscribe, ground);
            }
            Fact::Down { conn, packet: Packet::Ack(ack), .. } => {
                let answers = matches!(ack.kind, AckKind::Puback | AckKind::Pubrec);
                if answers
                    && let Some(message) = self.waiting.remove(&(*conn, ack.packet_id.get()))
                    && !ack.reason.is_error()
                {
                    self.accepted(message, ground);
                }
            }
            Fact::Taken { life, publish, .. } => {
                if let Some(message) = publish.message {
                    self.got.insert((*life, message), ground.moment);
                }
            }
            Fact::Crashes(figures) => {
                self.carried.carry(figures, ground);
                // A SUBSCRIBE without an answer may never have come.
                self.owed.retain(|(life, text, _), _| {
                    ground.lives[*life].subs.iter().all(|sub| sub.text != *text || sub.since.is_some())
                });
            }
            Fact::Rest(figures) => return self.rest(figures, ground, census),
            _ => {}
        }
        Ok(())
    }
}
