//! The stage: where records gather until they are written.
//!
//! There is one, behind one mutex, so that a record has its place in the log before its effect can be seen by any other
//! task. While one commit is under way what comes gathers for the next. Nobody here writes: whoever runs the
//! [`Committer`](crate::Committer) takes what is staged and says how far it is durable.

use crate::log::{Bell, Condition, Log, Sequence, Written};
use crate::lookup::{Found, Wanted};
use crate::record::Record;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicU8, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::Duration;

/// Staged bytes above which publishers are slowed: the disk does not keep up.
const BEHIND: usize = 64 << 20;

/// Bytes of a buffer that is kept for the next records.
const KEPT: usize = 4 << 20;

/// Records that are to be written together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, encoded.
    pub records: Vec<u8>,
    /// Sequence of the last of them; 0 if there are none.
    pub last: Sequence,
}

#[derive(Default)]
struct Staged {
    records: Vec<u8>,
    last: Sequence,
    /// A buffer that was written and is empty again.
    spare: Vec<u8>,
    /// What sessions ask for that is on disk.
    wants: Vec<Wanted>,
    /// The committer waits to be woken.
    sleeps: bool,
    /// Nothing comes any more.
    closed: bool,
}

/// Records that wait to be written, and how far the log is durable.
#[derive(Default)]
pub struct Stage {
    // Held to copy one record in or to take all of them out.
    staged: Mutex<Staged>,
    wake: Condvar,
    waiting: AtomicUsize,
    committed: AtomicU64,
    condition: AtomicU8,
    // Held to put an answer in or to take one out.
    answers: Mutex<VecDeque<Found>>,
    // Held to copy four numbers.
    written: Mutex<Written>,
    // Bells are hung at the start.
    bells: Mutex<Vec<Bell>>,
}

impl Stage {
    /// Takes all that is staged; waits for something at most so long. `None` when the stage is closed and empty.
    pub fn take(&self, at_most: Duration) -> Option<Batch> {
        let mut staged = self.staged.lock();
        if staged.records.is_empty() && staged.wants.is_empty() && !staged.closed && !at_most.is_zero() {
            staged.sleeps = true;
            self.wake.wait_for(&mut staged, at_most);
            staged.sleeps = false;
        }
        if staged.records.is_empty() {
            return (!staged.closed).then(Batch::default);
        }
        let spare = std::mem::take(&mut staged.spare);
        let records = std::mem::replace(&mut staged.records, spare);
        self.waiting.store(0, Relaxed);
        Some(Batch { records, last: staged.last })
    }

    /// What was asked for since the last time.
    pub fn take_wants(&self) -> Vec<Wanted> {
        std::mem::take(&mut self.staged.lock().wants)
    }

    /// Whether something was asked for.
    pub fn is_asked(&self) -> bool {
        !self.staged.lock().wants.is_empty()
    }

    /// Gives the answer to what was asked for.
    pub fn answer(&self, found: Found) {
        self.answers.lock().push_back(found);
        self.ring();
    }

    /// Waits so long, whatever is staged meanwhile; true at once when the stage is closed.
    pub fn pause(&self, at_most: Duration) -> bool {
        let mut staged = self.staged.lock();
        if !staged.closed && !at_most.is_zero() {
            self.wake.wait_for(&mut staged, at_most);
        }
        staged.closed
    }

    /// Bytes that are staged.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Gives the buffer of a batch back, to be used again.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(KEPT);
        self.staged.lock().spare = buffer;
    }

    /// Everything up to here is durable.
    pub fn commit(&self, last: Sequence) {
        self.committed.fetch_max(last, Release);
        self.ring();
    }

    /// What the log can do from now on.
    pub fn set_condition(&self, condition: Condition) {
        let number = match condition {
            Condition::Good => 0,
            Condition::Full => 1,
            Condition::Failed => 2,
        };
        if self.condition.swap(number, Release) != number {
            self.ring();
        }
    }

    /// What was written so far.
    pub fn set_written(&self, written: Written) {
        *self.written.lock() = written;
    }

    /// Nothing is staged any more; whoever takes what is left is told so.
    pub fn close(&self) {
        self.staged.lock().closed = true;
        self.wake.notify_all();
    }

    fn ring(&self) {
        for bell in self.bells.lock().iter() {
            bell();
        }
    }
}

impl Log for Stage {
    fn keeps(&self) -> bool {
        true
    }

    fn append(&self, record: &Record<'_>) -> Sequence {
        let mut staged = self.staged.lock();
        staged.last += 1;
        let last = staged.last;
        record.encode(&mut staged.records);
        self.waiting.store(staged.records.len(), Relaxed);
        let sleeps = std::mem::take(&mut staged.sleeps);
        drop(staged);
        if sleeps {
            self.wake.notify_one();
        }
        last
    }

    fn committed(&self) -> Sequence {
        self.committed.load(Acquire)
    }

    fn on_commit(&self, bell: Bell) {
        self.bells.lock().push(bell);
    }

    fn condition(&self) -> Condition {
        match self.condition.load(Acquire) {
            0 => Condition::Good,
            1 => Condition::Full,
            _ => Condition::Failed,
        }
    }

    fn want(&self, wanted: Wanted) {
        let mut staged = self.staged.lock();
        staged.wants.push(wanted);
        let sleeps = std::mem::take(&mut staged.sleeps);
        drop(staged);
        if sleeps {
            self.wake.notify_one();
        }
    }

    fn found(&self) -> Option<Found> {
        self.answers.lock().pop_front()
    }

    fn written(&self) -> Written {
        *self.written.lock()
    }

    fn is_behind(&self) -> bool {
        self.waiting.load(Relaxed) > BEHIND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gathers_is_taken_together_and_in_order() {
        let stage = Stage::default();
        assert_eq!(stage.take(Duration::ZERO).unwrap().last, 0);
        assert_eq!(stage.append(&Record::End { session: 1 }), 1);
        assert_eq!(stage.append(&Record::End { session: 2 }), 2);
        let batch = stage.take(Duration::ZERO).unwrap();
        assert_eq!(batch.last, 2);
        let (first, rest) = Record::decode(&batch.records).unwrap();
        assert_eq!(first, Record::End { session: 1 });
        assert_eq!(Record::decode(rest).unwrap().0, Record::End { session: 2 });
        assert_eq!(stage.committed(), 0);
        stage.commit(2);
        assert_eq!(stage.committed(), 2);
        stage.give_back(batch.records);
        assert_eq!(stage.append(&Record::End { session: 3 }), 3);
        stage.close();
        assert_eq!(stage.take(Duration::MAX).unwrap().last, 3);
        assert!(stage.take(Duration::MAX).is_none());
    }

    #[test]
    fn bells_ring_at_each_commit_and_change() {
        let rung = std::sync::Arc::new(AtomicUsize::new(0));
        let stage = Stage::default();
        for _ in 0..2 {
            let rung = std::sync::Arc::clone(&rung);
            stage.on_commit(Box::new(move || {
                rung.fetch_add(1, Relaxed);
            }));
        }
        stage.commit(1);
        stage.set_condition(Condition::Full);
        stage.set_condition(Condition::Full);
        assert_eq!(rung.load(Relaxed), 4);
        assert_eq!(stage.condition(), Condition::Full);
    }
}
