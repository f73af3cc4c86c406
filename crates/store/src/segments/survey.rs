//! Reading a store without changing it, as far as it can be read: what is in it, and all that is wrong with it.
//!
//! A start refuses a store that is damaged. This is for whoever wants to know more, or to save the rest: it goes on
//! behind damage ([`Scan::passing_over`]) and keeps account of what it passed over. The parts are those of a start.

use super::folder::{Folder, checkpoint_name, segment_name, spare_name};
use super::opening::{self, Cut};
use super::{Damage, Losses, OpenError, Reader, head};
use crate::disk::Disk;
use crate::fold::Fold;
use crate::frame::{self, Frame, Salt};
use crate::record::Record;
use crate::recovery::Recovery;
use crate::scan::{self, End, Gap, Known, Place, Scan};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

/// Bytes that are read at once where a disk does not read more.
const BLOCK: usize = 4096;

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFacts {
    /// Name of the file.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Index of the last frame that is in it.
    pub index: u64,
}

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Its number.
    pub number: u64,
    /// Name of the file.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Frames that are in it, without those that an earlier use of the file has left.
    pub frames: u64,
    /// Epochs of the first and the last of them.
    pub epochs: (u32, u32),
    /// Indexes of the first and the last of them.
    pub indexes: (u64, u64),
    /// Where the last of them ends, in bytes from the beginning.
    pub end: u64,
    /// Bytes of records that something refers to.
    pub live_bytes: u64,
    /// Whether it is before the checkpoint, so that only bodies in it count.
    pub is_before_checkpoint: bool,
}

/// What a store holds.
pub struct Survey<D: Disk> {
    /// Version of its format.
    pub version: u32,
    /// The checkpoint that counts.
    pub checkpoint: Option<CheckpointFacts>,
    /// All segments, by number.
    pub segments: Vec<SegmentFacts>,
    /// Lengths of the files that are to become segments.
    pub spares: Vec<u64>,
    /// The state.
    pub fold: Fold,
    /// Messages that were begun and not closed.
    pub unfinished: usize,
    /// How often the store was opened to be written.
    pub epoch: u32,
    /// Index of the last frame that counts.
    pub last_index: u64,
    /// What lies behind it and was never acknowledged.
    pub cut: Option<Cut>,
    /// What is wrong.
    pub damage: Vec<Damage>,
    /// What is known of records that are lost.
    pub losses: Losses,
    reader: Reader<D>,
}

/// Whether there are files of a store.
///
/// # Errors
/// What the disk says.
pub fn is_store<D: Disk>(disk: &D) -> io::Result<bool> {
    Ok(Folder::of(disk.names()?).is_a_store())
}

impl<D: Disk> Survey<D> {
    /// Reads the store on `disk`. The bodies of messages are not looked at ([`Survey::check_bodies`]).
    ///
    /// # Errors
    /// There is no store, a newer Aldis wrote it, or nothing in it can be read.
    pub fn read(disk: Arc<D>) -> Result<Survey<D>, OpenError> {
        let folder = Folder::of(disk.names()?);
        if !folder.is_a_store() {
            return Err(OpenError::NoStore);
        }
        let mut damage = Vec::new();
        let salt = match if folder.has_head { head::read(&*disk) } else { Err(OpenError::BadHead) } {
            Err(OpenError::BadHead) => {
                damage.push(Damage::Head);
                salt_from_segments(&*disk, &folder).ok_or(OpenError::BadHead)?
            }
            read => read?,
        };
        let mut survey = Reading {
            disk,
            salt,
            damage,
            recovery: Recovery::default(),
            losses: Losses::default(),
            checkpoint: None,
            start: (0, 0),
            scan: Scan::from(1, 0, salt),
            files: BTreeMap::new(),
            segments: Vec::new(),
            used: (0, 0),
            garbage: None,
        };
        survey.checkpoint(&folder)?;
        let first = match survey.start.0 {
            0 => folder.segments.first().copied().unwrap_or(1),
            first => first,
        };
        let missing = folder.missing(first).map(|number| Damage::Missing { file: segment_name(number) });
        survey.damage.extend(missing);
        survey.segments(&folder)?;
        survey.finish(&folder)
    }

