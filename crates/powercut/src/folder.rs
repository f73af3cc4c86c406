//! The names in one folder: as they are seen, as they are safe, and the changes between the two.

use crate::disk::Survival;
use crate::random::Random;
use std::collections::BTreeMap;

/// The number of a file or folder. It has one for as long as the file system is there.
pub type Node = u64;

/// A change since the last sync, which is kept whole or not at all.
#[derive(Debug, Clone)]
struct Change {
    removed: Option<String>,
    set: Option<(String, Node)>,
}

impl Change {
    fn apply(&self, to: &mut BTreeMap<String, Node>) {
        if let Some(name) = &self.removed {
            to.remove(name);
        }
        if let Some((name, node)) = &self.set {
            to.insert(name.clone(), *node);
        }
    }
}

/// How many changes of names were kept at a cut, and lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Names {
    /// Kept.
    pub kept: u64,
    /// Lost.
    pub lost: u64,
}

/// One folder.
#[derive(Debug, Clone, Default)]
pub struct Folder {
    seen: BTreeMap<String, Node>,
    synced: BTreeMap<String, Node>,
    changes: Vec<Change>,
    /// Changes that were taken off the front of `changes`, since there is the folder.
    settled: u64,
}

impl Folder {
    /// The names as every program sees them.
    #[must_use]
    pub fn seen(&self) -> &BTreeMap<String, Node> {
        &self.seen
    }

    /// What a name stands for.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Node> {
        self.seen.get(name).copied()
    }

    /// Gives a name to a node, in place of the one that has it.
    pub fn set(&mut self, name: &str, node: Node) {
        self.change(Change { removed: None, set: Some((name.to_owned(), node)) });
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &str) {
        self.change(Change { removed: Some(name.to_owned()), set: None });
    }

    /// Gives a node another name, in place of the one that has that.
    pub fn rename(&mut self, from: &str, to: &str, node: Node) {
        self.change(Change { removed: Some(from.to_owned()), set: Some((to.to_owned(), node)) });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.changes.push(change);
    }

    /// How many changes there have been: what a sync that begins now makes safe.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.settled + self.changes.len() as u64
    }

    /// Makes the first `through` changes safe.
    pub fn sync(&mut self, through: u64) {
        for change in self.take(through) {
            change.apply(&mut self.synced);
        }
    }

    fn take(&mut self, through: u64) -> Vec<Change> {
        let count = usize::try_from(through.saturating_sub(self.settled)).unwrap_or(usize::MAX);
        let taken: Vec<Change> = self.changes.drain(..count.min(self.changes.len())).collect();
        self.settled += taken.len() as u64;
        taken
    }

    /// The power goes. A file system with a journal keeps the first changes; others keep any of them.
    pub fn cut(&mut self, survival: Survival, random: &mut Random) -> Names {
        let changes = self.take(u64::MAX);
        let first = survival.of(changes.len(), random);
        let in_order = random.percent(50);
        let mut names = Names::default();
        for (at, change) in changes.iter().enumerate() {
            if if in_order { at < first } else { survival.of(1, random) == 1 } {
                change.apply(&mut self.synced);
                names.kept += 1;
            } else {
                names.lost += 1;
            }
        }
        self.seen.clone_from(&self.synced);
        names
    }

    /// Every node that has a name here, had one that is safe, or may have one after a cut.
    pub fn nodes(&self) -> impl Iterator<Item = Node> {
        let changed = self.changes.iter().filter_map(|change| change.set.as_ref().map(|(_, node)| *node));
        self.seen.values().copied().chain(self.synced.values().copied()).chain(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::Folder;
    use crate::disk::Survival;
    use crate::random::Random;
    use std::collections::BTreeSet;

    fn names(folder: &Folder) -> String {
        folder.seen().iter().map(|(name, node)| format!("{name}{node}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_name_is_safe_when_its_folder_was_synced() {
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let mut folder = Folder::default();
            folder.set("a", 1);
            folder.rename("a", "b", 1);
            folder.set("c", 2);
            folder.remove("c");
            folder.sync(folder.changed());
            folder.cut(Survival::draw(&mut random), &mut random);
            assert_eq!(names(&folder), "b1");
        }
    }

    #[test]
    fn a_rename_that_is_not_synced_has_happened_or_not_and_never_by_half() {
        let mut found = BTreeSet::new();
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let mut folder = Folder::default();
            folder.set("new", 2);
            folder.set("old", 1);
            folder.sync(folder.changed());
            folder.rename("new", "old", 2);
            assert!(folder.nodes().any(|node| node == 1), "what it took the name of may come back");
            folder.cut(Survival::draw(&mut random), &mut random);
            found.insert(names(&folder));
        }
        assert_eq!(found, ["new2 old1".to_owned(), "old2".to_owned()].into());
    }

    #[test]
    fn any_of_several_names_may_be_lost() {
        let mut found = BTreeSet::new();
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut folder = Folder::default();
            folder.set("a", 1);
            folder.set("b", 2);
            folder.cut(Survival::draw(&mut random), &mut random);
            found.insert(names(&folder));
        }
        assert_eq!(found, ["", "a1", "a1 b2", "b2"].map(str::to_owned).into());
    }
}
