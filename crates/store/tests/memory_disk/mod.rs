//! A folder in memory with room for so many bytes, which ends after so many operations, and then loses power or is only
//! let go of.

use aldis_store::Disk;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What is in a file, and what would survive.
#[derive(Clone, Default)]
pub(crate) struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// An open file.
pub(crate) type Inode = Arc<Mutex<Content>>;

#[derive(Clone, Default)]
struct Names {
    now: BTreeMap<String, Inode>,
    synced: BTreeMap<String, Inode>,
}

struct State {
    names: Names,
    room: usize,
    left: usize,
    /// Operations so far.
    operations: usize,
    /// The most bytes that one operation wrote, and that were not synced at any time.
    largest: usize,
}

/// A folder. Clones are the same.
#[derive(Clone)]
pub(crate) struct MemoryDisk(Arc<Mutex<State>>);

impl MemoryDisk {
    pub(crate) fn new() -> MemoryDisk {
        let names = Names::default();
        MemoryDisk(Arc::new(Mutex::new(State {
            names,
            room: usize::MAX,
            left: usize::MAX,
            operations: 0,
            largest: 0,
        })))
    }

    /// Another folder with the same files.
    pub(crate) fn copy(&self) -> MemoryDisk {
        let copy = MemoryDisk::new();
        let state = self.0.lock();
        let copied = |names: &BTreeMap<String, Inode>| -> BTreeMap<String, Inode> {
            let copy = |inode: &Inode| Arc::new(Mutex::new(inode.lock().clone()));
            names.iter().map(|(name, inode)| (name.clone(), copy(inode))).collect()
        };
        let now = copied(&state.names.now);
        copy.0.lock().names = Names { synced: now.clone(), now };
        copy
    }

    pub(crate) fn set_room(&self, room: usize) {
        self.0.lock().room = room;
    }

    pub(crate) fn used(&self) -> usize {
        self.0.lock().used()
    }

    pub(crate) fn operations(&self) -> usize {
        self.0.lock().operations
    }

    /// The most that waited to be synced in one file.
    pub(crate) fn largest(&self) -> usize {
        self.0.lock().largest
    }

    pub(crate) fn forget_largest(&self) {
        self.0.lock().largest = 0;
    }

    /// Everything fails after so many operations.
    pub(crate) fn end_after(&self, operations: usize) {
        self.0.lock().left = operations;
    }

    /// It goes on; what was written is there.
    pub(crate) fn go_on(&self) {
        self.0.lock().left = usize::MAX;
    }

    /// Power was lost: of what was not synced a part is there.
    pub(crate) fn lose_power(&self, mut keeps: impl FnMut() -> bool) {
        let mut state = self.0.lock();
        state.left = usize::MAX;
        if !keeps() {
            state.names.now = state.names.synced.clone();
        }
        state.names.synced = state.names.now.clone();
        for inode in state.names.now.values() {
            let Content { now, synced } = &mut *inode.lock();
            if !keeps() {
                now.resize(synced.len(), 0);
            }
            synced.resize(now.len(), 0);
            for (now, synced) in now.chunks_mut(SECTOR).zip(synced.chunks(SECTOR)) {
                if !keeps() {
                    now.copy_from_slice(synced);
                }
            }
            synced.clone_from(now);
        }
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.lock().names.now[name].lock().now.clone()
    }

    pub(crate) fn set_bytes(&self, name: &str, bytes: Vec<u8>) {
        self.0.lock().names.now[name].lock().now = bytes;
    }

    fn operate(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.0.lock();
        state.left = state.left.checked_sub(1).ok_or_else(|| io::Error::other("the power is off"))?;
        state.operations += 1;
        Ok(state)
    }
}

impl State {
    fn used(&self) -> usize {
        self.names.now.values().map(|inode| inode.lock().now.len()).sum()
    }
}

impl Disk for MemoryDisk {
    type File = Inode;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.operate()?.names.now.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Inode> {
        let mut state = self.operate()?;
        if state.names.now.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(Arc::clone(state.names.now.entry(name.to_owned()).or_default()))
    }

    fn open(&self, name: &str) -> io::Result<Inode> {
        let state = self.operate()?;
        state.names.now.get(name).map(Arc::clone).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn size(&self, file: &Inode) -> io::Result<u64> {
        drop(self.operate()?);
        Ok(file.lock().now.len() as u64)
    }

    fn read_at(&self, file: &Inode, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        drop(self.operate()?);
        let from = offset as usize;
        let file = file.lock();
        let read = file.now.get(from..from + buffer.len()).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(read);
        Ok(())
    }

    fn write_at(&self, file: &Inode, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.operate()?;
        let used = state.used();
        let now = &mut file.lock().now;
        let end = offset as usize + bytes.len();
        if end > now.len() {
            if used + end - now.len() > state.room {
                return Err(ErrorKind::StorageFull.into());
            }
            now.resize(end, 0);
        }
        now[offset as usize..end].copy_from_slice(bytes);
        state.largest = state.largest.max(bytes.len());
        Ok(())
    }

    fn sync_data(&self, file: &Inode) -> io::Result<()> {
        let mut state = self.operate()?;
        let Content { now, synced } = &mut *file.lock();
        state.largest = state.largest.max(now.len().saturating_sub(synced.len()));
        synced.clone_from(now);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.operate()?;
        state.names.synced = state.names.now.clone();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operate()?;
        let file = state.names.now.remove(from).ok_or(ErrorKind::NotFound)?;
        state.names.now.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.operate()?.names.now.remove(name).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }
}
