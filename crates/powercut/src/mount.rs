//! The disk as a file system of the operating system, by FUSE.
//!
//! The kernel keeps nothing of it: files are read and written past its cache, and names are looked up anew each time. So
//! what a program reads after a cut is what is left.
//!
//! While the power is gone an operation waits. The test kills the program meanwhile; when the power is back the
//! operation fails, and nobody is there to hear it.

use crate::content::Content;
use crate::disk::{Disk, Handle, Kind, Loss, ROOT, Refusal};
use crate::folder::Node;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Operations at the same time: a sync that takes long does not keep others waiting.
const THREADS: usize = 4;
/// How long the kernel may remember what it was told.
const NOT_AT_ALL: Duration = Duration::ZERO;
/// Blocks, when nothing was said about space.
const PLENTY: usize = 1 << 40;
const BLOCK: usize = 4096;
/// Open, and cut off. Linux, most machines.
const O_TRUNC: i32 = 0o1000;
/// Past the kernel's cache, and without a word at each `close`.
const UNCACHED: FopenFlags = FopenFlags::FOPEN_DIRECT_IO.union(FopenFlags::FOPEN_NOFLUSH);

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes that were done.
    pub writes: u64,
    /// Syncs that were asked for, of files and folders.
    pub syncs: u64,
    /// Operations that had begun when the power went, or began afterwards.
    pub caught: u64,
}

#[derive(Debug, Default)]
struct State {
    disk: Disk,
    is_dark: bool,
    /// How long a sync takes.
    sync_takes: Duration,
    counts: Counts,
}

/// The disk, and whether it has power. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Power(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    // Held for one operation, all of which is in memory.
    state: Mutex<State>,
    lit: Condvar,
}

impl Power {
    /// The power goes. Operations wait until [`Power::restore`].
    pub fn cut(&self, seed: u64) -> Loss {
        let mut state = self.0.state.lock();
        state.is_dark = true;
        state.disk.cut(seed)
    }

    /// It is back.
    pub fn restore(&self) {
        self.0.state.lock().is_dark = false;
        self.0.lit.notify_all();
    }

    /// Changes what the disk does.
    pub fn set(&self, change: impl FnOnce(&mut Disk)) {
        change(&mut self.0.state.lock().disk);
    }

    /// How long a sync takes from now on.
    pub fn set_sync_takes(&self, time: Duration) {
        self.0.state.lock().sync_takes = time;
    }

    /// What has happened, and the bytes in use.
    #[must_use]
    pub fn counts(&self) -> (Counts, usize) {
        let state = self.0.state.lock();
        (state.counts, state.disk.used())
    }

    /// The state for one operation; an error if it began in the dark.
    fn state(&self) -> Result<MutexGuard<'_, State>, Refusal> {
        let mut state = self.0.state.lock();
        if !state.is_dark {
            return Ok(state);
        }
        state.counts.caught += 1;
        self.0.lit.wait_while(&mut state, |state| state.is_dark);
        Err(Refusal::Broken)
    }

    /// The same for an operation on an open file.
    fn of(&self, handle: FileHandle) -> Result<MutexGuard<'_, State>, Refusal> {
        let state = self.state()?;
        if state.disk.is_stale(handle.0) { Err(Refusal::Broken) } else { Ok(state) }
    }

    fn sync(&self, node: INodeNo, handle: Option<FileHandle>) -> Result<(), Refusal> {
        let mut state = handle.map_or_else(|| self.state(), |handle| self.of(handle))?;
        state.counts.syncs += 1;
        let (begun, time) = (state.disk.begin_sync(node.0)?, state.sync_takes);
        drop(state);
        if !time.is_zero() {
            wait_for(time);
        }
        // The power may have gone meanwhile.
        let mut state = handle.map_or_else(|| self.state(), |handle| self.of(handle))?;
        state.disk.end_sync(begun)
    }
}

/// A mounted disk. It is unmounted by [`Mounted::end`].
pub struct Mounted(BackgroundSession);

impl Mounted {
    /// Puts the disk at a folder that exists.
    ///
    /// # Errors
    /// The system does not allow it: it takes root, or `fusermount3`.
    pub fn new(power: Power, folder: &Path) -> io::Result<Mounted> {
        let owner = std::fs::metadata(folder)?;
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("aldis-powercut".to_owned())];
        config.n_threads = Some(THREADS);
        let mount = Mount { power, user: owner.uid(), group: owner.gid() };
        fuser::spawn_mount(mount, folder, &config).map(Mounted)
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// Something on it is open still.
    pub fn end(self) -> io::Result<()> {
        self.0.umount_and_join()
    }
}

struct Mount {
    power: Power,
    user: u32,
    group: u32,
}

