//! The log on disk: segments, one behind the other, and the checkpoint that a start begins with.
//!
//! A segment is a file that is full of zeros, or of what an earlier segment held, before anything of it counts: so a
//! commit changes no metadata, which is worth several times its speed. Frames are written one behind the other; a frame
//! that does not fit begins the next segment. Segments before the checkpoint hold nothing but bodies of messages that
//! something still refers to; when nothing does they are used again.
//!
//! Pure over a [`Disk`], and run by one thread. What takes long (filling a segment with zeros, writing a checkpoint) is
//! a job that another thread may do ([`Preparation`], [`CheckpointJob`]).

mod damage;
mod folder;
mod head;
mod jobs;
mod open_error;
mod opening;
mod rewrite;
mod survey;

use crate::disk::Disk;
use crate::fold::Fold;
use crate::frame::{self, Head, Salt};
use crate::log::Written;
use crate::scan::Place;
pub use damage::{Damage, Losses};
use folder::{newest_name, segment_name, spare_name};
pub use jobs::{CheckpointJob, Preparation};
pub use open_error::OpenError;
pub use opening::{Cut, Opened};
use parking_lot::RwLock;
pub use rewrite::{Rewritten, compact, write_anew};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
pub use survey::{CheckpointFacts, SegmentFacts, Survey, is_store};

/// Size of the first segment, and the unit of all sizes.
const SMALLEST: u64 = 256 << 10;
/// A segment that fills with fewer frames than this makes the next ones larger: a change of segments costs as much as a
/// few commits, so many of these should share it. Where commits are small, segments stay small.
const WORTH: u64 = 64;
/// So many segments make the next ones larger, too.
const MANY: usize = 64;
/// Sizes double up to this,
const LARGE: u64 = 16 << 20;
/// and in a store of so many bytes up to that.
const MUCH: u64 = 512 << 20;
const LARGEST: u64 = 64 << 20;
/// A segment that is prepared while a commit waits for it is no larger, unless its frame is.
const AT_ONCE: u64 = 1 << 20;
/// Segments that are kept for what frees space when the disk is full.
const RESERVE: usize = 4;
/// Segments beyond them that wait to be used.
const SPARE: usize = 2;

/// A file of a segment.
struct Segment<D: Disk> {
    file: Arc<D::File>,
    size: u64,
}

/// A file that is to become a segment.
struct Ready<D: Disk> {
    name: String,
    file: Arc<D::File>,
    size: u64,
}

/// Whether there is space for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// There is.
    Enough,
    /// Only for what frees space: the disk is full, and the reserve is all there is.
    Low,
}

/// The files of all segments, by number.
type Files<D> = Arc<RwLock<BTreeMap<u64, Arc<<D as Disk>::File>>>>;

/// Reads bodies of messages, on any thread.
pub struct Reader<D: Disk> {
    disk: Arc<D>,
    files: Files<D>,
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Reader<D> {
        Reader { disk: Arc::clone(&self.disk), files: Arc::clone(&self.files) }
    }
}

impl<D: Disk> Reader<D> {
    /// The `length` bytes at a place.
    ///
    /// # Errors
    /// What the disk says; `NotFound` if there is no such segment any more.
    pub fn read(&self, place: Place, length: usize) -> io::Result<Vec<u8>> {
        let file = self.files.read().get(&place.segment).map(Arc::clone);
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let mut bytes = vec![0; length];
        self.disk.read_at(&file, &mut bytes, place.offset as u64)?;
        Ok(bytes)
    }
}

/// The log on disk.
pub struct SegmentLog<D: Disk> {
    disk: Arc<D>,
    salt: Salt,
    epoch: u32,
    /// All segments that count, the current one included.
    segments: BTreeMap<u64, Segment<D>>,
    files: Files<D>,
    current: u64,
    /// Where the next frame goes in the current one.
    end: u64,
    /// Index of its first frame.
    first_index: u64,
    /// The size that segments have reached.
    usual: u64,
    next_index: u64,
    synced: u64,
    /// Written and not synced.
    owes_sync: bool,
    /// The last frame says that all before it is synced.
    is_marked: bool,
    /// Ascending by size.
    ready: Vec<Ready<D>>,
    is_preparing: bool,
    prepared: u64,
    /// The disk had no room for the last preparation; and whether to look again although it had not.
    no_room: bool,
    looks_again: bool,
    /// The number that `newest-<number>` says.
    newest: Option<u64>,
    /// Bytes of the state in the checkpoint that was there at the start.
    checkpoint_bytes: u64,
    /// Where the records begin that the last checkpoint does not hold, and of the one that is being written.
    checkpoint_at: u64,
    next_checkpoint_at: u64,
    next_checkpoint_size: u64,
    has_failed: bool,
    written: Written,
    encoded: Vec<u8>,
}