    /// Reads the body of every message. Those that are damaged are taken out of the state, and added to what is wrong.
    pub fn check_bodies(&mut self) {
        let mut bad = Vec::new();
        for (message, place, length) in self.fold.bodies() {
            if read_body(&self.reader, message, place, length).is_none() {
                bad.push((message, place));
            }
        }
        let lost: HashSet<u64> = bad.iter().map(|(message, _)| *message).collect();
        let mut waits: BTreeMap<u64, Vec<Box<str>>> = BTreeMap::new();
        for state in self.fold.sessions.values().filter(|_| !lost.is_empty()) {
            for delivery in state.deliveries.values().filter(|delivery| lost.contains(&delivery.message)) {
                waits.entry(delivery.message).or_default().push(state.client_id.clone());
            }
        }
        for group in self.fold.groups.values().filter(|_| !lost.is_empty()) {
            for message in group.queue.values().filter(|message| lost.contains(message)) {
                waits.entry(*message).or_default().push(group.filter.clone());
            }
        }
        for (message, place) in bad {
            let retained = self.fold.retained.iter().find(|(_, kept)| **kept == message);
            let retained = retained.map(|(topic, _)| topic.clone());
            let sessions = waits.remove(&message).unwrap_or_default();
            self.damage.push(Damage::Body { message, place, sessions, retained });
        }
        self.fold.forget(&lost);
    }

    /// Something that reads bodies.
    #[must_use]
    pub fn reader(&self) -> Reader<D> {
        self.reader.clone()
    }

    /// Bytes of all files of the store.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        segments + self.spares.iter().sum::<u64>() + self.checkpoint.as_ref().map_or(0, |one| one.bytes)
    }
}

/// The record with the body of a message, if it is whole.
pub(super) fn read_body<D: Disk>(
    reader: &Reader<D>,
    message: u64,
    place: Place,
    length: u32,
) -> Option<Vec<u8>> {
    let bytes = reader.read(place, length as usize).ok()?;
    let is_it = matches!(
        Record::decode(&bytes),
        Some((Record::Put(put) | Record::Moved(put), rest)) if put.message == message && rest.is_empty()
    );
    is_it.then_some(bytes)
}

/// A survey that is under way.
struct Reading<D: Disk> {
    disk: Arc<D>,
    salt: Salt,
    damage: Vec<Damage>,
    recovery: Recovery,
    losses: Losses,
    checkpoint: Option<CheckpointFacts>,
    /// Segment and byte of the first frame that is not in the checkpoint.
    start: (u64, u64),
    scan: Scan,
    files: BTreeMap<u64, Arc<D::File>>,
    segments: Vec<SegmentFacts>,
    used: (u64, u64),
    garbage: Option<Cut>,
}

impl<D: Disk> Reading<D> {
    fn checkpoint(&mut self, folder: &Folder) -> Result<(), OpenError> {
        let (found, bad) = opening::whole_checkpoint(&*self.disk, folder, self.salt)?;
        self.damage.extend(bad.into_iter().map(|file| Damage::Checkpoint { file }));
        let Some((head, state)) = found else { return Ok(()) };
        let file = checkpoint_name(head.index);
        if !self.recovery.load(head.epoch, &state) {
            self.damage.push(Damage::Records { file, offset: 0 });
            return Ok(());
        }
        self.start = (head.segment, head.offset);
        self.scan = Scan::from(head.index + 1, head.epoch, self.salt);
        let bytes = self.disk.size(&self.disk.open(&file)?)?;
        self.checkpoint = Some(CheckpointFacts { file, bytes, index: head.index });
        Ok(())
    }

    /// Reads all segments twice: what is known to have been synced is said behind it.
    fn segments(&mut self, folder: &Folder) -> Result<(), OpenError> {
        let mut known = Known::new();
        for number in &folder.segments {
            self.look_at(*number, &mut known)?;
        }
        let scan = Scan::from(self.scan.next(), self.scan.epoch(), self.salt);
        self.scan = scan.passing_over(known);
        let behind: Vec<u64> = folder.segments.range(self.start.0..).copied().collect();
        for number in behind {
            let Some(file) = self.files.get(&number).map(Arc::clone) else { continue };
            let (bytes, _) = read_all(&*self.disk, &file)?;
            self.replay(number, &bytes);
        }
        Ok(())
    }

    /// What a segment says of itself.
    fn look_at(&mut self, number: u64, known: &mut Known) -> Result<(), OpenError> {
        let name = segment_name(number);
        let file = Arc::new(self.disk.open(&name)?);
        let (bytes, unreadable) = read_all(&*self.disk, &file)?;
        let size = bytes.len() as u64;
        if !opening::is_whole(size) {
            self.damage.push(Damage::Short { file: name.clone(), bytes: size });
        }
        let unreadable = unreadable.into_iter();
        self.damage.extend(unreadable.map(|offset| Damage::Unreadable { file: name.clone(), offset }));
        let is_before_checkpoint = number < self.start.0;
        let mut facts = SegmentFacts {
            number,
            file: name,
            bytes: size,
            frames: 0,
            epochs: (0, 0),
            indexes: (0, 0),
            end: 0,
            live_bytes: 0,
            is_before_checkpoint,
        };
        for (offset, frame) in scan::frames(&bytes, self.salt) {
            if frame.head.index <= facts.indexes.1 {
                // From here on an earlier use of the file.
                continue;
            }
            if facts.frames == 0 {
                (facts.epochs.0, facts.indexes.0) = (frame.head.epoch, frame.head.index);
            }
            facts.frames += 1;
            facts.end = (offset + frame::size(frame.records.len())) as u64;
            (facts.epochs.1, facts.indexes.1) = (frame.head.epoch, frame.head.index);
            let synced = known.entry(frame.head.epoch).or_default();
            *synced = frame.head.synced.max(*synced);
        }
        self.segments.push(facts);
        self.files.insert(number, file);
        Ok(())
    }

