//! All files and folders, the space there is, what a sync does, and the cut.
//!
//! An operation answers with the number of an error of the system, as the kernel wants it. None of them waits.

use crate::content::{Content, Sectors};
use crate::folder::{Folder, Names, Node};
use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};

/// The folder that everything is in.
pub const ROOT: Node = 1;
/// Space is given in these.
const BLOCK: usize = 4096;

/// Why an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such file or folder (ENOENT).
    Missing,
    /// There is one already (EEXIST).
    Present,
    /// It is no folder (ENOTDIR).
    NoFolder,
    /// It is a folder (EISDIR).
    IsFolder,
    /// Something is in the folder (ENOTEMPTY).
    NotEmpty,
    /// No space is left (ENOSPC).
    Full,
    /// The disk failed (EIO).
    Broken,
    /// Nothing that this file system does (EINVAL).
    Unknown,
}

/// What a sync does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    /// It makes safe what was written.
    Honest,
    /// It says so, and does nothing.
    Ignored,
    /// It fails.
    Failing,
}

/// How much of what is not synced survives one cut, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survival(u8);

impl Survival {
    /// Nothing at all.
    pub const NOTHING: Survival = Survival(0);

    /// For one cut: often nothing or all of it.
    pub fn draw(random: &mut Random) -> Survival {
        const SHARES: [u8; 6] = [0, 10, 50, 50, 90, 100];
        Survival(SHARES.get(random.below(SHARES.len())).copied().unwrap_or(50))
    }

    /// How many of so many changes, one behind the other, have happened.
    pub fn of(self, changes: usize, random: &mut Random) -> usize {
        if !random.percent(self.0) {
            return 0;
        }
        if random.percent(self.0) { changes } else { random.below(changes + 1) }
    }
}

/// What became of that which was not synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Of what was written.
    pub sectors: Sectors,
    /// Of what was named.
    pub names: Names,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A file.
    File(Content),
    /// A folder.
    Folder(Folder),
}

/// A file or folder. Its mode is safe from the beginning: nothing depends on it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permissions.
    pub mode: u16,
}

/// A file that a program has open. None outlives a cut.
pub type Handle = u64;

/// A sync that was begun: what it makes safe.
#[derive(Debug, Clone, Copy)]
pub struct Sync {
    node: Node,
    through: u64,
}

/// The whole file system.
#[derive(Debug)]
pub struct Disk {
    nodes: BTreeMap<Node, Entry>,
    last: Node,
    opened: BTreeMap<Handle, Node>,
    last_handle: Handle,
    /// What a sync does.
    pub syncs: Syncs,
    /// Bytes that there is space for.
    pub space: Option<usize>,
    /// Writes fail, those that would need no space, too.
    pub writes_fail: bool,
    random: Random,
}

impl Default for Disk {
    fn default() -> Disk {
        let root = Entry { kind: Kind::Folder(Folder::default()), mode: 0o755 };
        Disk {
            nodes: [(ROOT, root)].into(),
            last: ROOT,
            opened: BTreeMap::new(),
            last_handle: 0,
            syncs: Syncs::Honest,
            space: None,
            writes_fail: false,
            random: Random::new(0),
        }
    }
}

impl Disk {
    /// A file or folder.
    ///
    /// # Errors
    /// There is none.
    pub fn entry(&self, node: Node) -> Result<&Entry, Refusal> {
        self.nodes.get(&node).ok_or(Refusal::Missing)
    }

    /// The names in a folder.
    ///
    /// # Errors
    /// It is none.
    pub fn folder(&self, node: Node) -> Result<&Folder, Refusal> {
        match &self.entry(node)?.kind {
            Kind::Folder(folder) => Ok(folder),
            Kind::File(_) => Err(Refusal::NoFolder),
        }
    }

    fn folder_mut(&mut self, node: Node) -> Result<&mut Folder, Refusal> {
        match &mut self.nodes.get_mut(&node).ok_or(Refusal::Missing)?.kind {
            Kind::Folder(folder) => Ok(folder),
            Kind::File(_) => Err(Refusal::NoFolder),
        }
    }

