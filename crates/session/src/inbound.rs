//! The receiving half of a session: which QoS 2 messages of the client are not released yet.

use crate::counters::Counters;
use crate::memory::Memory;
use aldis_packet::PacketId;
use aldis_store::Sequence;
use std::sync::Arc;

/// Identifiers kept in a list before a table of bits takes over.
const FEW: usize = 64;
/// Words of a table with a bit for each identifier.
const WORDS: usize = 1024;

/// A set of packet identifiers: a short list, or 8 KiB of bits, counted as held, for as long as there are many.
#[derive(Debug, Default)]
enum Ids {
    #[default]
    None,
    Few(Vec<PacketId>),
    Many(Box<Table>),
}

#[derive(Debug)]
struct Table {
    bits: [u64; WORDS],
    count: usize,
    _memory: Memory,
}

impl Table {
    fn new(counters: &Arc<Counters>) -> Table {
        Table { bits: [0; WORDS], count: 0, _memory: Memory::of(size_of::<Table>(), counters) }
    }

    fn add(&mut self, id: PacketId) {
        if let Some(word) = self.bits.get_mut(word(id)) {
            *word |= bit(id);
            self.count += 1;
        }
    }
}

impl Ids {
    fn len(&self) -> usize {
        match self {
            Ids::None => 0,
            Ids::Few(ids) => ids.len(),
            Ids::Many(table) => table.count,
        }
    }

    fn holds(&self, id: PacketId) -> bool {
        match self {
            Ids::None => false,
            Ids::Few(ids) => ids.contains(&id),
            Ids::Many(table) => table.bits.get(word(id)).is_some_and(|bits| bits & bit(id) != 0),
        }
    }

    /// Adds an identifier that is not held.
    fn add(&mut self, id: PacketId, counters: &Arc<Counters>) {
        match self {
            Ids::None => *self = Ids::Few(vec![id]),
            Ids::Few(ids) if ids.len() < FEW => ids.push(id),
            Ids::Few(ids) => {
                let mut table = Box::new(Table::new(counters));
                ids.iter().chain([&id]).for_each(|id| table.add(*id));
                *self = Ids::Many(table);
            }
            Ids::Many(table) => table.add(id),
        }
    }

    /// Takes an identifier out; false if it was not held.
    fn remove(&mut self, id: PacketId) -> bool {
        if !self.holds(id) {
            return false;
        }
        match self {
            Ids::None => {}
            Ids::Few(ids) => ids.retain(|known| *known != id),
            Ids::Many(table) => {
                if let Some(word) = table.bits.get_mut(word(id)) {
                    *word &= !bit(id);
                    table.count -= 1;
                }
            }
        }
        if self.len() == 0 {
            *self = Ids::None;
        }
        true
    }

    fn iter(&self) -> impl Iterator<Item = PacketId> + '_ {
        (1..=u16::MAX).filter_map(PacketId::new).filter(|id| self.holds(*id))
    }
}

/// What must be known about a client's own messages across its connections.
#[derive(Debug, Default)]
pub struct Inbound {
    /// Received on this connection and not released.
    here: Ids,
    /// Received on earlier ones and not released.
    earlier: Option<Box<Ids>>,
    /// Those of them that the log knows of.
    recorded: Option<Box<Ids>>,
    /// The last record that an answer to this client waits for, on whatever connection: what is repeated is answered
    /// no earlier than what it repeats.
    after: Sequence,
}

impl Inbound {
    /// A connection begins. What is not released goes on to be known, and takes nothing from its receive
    /// maximum, which counts what is sent on a connection [MQTT-4.9.0-1].
    pub fn connection_begins(&mut self, counters: &Arc<Counters>) {
        let here = std::mem::take(&mut self.here);
        match &mut self.earlier {
            Some(earlier) => here.iter().for_each(|id| earlier.add(id, counters)),
            None if here.len() > 0 => self.earlier = Some(Box::new(here)),
            None => {}
        }
    }

    /// Answers wait for this record from now on.
    pub(crate) fn is_recorded(&mut self, after: Sequence) {
        self.after = self.after.max(after);
    }

    /// The last record that an answer waits for.
    pub(crate) fn recorded(&self) -> Sequence {
        self.after
    }

    /// The log knows of this identifier, until it is released.
    pub(crate) fn remember_recorded(&mut self, id: PacketId, counters: &Arc<Counters>) {
        let recorded = self.recorded.get_or_insert_default();
        if !recorded.holds(id) {
            recorded.add(id, counters);
        }
    }

    /// Whether the log knew of this identifier, which is released.
    pub(crate) fn forget_recorded(&mut self, id: PacketId) -> bool {
        let Some(recorded) = &mut self.recorded else { return false };
        let was_known = recorded.remove(id);
        if recorded.len() == 0 {
            self.recorded = None;
        }
        was_known
    }

    /// A start has found this identifier in the log.
    pub fn restore(&mut self, id: PacketId, counters: &Arc<Counters>) {
        self.received(id, counters);
        self.remember_recorded(id, counters);
    }

    /// QoS 2 messages received on this connection and not released.
    pub fn unreleased_here(&self) -> usize {
        self.here.len()
    }

    /// QoS 2 messages received and not released.
    pub fn unreleased(&self) -> usize {
        self.here.len() + self.earlier.as_ref().map_or(0, |earlier| earlier.len())
    }

    /// Whether a PUBLISH with this identifier came already and was not released: a repeat
    /// [MQTT-4.3.3-10].
    pub fn holds(&self, id: PacketId) -> bool {
        self.here.holds(id) || self.earlier.as_ref().is_some_and(|earlier| earlier.holds(id))
    }

    /// Remembers a QoS 2 message until its PUBREL.
    pub fn received(&mut self, id: PacketId, counters: &Arc<Counters>) {
        if !self.holds(id) {
            self.here.add(id, counters);
        }
    }

    /// The client releases the identifier (PUBREL); false if it was not held. Afterwards the same
    /// identifier is a new message [MQTT-4.3.3-12].
    pub fn release(&mut self, id: PacketId) -> bool {
        if self.here.remove(id) {
            return true;
        }
        let was_held = self.earlier.as_mut().is_some_and(|earlier| earlier.remove(id));
        if self.earlier.as_ref().is_some_and(|earlier| earlier.len() == 0) {
            self.earlier = None;
        }
        was_held
    }
}

fn word(id: PacketId) -> usize {
    usize::from(id.get()) / 64
}

fn bit(id: PacketId) -> u64 {
    1 << (id.get() % 64)
}
