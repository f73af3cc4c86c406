//! The committer: takes what is staged, writes it, syncs, and says so; keeps the fold, and the log short.
//!
//! It is run by one thread ([`Committer::run_once`] in a loop) and waits for nobody but the disk. What it does after a
//! commit is off everybody's way: the records go into the fold, segments that nothing refers to are freed, bodies that
//! are still needed are copied out of segments that are mostly dead, and now and then the fold becomes a checkpoint.

use crate::disk::Disk;
use crate::fold::Fold;
use crate::log::{Condition, Sequence};
use crate::lookup::{Lookup, Wanted};
use crate::record::{Put, Record, Wall};
use crate::scan::Place;
use crate::segments::{CheckpointJob, Preparation, SegmentLog, Space, is_full};
use crate::stage::{Batch, Stage};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of records in one frame: a batch with more is cut.
const FRAME: usize = 4 << 20;
/// Bytes of bodies that are copied beside one commit.
const COPIED_AT_ONCE: usize = 256 << 10;
/// Bytes of segments behind a checkpoint after which there is a new one, however little is in them.
const SCATTERED: u64 = 4 << 20;
/// How often a full disk is looked at again.
const TRIED: Wall = 1_000;
/// How often the time is written down while anything is.
const CLOCK: Wall = 10_000;

/// Work that another thread is to do.
pub enum Errand<D: Disk> {
    /// A segment is prepared.
    Prepare(Preparation<D>),
    /// A checkpoint is written.
    Checkpoint(CheckpointJob<D>),
}

/// How much a log may grow before something is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Bytes of the log after which the first checkpoint is made, and the least between two of them.
    pub checkpoint_after: u64,
    /// Bytes on disk beyond twice what is live before bodies are copied.
    pub spare: u64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { checkpoint_after: 4 << 20, spare: 8 << 20 }
    }
}

/// When what is written counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    /// When it is synced, at every commit.
    Always,
    /// When it is handed to the system; it is synced this often.
    Every(Duration),
}

/// Writes the log.
pub struct Committer<D: Disk> {
    stage: Arc<Stage>,
    segments: SegmentLog<D>,
    fold: Fold,
    syncs: Syncs,
    pace: Pace,
    synced_at: Wall,
    /// Written and not synced.
    owes_sync: bool,
    /// When the time was last written down.
    clock_at: Wall,
    /// Bytes written since the last checkpoint was begun, and how long that one was.
    since_checkpoint: u64,
    last_checkpoint: u64,
    /// A checkpoint is being written.
    is_writing: bool,
    /// Bodies that are copied next, out of segments that are mostly dead.
    to_copy: VecDeque<(u64, Place, u32)>,
    /// When a full disk was looked at last, and whether a checkpoint may be tried on it.
    tried_at: Wall,
    tries_checkpoint: bool,
    /// The committer has nothing to write, and the log says so.
    is_idle: bool,
    /// What sessions ask for that is not committed yet.
    hungry: Vec<Wanted>,
    lookups: VecDeque<Lookup<D>>,
    /// What is to be written, and does not fit on the disk at the moment.
    held_up: Option<Batch>,
}

impl<D: Disk> Committer<D> {
    /// A committer of what is staged at `stage`, behind `segments`, whose records so far make `fold`.
    pub fn new(
        stage: Arc<Stage>,
        segments: SegmentLog<D>,
        fold: Fold,
        syncs: Syncs,
        pace: Pace,
    ) -> Committer<D> {
        let since_checkpoint = segments.behind_checkpoint().map(|(_, size)| size).sum();
        let last_checkpoint = segments.checkpoint_bytes();
        Committer {
            stage,
            segments,
            fold,
            syncs,
            pace,
            synced_at: 0,
            owes_sync: false,
            clock_at: 0,
            since_checkpoint,
            last_checkpoint,
            is_writing: false,
            to_copy: VecDeque::new(),
            tried_at: 0,
            tries_checkpoint: true,
            is_idle: false,
            hungry: Vec::new(),
            lookups: VecDeque::new(),
            held_up: None,
        }
    }

