//! Opening a store: from whatever a crash has left to a log that goes on.
//!
//! The newest checkpoint is the state up to its index; the frames behind it follow. What was written and not synced by
//! an earlier life may be there or not: where it is cut, and whether what is cut was synced once, [`Scan`] says. Before
//! this returns, all that counts is synced, since a killed broker leaves frames that are only in the system's memory;
//! and a new segment is begun, so that nothing is ever written over the end of an earlier life.

use super::jobs::{self, UNFINISHED};
use super::{RESERVE, Ready, SMALLEST, SPARE, Segment, SegmentLog, segment_name, spare_name};
use crate::disk::Disk;
use crate::frame::{self, ALIGNMENT, Frame, Salt};
use crate::log::Written;
use crate::scan::{End, Place, Scan};
use crc32c::crc32c;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The file that says what a directory is.
const HEAD: &str = "aldis.store";
/// What it begins with.
const MAGIC: &[u8; 8] = b"aldislog";
/// Version of the format that this code reads and writes.
pub(super) const VERSION: u32 = 1;
/// Bytes of it: magic, version, salt, checksum.
const HEAD_SIZE: usize = 8 + 4 + 4 + 4;

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
}

/// Why a store is not opened.
#[derive(Debug)]
pub enum OpenError {
    /// The disk says no.
    Disk(io::Error),
    /// The directory holds segments and no head, or a head that is none.
    NoStore(String),
    /// A newer Aldis wrote it.
    FutureVersion {
        /// Version of its format.
        found: u32,
    },
    /// No checkpoint is whole.
    BadCheckpoint(String),
    /// The state in a checkpoint or a frame is none that this broker knows.
    BadState(String),
    /// The body of a message is damaged.
    DamagedBody {
        /// Name of the file.
        file: String,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// What had been synced is damaged.
    Damaged {
        /// Name of the file.
        file: String,
        /// Bytes from its beginning.
        offset: u64,
        /// Index of the frame there.
        index: u64,
        /// The last index that is known to have been synced.
        synced: u64,
    },
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Disk(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Disk(error) => write!(f, "the store cannot be read or written: {error}"),
            OpenError::NoStore(what) => write!(f, "this is no store of Aldis: {what}"),
            OpenError::FutureVersion { found } => write!(
                f,
                "the store has format {found}, written by a newer Aldis; this one knows format {VERSION}: use the newer Aldis"
            ),
            OpenError::BadCheckpoint(file) => {
                write!(f, "{file} is damaged, and there is no other checkpoint")
            }
            OpenError::BadState(what) => write!(f, "{what} holds records that this Aldis does not know"),
            OpenError::DamagedBody { file, offset } => {
                write!(f, "{file} is damaged at byte {offset}, where the body of a message lies")
            }
            OpenError::Damaged { file, offset, index, synced } => write!(
                f,
                "{file} is damaged at byte {offset}: frame {index} is bad, and up to frame {synced} all had been written safely"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// The body of a message is not, or not whole, where it should be.
    #[must_use]
    pub fn damaged_body(place: Place) -> OpenError {
        OpenError::DamagedBody { file: segment_name(place.segment), offset: place.offset as u64 }
    }
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
        let names = disk.names()?;
        let salt = salt_of(&*disk, &names, salt)?;
        let (mut start, mut scan) = ((0, 0), Scan::from(1, 0, salt));
        if let Some((head, state)) = newest_checkpoint(&*disk, &names, salt)? {
            if !load(head.epoch, &state) {
                return Err(OpenError::BadState(jobs::checkpoint_name(head.index)));
            }
            (start, scan) = ((head.segment, head.offset), Scan::from(head.index + 1, head.epoch, salt));
        }
        let mut replay =
            Replay { segments: BTreeMap::new(), idle: Vec::new(), used: start, garbage: None, synced: 0 };
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        for number in numbers {
            replay.segment(&*disk, number, start, &mut scan, salt, found)?;
        }
        let cut = cut_of(&scan, replay.used)?.or(replay.garbage.take());
        // The list from before may name a head that is whole by now.
        for name in disk.names()?.iter().filter(|name| name.ends_with(UNFINISHED)) {
            disk.remove(name)?;
        }
        disk.sync_names()?;
        let (mut ready, mut prepared) = left_ready(&*disk, &names)?;
        let next_index = replay.use_idle_again(&*disk, &mut ready, &mut prepared)?.unwrap_or(scan.next());
        let current = replay.segments.last_key_value().map_or(0, |(number, _)| *number).max(start.0);
        let files = replay.segments.iter().map(|(number, segment)| (*number, Arc::clone(&segment.file)));
        let mut log = SegmentLog {
            disk,
            salt,
            epoch: scan.epoch() + 1,
            files: Arc::new(RwLock::new(files.collect())),
            segments: replay.segments,
            current,
            end: u64::MAX / 2,
            first_index: next_index,
            grows: false,
            next_index,
            synced: next_index - 1,
            owes_sync: false,
            is_marked: false,
            ready,
            is_preparing: false,
            prepared,
            no_room: false,
            looks_again: false,
            checkpoint_at: start.0,
            next_checkpoint_at: start.0,
            next_checkpoint_size: 0,
            has_failed: false,
            written: Written::default(),
            encoded: Vec::new(),
        };
        // The end of an earlier life is left as it is.
        log.next_segment(SMALLEST)?;
        log.idle()?;
        Ok(Opened { log, cut })
    }
}

/// What was read of the segments so far.
struct Replay<D: Disk> {
    segments: BTreeMap<u64, Segment<D>>,
    /// The last segments, as far as no record is in them: their numbers, and the index that the first frame of each has.
    idle: Vec<(u64, u64)>,
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
        if number >= start.0 {
            let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
            disk.read_at(&file, &mut bytes, 0)?;
            let from = if number == start.0 { usize::try_from(start.1).unwrap_or(0) } else { 0 };
            let (mut is_known, synced) = (true, &mut self.synced);
            let (first, mut records) = (scan.next(), 0);
            scan.segment(number, &bytes, from, &mut |place, frame| {
                *synced = frame.head.synced.max(*synced);
                records += frame.head.records;
                let offset = place.offset + frame::HEADER;
                is_known = is_known && found(Place { offset, ..place }, frame);
            });
            if !is_known {
                return Err(OpenError::BadState(segment_name(number)));
            }
            if records > 0 || number == start.0 {
                self.idle.clear();
            } else {
                self.idle.push((number, first));
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

    /// Lives that have recorded nothing leave nothing: their segments are used again, and so are the indices of their
    /// frames, the first of which this answers. So a store does not grow by being opened, and one on a full disk can be
    /// opened again. The last segment goes first, and durably: a log that had a gap would count as damaged.
    fn use_idle_again(
        &mut self,
        disk: &D,
        ready: &mut Vec<Ready<D>>,
        prepared: &mut u64,
    ) -> Result<Option<u64>, OpenError> {
        let mut next = None;
        while let Some((number, first)) = self.idle.pop() {
            let Some(segment) = self.segments.remove(&number) else { continue };
            if ready.len() < RESERVE + SPARE {
                *prepared += 1;
                let name = spare_name(*prepared);
                disk.rename(&segment_name(number), &name)?;
                ready.push(Ready { name, file: segment.file, size: segment.size });
            } else {
                disk.remove(&segment_name(number))?;
            }
            disk.sync_names()?;
            next = Some(first);
        }
        ready.sort_by_key(|ready: &Ready<D>| ready.size);
        Ok(next)
    }
}

/// The salt of the store, which is made if there is none.
fn salt_of<D: Disk>(disk: &D, names: &[String], new: Salt) -> Result<Salt, OpenError> {
    if names.iter().any(|name| name == HEAD) {
        return read_head(disk);
    }
    if names.iter().any(|name| segment_number(name).is_some()) {
        return Err(OpenError::NoStore(format!("it has segments and no file {HEAD}")));
    }
    make_head(disk, new)?;
    Ok(new)
}

/// What lies behind the last frame, if it is neither zeros nor what an earlier use of the segment left there: a frame
/// that had been begun, and of which not even the header is whole.
fn garbage_behind(scan: &Scan, number: u64, bytes: &[u8], salt: Salt) -> Option<Cut> {
    let at = scan.place();
    let rest = bytes.get(at.offset..).filter(|_| at.segment == number)?;
    let end = rest.iter().rposition(|byte| *byte != 0)? + 1;
    let starts = (0..end).step_by(ALIGNMENT);
    let mut frames = starts.filter_map(|start| frame::decode(rest.get(start..)?, salt));
    let is_reused = frames.next().is_some();
    let cut = Cut { file: segment_name(number), offset: at.offset as u64, bytes: end as u64 };
    (!is_reused).then_some(cut)
}

/// What was cut off, or the damage that forbids to cut.
fn cut_of(scan: &Scan, used: (u64, u64)) -> Result<Option<Cut>, OpenError> {
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

type Checkpoint = (jobs::CheckpointHead, Vec<u8>);

fn newest_checkpoint<D: Disk>(
    disk: &D,
    names: &[String],
    salt: Salt,
) -> Result<Option<Checkpoint>, OpenError> {
    let mut checkpoints: Vec<u64> = names.iter().filter_map(|name| jobs::checkpoint_index(name)).collect();
    checkpoints.sort_unstable();
    let newest = checkpoints.last().copied();
    while let Some(index) = checkpoints.pop() {
        if let Some(read) = jobs::read_checkpoint(disk, &jobs::checkpoint_name(index), salt)? {
            return Ok(Some(read));
        }
    }
    match newest {
        None => Ok(None),
        Some(index) => Err(OpenError::BadCheckpoint(jobs::checkpoint_name(index))),
    }
}

/// Files that an earlier life had prepared, and the number of the last one.
fn left_ready<D: Disk>(disk: &D, names: &[String]) -> Result<(Vec<Ready<D>>, u64), OpenError> {
    let (mut ready, mut last) = (Vec::new(), 0);
    for name in names {
        let Some(digits) = name.strip_prefix("spare-") else { continue };
        last = last.max(u64::from_str_radix(digits, 16).unwrap_or(0));
        let file = Arc::new(disk.open(name)?);
        let size = disk.size(&file)?;
        // One that is not whole is shorter.
        if ready.len() < RESERVE + SPARE && size >= SMALLEST && size.is_power_of_two() {
            ready.push(Ready { name: name.clone(), file, size });
        } else {
            disk.remove(name)?;
        }
    }
    Ok((ready, last))
}

fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("segment-").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

fn make_head<D: Disk>(disk: &D, salt: Salt) -> Result<(), OpenError> {
    let mut head = Vec::with_capacity(HEAD_SIZE);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&salt.0.to_le_bytes());
    head.extend_from_slice(&crc32c(&head).to_le_bytes());
    let unfinished = format!("{HEAD}{UNFINISHED}");
    if disk.names()?.contains(&unfinished) {
        disk.remove(&unfinished)?;
    }
    let file = disk.create(&unfinished)?;
    disk.write_at(&file, &head, 0)?;
    disk.sync_data(&file)?;
    disk.rename(&unfinished, HEAD)?;
    disk.sync_names()?;
    Ok(())
}

fn read_head<D: Disk>(disk: &D) -> Result<Salt, OpenError> {
    let no_store = || OpenError::NoStore(format!("{HEAD} is damaged"));
    let file = disk.open(HEAD)?;
    let size = usize::try_from(disk.size(&file)?).unwrap_or(usize::MAX);
    let mut head = vec![0; size.min(HEAD_SIZE)];
    disk.read_at(&file, &mut head, 0)?;
    let (magic, rest) = head.split_first_chunk::<8>().ok_or_else(no_store)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(no_store)?;
    let version = u32::from_le_bytes(*version);
    if magic != MAGIC {
        return Err(no_store());
    }
    // Whatever a later version has behind it.
    if version > VERSION {
        return Err(OpenError::FutureVersion { found: version });
    }
    let (salt, sum) = rest.split_first_chunk::<4>().ok_or_else(no_store)?;
    let sum = sum.first_chunk().map(|sum| u32::from_le_bytes(*sum));
    if sum != head.get(..HEAD_SIZE - 4).map(crc32c) {
        return Err(no_store());
    }
    Ok(Salt(u32::from_le_bytes(*salt)))
}
