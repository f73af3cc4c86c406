//! Opening a store: from whatever a crash has left to a log that goes on.
//!
//! The newest checkpoint is the state up to its index; the frames behind it follow. What was written and not synced by
//! an earlier life may be there or not: where it is cut, and whether what is cut was synced once, [`Scan`] says. Before
//! this returns, all that counts is synced, since a killed broker leaves frames that are only in the system's memory.
//! The first frame of the new life begins a new segment, so that nothing is ever written over the end of an earlier one;
//! until then nothing is changed, so that whoever finds fault with the state can still leave the store as it was.

use super::folder::{Folder, checkpoint_name, newest_name, segment_name, spare_name};
use super::{OpenError, RESERVE, Ready, SMALLEST, SPARE, Segment, SegmentLog, head, jobs};
use crate::disk::Disk;
use crate::frame::{self, Frame, Salt};
use crate::log::Written;
use crate::scan::{self, End, Place, Scan};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// What a start found at the end of the log that was never known to be synced, and left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Name of the file.
    pub file: String,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A store that is open.
pub struct Opened<D: Disk> {
    /// The log, which goes on.
    pub log: SegmentLog<D>,
    /// What was cut off.
    pub cut: Option<Cut>,
    /// Names of checkpoints that are damaged. An older one and all frames behind it make the same state.
    pub passed_over: Vec<String>,
}