    /// The state that is committed.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Waits at most so long for something to be staged and commits it, at the time `wall`. False when the stage is
    /// closed and everything is written.
    ///
    /// # Errors
    /// The disk failed. The log is at its end: nothing is committed any more.
    pub fn run_once(&mut self, at_most: Duration, wall: impl FnOnce() -> Wall) -> io::Result<bool> {
        let done = match self.held_up.take() {
            Some(batch) => self.go_on(batch, at_most, wall).map(|()| true),
            None => match self.stage.take(at_most) {
                None => self.close().map(|()| false),
                Some(batch) if !batch.records.is_empty() => self.commit(batch, wall()).map(|()| true),
                Some(_) if self.stage.is_asked() => Ok(true),
                Some(_) => self.rest(wall()).map(|()| true),
            },
        };
        self.hungry.extend(self.stage.take_wants());
        self.look_up();
        if done.is_err() {
            self.stage.set_condition(Condition::Failed);
        }
        done
    }

    /// Writes a batch, makes it durable, says so, and takes it into the fold.
    fn commit(&mut self, mut batch: Batch, wall: Wall) -> io::Result<()> {
        self.is_idle = false;
        if wall > self.clock_at.saturating_add(CLOCK) {
            self.clock_at = wall;
            Record::Clock { at: wall }.encode(&mut batch.records);
        }
        self.copy_some(&mut batch.records)?;
        self.since_checkpoint += batch.records.len() as u64;
        self.write(batch, wall)
    }

