//! Memory that clients make the broker hold: counted while it is held, so that the watermark speaks of
//! bytes that are really there.
//!
//! A message that waits in a thousand queues is held once, and counts once; what each queue adds is its
//! own small share. Not here: what happens at the watermark, which whoever wants to hold more decides.

use crate::counters::Counters;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes that are counted as held for as long as this lives. The default counts nothing.
#[derive(Default)]
pub struct Memory {
    counters: Option<Arc<Counters>>,
    bytes: usize,
}

impl Memory {
    /// Counts so many bytes.
    pub fn of(bytes: usize, counters: &Arc<Counters>) -> Memory {
        counters.held_bytes.fetch_add(signed(bytes), Relaxed);
        Memory { counters: Some(Arc::clone(counters)), bytes }
    }

    /// The bytes that are counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Clone for Memory {
    fn clone(&self) -> Memory {
        self.counters.as_ref().map_or_else(Memory::default, |counters| Memory::of(self.bytes, counters))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(counters) = &self.counters {
            counters.held_bytes.fetch_sub(signed(self.bytes), Relaxed);
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({})", self.bytes)
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