    fn replay(&mut self, number: u64, bytes: &[u8]) {
        let from = if number == self.start.0 { usize::try_from(self.start.1).unwrap_or(0) } else { 0 };
        let (mut next, mut unknown) = (self.scan.next(), Vec::new());
        let (recovery, losses) = (&mut self.recovery, &mut self.losses);
        self.scan.segment(number, bytes, from, &mut |place, frame| {
            if frame.head.index > next {
                losses.gap(recovery.so_far());
            }
            next = frame.head.index + 1;
            let offset = place.offset + frame::HEADER;
            if !take_in(recovery, losses, Place { offset, ..place }, frame) {
                unknown.push(place.offset as u64);
            }
        });
        let file = segment_name(number);
        let records = unknown.into_iter().map(|offset| Damage::Records { file: file.clone(), offset });
        self.damage.extend(records);
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
        self.used = (number, end);
        self.garbage = opening::garbage_behind(&self.scan, number, bytes, self.salt);
    }

    fn finish(mut self, folder: &Folder) -> Result<Survey<D>, OpenError> {
        self.damage.extend(self.scan.gaps().iter().map(|gap| Damage::Frames(*gap)));
        let cut = match self.scan.end() {
            End::Damaged { at, index, synced, .. } => {
                self.damage.push(Damage::Frames(Gap { at, first: index, last: synced }));
                None
            }
            _ => opening::cut_of(&self.scan, self.used)?.or(self.garbage),
        };
        let mut spares = Vec::new();
        for number in &folder.spares {
            spares.push(self.disk.size(&self.disk.open(&spare_name(*number))?)?);
        }
        let (fold, unfinished) = self.recovery.finish();
        let gone = fold.live_segments().filter(|number| !self.files.contains_key(number));
        let gone = gone.map(|number| Damage::Missing { file: segment_name(number) });
        // Those behind the checkpoint are named already.
        self.damage.extend(gone.filter(|gone| !self.damage.contains(gone)).collect::<Vec<_>>());
        for segment in &mut self.segments {
            segment.live_bytes = fold.live_bytes(segment.number);
        }
        Ok(Survey {
            version: head::VERSION,
            checkpoint: self.checkpoint,
            segments: self.segments,
            spares,
            fold,
            unfinished,
            epoch: self.scan.epoch(),
            last_index: self.scan.next() - 1,
            cut,
            damage: self.damage,
            losses: self.losses,
            reader: Reader { disk: self.disk, files: Arc::new(RwLock::new(self.files)) },
        })
    }
}

/// Takes a frame into the state; false if one of its records is unknown.
fn take_in(recovery: &mut Recovery, losses: &mut Losses, place: Place, frame: Frame<'_>) -> bool {
    recovery.enter(frame.head.epoch);
    let mut rest = frame.records;
    while let Some((one, behind)) = Record::split(rest) {
        if let Some((record, _)) = Record::decode(one) {
            losses.see(&record, recovery.so_far());
        }
        let offset = place.offset + (frame.records.len() - rest.len());
        if !recovery.records(Place { offset, ..place }, one) {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

/// The bytes of a file, and where the disk does not read them.
fn read_all<D: Disk>(disk: &D, file: &D::File) -> io::Result<(Vec<u8>, Vec<u64>)> {
    let size = usize::try_from(disk.size(file)?).unwrap_or(usize::MAX);
    let (mut bytes, mut unreadable) = (vec![0; size], Vec::new());
    if disk.read_at(file, &mut bytes, 0).is_err() {
        for (number, block) in bytes.chunks_mut(BLOCK).enumerate() {
            let offset = (number * BLOCK) as u64;
            if disk.read_at(file, block, offset).is_err() {
                block.fill(0);
                unreadable.push(offset);
            }
        }
    }
    Ok((bytes, unreadable))
}

/// The salt, as the first frame of a segment has it.
fn salt_from_segments<D: Disk>(disk: &D, folder: &Folder) -> Option<Salt> {
    folder.segments.iter().rev().find_map(|number| {
        let file = disk.open(&segment_name(*number)).ok()?;
        frame::salt_of(&read_all(disk, &file).ok()?.0)
    })
}
