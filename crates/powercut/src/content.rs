//! The bytes of one file: as they are seen, as they are safe, and the changes between the two.
//!
//! A disk writes a sector at once and sectors in any order. So at a cut each sector that was changed is as it was after
//! one of the changes to it, or as it was synced; and the size is one of those that the file has had since.

use crate::disk::Survival;
use crate::random::Random;
use std::collections::BTreeMap;

/// What a disk writes at once.
pub const SECTOR: usize = 512;

/// A change since the last sync.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Resize(size) => to.resize(*size, 0),
            Change::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                if let Some(place) = to.get_mut(*offset..end) {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }

    /// The size of a file of `size` bytes afterwards.
    fn size_after(&self, size: usize) -> usize {
        match self {
            Change::Resize(size) => *size,
            Change::Write { offset, bytes } => size.max(offset + bytes.len()),
        }
    }

    /// The sectors that it touches, in a file that ends in sector `last` at most.
    fn sectors(&self, last: usize) -> std::ops::RangeInclusive<usize> {
        match self {
            Change::Resize(size) => size / SECTOR..=last,
            Change::Write { offset, bytes } => {
                offset / SECTOR..=(offset + bytes.len()).saturating_sub(1) / SECTOR
            }
        }
    }

    /// Applies the part of it that lies in one sector, which begins at byte `start` of the file.
    fn apply_within(&self, start: usize, sector: &mut [u8; SECTOR]) {
        match self {
            Change::Resize(size) => {
                let from = size.saturating_sub(start).min(SECTOR);
                sector.iter_mut().skip(from).for_each(|byte| *byte = 0);
            }
            Change::Write { offset, bytes } => {
                let begin = (*offset).max(start);
                let end = (offset + bytes.len()).min(start + SECTOR);
                if begin < end
                    && let Some(to) = sector.get_mut(begin - start..end - start)
                    && let Some(from) = bytes.get(begin - offset..end - offset)
                {
                    to.copy_from_slice(from);
                }
            }
        }
    }
}

/// How much was kept at a cut, and lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sectors {
    /// Sectors with all changes to them.
    pub kept: u64,
    /// Sectors without some of them.
    pub lost: u64,
}

/// One file.
#[derive(Debug, Clone, Default)]
pub struct Content {
    seen: Vec<u8>,
    synced: Vec<u8>,
    changes: Vec<Change>,
    /// Changes that were taken off the front of `changes`, since there is the file.
    settled: u64,
}

impl Content {
    /// The bytes as every program sees them.
    #[must_use]
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// Bytes of it.
    #[must_use]
    pub fn size(&self) -> usize {
        self.seen.len()
    }

    /// Writes; the file grows if need be.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.change(Change::Write { offset, bytes: bytes.to_vec() });
    }

    /// Cuts the file off, or adds zeros.
    pub fn resize(&mut self, size: usize) {
        self.change(Change::Resize(size));
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

    /// A sync has failed: a part of the first `through` changes is safe, and no later sync makes the rest so, although
    /// the system shows them as if they were there.
    pub fn fail_sync(&mut self, through: u64, survival: Survival, random: &mut Random) {
        let changes = self.take(through);
        survive(&mut self.synced, &changes, survival, random);
    }

    fn take(&mut self, through: u64) -> Vec<Change> {
        let count = usize::try_from(through.saturating_sub(self.settled)).unwrap_or(usize::MAX);
        let taken: Vec<Change> = self.changes.drain(..count.min(self.changes.len())).collect();
        self.settled += taken.len() as u64;
        taken
    }

    /// The power goes.
    pub fn cut(&mut self, survival: Survival, random: &mut Random) -> Sectors {
        let changes = self.take(u64::MAX);
        let sectors = survive(&mut self.synced, &changes, survival, random);
        self.seen.clone_from(&self.synced);
        sectors
    }
}

