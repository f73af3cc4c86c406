//! The log as the broker sees it.

use crate::lookup::{Found, Wanted};
use crate::record::Record;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Position in the log: the first record has 1, 0 is before all.
pub type Sequence = u64;

/// Where records go. An acknowledgement may leave when [`Log::committed`] has reached the sequence
/// of every record it stands for.
pub trait Log: Send + Sync {
    /// Whether records are kept at all. If not, callers need not make them.
    fn keeps(&self) -> bool;

    /// Takes a record and gives its position. Records of one caller keep their order; the record is
    /// in its place before this returns, and durable once committed.
    fn append(&self, record: &Record<'_>) -> Sequence;

    /// Everything up to here is durable.
    fn committed(&self) -> Sequence;

    /// Rings `bell` after every commit and every change of condition, from whatever thread it happens on. Bells that
    /// were given before ring, too.
    fn on_commit(&self, bell: Bell);
    /// Whether it takes records that need space.
    fn condition(&self) -> Condition {
        Condition::Good
    }
    /// Asks for what waits on disk for a session. The bell rings when [`Log::found`] has an answer.
    fn want(&self, wanted: Wanted) {
        let _ = wanted;
    }
    /// The next answer to what was wanted.
    fn found(&self) -> Option<Found> {
        None
    }
    /// What was written since the start.
    fn written(&self) -> Written {
        Written::default()
    }
    /// Whether so much waits to be written that whoever makes more should slow down.
    fn is_behind(&self) -> bool {
        false
    }
}

/// What a log can do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Everything.
    #[default]
    Good,
    /// The disk is full: only records that free space are taken. It becomes good again by itself.
    Full,
    /// A write or a sync failed. Nothing is committed any more, until the broker is started anew.
    Failed,
}

/// What a log has done since the start, in bytes that were handed to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// How often the log was synced: each time once for all who waited.
    pub syncs: u64,
    /// Records, framed.
    pub log: u64,
    /// Segments that were prepared.
    pub zeros: u64,
    /// Checkpoints that are whole.
    pub checkpoints: u64,
}

/// What a log calls after a commit.
pub type Bell = Box<dyn Fn() + Send + Sync>;

/// The log of a broker that keeps its state in memory only: it numbers records, calls each of them
/// committed at once, and keeps none.
#[derive(Debug, Default)]
pub struct MemoryLog {
    last: AtomicU64,
}

impl Log for MemoryLog {
    fn keeps(&self) -> bool {
        false
    }

    fn append(&self, _: &Record<'_>) -> Sequence {
        self.last.fetch_add(1, Relaxed) + 1
    }

    fn committed(&self) -> Sequence {
        self.last.load(Relaxed)
    }

    // Nothing ever waits for a commit here.
    fn on_commit(&self, _: Bell) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_commits_at_once() {
        let log = MemoryLog::default();
        assert_eq!(log.committed(), 0);
        for expected in 1..=3 {
            assert_eq!(log.append(&Record::End { session: 7 }), expected);
            assert_eq!(log.committed(), expected);
        }
        assert!(!log.keeps());
    }
}