    fn content(&self, node: Node) -> Result<&Content, Refusal> {
        match &self.entry(node)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Folder(_) => Err(Refusal::IsFolder),
        }
    }

    fn content_mut(&mut self, node: Node) -> Result<&mut Content, Refusal> {
        match &mut self.nodes.get_mut(&node).ok_or(Refusal::Missing)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Folder(_) => Err(Refusal::IsFolder),
        }
    }

    /// What a name in a folder stands for.
    ///
    /// # Errors
    /// There is no such folder, or no such name in it.
    pub fn find(&self, folder: Node, name: &str) -> Result<Node, Refusal> {
        self.folder(folder)?.find(name).ok_or(Refusal::Missing)
    }

    fn make(&mut self, folder: Node, name: &str, mode: u16, kind: Kind) -> Result<Node, Refusal> {
        if self.folder(folder)?.find(name).is_some() {
            return Err(Refusal::Present);
        }
        self.last += 1;
        let node = self.last;
        self.nodes.insert(node, Entry { kind, mode });
        self.folder_mut(folder)?.set(name, node);
        Ok(node)
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// The name is taken.
    pub fn make_file(&mut self, folder: Node, name: &str, mode: u16) -> Result<Node, Refusal> {
        self.make(folder, name, mode, Kind::File(Content::default()))
    }

    /// Makes an empty folder.
    ///
    /// # Errors
    /// The name is taken.
    pub fn make_folder(&mut self, folder: Node, name: &str, mode: u16) -> Result<Node, Refusal> {
        self.make(folder, name, mode, Kind::Folder(Folder::default()))
    }

    /// Takes the name of a file away, or that of an empty folder.
    ///
    /// # Errors
    /// It is not there, or not of this kind, or not empty.
    pub fn remove(&mut self, folder: Node, name: &str, is_folder: bool) -> Result<(), Refusal> {
        let node = self.find(folder, name)?;
        match (&self.entry(node)?.kind, is_folder) {
            (Kind::Folder(_), false) => return Err(Refusal::IsFolder),
            (Kind::File(_), true) => return Err(Refusal::NoFolder),
            (Kind::Folder(inner), true) if !inner.seen().is_empty() => return Err(Refusal::NotEmpty),
            _ => {}
        }
        self.folder_mut(folder)?.remove(name);
        self.forget_unreachable();
        Ok(())
    }

    /// Gives a file another name in its folder.
    ///
    /// # Errors
    /// It is not there, or one of the two is a folder.
    pub fn rename(&mut self, folder: Node, from: &str, to: &str) -> Result<(), Refusal> {
        let node = self.find(folder, from)?;
        self.content(node)?;
        if let Ok(other) = self.find(folder, to) {
            self.content(other)?;
        }
        self.folder_mut(folder)?.rename(from, to, node);
        Ok(())
    }

    /// A program opens a file.
    pub fn open(&mut self, node: Node) -> Handle {
        self.last_handle += 1;
        self.opened.insert(self.last_handle, node);
        self.last_handle
    }

    /// Whether it is open since before the last cut, or closed.
    #[must_use]
    pub fn is_stale(&self, handle: Handle) -> bool {
        !self.opened.contains_key(&handle)
    }

    /// And closes it.
    pub fn close(&mut self, handle: Handle) {
        if self.opened.remove(&handle).is_some() {
            self.forget_unreachable();
        }
    }

    /// Sets the mode.
    pub fn set_mode(&mut self, node: Node, mode: u16) {
        if let Some(entry) = self.nodes.get_mut(&node) {
            entry.mode = mode;
        }
    }

    // ---- bytes ----

    /// Bytes from `offset` on, as many as there are.
    ///
    /// # Errors
    /// It is no file.
    pub fn read(&self, node: Node, offset: usize, size: usize) -> Result<&[u8], Refusal> {
        let seen = self.content(node)?.seen();
        let end = offset.saturating_add(size).min(seen.len());
        Ok(seen.get(offset..end).unwrap_or_default())
    }

    /// Writes; the file grows if need be.
    ///
    /// # Errors
    /// It is no file, or there is no space.
    pub fn write(&mut self, node: Node, offset: usize, bytes: &[u8]) -> Result<(), Refusal> {
        if self.writes_fail {
            return Err(Refusal::Broken);
        }
        self.make_room(node, offset.saturating_add(bytes.len()))?;
        self.content_mut(node)?.write(offset, bytes);
        Ok(())
    }

    /// Cuts a file off, or adds zeros.
    ///
    /// # Errors
    /// It is no file, or there is no space.
    pub fn resize(&mut self, node: Node, size: usize) -> Result<(), Refusal> {
        self.make_room(node, size)?;
        self.content_mut(node)?.resize(size);
        Ok(())
    }

    fn make_room(&self, node: Node, size: usize) -> Result<(), Refusal> {
        let more = blocks(size).saturating_sub(blocks(self.content(node)?.size()));
        let fits = more == 0 || self.space.is_none_or(|space| self.used() + more <= space);
        if fits { Ok(()) } else { Err(Refusal::Full) }
    }

    /// Bytes in use: whole blocks of the files that are seen or open.
    #[must_use]
    pub fn used(&self) -> usize {
        let named = self.folders().flat_map(|folder| folder.seen().values());
        let counted: BTreeSet<&Node> = named.chain(self.opened.values()).collect();
        let contents = counted.into_iter().filter_map(|node| self.content(*node).ok());
        contents.map(|content| blocks(content.size())).sum()
    }

    fn folders(&self) -> impl Iterator<Item = &Folder> {
        self.nodes.values().filter_map(|entry| match &entry.kind {
            Kind::Folder(folder) => Some(folder),
            Kind::File(_) => None,
        })
    }

    // ---- syncs, and the cut ----

    /// A sync of a file or folder begins; what is written from now on is not in it.
    ///
    /// # Errors
    /// There is no such file or folder.
    pub fn begin_sync(&self, node: Node) -> Result<Sync, Refusal> {
        let through = match &self.entry(node)?.kind {
            Kind::File(content) => content.changed(),
            Kind::Folder(folder) => folder.changed(),
        };
        Ok(Sync { node, through })
    }

    /// It ends.
    ///
    /// # Errors
    /// Syncs fail.
    pub fn end_sync(&mut self, sync: Sync) -> Result<(), Refusal> {
        let Sync { node, through } = sync;
        let (syncs, survival) = (self.syncs, Survival::draw(&mut self.random));
        let Some(entry) = self.nodes.get_mut(&node) else { return Ok(()) };
        match (&mut entry.kind, syncs) {
            (_, Syncs::Ignored) => {}
            (Kind::File(content), Syncs::Honest) => content.sync(through),
            (Kind::File(content), Syncs::Failing) => content.fail_sync(through, survival, &mut self.random),
            (Kind::Folder(folder), Syncs::Honest) => {
                folder.sync(through);
                self.forget_unreachable();
            }
            (Kind::Folder(_), Syncs::Failing) => {}
        }
        if syncs == Syncs::Failing { Err(Refusal::Broken) } else { Ok(()) }
    }

    /// The power goes; `seed` decides on what is left. Nothing fails afterwards, and nothing is open.
    pub fn cut(&mut self, seed: u64) -> Loss {
        let mut random = Random::new(seed);
        let survival = Survival::draw(&mut random);
        let mut loss = Loss::default();
        for entry in self.nodes.values_mut() {
            match &mut entry.kind {
                Kind::File(content) => {
                    let Sectors { kept, lost } = content.cut(survival, &mut random);
                    loss.sectors.kept += kept;
                    loss.sectors.lost += lost;
                }
                Kind::Folder(folder) => {
                    let Names { kept, lost } = folder.cut(survival, &mut random);
                    loss.names.kept += kept;
                    loss.names.lost += lost;
                }
            }
        }
        (self.syncs, self.writes_fail) = (Syncs::Honest, false);
        self.opened.clear();
        self.forget_unreachable();
        loss
    }

    /// What has no name, gets none by a cut, and is not open.
    fn forget_unreachable(&mut self) {
        let mut known: BTreeSet<Node> = self.folders().flat_map(Folder::nodes).collect();
        known.insert(ROOT);
        known.extend(self.opened.values());
        self.nodes.retain(|node, _| known.contains(node));
    }
}

fn blocks(size: usize) -> usize {
    size.next_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests;
