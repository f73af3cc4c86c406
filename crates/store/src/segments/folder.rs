//! What the files of a store are called, and what a folder says by their names alone.
//!
//! Segments that count are numbered without gaps from the one that the checkpoint names on, and `newest-<number>` says
//! how far: so one that is gone is noticed, the last one too.

use std::collections::BTreeSet;

/// The file that says what a folder is.
pub(super) const HEAD: &str = "aldis.store";
/// Behind the names of files that are not whole yet.
pub(super) const UNFINISHED: &str = ".tmp";

const SEGMENT: &str = "segment-";
const CHECKPOINT: &str = "checkpoint-";
const SPARE: &str = "spare-";
const NEWEST: &str = "newest-";

/// The name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("{SEGMENT}{number:016x}")
}

/// The name of the checkpoint up to this index.
pub(super) fn checkpoint_name(index: u64) -> String {
    format!("{CHECKPOINT}{index:016x}")
}

/// The index that a name of a checkpoint says.
pub(super) fn checkpoint_index(name: &str) -> Option<u64> {
    numbered(name, CHECKPOINT)
}

/// The name of a file that is to become a segment.
pub(super) fn spare_name(number: u64) -> String {
    format!("{SPARE}{number:016x}")
}

/// The name of the empty file that says which segment was begun last.
pub(super) fn newest_name(number: u64) -> String {
    format!("{NEWEST}{number:016x}")
}

fn numbered(name: &str, kind: &str) -> Option<u64> {
    let digits = name.strip_prefix(kind).filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// The files of a store, by name. Others may lie beside them; they are left alone.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) has_head: bool,
    pub(super) segments: BTreeSet<u64>,
    pub(super) checkpoints: BTreeSet<u64>,
    pub(super) spares: BTreeSet<u64>,
    pub(super) newest: BTreeSet<u64>,
    /// Names of files that a crash has left in the making.
    pub(super) unfinished: Vec<String>,
}

impl Folder {
    pub(super) fn of(names: Vec<String>) -> Folder {
        let mut folder = Folder::default();
        for name in names {
            if name == HEAD {
                folder.has_head = true;
            } else if let Some(number) = numbered(&name, SEGMENT) {
                folder.segments.insert(number);
            } else if let Some(index) = checkpoint_index(&name) {
                folder.checkpoints.insert(index);
            } else if let Some(number) = numbered(&name, SPARE) {
                folder.spares.insert(number);
            } else if let Some(number) = numbered(&name, NEWEST) {
                folder.newest.insert(number);
            } else if let Some(made) = name.strip_suffix(UNFINISHED)
                && (made == HEAD || checkpoint_index(made).is_some())
            {
                folder.unfinished.push(name);
            }
        }
        folder
    }

    /// The names of all that belongs to the store.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let head = self.has_head.then(|| HEAD.to_owned());
        let segments = self.segments.iter().copied().map(segment_name);
        let checkpoints = self.checkpoints.iter().copied().map(checkpoint_name);
        let spares = self.spares.iter().copied().map(spare_name);
        let newest = self.newest.iter().copied().map(newest_name);
        head.into_iter().chain(segments).chain(checkpoints).chain(spares).chain(newest)
    }

    /// Whether something in it belongs to a store.
    pub(super) fn is_a_store(&self) -> bool {
        self.has_head || !(self.segments.is_empty() && self.checkpoints.is_empty() && self.newest.is_empty())
    }

    /// The last segment that there is or should be; 0 before the first one.
    pub(super) fn last(&self) -> u64 {
        self.segments.last().max(self.newest.last()).copied().unwrap_or(0)
    }

    /// Segments that are gone, of those from `first` on.
    pub(super) fn missing(&self, first: u64) -> impl Iterator<Item = u64> {
        (first.max(1)..=self.last().max(first)).filter(|number| !self.segments.contains(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_are_none_of_the_store() {
        let names = [
            HEAD,
            "aldis.store.tmp",
            "segment-0000000000000002",
            "segment-000000000000000004",
            "segment-",
            "checkpoint-00000000000000ff",
            "checkpoint-00000000000000ff.tmp",
            "newest-0000000000000004",
            "spare-0000000000000001",
            "spare-wheel",
            "notes.tmp",
            "lock",
        ];
        let folder = Folder::of(names.map(str::to_owned).into());
        assert!(folder.has_head && folder.is_a_store());
        assert_eq!(folder.segments, BTreeSet::from([2]));
        assert_eq!(folder.checkpoints, BTreeSet::from([255]));
        assert_eq!(folder.spares, BTreeSet::from([1]));
        assert_eq!(folder.unfinished, ["aldis.store.tmp", "checkpoint-00000000000000ff.tmp"]);
        assert_eq!(folder.missing(2).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(folder.missing(0).collect::<Vec<_>>(), [1, 3, 4]);
    }

    #[test]
    fn the_first_segment_that_is_needed_is_missed_too() {
        let folder = Folder::of(vec![checkpoint_name(9)]);
        assert!(folder.is_a_store());
        assert_eq!(folder.missing(7).collect::<Vec<_>>(), [7]);
        let empty = Folder::of(vec!["lock".to_owned()]);
        assert!(!empty.is_a_store());
        assert_eq!(empty.missing(0).count(), 0);
    }
}
