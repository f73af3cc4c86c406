//! Topic aliases, which belong to a connection and are forgotten with it [MQTT-3.3.2-7].

use crate::counters::Counters;
use crate::memory::Memory;
use crate::violation::Violation;
use aldis_packet::ReasonCode;
use std::sync::Arc;

/// Bytes that the aliases of one connection may take at the memory watermark, too.
const SMALL: usize = 4 << 10;

/// Aliases that a client has given to topics: alias number to topic.
#[derive(Debug, Default)]
pub struct AliasesIn {
    topics: Vec<Option<Arc<str>>>,
    memory: Memory,
}

impl AliasesIn {
    /// The topic that an alias means, after `topic` (if not empty) was given to it. `is_tight` says that the memory
    /// watermark is reached.
    ///
    /// # Errors
    /// 0x94 for alias 0 or above `maximum`, 0x82 for an alias that means nothing yet, 0x97 for one that makes the
    /// aliases of this connection large when memory is tight.
    pub fn resolve(
        &mut self,
        alias: u16,
        topic: &str,
        maximum: u16,
        is_tight: bool,
        counters: &Arc<Counters>,
    ) -> Result<Arc<str>, Violation> {
        if alias == 0 || alias > maximum {
            return Err(Violation::new(
                ReasonCode::TopicAliasInvalid,
                "MQTT-3.3.2-9",
                "the topic alias is 0 or above the topic alias maximum",
            ));
        }
        let index = usize::from(alias) - 1;
        if topic.is_empty() {
            return self.topics.get(index).cloned().flatten().ok_or_else(|| {
                Violation::new(ReasonCode::ProtocolError, "", "the topic alias was never given a topic")
            });
        }
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        let topic: Arc<str> = Arc::from(topic);
        if let Some(place) = self.topics.get_mut(index)
            && place.as_ref() != Some(&topic)
        {
            let before = place.as_ref().map_or(0, |before| before.len());
            let held = self.memory.bytes() + topic.len() - before;
            if is_tight && held > SMALL && topic.len() > before {
                let what = "limits.memory_watermark is reached, and the topic aliases are large";
                return Err(Violation::new(ReasonCode::QuotaExceeded, "", what));
            }
            *place = Some(Arc::clone(&topic));
            self.memory = Memory::of(held, counters);
        }
        Ok(topic)
    }
}

/// How a topic is written in one PUBLISH towards a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasUse {
    /// With its name and no alias.
    None,
    /// With its name, and this alias is given to it.
    Introduce(u16),
    /// By this alias alone.
    Known(u16),
}

#[derive(Debug)]
struct Given {
    topic: Box<str>,
    last_used: u64,
}

/// Aliases that the broker has given towards a client that allows them.
///
/// A topic gets an alias when it is sent for the second time in a row of recent topics: one that is
/// sent once would cost three bytes and save none. The alias used longest ago is given anew.
#[derive(Debug)]
pub struct AliasesOut {
    maximum: u16,
    given: Vec<Given>,
    recent: [u64; 16],
    sent: u64,
}

/// Topics this short are not worth an alias: the property takes three bytes.
const SHORTEST: usize = 4;

impl AliasesOut {
    /// Aliases 1 to `maximum`.
    pub fn new(maximum: u16) -> AliasesOut {
        AliasesOut { maximum, given: Vec::new(), recent: [0; 16], sent: 0 }
    }

    /// How to write `topic` now. Nothing is remembered until [`AliasesOut::sent`].
    pub fn choose(&self, topic: &str) -> AliasUse {
        if topic.len() < SHORTEST {
            return AliasUse::None;
        }
        if let Some(index) = self.given.iter().position(|given| &*given.topic == topic) {
            return AliasUse::Known(index as u16 + 1);
        }
        if !self.recent.contains(&fingerprint(topic)) {
            return AliasUse::None;
        }
        if self.given.len() < usize::from(self.maximum) {
            return AliasUse::Introduce(self.given.len() as u16 + 1);
        }
        let oldest = self.given.iter().enumerate().min_by_key(|(_, given)| given.last_used);
        oldest.map_or(AliasUse::None, |(index, _)| AliasUse::Introduce(index as u16 + 1))
    }

    /// Remembers that `topic` was written as [`AliasesOut::choose`] said.
    pub fn sent(&mut self, topic: &str, how: AliasUse) {
        self.sent += 1;
        match how {
            AliasUse::None => {
                let place = (self.sent % 16) as usize;
                if topic.len() >= SHORTEST
                    && let Some(recent) = self.recent.get_mut(place)
                {
                    *recent = fingerprint(topic);
                }
            }
            AliasUse::Introduce(alias) => {
                let given = Given { topic: Box::from(topic), last_used: self.sent };
                match self.given.get_mut(usize::from(alias) - 1) {
                    Some(place) => *place = given,
                    None => self.given.push(given),
                }
            }
            AliasUse::Known(alias) => {
                if let Some(given) = self.given.get_mut(usize::from(alias) - 1) {
                    given.last_used = self.sent;
                }
            }
        }
    }
}

/// FNV-1a, never 0. A collision costs three bytes once, so nothing stronger is needed.
fn fingerprint(topic: &str) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    topic.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, mix) | 1
}
