//! The packet identifier. Not here: which identifiers are in use (crate `session`).

use std::fmt;
use std::num::NonZeroU16;

/// A packet identifier, never 0 (2.3.1 of MQTT 3.1.1, 2.2.1 of MQTT 5.0).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    /// The identifier 1.
    pub const FIRST: PacketId = PacketId(NonZeroU16::MIN);

    /// An identifier from a number; `None` for 0.
    #[inline]
    #[must_use]
    pub fn new(value: u16) -> Option<PacketId> {
        NonZeroU16::new(value).map(PacketId)
    }

    /// The number that packets carry.
    #[inline]
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
