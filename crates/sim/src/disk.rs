//! A disk that loses power: what is written is there at once, and survives only when it is synced.
//!
//! At a loss of power a part of what was not synced is kept, torn at 512 bytes and in any order; of names that were
//! made, changed or removed and not synced the first ones are. A process that is killed loses nothing. Between any two
//! operations others take steps, and the power may go.

use crate::random::Random;
use crate::stage;
use aldis_store::Disk;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is written to a disk at once.
const SECTOR: usize = 512;

/// How the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It does not: the process is killed.
    None,
    /// Everything that was not synced is lost.
    All,
    /// Some of it is.
    Some,
}

#[derive(Debug, Clone, Default)]
struct Content {
    seen: Vec<u8>,
    synced: Vec<u8>,
    /// Written since: offset and bytes, in order.
    writes: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Make(String, u64),
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Default)]
struct State {
    contents: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    changes: Vec<NameChange>,
    files: u64,
    operations: u64,
    /// The power goes before this operation.
    until: Option<u64>,
    /// The next sync fails.
    sync_fails: bool,
    /// Bytes that fit.
    room: Option<usize>,
}

/// A directory on it. Clones are the same directory.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation begins; an error if there is no power.
    fn begin(&self) -> io::Result<MutexGuard<'_, State>> {
        stage::with(|world| world.meanwhile());
        let mut state = self.state();
        state.operations += 1;
        if state.until.is_some_and(|until| state.operations > until) {
            return Err(io::Error::other("there is no power"));
        }
        Ok(state)
    }

    /// The power goes after so many operations more; until [`SimDisk::lose`] nothing works then.
    pub fn plan_loss(&self, after: Option<u64>) {
        let mut state = self.state();
        state.until = after.map(|after| state.operations + after);
    }

    /// Whether the power is gone.
    pub fn has_no_power(&self) -> bool {
        let state = self.state();
        state.until.is_some_and(|until| state.operations > until)
    }

    /// The next sync fails.
    pub fn fail_next_sync(&self) {
        self.state().sync_fails = true;
    }

    /// So many bytes fit on the disk.
    pub fn set_room(&self, room: Option<usize>) {
        self.state().room = room;
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.state().used()
    }

    /// The power goes, or the process is killed; what the disk has then is what it has from now on.
    pub fn lose(&self, loss: Loss, random: &mut Random) {
        let mut state = self.state();
        state.until = None;
        state.sync_fails = false;
        for content in state.contents.values_mut() {
            match loss {
                Loss::None => content.synced.clone_from(&content.seen),
                Loss::All => {}
                Loss::Some => keep_some(content, random),
            }
            content.seen.clone_from(&content.synced);
            content.writes.clear();
        }
        let changes = std::mem::take(&mut state.changes);
        let kept = match loss {
            Loss::None => changes.len(),
            Loss::All => 0,
            Loss::Some => random.below(changes.len() + 1),
        };
        let mut names = std::mem::take(&mut state.synced_names);
        changes.iter().take(kept).for_each(|change| change.apply(&mut names));
        state.names.clone_from(&names);
        state.synced_names = names;
        let State { contents, names, .. } = &mut *state;
        contents.retain(|file, _| names.values().any(|named| named == file));
    }
}

impl State {
    fn used(&self) -> usize {
        self.names.values().filter_map(|file| self.contents.get(file)).map(|content| content.seen.len()).sum()
    }

    fn file(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Make(name, file) => drop(names.insert(name.clone(), *file)),
            NameChange::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            NameChange::Remove(name) => drop(names.remove(name)),
        }
    }
}

fn keep_some(content: &mut Content, random: &mut Random) {
    for (offset, bytes) in &content.writes {
        let mut at = 0;
        while at < bytes.len() {
            // Sectors of the file, not of the write.
            let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
            if random.one_in(2) {
                put(&mut content.synced, offset + at, &bytes[at..end]);
            }
            at = end;
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

impl Disk for SimDisk {
    type File = u64;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.begin()?.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<u64> {
        let mut state = self.begin()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files += 1;
        let file = state.files;
        state.contents.insert(file, Content::default());
        state.change(NameChange::Make(name.to_owned(), file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<u64> {
        self.begin()?.file(name)
    }

    fn size(&self, file: &u64) -> io::Result<u64> {
        let state = self.begin()?;
        Ok(state.contents.get(file).map_or(0, |content| content.seen.len() as u64))
    }

    fn read_at(&self, file: &u64, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.begin()?;
        let offset = offset as usize;
        let content = state.contents.get(file).ok_or(io::ErrorKind::NotFound)?;
        let bytes = content.seen.get(offset..offset + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, file: &u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.begin()?;
        let (used, room) = (state.used(), state.room);
        let content = state.contents.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
        let more = (offset as usize + bytes.len()).saturating_sub(content.seen.len());
        if room.is_some_and(|room| used + more > room) && more > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        put(&mut content.seen, offset as usize, bytes);
        content.writes.push((offset as usize, bytes.to_vec()));
        Ok(())
    }

    fn sync_data(&self, file: &u64) -> io::Result<()> {
        let mut state = self.begin()?;
        if std::mem::take(&mut state.sync_fails) {
            return Err(io::Error::other("the disk cannot sync"));
        }
        let content = state.contents.get_mut(file).ok_or(io::ErrorKind::NotFound)?;
        content.synced.clone_from(&content.seen);
        content.writes.clear();
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.begin()?;
        let names = state.names.clone();
        state.synced_names = names;
        state.changes.clear();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.begin()?;
        state.file(from)?;
        state.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.begin()?;
        state.file(name)?;
        state.change(NameChange::Remove(name.to_owned()));
        Ok(())
    }
}