    /// Tries again to write what did not fit on the disk. Meanwhile records gather at the stage.
    fn go_on(&mut self, batch: Batch, at_most: Duration, wall: impl FnOnce() -> Wall) -> io::Result<()> {
        let is_closed = self.stage.pause(at_most);
        self.segments.try_again();
        self.write(batch, wall())?;
        // Nobody waits for a disk for ever; what is not written was not acknowledged.
        let is_over = is_closed && self.held_up.is_some();
        if is_over { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn write(&mut self, mut batch: Batch, wall: Wall) -> io::Result<()> {
        let mut frames = Vec::new();
        let mut rest = &batch.records[..];
        while !rest.is_empty() {
            let (frame, count, behind) = cut(rest);
            match self.segments.append(frame, count) {
                Ok(place) => frames.push((place, frame)),
                Err(error) if is_full(&error) => break,
                Err(error) => return Err(error),
            }
            rest = behind;
        }
        let written = batch.records.len() - rest.len();
        if written == batch.records.len() {
            self.make_durable(batch.last, wall)?;
        } else {
            // What is written goes into the fold, as a checkpoint counts it in; and that is for what is synced.
            self.sync(wall)?;
        }
        for (place, frame) in frames {
            apply(&mut self.fold, frame, place);
        }
        if written < batch.records.len() {
            batch.records.drain(..written);
            self.held_up = Some(batch);
        } else {
            self.stage.give_back(batch.records);
        }
        if wall.abs_diff(self.tried_at) > TRIED {
            self.tried_at = wall;
            self.try_again();
        }
        self.tidy();
        Ok(())
    }

    /// Finds out where that lies which sessions ask for. What is not committed yet is found later.
    fn look_up(&mut self) {
        for wanted in std::mem::take(&mut self.hungry) {
            // A session that has ended asks for nothing.
            let Some(waiting) = self.fold.waiting(wanted.session, wanted.from) else { continue };
            let lookup = Lookup::new(wanted, self.segments.reader(), waiting);
            if lookup.is_empty() {
                self.hungry.push(wanted);
            } else {
                self.lookups.push_back(lookup);
            }
        }
    }

    fn make_durable(&mut self, last: Sequence, wall: Wall) -> io::Result<()> {
        self.owes_sync = true;
        match self.syncs {
            Syncs::Always => self.sync(wall)?,
            Syncs::Every(_) => self.sync_in_time(wall)?,
        }
        self.stage.commit(last);
        Ok(())
    }

    fn sync(&mut self, wall: Wall) -> io::Result<()> {
        self.segments.sync()?;
        (self.owes_sync, self.synced_at) = (false, wall);
        Ok(())
    }

    fn sync_in_time(&mut self, wall: Wall) -> io::Result<()> {
        let Syncs::Every(interval) = self.syncs else { return Ok(()) };
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let is_due = wall < self.synced_at || wall - self.synced_at >= interval;
        if self.owes_sync && is_due { self.sync(wall) } else { Ok(()) }
    }

    /// Nothing came for a while.
    fn rest(&mut self, wall: Wall) -> io::Result<()> {
        self.sync_in_time(wall)?;
        if !self.is_idle && !self.owes_sync {
            // What was written last is known to be synced from now on.
            self.is_idle = unless_full(self.segments.idle())?;
        }
        self.try_again();
        self.tidy();
        Ok(())
    }

    /// A full disk is looked at again.
    fn try_again(&mut self) {
        self.segments.try_again();
        self.tries_checkpoint = true;
    }

    /// The broker stops: what was written is synced, and a start need not read much of it.
    fn close(&mut self) -> io::Result<()> {
        if self.owes_sync {
            self.segments.sync()?;
        }
        unless_full(self.segments.idle())?;
        if self.since_checkpoint > self.pace.checkpoint_after / 4 {
            let mut job = self.checkpoint();
            if unless_full(job.run())? {
                self.checkpointed();
            }
        }
        Ok(())
    }

    // ---- keeping the log short ----

    /// Frees segments, and says whether there is space.
    fn tidy(&mut self) {
        self.stage.set_written(self.segments.written());
        let fold = &self.fold;
        if !self.owes_sync {
            // What makes a body dead is durable.
            self.segments.free(&|segment| fold.live_bytes(segment) > 0);
        }
        self.stage.set_condition(match self.segments.space() {
            Space::Enough if self.held_up.is_none() => Condition::Good,
            Space::Enough | Space::Low => Condition::Full,
        });
    }

    /// Work for another thread, if there is some: at most one preparation and one checkpoint at a time.
    pub fn errand(&mut self) -> Option<Errand<D>> {
        // What is in a checkpoint is synced, and so are the bodies that it points to.
        let may = !self.is_writing && !self.owes_sync;
        let is_short = self.tries_checkpoint && self.is_short();
        // On a full disk the reserve is all there is to go on with, until a checkpoint lets segments go. It comes before
        // a new segment would take the room for it.
        if may && is_short && self.segments.space() == Space::Low {
            return Some(Errand::Checkpoint(self.checkpoint()));
        }
        if let Some(preparation) = self.segments.preparation() {
            return Some(Errand::Prepare(preparation));
        }
        let due = self.since_checkpoint > self.pace.checkpoint_after.max(3 * self.last_checkpoint)
            || is_short
            || (self.tries_checkpoint && self.is_scattered());
        let many = self.segments.bytes() > 2 * self.fold.all_live_bytes() + self.pace.spare
            && self.since_checkpoint > self.pace.checkpoint_after.max(self.last_checkpoint);
        (may && (due || many)).then(|| Errand::Checkpoint(self.checkpoint()))
    }

    /// What a session waits for, if there is something: soon to be read, by another thread.
    pub fn lookup(&mut self) -> Option<Lookup<D>> {
        self.lookups.pop_front()
    }

    /// The reserve was needed or is all there is, and a checkpoint would free segments.
    fn is_short(&self) -> bool {
        let is_dead = |(number, _)| self.fold.live_bytes(number) == 0;
        let is_short = self.segments.needs_its_reserve() || self.segments.space() == Space::Low;
        is_short && self.segments.behind_checkpoint().any(is_dead)
    }

    /// Lives that recorded little have left many segments that are hardly used.
    fn is_scattered(&self) -> bool {
        let behind: u64 = self.segments.behind_checkpoint().map(|(_, size)| size).sum();
        behind > SCATTERED.max(3 * self.last_checkpoint)
    }

    /// Before anything is committed: what the starts before this one have taken of the reserve is given back, while there
    /// is still some. On a full disk a store that lives short lives would not be opened any more one day.
    pub fn restore_reserve(&mut self) {
        // The first may find no room, and gives up a part of the reserve for the second.
        for _ in 0..2 {
            if self.is_short() {
                match self.checkpoint().run() {
                    Ok(()) => self.checkpointed(),
                    Err(_) => self.checkpoint_failed(),
                }
            }
        }
        self.tries_checkpoint = true;
    }

    fn checkpoint(&mut self) -> CheckpointJob<D> {
        self.tries_checkpoint = false;
        let mut saved = Vec::new();
        self.fold.save(&mut saved);
        (self.since_checkpoint, self.last_checkpoint) = (0, saved.len() as u64);
        self.is_writing = true;
        self.segments.checkpoint(saved)
    }

    /// The checkpoint is on disk.
    pub fn checkpointed(&mut self) {
        self.is_writing = false;
        self.segments.checkpointed();
        self.choose_what_to_copy();
        self.tidy();
    }

    /// The checkpoint could not be written: there is another time.
    pub fn checkpoint_failed(&mut self) {
        self.is_writing = false;
        self.segments.give_up_reserve();
    }

    /// A segment is prepared.
    pub fn prepared(&mut self, preparation: Preparation<D>, result: io::Result<()>) {
        self.segments.prepared(preparation, result);
        self.tidy();
    }

    /// Bodies in the segment with the least of them are copied, if much of the disk is used for little.
    fn choose_what_to_copy(&mut self) {
        let live = self.fold.all_live_bytes();
        if !self.to_copy.is_empty() || self.segments.bytes() <= 2 * live + self.pace.spare {
            return;
        }
        let fold = &self.fold;
        let candidates = self.segments.before_checkpoint();
        let emptiest = candidates.filter(|(number, _)| fold.live_bytes(*number) > 0);
        let emptiest = emptiest.min_by_key(|(number, size)| fold.live_bytes(*number) * 1000 / (*size).max(1));
        if let Some((number, size)) = emptiest
            && fold.live_bytes(number) < size / 2
        {
            self.to_copy = fold.in_segment(number).into();
        }
    }

    /// Adds copies of bodies to a batch.
    fn copy_some(&mut self, records: &mut Vec<u8>) -> io::Result<()> {
        let until = records.len() + COPIED_AT_ONCE;
        while records.len() < until {
            let Some((message, place, length)) = self.to_copy.pop_front() else { break };
            // It may be gone by now, or moved.
            if self.fold.body(message) != Some((place, length)) {
                continue;
            }
            let bytes = self.segments.reader().read(place, length as usize)?;
            match Record::decode(&bytes) {
                Some((Record::Put(put) | Record::Moved(put), _)) if put.message == message => {
                    Record::Moved(Put { origin: crate::record::Origin::Nothing, ..put }).encode(records);
                }
                _ => {
                    let what = format!("the record at {place:?} is not message {message}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            }
        }
        Ok(())
    }
}

/// Whether it was done; a disk that is full is no error.
fn unless_full(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Err(error) if !is_full(&error) => Err(error),
        done => Ok(done.is_ok()),
    }
}

/// As many records as fit into a frame, how many that is, and the rest.
fn cut(records: &[u8]) -> (&[u8], u32, &[u8]) {
    let (mut rest, mut count) = (records, 0);
    while let Some((_, behind)) = Record::split(rest) {
        let length = records.len() - behind.len();
        if count > 0 && length > FRAME {
            break;
        }
        (rest, count) = (behind, count + 1);
    }
    let (frame, rest) = records.split_at(records.len() - rest.len());
    (frame, count, rest)
}

/// Takes the records of a frame into a fold, whose records begin at `place`; false if one of them is unknown.
pub fn apply(fold: &mut Fold, records: &[u8], place: Place) -> bool {
    let mut rest = records;
    while let Some((record, behind)) = Record::decode(rest) {
        let offset = place.offset + (records.len() - rest.len());
        let length = u32::try_from(rest.len() - behind.len()).unwrap_or(u32::MAX);
        fold.apply(&record, Place { offset, ..place }, length);
        rest = behind;
    }
    rest.is_empty()
}