impl Mount {
    fn attributes(&self, disk: &Disk, node: Node) -> Result<FileAttr, Refusal> {
        let entry = disk.entry(node)?;
        let (kind, size, links) = match &entry.kind {
            Kind::File(content) => (FileType::RegularFile, Content::size(content), 1),
            Kind::Folder(_) => (FileType::Directory, BLOCK, 2),
        };
        Ok(FileAttr {
            ino: INodeNo(node),
            size: size as u64,
            blocks: size.div_ceil(512) as u64,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: entry.mode,
            nlink: links,
            uid: self.user,
            gid: self.group,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn make_and_open(&self, folder: INodeNo, name: &OsStr, mode: u32) -> Result<(FileAttr, Handle), Refusal> {
        let mut state = self.power.state()?;
        let node = state.disk.make_file(folder.0, text(name)?, permissions(mode))?;
        let handle = state.disk.open(node);
        Ok((self.attributes(&state.disk, node)?, handle))
    }

    fn open_file(&self, node: INodeNo, flags: OpenFlags) -> Result<Handle, Refusal> {
        let mut state = self.power.state()?;
        state.disk.entry(node.0)?;
        if flags.0 & O_TRUNC != 0 {
            state.disk.resize(node.0, 0)?;
        }
        Ok(state.disk.open(node.0))
    }

    fn change(&self, node: INodeNo, mode: Option<u32>, size: Option<u64>) -> Result<FileAttr, Refusal> {
        let mut state = self.power.state()?;
        if let Some(mode) = mode {
            state.disk.set_mode(node.0, permissions(mode));
        }
        if let Some(size) = size {
            state.disk.resize(node.0, bytes(size))?;
        }
        self.attributes(&state.disk, node.0)
    }

    /// A folder as the kernel reads it: number, kind and name.
    fn list(&self, node: INodeNo) -> Result<Vec<(Node, FileType, String)>, Refusal> {
        let state = self.power.state()?;
        let mut all =
            vec![(node.0, FileType::Directory, ".".to_owned()), (ROOT, FileType::Directory, "..".to_owned())];
        for (name, node) in state.disk.folder(node.0)?.seen() {
            let kind = match state.disk.entry(*node)?.kind {
                Kind::File(_) => FileType::RegularFile,
                Kind::Folder(_) => FileType::Directory,
            };
            all.push((*node, kind, name.clone()));
        }
        Ok(all)
    }
}

/// A sync takes its time, and has a thread for it: this one.
#[expect(clippy::disallowed_methods, reason = "the disk is slow on purpose; nothing asynchronous runs here")]
fn wait_for(time: Duration) {
    std::thread::sleep(time);
}

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Missing => Errno::ENOENT,
        Refusal::Present => Errno::EEXIST,
        Refusal::NoFolder => Errno::ENOTDIR,
        Refusal::IsFolder => Errno::EISDIR,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
        Refusal::Full => Errno::ENOSPC,
        Refusal::Broken => Errno::EIO,
        Refusal::Unknown => Errno::EINVAL,
    }
}

fn text(name: &OsStr) -> Result<&str, Refusal> {
    name.to_str().ok_or(Refusal::Unknown)
}

fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn permissions(mode: u32) -> u16 {
    (mode & 0o7777) as u16
}

fn answer(reply: ReplyEmpty, done: Result<(), Refusal>) {
    match done {
        Ok(()) => reply.ok(),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

fn tell(reply: ReplyEntry, found: Result<FileAttr, Refusal>) {
    match found {
        Ok(attributes) => reply.entry(&NOT_AT_ALL, &attributes, Generation(0)),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

fn show(reply: ReplyAttr, found: Result<FileAttr, Refusal>) {
    match found {
        Ok(attributes) => reply.attr(&NOT_AT_ALL, &attributes),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

impl Filesystem for Mount {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Writes to a file need not wait for a sync of it. A kernel that does not know this is slower.
        let _ = config.add_capabilities(InitFlags::FUSE_ASYNC_DIO);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.power.state().and_then(|state| {
            let node = state.disk.find(parent.0, text(name)?)?;
            self.attributes(&state.disk, node)
        });
        tell(reply, found);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        show(reply, self.power.state().and_then(|state| self.attributes(&state.disk, ino.0)));
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        show(reply, self.change(ino, mode, size));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let made = self.power.state().and_then(|mut state| {
            let node = state.disk.make_folder(parent.0, text(name)?, permissions(mode))?;
            self.attributes(&state.disk, node)
        });
        tell(reply, made);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.power.state();
        answer(reply, done.and_then(|mut state| state.disk.remove(parent.0, text(name)?, false)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.power.state();
        answer(reply, done.and_then(|mut state| state.disk.remove(parent.0, text(name)?, true)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if parent != new_parent || !flags.is_empty() {
            return reply.error(Errno::EXDEV);
        }
        let done = self.power.state();
        answer(reply, done.and_then(|mut state| state.disk.rename(parent.0, text(name)?, text(new_name)?)));
    }

    fn open(&self, _: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.open_file(ino, flags) {
            Ok(handle) => reply.opened(FileHandle(handle), UNCACHED),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.make_and_open(parent, name, mode) {
            Ok((attributes, handle)) => {
                reply.created(&NOT_AT_ALL, &attributes, Generation(0), FileHandle(handle), UNCACHED);
            }
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.power.of(fh);
        let read = state.as_ref().map_err(|refusal| *refusal);
        match read.and_then(|state| state.disk.read(ino.0, bytes(offset), bytes(size.into()))) {
            Ok(bytes) => reply.data(bytes),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let done = self.power.of(fh).and_then(|mut state| {
            state.disk.write(ino.0, bytes(offset), data)?;
            state.counts.writes += 1;
            Ok(())
        });
        match done {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        answer(reply, self.power.of(fh).map(|mut state| state.disk.close(fh.0)));
    }

    fn fsync(&self, _: &Request, ino: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.power.sync(ino, Some(fh)));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.power.sync(ino, None));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.list(ino) {
            Err(refusal) => reply.error(errno(refusal)),
            Ok(all) => {
                for (at, (node, kind, name)) in (1..).zip(all).skip(bytes(offset)) {
                    if reply.add(INodeNo(node), at, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.power.state() {
            Err(refusal) => reply.error(errno(refusal)),
            Ok(state) => {
                let all = state.disk.space.unwrap_or(PLENTY) / BLOCK;
                let free = all.saturating_sub(state.disk.used() / BLOCK) as u64;
                let size = BLOCK as u32;
                reply.statfs(all as u64, free, free, 1 << 20, 1 << 20, size, 255, size);
            }
        }
    }
}
