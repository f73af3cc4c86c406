//! Messages of one publisher on one topic with one QoS reach a subscriber in the order in which they were
//! published [MQTT-4.6.0-5].

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::Fact;
use std::collections::{BTreeMap, BTreeSet};

/// Life, publisher, topic, QoS that it was published with, QoS that it is delivered with.
type Line = (usize, usize, String, u8, u8);

#[derive(Default)]
pub(super) struct Order {
    newest: BTreeMap<Line, usize>,
    seen: BTreeSet<(usize, usize)>,
}

impl Checker for Order {
    fn name(&self) -> &'static str {
        "order"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, _: &mut Census) -> Verdict {
        let Fact::Down { conn, publish: Some(publish), .. } = fact else { return Ok(()) };
        let (Some(number), Some(life)) = (publish.message, ground.conns[*conn].life) else { return Ok(()) };
        let message = &ground.messages[number];
        // Copies of retained messages, shared subscriptions and wills have other rules.
        if publish.retain || publish.topic.starts_with("s/") || message.is_will {
            return Ok(());
        }
        if !self.seen.insert((life, number)) {
            return Ok(());
        }
        let line = (life, message.publisher, publish.topic.clone(), message.qos, publish.qos);
        let newest = self.newest.entry(line).or_insert(number);
        // One that its publisher sent again may have been dropped when it came first; or refused for want of
        // room in the retained store, with an answer that was lost.
        let may_come_again = message.reads > 1 || (message.retain && ground.retained_is_bounded);
        if *newest > number && !may_come_again {
            let (name, publisher) = (ground.name(ground.conns[*conn].client), ground.name(message.publisher));
            return Err(format!(
                "{name} was sent message {number} of {publisher} on {:?} after message {newest}",
                publish.topic
            ));
        }
        *newest = number.max(*newest);
        Ok(())
    }
}
