//! The receiving half of a session: which QoS 2 messages of the client are not released yet.

use aldis_packet::PacketId;

/// Identifiers kept in a list before a table of bits takes over.
const FEW: usize = 64;
/// Words of a table with a bit for each identifier.
const WORDS: usize = 1024;

/// A set of packet identifiers: a short list, or 8 KiB of bits for as long as there are many.
#[derive(Debug, Default)]
enum Ids {
    #[default]
    None,
    Few(Vec<PacketId>),
    Many(Box<[u64; WORDS]>, usize),
}

/// What must be known about a client's own messages across its connections.
#[derive(Debug, Default)]
pub struct Inbound {
    unreleased: Ids,
}

impl Inbound {
    /// QoS 2 messages received and not released.
    pub fn unreleased(&self) -> usize {
        match &self.unreleased {
            Ids::None => 0,
            Ids::Few(ids) => ids.len(),
            Ids::Many(_, count) => *count,
        }
    }

    /// Whether a PUBLISH with this identifier came already and was not released: a repeat
    /// [MQTT-4.3.3-10].
    pub fn holds(&self, id: PacketId) -> bool {
        match &self.unreleased {
            Ids::None => false,
            Ids::Few(ids) => ids.contains(&id),
            Ids::Many(bits, _) => bits.get(word(id)).is_some_and(|bits| bits & bit(id) != 0),
        }
    }

    /// Remembers a QoS 2 message until its PUBREL.
    pub fn received(&mut self, id: PacketId) {
        if self.holds(id) {
            return;
        }
        match &mut self.unreleased {
            Ids::None => self.unreleased = Ids::Few(vec![id]),
            Ids::Few(ids) if ids.len() < FEW => ids.push(id),
            Ids::Few(ids) => {
                let mut bits = Box::new([0; WORDS]);
                for id in ids.iter().chain([&id]) {
                    if let Some(word) = bits.get_mut(word(*id)) {
                        *word |= bit(*id);
                    }
                }
                self.unreleased = Ids::Many(bits, FEW + 1);
            }
            Ids::Many(bits, count) => {
                if let Some(word) = bits.get_mut(word(id)) {
                    *word |= bit(id);
                    *count += 1;
                }
            }
        }
    }

    /// The client releases the identifier (PUBREL); false if it was not held. Afterwards the same
    /// identifier is a new message [MQTT-4.3.3-12].
    pub fn release(&mut self, id: PacketId) -> bool {
        let held = self.holds(id);
        if !held {
            return false;
        }
        match &mut self.unreleased {
            Ids::None => {}
            Ids::Few(ids) => {
                ids.retain(|known| *known != id);
                if ids.is_empty() {
                    self.unreleased = Ids::None;
                }
            }
            Ids::Many(bits, count) => {
                if let Some(word) = bits.get_mut(word(id)) {
                    *word &= !bit(id);
                    *count -= 1;
                }
                if *count == 0 {
                    self.unreleased = Ids::None;
                }
            }
        }
        true
    }
}

fn word(id: PacketId) -> usize {
    usize::from(id.get()) / 64
}

fn bit(id: PacketId) -> u64 {
    1 << (id.get() % 64)
}