impl<D: Disk> SegmentLog<D> {
    /// Opens the store on `disk`, or makes one there, with `salt` if it is new. The epoch and the state of the checkpoint
    /// are given to `load`, if there is one, then each frame behind it to `found`; either says by `false` that it does not understand.
    ///
    /// # Errors
    /// See [`OpenError`]. Nothing on disk is changed then, but for what no start would have used.
    pub fn open(
        disk: Arc<D>,
        salt: Salt,
        load: &mut dyn FnMut(u32, &[u8]) -> bool,
        found: &mut dyn FnMut(Place, Frame<'_>) -> bool,
    ) -> Result<Opened<D>, OpenError> {
        let folder = Folder::of(disk.names()?);
        let salt = salt_of(&*disk, &folder, salt)?;
        let (mut start, mut scan) = ((0, 0), Scan::from(1, 0, salt));
        let (checkpoint, passed_over) = newest_checkpoint(&*disk, &folder, salt)?;
        if let Some((head, state)) = &checkpoint {
            if !load(head.epoch, state) {
                return Err(OpenError::BadState(checkpoint_name(head.index)));
            }
            (start, scan) = ((head.segment, head.offset), Scan::from(head.index + 1, head.epoch, salt));
        }
        if let Some(number) = folder.missing(start.0).next() {
            return Err(OpenError::Missing { file: segment_name(number) });
        }
        let mut replay = Replay { segments: BTreeMap::new(), used: start, garbage: None, synced: 0 };
        for number in &folder.segments {
            replay.segment(&*disk, *number, start, &mut scan, salt, found)?;
        }
        let cut = cut_of(&scan, replay.used)?.or(replay.garbage);
        // The list from before may name a head that is whole by now.
        for name in &Folder::of(disk.names()?).unfinished {
            disk.remove(name)?;
        }
        for older in folder.newest.iter().rev().skip(1) {
            disk.remove(&newest_name(*older))?;
        }
        disk.sync_names()?;
        let current = replay.segments.last_key_value().map_or(0, |(number, _)| *number).max(start.0);
        let (ready, prepared) = left_ready(&*disk, &folder)?;
        let files = replay.segments.iter().map(|(number, segment)| (*number, Arc::clone(&segment.file)));
        let log = SegmentLog {
            disk,
            salt,
            epoch: scan.epoch() + 1,
            files: Arc::new(RwLock::new(files.collect())),
            segments: replay.segments,
            current,
            // The end of an earlier life is left as it is: the first frame begins a segment.
            end: u64::MAX / 2,
            first_index: scan.next(),
            usual: 0,
            next_index: scan.next(),
            synced: scan.next() - 1,
            owes_sync: false,
            is_marked: false,
            ready,
            is_preparing: false,
            prepared,
            no_room: false,
            looks_again: false,
            newest: folder.newest.last().copied(),
            checkpoint_bytes: checkpoint.map_or(0, |(_, state)| state.len() as u64),
            checkpoint_at: start.0,
            next_checkpoint_at: start.0,
            next_checkpoint_size: 0,
            has_failed: false,
            written: Written::default(),
            encoded: Vec::new(),
        };
        Ok(Opened { log, cut, passed_over })
    }
}

/// What was read of the segments so far.
struct Replay<D: Disk> {
    segments: BTreeMap<u64, Segment<D>>,
    /// The segment that was read last, and where its last byte is that is not zero.
    used: (u64, u64),
    garbage: Option<Cut>,
    /// The last frame that another one says is synced.
    synced: u64,
}

impl<D: Disk> Replay<D> {
    /// Opens the next segment, reads it if there is something behind the checkpoint in it, and makes that durable.
    fn segment(
        &mut self,
        disk: &D,
        number: u64,
        start: (u64, u64),
        scan: &mut Scan,
        salt: Salt,
        found: &mut dyn FnMut(Place, Frame<'_>) -> bool,
    ) -> Result<(), OpenError> {
        let file = disk.open(&segment_name(number))?;
        let size = disk.size(&file)?;
        if !is_whole(size) {
            return Err(OpenError::Short { file: segment_name(number), bytes: size });
        }
        if number >= start.0 {
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
            disk.read_at(&file, &mut bytes, 0)?;
            let from = if number == start.0 { usize::try_from(start.1).unwrap_or(0) } else { 0 };
            let (mut is_known, synced) = (true, &mut self.synced);
            scan.segment(number, &bytes, from, &mut |place, frame| {
                *synced = frame.head.synced.max(*synced);
                let offset = place.offset + frame::HEADER;
                is_known = is_known && found(Place { offset, ..place }, frame);
            });
            if !is_known {
                return Err(OpenError::BadState(segment_name(number)));
            }
            self.garbage = garbage_behind(scan, number, &bytes, salt);
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
            self.used = (number, end);
            if scan.next() - 1 > self.synced {
                // A sync that failed may have left in the system's memory what looks as if it were on disk, and what
                // no later sync would write.
                let frames = bytes.get(from..scan.place().offset).filter(|_| scan.place().segment == number);
                disk.write_at(&file, frames.unwrap_or_default(), from as u64)?;
            }
            disk.sync_data(&file)?;
        }
        self.segments.insert(number, Segment { file: Arc::new(file), size });
        Ok(())
    }
}

/// Whether a segment is as long as one that the broker makes: whatever cuts a file hardly leaves that.
pub(super) fn is_whole(size: u64) -> bool {
    size > 0 && size.is_multiple_of(SMALLEST)
}

/// The salt of the store, which is made if there is none.
fn salt_of<D: Disk>(disk: &D, folder: &Folder, new: Salt) -> Result<Salt, OpenError> {
    match (folder.has_head, folder.is_a_store()) {
        (true, _) => head::read(disk),
        (false, true) => Err(OpenError::BadHead),
        (false, false) => head::make(disk, new).map(|()| new),
    }
}

/// What lies behind the last frame, where the log leaves zeros: a frame that had been begun, and of which not even the
/// header is whole. Behind it may be what an earlier use of the segment left.
pub(super) fn garbage_behind(scan: &Scan, number: u64, bytes: &[u8], salt: Salt) -> Option<Cut> {
    let at = scan.place();
    let rest = bytes.get(at.offset..).filter(|_| at.segment == number)?;
    let is_begun =
        rest.iter().take(frame::HEADER).any(|byte| *byte != 0) && frame::decode(rest, salt).is_none();
    let last = rest.iter().rposition(|byte| *byte != 0).filter(|_| is_begun)?;
    let older = scan::frames(rest, salt).next().map(|(offset, _)| offset);
    let cut =
        Cut { file: segment_name(number), offset: at.offset as u64, bytes: older.unwrap_or(last + 1) as u64 };
    Some(cut)
}

/// What was cut off, or the damage that forbids to cut.
pub(super) fn cut_of(scan: &Scan, used: (u64, u64)) -> Result<Option<Cut>, OpenError> {
    match scan.end() {
        End::Clean => Ok(None),
        End::Torn { at, .. } => {
            let offset = at.offset as u64;
            let bytes = if used.0 == at.segment { used.1.saturating_sub(offset) } else { used.1 };
            Ok(Some(Cut { file: segment_name(at.segment), offset, bytes }))
        }
        End::Damaged { at, index, synced, .. } => Err(OpenError::Damaged {
            file: segment_name(at.segment),
            offset: at.offset as u64,
            index,
            synced,
        }),
    }
}

/// What a checkpoint says of itself, and the state that is in it.
pub(super) type Checkpoint = (jobs::CheckpointHead, Vec<u8>);

/// The newest checkpoint that is whole, and the names of newer ones that are not.
fn newest_checkpoint<D: Disk>(
    disk: &D,
    folder: &Folder,
    salt: Salt,
) -> Result<(Option<Checkpoint>, Vec<String>), OpenError> {
    let (found, mut bad) = whole_checkpoint(disk, folder, salt)?;
    match (found, bad.is_empty()) {
        (None, false) => Err(OpenError::BadCheckpoint(bad.swap_remove(0))),
        (found, _) => Ok((found, bad)),
    }
}

/// The newest checkpoint that is whole, if there is one, and the names of newer ones that are not.
pub(super) fn whole_checkpoint<D: Disk>(
    disk: &D,
    folder: &Folder,
    salt: Salt,
) -> io::Result<(Option<Checkpoint>, Vec<String>)> {
    let mut bad = Vec::new();
    for index in folder.checkpoints.iter().rev() {
        match jobs::read_checkpoint(disk, &checkpoint_name(*index), salt)? {
            Some(read) => return Ok((Some(read), bad)),
            None => bad.push(checkpoint_name(*index)),
        }
    }
    Ok((None, bad))
}

/// Files that an earlier life had prepared, and the number of the last one.
fn left_ready<D: Disk>(disk: &D, folder: &Folder) -> Result<(Vec<Ready<D>>, u64), OpenError> {
    let mut ready = Vec::new();
    for number in &folder.spares {
        let name = spare_name(*number);
        let file = Arc::new(disk.open(&name)?);
        let size = disk.size(&file)?;
        // One that is not whole is shorter.
        if ready.len() < RESERVE + SPARE && size >= SMALLEST && size.is_power_of_two() {
            // How long it is may be known in the system's memory alone.
            disk.sync_data(&file)?;
            ready.push(Ready { name, file, size });
        } else {
            disk.remove(&name)?;
        }
    }
    ready.sort_by_key(|ready: &Ready<D>| ready.size);
    Ok((ready, folder.spares.last().copied().unwrap_or(0)))
}
