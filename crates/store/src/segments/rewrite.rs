//! What is live in a store, written anew: into another folder, or into the same.
//!
//! Both are made of what the log does anyway. Bodies are copied to its end, a checkpoint that points to the copies
//! takes the place of the one before in one step, and only then is removed what nothing refers to any more. So whoever
//! stops it in the middle finds the store as it was, or as it is to be.

use super::folder::{Folder, segment_name};
use super::{LARGE, OpenError, Opened, Reader, SMALLEST, SegmentLog, survey};
use crate::committer::apply;
use crate::disk::Disk;
use crate::fold::Fold;
use crate::frame::{self, Salt};
use crate::record::{Origin, Put, Record};
use crate::recovery::Recovery;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;

/// Bytes of bodies in one frame.
const FRAME: usize = 1 << 20;

/// How large a store was and is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewritten {
    /// Bytes of its files before.
    pub before: u64,
    /// And after.
    pub after: u64,
}

/// Writes the store on `disk` anew, in its own folder.
///
/// # Errors
/// There is no store, it is damaged, or the disk says no. The store is as it was then, whatever was copied already.
pub fn compact<D: Disk>(disk: Arc<D>) -> Result<Rewritten, OpenError> {
    if !Folder::of(disk.names()?).is_a_store() {
        return Err(OpenError::NoStore);
    }
    let before = bytes_of(&*disk)?;
    let recovery = RefCell::new(Recovery::default());
    let Opened { mut log, .. } = SegmentLog::open(
        Arc::clone(&disk),
        // It has one.
        Salt(0),
        &mut |epoch, saved| recovery.borrow_mut().load(epoch, saved),
        &mut |place, frame| recovery.borrow_mut().frame(place, frame),
    )?;
    let (mut fold, _) = recovery.into_inner().finish();
    log.has_all_of(&fold)?;
    let reader = log.reader();
    rewrite(&mut fold, &reader, &mut log)?;
    drop(log);
    Ok(Rewritten { before, after: bytes_of(&*disk)? })
}

/// Writes the state `fold`, whose bodies `reader` reads, into the empty folder `disk`, as a store with this salt.
/// Answers how many bytes it takes.
///
/// # Errors
/// A body cannot be read, or the disk says no. What is in the folder then is no store that anybody should use.
pub fn write_anew<F: Disk, D: Disk>(
    mut fold: Fold,
    reader: &Reader<F>,
    disk: Arc<D>,
    salt: Salt,
) -> Result<u64, OpenError> {
    let nothing = (&mut |_: u32, _: &[u8]| true, &mut |_, _: frame::Frame<'_>| true);
    let Opened { mut log, .. } = SegmentLog::open(Arc::clone(&disk), salt, nothing.0, nothing.1)?;
    rewrite(&mut fold, reader, &mut log)?;
    drop(log);
    Ok(bytes_of(&*disk)?)
}

/// Copies all bodies to the end of the log, makes a checkpoint, and removes what is not needed then.
fn rewrite<F: Disk, D: Disk>(
    fold: &mut Fold,
    reader: &Reader<F>,
    log: &mut SegmentLog<D>,
) -> Result<(), OpenError> {
    // Spare segments are as large as the busiest time wanted them; the broker makes new ones.
    for ready in std::mem::take(&mut log.ready) {
        log.disk.remove(&ready.name)?;
    }
    let bodies = fold.bodies();
    let mut left: u64 = bodies.iter().map(|(.., length)| u64::from(*length)).sum();
    log.begin_of(left)?;
    let (mut records, mut count) = (Vec::new(), 0);
    for (message, place, length) in bodies {
        let body = survey::read_body(reader, message, place, length);
        let body = body.ok_or_else(|| OpenError::damaged_body(place))?;
        if let Some((Record::Put(put) | Record::Moved(put), _)) = Record::decode(&body) {
            Record::Moved(Put { origin: Origin::Nothing, ..put }).encode(&mut records);
            count += 1;
        }
        left -= u64::from(length);
        if records.len() >= FRAME || left == 0 {
            log.append_copies(fold, &records, count, left)?;
            (records, count) = (Vec::new(), 0);
        }
    }
    log.idle()?;
    let mut saved = Vec::new();
    fold.save(&mut saved);
    log.checkpoint(saved).run()?;
    log.checkpointed();
    log.remove_dead(fold)?;
    Ok(())
}

impl<D: Disk> SegmentLog<D> {
    /// Begins a segment for so many bytes of records, as far as one holds them.
    fn begin_of(&mut self, bytes: u64) -> io::Result<()> {
        self.sync_current()?;
        // The frames of the bodies and the last one.
        let frames = (bytes / FRAME as u64 + 3) * (frame::HEADER + frame::ALIGNMENT) as u64;
        let size = (bytes + frames).next_multiple_of(SMALLEST).clamp(SMALLEST, LARGE);
        self.begin_sized(size)
    }

    fn begin_sized(&mut self, size: u64) -> io::Result<()> {
        let mut preparation = self.prepare(size);
        preparation.run()?;
        let Some((name, file, size)) = preparation.into_ready() else { return Ok(()) };
        self.begin(super::Ready { name, file, size })
    }

    /// Appends a frame of copies, and lets `fold` know. So many bytes come behind them.
    fn append_copies(&mut self, fold: &mut Fold, records: &[u8], count: u32, left: u64) -> io::Result<()> {
        let size = frame::size(records.len()) as u64;
        let room = self.segments.get(&self.current).map_or(0, |segment| segment.size);
        if self.end + size > room && size > LARGE {
            self.sync_current()?;
            self.begin_sized(size.next_multiple_of(SMALLEST))?;
        } else if self.end + size > room {
            self.begin_of(size + left)?;
        }
        let place = self.append(records, count)?;
        apply(fold, records, place);
        Ok(())
    }

    /// Removes segments before the checkpoint that nothing refers to.
    fn remove_dead(&mut self, fold: &Fold) -> io::Result<()> {
        let before = self.segments.range(..self.checkpoint_at).map(|(number, _)| *number);
        let dead: Vec<u64> = before.filter(|number| fold.live_bytes(*number) == 0).collect();
        for number in dead {
            self.segments.remove(&number);
            self.files.write().remove(&number);
            self.disk.remove(&segment_name(number))?;
        }
        self.disk.sync_names()
    }
}

/// Bytes of all files of a store.
fn bytes_of<D: Disk>(disk: &D) -> io::Result<u64> {
    let mut bytes = 0;
    for name in Folder::of(disk.names()?).names() {
        bytes += disk.size(&disk.open(&name)?)?;
    }
    Ok(bytes)
}
