//! What takes long on a disk: jobs that another thread may do meanwhile.

use super::folder::{UNFINISHED, checkpoint_index, checkpoint_name};
use crate::disk::Disk;
use crate::frame::Salt;
use crc32c::crc32c_append;
use std::io;
use std::sync::Arc;

/// Bytes written at once.
const PIECE: usize = 256 << 10;

/// Bytes that one step of a preparation writes and syncs: a commit that is synced meanwhile waits for no more.
const STEP: u64 = 1 << 20;

/// A segment that is filled with zeros.
pub struct Preparation<D: Disk> {
    disk: Arc<D>,
    name: String,
    size: u64,
    filled: u64,
    file: Option<Arc<D::File>>,
}

impl<D: Disk> Preparation<D> {
    pub(super) fn new(disk: Arc<D>, name: String, size: u64) -> Preparation<D> {
        Preparation { disk, name, size, filled: 0, file: None }
    }

    /// Does all of it, step by step.
    ///
    /// # Errors
    /// What the disk says; nothing is left of the file then.
    pub fn run(&mut self) -> io::Result<()> {
        while !self.step()? {}
        Ok(())
    }

    /// Writes some more and syncs it; true if that was the last of it.
    ///
    /// # Errors
    /// What the disk says; nothing is left of the file then.
    pub fn step(&mut self) -> io::Result<bool> {
        let done = self.fill();
        if done.is_err() {
            (self.file, self.filled) = (None, 0);
            let _ = self.disk.remove(&self.name);
        }
        done.map(|()| self.filled >= self.size)
    }

    fn fill(&mut self) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(self.disk.create(&self.name)?))),
        };
        let zeros = vec![0; PIECE];
        let until = self.size.min(self.filled + STEP);
        while self.filled < until {
            let piece = usize::try_from(until - self.filled).unwrap_or(PIECE).min(PIECE);
            self.disk.write_at(&file, zeros.get(..piece).unwrap_or(&zeros), self.filled)?;
            self.filled += piece as u64;
        }
        self.disk.sync_data(&file)
    }

    pub(super) fn into_ready(self) -> Option<(String, Arc<D::File>, u64)> {
        let file = self.file.filter(|_| self.filled >= self.size)?;
        Some((self.name, file, self.size))
    }
}

/// What a checkpoint says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckpointHead {
    /// The last frame that is in it.
    pub(super) index: u64,
    /// The life of the broker that wrote it.
    pub(super) epoch: u32,
    /// Where the next frame is, or would be.
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// Bytes of a checkpoint before the state.
const HEADER: usize = 4 + 4 + 8 + 8 + 8;

/// A checkpoint that is written.
pub struct CheckpointJob<D: Disk> {
    disk: Arc<D>,
    salt: Salt,
    head: CheckpointHead,
    state: Vec<u8>,
}

impl<D: Disk> CheckpointJob<D> {
    pub(super) fn new(disk: Arc<D>, salt: Salt, head: CheckpointHead, state: Vec<u8>) -> CheckpointJob<D> {
        CheckpointJob { disk, salt, head, state }
    }

    /// Does it: the checkpoint is whole and durable before any earlier one is removed.
    ///
    /// # Errors
    /// What the disk says; the earlier checkpoint is still there then.
    pub fn run(&mut self) -> io::Result<()> {
        let name = checkpoint_name(self.head.index);
        let unfinished = format!("{name}{UNFINISHED}");
        let done = self.write(&unfinished);
        if done.is_err() {
            let _ = self.disk.remove(&unfinished);
        }
        done?;
        self.disk.rename(&unfinished, &name)?;
        self.disk.sync_names()?;
        for other in self.disk.names()? {
            if checkpoint_index(&other).is_some_and(|index| index < self.head.index) {
                self.disk.remove(&other)?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str) -> io::Result<()> {
        let file = self.disk.create(name)?;
        let CheckpointHead { index, epoch, segment, offset } = self.head;
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(&epoch.to_le_bytes());
        [index, segment, offset].iter().for_each(|number| header.extend_from_slice(&number.to_le_bytes()));
        let sum = crc32c_append(crc32c_append(self.salt.0, &header), &self.state);
        let head = [&sum.to_le_bytes()[..], &header].concat();
        self.disk.write_at(&file, &head, 0)?;
        let mut offset = HEADER as u64;
        for piece in self.state.chunks(PIECE) {
            self.disk.write_at(&file, piece, offset)?;
            offset += piece.len() as u64;
        }
        self.disk.sync_data(&file)
    }
}

/// Reads a checkpoint; `None` if it is not whole.
pub(super) fn read_checkpoint<D: Disk>(
    disk: &D,
    name: &str,
    salt: Salt,
) -> io::Result<Option<(CheckpointHead, Vec<u8>)>> {
    let file = disk.open(name)?;
    let size = usize::try_from(disk.size(&file)?).unwrap_or(usize::MAX);
    if size < HEADER {
        return Ok(None);
    }
    let mut bytes = vec![0; size];
    disk.read_at(&file, &mut bytes, 0)?;
    let state = bytes.split_off(HEADER);
    let Some((sum, header)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    if crc32c_append(crc32c_append(salt.0, header), &state) != u32::from_le_bytes(*sum) {
        return Ok(None);
    }
    let number = |at: usize| header.get(at..at + 8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let epoch = header.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let head = || {
        Some(CheckpointHead { epoch: epoch?, index: number(4)?, segment: number(12)?, offset: number(20)? })
    };
    Ok(head().map(|head| (head, state)))
}