impl<D: Disk> SegmentLog<D> {
    /// Writes a frame with `count` records; answers where they begin. It is durable after the next
    /// [`SegmentLog::sync`].
    ///
    /// # Errors
    /// What the disk says. It is final, but for a disk that is full ([`is_full`]): nothing was written then, and the same
    /// may be appended when there is space.
    pub fn append(&mut self, records: &[u8], count: u32) -> io::Result<Place> {
        self.not_failed()?;
        let done = self.write(records, count);
        self.has_failed |= done.as_ref().is_err_and(|error| !is_full(error));
        done
    }

    fn write(&mut self, records: &[u8], count: u32) -> io::Result<Place> {
        let size = frame::size(records.len()) as u64;
        if self.end + size > self.segments.get(&self.current).map_or(0, |segment| segment.size) {
            self.next_segment(size)?;
        }
        if self.newest != Some(self.current) {
            self.mark_newest()?;
        }
        let head = Head { epoch: self.epoch, index: self.next_index, synced: self.synced, records: count };
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        frame::encode(head, records, self.salt, &mut encoded);
        // Zeros where the next one begins: so whatever is there instead after a crash had been begun.
        let size_of_segment = self.segments.get(&self.current).map_or(0, |segment| segment.size);
        let room = size_of_segment.saturating_sub(self.end + size).min(frame::HEADER as u64);
        encoded.resize(encoded.len() + room as usize, 0);
        let Some(segment) = self.segments.get(&self.current) else { return Err(gone()) };
        let written = self.disk.write_at(&segment.file, &encoded, self.end);
        self.encoded = encoded;
        written?;
        let offset = usize::try_from(self.end).unwrap_or(usize::MAX) + frame::HEADER;
        self.end += size;
        self.written.log += size;
        self.next_index += 1;
        (self.owes_sync, self.is_marked) = (true, false);
        Ok(Place { segment: self.current, offset })
    }

    /// Makes everything durable that was written; answers the last index of it.
    ///
    /// # Errors
    /// What the disk says. It is final: nobody knows what a disk has kept that could not sync once.
    pub fn sync(&mut self) -> io::Result<u64> {
        self.not_failed()?;
        let done = self.sync_current();
        self.has_failed |= done.is_err();
        done.map(|()| self.synced)
    }

    fn sync_current(&mut self) -> io::Result<()> {
        if self.owes_sync {
            let Some(segment) = self.segments.get(&self.current) else { return Err(gone()) };
            self.disk.sync_data(&segment.file).map_err(lasting)?;
            self.owes_sync = false;
            self.written.syncs += 1;
        }
        self.synced = self.next_index - 1;
        Ok(())
    }

    /// Says in the log that all of it is synced, if nothing says so yet.
    ///
    /// # Errors
    /// As those of [`SegmentLog::append`] and [`SegmentLog::sync`].
    pub fn idle(&mut self) -> io::Result<()> {
        // A life that has written nothing leaves the log as it was.
        if self.is_marked || !self.has_begun() {
            return Ok(());
        }
        self.sync()?;
        self.append(&[], 0)?;
        self.sync()?;
        self.is_marked = true;
        Ok(())
    }

    /// Whether anything was written in this life.
    fn has_begun(&self) -> bool {
        self.segments.get(&self.current).is_some_and(|segment| self.end <= segment.size)
    }

