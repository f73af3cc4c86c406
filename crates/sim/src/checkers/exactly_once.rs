//! A message of QoS 2 reaches the application of a subscriber once [MQTT-4.3.3-10], over all its connections and
//! those of its publisher.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::{Ground, matches};
use crate::watch::Fact;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct ExactlyOnce {
    taken: BTreeSet<(usize, usize)>,
    /// How often a message of a shared topic was taken, by anybody.
    shared: BTreeMap<usize, usize>,
}

impl Checker for ExactlyOnce {
    fn name(&self) -> &'static str {
        "exactly-once"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        let Fact::Taken { client, life, publish } = fact else { return Ok(()) };
        let Some(number) = publish.message.filter(|_| publish.qos == 2) else { return Ok(()) };
        // A copy of a retained message may come once more, with each subscription.
        if publish.retain {
            return Ok(());
        }
        census.count("a message was taken exactly once");
        let name = ground.name(*client);
        if publish.topic.starts_with("s/") {
            let times = self.shared.entry(number).or_default();
            *times += 1;
            let subs = ground.lives.iter().flat_map(|life| &life.subs);
            let groups: BTreeSet<&str> = subs
                .filter(|sub| sub.is_shared && matches(&sub.filter, &publish.topic))
                .map(|sub| sub.text.as_str())
                .collect();
            if *times > groups.len() {
                return Err(format!("message {number} was taken {times} times, the last time by {name}"));
            }
            return Ok(());
        }
        if self.taken.insert((*life, number)) {
            return Ok(());
        }
        Err(format!("{name} took message {number} of QoS 2 twice"))
    }
}