/// Applies a random part of the changes to what is safe.
fn survive(synced: &mut Vec<u8>, changes: &[Change], survival: Survival, random: &mut Random) -> Sectors {
    let mut sizes = vec![synced.len()];
    for change in changes {
        sizes.push(change.size_after(sizes.last().copied().unwrap_or_default()));
    }
    let last = sizes.iter().copied().max().unwrap_or_default() / SECTOR;
    let mut by_sector: BTreeMap<usize, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        for sector in change.sectors(last) {
            by_sector.entry(sector).or_default().push(change);
        }
    }
    let mut count = Sectors::default();
    let before = synced.clone();
    synced.resize((last + 1) * SECTOR, 0);
    for (sector, changes) in by_sector {
        let kept = survival.of(changes.len(), random);
        let start = sector * SECTOR;
        let mut bytes = [0; SECTOR];
        let old = before.get(start..).unwrap_or_default();
        bytes.iter_mut().zip(old).for_each(|(byte, old)| *byte = *old);
        changes.iter().take(kept).for_each(|change| change.apply_within(start, &mut bytes));
        if let Some(place) = synced.get_mut(start..start + SECTOR) {
            place.copy_from_slice(&bytes);
        }
        *if kept == changes.len() { &mut count.kept } else { &mut count.lost } += 1;
    }
    let size = sizes.get(survival.of(changes.len(), random)).copied().unwrap_or_default();
    synced.truncate(size);
    count
}

#[cfg(test)]
mod tests {
    use super::{Content, SECTOR, Sectors};
    use crate::disk::Survival;
    use crate::random::Random;

    fn of(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(0, bytes);
        content.sync(content.changed());
        content
    }

    #[test]
    fn what_is_synced_survives_every_cut() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let survival = Survival::draw(&mut random);
            let mut content = of(&[1; 3000]);
            content.write(700, &[2; 100]);
            content.sync(content.changed());
            assert_eq!(content.cut(survival, &mut random), Sectors::default());
            assert_eq!(content.size(), 3000);
            assert!(content.seen()[700..800].iter().all(|byte| *byte == 2));
        }
    }

    #[test]
    fn what_is_not_synced_is_torn_between_sectors_and_nowhere_else() {
        let (mut whole, mut torn, mut nothing) = (0, 0, 0);
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let survival = Survival::draw(&mut random);
            let mut content = of(&[1; 8 * SECTOR]);
            content.write(100, &[2; 4 * SECTOR]);
            content.cut(survival, &mut random);
            let new = |sector: usize| {
                let from = (sector * SECTOR).max(100);
                let piece = &content.seen()[from..((sector + 1) * SECTOR).min(100 + 4 * SECTOR)];
                assert!(piece.iter().all(|byte| *byte == piece[0]), "seed {seed}: a sector is torn");
                piece[0] == 2
            };
            match (0..5).filter(|sector| new(*sector)).count() {
                0 => nothing += 1,
                5 => whole += 1,
                _ => torn += 1,
            }
        }
        assert!(whole > 20 && torn > 20 && nothing > 20, "{whole} {torn} {nothing}");
    }

    #[test]
    fn a_sector_is_as_it_was_after_one_of_its_changes() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut content = of(&[1; SECTOR]);
            content.write(0, &[2; 10]);
            content.write(5, &[3; 10]);
            content.cut(Survival::draw(&mut random), &mut random);
            seen.insert((content.seen()[0], content.seen()[5], content.seen()[14]));
        }
        assert_eq!(seen, [(1, 1, 1), (2, 2, 1), (2, 3, 3)].into());
    }

    #[test]
    fn the_size_is_one_that_the_file_has_had_and_what_was_not_kept_is_zero() {
        let mut sizes = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut content = of(&[1; 10]);
            content.write(10, &[2; 2 * SECTOR]);
            content.resize(5);
            content.cut(Survival::draw(&mut random), &mut random);
            sizes.insert(content.size());
            assert!(content.seen().iter().skip(10).all(|byte| matches!(byte, 0 | 2)));
        }
        assert_eq!(sizes, [5, 10, 10 + 2 * SECTOR].into());
    }

    #[test]
    fn a_sync_makes_safe_what_was_written_before_it_began() {
        let mut content = of(&[1; 4]);
        content.write(0, &[2]);
        let begun = content.changed();
        content.write(1, &[3]);
        content.sync(begun);
        content.cut(Survival::NOTHING, &mut Random::new(1));
        assert_eq!(content.seen(), [2, 1, 1, 1]);
    }

    #[test]
    fn no_later_sync_saves_what_a_failed_one_has_lost() {
        let mut content = of(&[1; 4]);
        content.write(0, &[2]);
        content.fail_sync(content.changed(), Survival::NOTHING, &mut Random::new(1));
        assert_eq!(content.seen(), [2, 1, 1, 1]);
        content.sync(content.changed());
        content.cut(Survival::NOTHING, &mut Random::new(1));
        assert_eq!(content.seen(), [1, 1, 1, 1]);
    }
}