    fn not_failed(&self) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("the log failed before"));
        }
        Ok(())
    }

    /// Index of the last frame.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.next_index - 1
    }

    /// What was written since the start.
    #[must_use]
    pub fn written(&self) -> Written {
        self.written
    }

    /// Bytes of all files of segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let ready: u64 = self.ready.iter().map(|ready| ready.size).sum();
        self.segments.values().map(|segment| segment.size).sum::<u64>() + ready
    }

    /// Something that reads bodies.
    #[must_use]
    pub fn reader(&self) -> Reader<D> {
        Reader { disk: Arc::clone(&self.disk), files: Arc::clone(&self.files) }
    }

    /// Bytes of the state in the checkpoint that was there at the start.
    pub(crate) fn checkpoint_bytes(&self) -> u64 {
        self.checkpoint_bytes
    }

    /// Looks whether every segment is there that `fold` refers to.
    ///
    /// # Errors
    /// [`OpenError::Missing`]
    pub fn has_all_of(&self, fold: &Fold) -> Result<(), OpenError> {
        let missing = fold.live_segments().find(|number| !self.segments.contains_key(number));
        missing.map_or(Ok(()), |number| Err(OpenError::Missing { file: segment_name(number) }))
    }

    /// The segments before the checkpoint, with their sizes.
    pub fn before_checkpoint(&self) -> impl Iterator<Item = (u64, u64)> {
        self.segments.range(..self.checkpoint_at).map(|(number, segment)| (*number, segment.size))
    }

    /// The segments behind the checkpoint that are full, or were left by an earlier life, with their sizes: a new
    /// checkpoint makes them ones before it.
    pub fn behind_checkpoint(&self) -> impl Iterator<Item = (u64, u64)> {
        let behind = self.segments.range(self.checkpoint_at..self.current);
        behind.map(|(number, segment)| (*number, segment.size))
    }

    // ---- segments ----

    /// The size that the next segment has.
    fn next_size(&self) -> u64 {
        let limit = if self.bytes() > MUCH { LARGEST } else { LARGE };
        let current = self.segments.get(&self.current).map_or(SMALLEST, |segment| segment.size);
        let usual = self.usual.max(current);
        // A store that is used little stays small, however often it is opened.
        let next = if self.is_too_small() { 2 * usual } else { usual };
        next.clamp(SMALLEST, limit)
    }

    /// Whether the current segment has filled too fast.
    fn is_too_small(&self) -> bool {
        let size = self.segments.get(&self.current).map_or(SMALLEST, |segment| segment.size);
        let is_full = (size / 2..=size).contains(&self.end);
        // One that was made in a hurry says nothing.
        is_full
            && size >= self.usual
            && (self.next_index - self.first_index < WORTH || self.segments.len() > MANY)
    }

    /// Begins a segment that holds a frame of this size: the largest that is ready, beyond the reserve if the disk has
    /// room.
    fn next_segment(&mut self, size: u64) -> io::Result<()> {
        self.sync_current()?;
        self.usual = self.next_size();
        let fits = |ready: &Ready<D>| ready.size >= size;
        if !self.ready.last().is_some_and(fits) || (self.ready.len() <= RESERVE && !self.no_room) {
            // The other thread is late, or the frame is large.
            let least = size.next_multiple_of(SMALLEST);
            let mut preparation = self.prepare(self.usual.min(AT_ONCE).max(least));
            let result = preparation.run();
            self.take_prepared(preparation, &result);
        }
        let ready = self.ready.pop_if(|ready| fits(ready)).ok_or_else(full)?;
        self.begin(ready)
    }

    /// Begins a segment in this file. The one before is synced.
    fn begin(&mut self, ready: Ready<D>) -> io::Result<()> {
        let number = self.current + 1;
        if let Err(error) = self.disk.rename(&ready.name, &segment_name(number)) {
            self.add_ready(ready);
            return Err(error);
        }
        self.current = number;
        self.files.write().insert(number, Arc::clone(&ready.file));
        self.segments.insert(number, Segment { file: ready.file, size: ready.size });
        (self.end, self.first_index) = (0, self.next_index);
        self.disk.sync_names().map_err(lasting)
    }

    /// Says by a name which segment was begun last, so that a start misses it if it is gone. The segment itself is on
    /// disk before: a crash in between leaves one too many, never one too few.
    fn mark_newest(&mut self) -> io::Result<()> {
        let name = newest_name(self.current);
        match self.newest {
            Some(before) => self.disk.rename(&newest_name(before), &name)?,
            None => drop(self.disk.create(&name)?),
        }
        self.newest = Some(self.current);
        self.disk.sync_names().map_err(lasting)
    }

    fn prepare(&mut self, size: u64) -> Preparation<D> {
        self.prepared += 1;
        Preparation::new(Arc::clone(&self.disk), spare_name(self.prepared), size)
    }

    /// A segment to be prepared, if one is wanted and no other is under way. It comes back by
    /// [`SegmentLog::prepared`].
    pub fn preparation(&mut self) -> Option<Preparation<D>> {
        let is_hopeless = self.no_room && !self.looks_again;
        if self.is_preparing || is_hopeless || self.has_failed || self.ready.len() > RESERVE {
            return None;
        }
        (self.is_preparing, self.looks_again) = (true, false);
        let size = self.next_size();
        Some(self.prepare(size))
    }

    /// A preparation is done, or the disk had no room for it.
    pub fn prepared(&mut self, preparation: Preparation<D>, result: io::Result<()>) {
        self.is_preparing = false;
        self.take_prepared(preparation, &result);
    }

    fn take_prepared(&mut self, preparation: Preparation<D>, result: &io::Result<()>) {
        self.no_room = result.as_ref().is_err_and(is_full);
        // A disk that cannot sync one file is not trusted with another.
        self.has_failed |= result.is_err() && !self.no_room;
        if let Some((name, file, size)) = preparation.into_ready().filter(|_| result.is_ok()) {
            self.written.zeros += size;
            self.add_ready(Ready { name, file, size });
        }
    }

    fn add_ready(&mut self, ready: Ready<D>) {
        let place = self.ready.partition_point(|other| other.size < ready.size);
        self.ready.insert(place, ready);
    }

    /// Looks again whether the disk has room; until it is found it counts as full.
    pub fn try_again(&mut self) {
        self.looks_again = true;
    }

    /// Gives up a part of the reserve, for a checkpoint that found no room.
    pub fn give_up_reserve(&mut self) {
        for _ in 0..RESERVE / 2 {
            if let Some(ready) = self.ready.pop() {
                let _ = self.disk.remove(&ready.name);
            }
        }
        self.no_room = true;
    }

    /// Whether there is space for more.
    #[must_use]
    pub fn space(&self) -> Space {
        if self.no_room && self.ready.len() <= RESERVE { Space::Low } else { Space::Enough }
    }

    /// Whether less than the reserve is ready.
    #[must_use]
    pub fn needs_its_reserve(&self) -> bool {
        self.ready.len() < RESERVE
    }

    /// Segments before the checkpoint that hold nothing which `is_live` are used again, or removed if there are enough
    /// of them.
    pub fn free(&mut self, is_live: &dyn Fn(u64) -> bool) {
        let before = self.segments.range(..self.checkpoint_at);
        let dead: Vec<u64> = before.map(|(number, _)| *number).filter(|number| !is_live(*number)).collect();
        for number in dead {
            let Some(segment) = self.segments.remove(&number) else { continue };
            self.files.write().remove(&number);
            let is_wanted = self.ready.len() < RESERVE + SPARE;
            if is_wanted && 2 * segment.size >= self.next_size().min(segment.size * 4) {
                // A start finds it by its name. If that is lost it is found dead once more.
                let name = spare_name(self.prepared + 1);
                if self.disk.rename(&segment_name(number), &name).is_ok() {
                    self.prepared += 1;
                    self.add_ready(Ready { name, file: segment.file, size: segment.size });
                }
            } else {
                // What cannot be removed now is at the next start.
                let _ = self.disk.remove(&segment_name(number));
            }
        }
        if self.ready.len() > RESERVE {
            self.no_room = false;
        }
    }

    // ---- checkpoints ----

    /// A checkpoint of the state up to the last frame, to be written by [`CheckpointJob::run`] and reported by
    /// [`SegmentLog::checkpointed`].
    pub fn checkpoint(&mut self, state: Vec<u8>) -> CheckpointJob<D> {
        self.next_checkpoint_at = self.current;
        self.next_checkpoint_size = state.len() as u64;
        CheckpointJob::new(
            Arc::clone(&self.disk),
            self.salt,
            jobs::CheckpointHead {
                index: self.last_index(),
                epoch: self.epoch,
                segment: self.current,
                // Before anything was written in this life the next frame is in the next segment.
                offset: self.end.min(self.segments.get(&self.current).map_or(0, |segment| segment.size)),
            },
            state,
        )
    }

    /// The checkpoint that was begun last is on disk, and earlier ones are not needed.
    pub fn checkpointed(&mut self) {
        self.checkpoint_at = self.next_checkpoint_at;
        self.written.checkpoints += self.next_checkpoint_size;
    }
}

/// Whether an error says that the disk is full.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The error of a sync, which is final whatever it says.
fn lasting(error: io::Error) -> io::Error {
    io::Error::other(error)
}

fn gone() -> io::Error {
    io::Error::other("the current segment is gone")
}

fn full() -> io::Error {
    io::Error::from(io::ErrorKind::StorageFull)
}
