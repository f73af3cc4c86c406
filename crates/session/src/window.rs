//! The in-flight window of a sender: packet identifiers and what they stand for.
//!
//! Identifiers are given out one after the other and freed mostly in the same order, so the window
//! is a queue of slots: slot `n` since the session began has the identifier `n mod 65,535 + 1`.
//! A freed slot in the middle stays empty until the ones before it are free, which keeps every
//! operation at a constant cost and makes it impossible to give out an identifier that is in use
//! [MQTT-2.2.1-4].

use crate::delivery::Delivery;
use aldis_packet::{PacketId, QoS};
use aldis_store::Sequence;
use std::collections::VecDeque;

/// Identifiers there are: 1 to 65,535.
const IDS: u64 = 65_535;

/// Slots whose memory an empty window keeps.
const KEPT_SLOTS: usize = 8;

/// Where an exchange stands.
#[derive(Debug)]
pub enum Slot {
    /// Completed; waits for the slots before it.
    Free,
    /// PUBLISH to be acknowledged by PUBACK (QoS 1) or PUBREC (QoS 2).
    Published(Published),
    /// QoS 2: PUBREC has come, PUBREL waits for its PUBCOMP.
    Released {
        /// Number of the delivery in the log; 0 if it is not recorded.
        number: u64,
        /// PUBREL leaves when this is committed.
        after: Sequence,
    },
}

/// A PUBLISH in the window.
#[derive(Debug)]
pub struct Published {
    /// Quality of service of the copy, 1 or 2.
    pub qos: QoS,
    /// The delivery, where it may have to be sent again.
    pub kept: Option<Box<Delivery>>,
    /// Whether it was sent, on this connection or an earlier one: a copy that follows has DUP.
    pub sent: bool,
    /// The record of its packet identifier: at QoS 2 it is sent when that is committed.
    pub after: Sequence,
}

impl Published {
    /// From which commit on it may be sent: at QoS 2 its message and its identifier are durable then (gates b and d).
    pub(crate) fn gate(&self) -> Sequence {
        match &self.kept {
            Some(kept) if kept.number != 0 && self.qos == QoS::ExactlyOnce => {
                self.after.max(kept.publication.stamp.after())
            }
            // Of a shared subscription: its place there is given up.
            Some(_) if self.qos == QoS::ExactlyOnce => self.after,
            _ => 0,
        }
    }
}

impl Slot {
    /// Its number in the log; 0 if it is not recorded.
    pub(crate) fn number(&self) -> u64 {
        match self {
            Slot::Published(Published { kept: Some(kept), .. }) => kept.number,
            Slot::Released { number, .. } => *number,
            Slot::Free | Slot::Published(_) => 0,
        }
    }
}

/// Slots from the oldest exchange that is not completed to the newest.
#[derive(Debug, Default)]
pub struct Window {
    /// Number of the first slot.
    first: u64,
    slots: VecDeque<Slot>,
    in_use: usize,
}

impl Window {
    /// Exchanges that are not completed.
    pub fn in_use(&self) -> usize {
        self.in_use
    }

    /// Number of the slot that comes next.
    pub fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Number of the oldest slot.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Whether an identifier can be given out.
    pub fn has_identifier(&self) -> bool {
        (self.slots.len() as u64) < IDS
    }

    /// The identifier of slot `number`.
    pub fn packet_id(number: u64) -> PacketId {
        // 1 ..= 65,535: fits and is never 0.
        PacketId::new((number % IDS) as u16 + 1).unwrap_or(PacketId::FIRST)
    }

    /// Opens an exchange and gives its identifier.
    pub fn push(&mut self, published: Published) -> PacketId {
        let id = Window::packet_id(self.end());
        self.slots.push_back(Slot::Published(published));
        self.in_use += 1;
        id
    }

    /// An exchange of an earlier life of the broker is in slot `number` again. They come in ascending order.
    pub(crate) fn restore(&mut self, number: u64, slot: Slot) {
        if self.slots.is_empty() {
            self.first = number;
        }
        while self.end() < number {
            self.slots.push_back(Slot::Free);
        }
        self.slots.push_back(slot);
        self.in_use += 1;
    }

    /// Slots before `number` are given to nobody any more.
    pub(crate) fn skip_to(&mut self, number: u64) {
        if self.slots.is_empty() {
            self.first = self.first.max(number);
        }
        while self.end() < number {
            self.slots.push_back(Slot::Free);
        }
    }

    /// The slot `number`, to be changed.
    pub(crate) fn slot_mut(&mut self, number: u64) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The slot `number`, if it is in the window.
    pub fn slot(&self, number: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn offset(&self, id: PacketId) -> usize {
        let (wanted, first) = (u64::from(id.get()) - 1, self.first % IDS);
        (if wanted < first { wanted + IDS - first } else { wanted - first }) as usize
    }

    /// The exchange with this identifier, if one is open.
    pub fn by_id(&mut self, id: PacketId) -> Option<&mut Slot> {
        let offset = self.offset(id);
        self.slots.get_mut(offset).filter(|slot| !matches!(slot, Slot::Free))
    }

    /// The slot number of an identifier in the window.
    pub fn number(&self, id: PacketId) -> u64 {
        self.first + self.offset(id) as u64
    }

    /// Completes the exchange with this identifier, which may be used again; what it was comes back.
    pub fn free(&mut self, id: PacketId) -> Slot {
        let offset = self.offset(id);
        let mut freed = Slot::Free;
        if let Some(slot) = self.slots.get_mut(offset)
            && !matches!(slot, Slot::Free)
        {
            std::mem::swap(slot, &mut freed);
            self.in_use -= 1;
        }
        while matches!(self.slots.front(), Some(Slot::Free)) {
            self.slots.pop_front();
            self.first += 1;
        }
        if self.slots.is_empty() && self.slots.capacity() > KEPT_SLOTS {
            // An idle session holds no large table.
            self.slots = VecDeque::new();
        }
        freed
    }

    /// Empties the window: its slots, oldest first, free ones among them.
    pub fn take_all(&mut self) -> VecDeque<Slot> {
        self.first = self.end();
        self.in_use = 0;
        std::mem::take(&mut self.slots)
    }
}
