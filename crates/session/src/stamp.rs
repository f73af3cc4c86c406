//! What the log knows of a message that is kept in memory.

use aldis_store::Sequence;
use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

/// The sequence of a record that is not made yet.
const OPEN: Sequence = Sequence::MAX;

/// Number of a message in the log, and from which commit on it is durable. A message gets its number when its first
/// target is recorded, and is *open* until its body is.
#[derive(Debug)]
pub struct Stamp {
    /// 0 is none.
    message: AtomicU64,
    after: AtomicU64,
}

impl Default for Stamp {
    fn default() -> Stamp {
        Stamp { message: AtomicU64::new(0), after: AtomicU64::new(OPEN) }
    }
}

impl Clone for Stamp {
    /// A copy of a message is a message that is not recorded.
    fn clone(&self) -> Stamp {
        Stamp::default()
    }
}

impl Stamp {
    /// Of a message that a start has read from the log.
    #[must_use]
    pub fn known(message: u64) -> Stamp {
        Stamp { message: AtomicU64::new(message), after: AtomicU64::new(0) }
    }

    /// The number of the message; `new` gives it one if it has none.
    pub fn number(&self, new: impl FnOnce() -> u64) -> u64 {
        let known = self.message.load(Acquire);
        if known != 0 {
            return known;
        }
        let new = new();
        // Two subscribers may be sent a retained message that was not recorded before, at once.
        self.message.compare_exchange(0, new, AcqRel, Acquire).map_or_else(|known| known, |_| new)
    }

    /// The number of the message; 0 if it has none.
    #[must_use]
    pub fn known_number(&self) -> u64 {
        self.message.load(Acquire)
    }

    /// The number of the message, if its body is still to be recorded.
    #[must_use]
    pub fn open(&self) -> Option<u64> {
        let number = self.message.load(Acquire);
        (number != 0 && self.after() == OPEN).then_some(number)
    }

    /// Its body is recorded.
    pub fn close(&self, after: Sequence) {
        self.after.store(after, Release);
    }

    /// The commit from which on it is durable; beyond all of them while it is open.
    #[must_use]
    pub fn after(&self) -> Sequence {
        self.after.load(Acquire)
    }
}
