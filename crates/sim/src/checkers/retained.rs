//! Of a topic with one publisher, a copy from the retained store never comes after a newer message (law 13), and
//! what is retained at the end is what was published last [MQTT-3.3.1-5].

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::{Ground, Message, Published};
use crate::watch::Fact;
use aldis_packet::{AckKind, Packet};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Retained {
    /// The newest message that a life was sent on a topic.
    newest: BTreeMap<(usize, String), usize>,
    waiting: BTreeMap<(usize, u16), usize>,
    /// Retained messages that the broker has said yes to.
    accepted: BTreeSet<usize>,
    /// What the client at the end was sent.
    found: BTreeMap<String, usize>,
}

/// Whether one client alone publishes there.
fn has_one_publisher(topic: &str) -> bool {
    topic.starts_with("r/")
}

impl Retained {
    fn copy(&mut self, conn: usize, publish: &Published, ground: &Ground, census: &mut Census) -> Verdict {
        let (Some(number), Some(life)) = (publish.message, ground.conns[conn].life) else { return Ok(()) };
        if publish.dup || ground.may_be_live(life, &publish.topic) {
            return Ok(());
        }
        let newest = self.newest.entry((life, publish.topic.clone())).or_insert(number);
        if publish.retain {
            census.count("a retained message was sent to a new subscription");
            let is_older = Some(ground.messages[number].read_last) < ground.messages[*newest].read_at;
            let is_certain = !ground.messages[number].may_have_come_again;
            if is_older && is_certain && !ground.retained_is_bounded {
                return Err(format!(
                    "{} was sent the retained message {number} on {:?} after the newer message {newest}",
                    ground.name(ground.conns[conn].client),
                    publish.topic
                ));
            }
        }
        if ground.messages[number].read_last > ground.messages[*newest].read_last {
            *newest = number;
        }
        Ok(())
    }

    fn end(&self, ground: &Ground) -> Verdict {
        let mut by_topic: BTreeMap<&str, Vec<(usize, &Message)>> = BTreeMap::new();
        for (number, message) in ground.messages.iter().enumerate() {
            let is_there = message.read_at.is_some() && !message.is_refused;
            let of_probe = ground.probe == Some(message.publisher);
            if message.retain && is_there && has_one_publisher(&message.topic) && !of_probe {
                by_topic.entry(&message.topic).or_default().push((number, message));
            }
        }
        for (topic, mut messages) in by_topic {
            // Who repeats an older one puts it in the place of the newer one.
            messages.sort_by_key(|(_, message)| message.read_last);
            // Whatever came after the last one that was acknowledged may be there or not.
            if messages.iter().any(|(_, message)| message.may_have_come_again) {
                continue;
            }
            let last = messages.iter().rposition(|(number, _)| self.accepted.contains(number));
            let Some(last) = last.filter(|_| !ground.retained_is_bounded) else { continue };
            let candidates = &messages[last..];
            let may_be_gone = candidates.iter().any(|(_, message)| message.removes || message.expires);
            match self.found.get(topic) {
                None if !may_be_gone => {
                    let what = candidates[0].0;
                    return Err(format!(
                        "message {what} is retained on {topic:?}, and is not there at the end"
                    ));
                }
                Some(found) if candidates.iter().all(|(number, _)| number != found) => {
                    let newest = candidates[0].0;
                    return Err(format!("message {found} is retained on {topic:?}, and {newest} is newer"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Checker for Retained {
    fn name(&self) -> &'static str {
        "retained"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Down { conn, publish: Some(publish), .. } if has_one_publisher(&publish.topic) => {
                return self.copy(*conn, publish, ground, census);
            }
            Fact::Up { conn, publish: Some(publish), .. } => {
                let Some(number) = publish.message else { return Ok(()) };
                // Stored anew, in the place of whatever came in between, when it is answered again.
                self.accepted.remove(&number);
                if publish.qos > 0 {
                    self.waiting.insert((*conn, publish.id), number);
                }
            }
            Fact::Down { conn, packet: Packet::Ack(ack), .. } => {
                let answers = matches!(ack.kind, AckKind::Puback | AckKind::Pubrec);
                if answers
                    && let Some(number) = self.waiting.remove(&(*conn, ack.packet_id.get()))
                    && !ack.reason.is_error()
                {
                    self.accepted.insert(number);
                }
            }
            Fact::Taken { client, publish, .. } if ground.probe == Some(*client) && publish.retain => {
                if let Some(number) = publish.message {
                    self.found.insert(publish.topic.clone(), number);
                }
            }
            // What was not acknowledged may be gone.
            Fact::Crashes(_) => self.newest.clear(),
            Fact::End(_) => return self.end(ground),
            _ => {}
        }
        Ok(())
    }
}
