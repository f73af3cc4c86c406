//! From what a store holds to the fold: the checkpoint, then frame by frame.

use crate::committer::apply;
use crate::fold::Fold;
use crate::frame::Frame;
use crate::scan::Place;

/// The fold of a store that is being read.
#[derive(Debug, Default)]
pub struct Recovery {
    fold: Fold,
    epoch: u32,
}

impl Recovery {
    /// Begins with the state in a checkpoint that was written in `epoch`; false if it is none that is known.
    pub fn load(&mut self, epoch: u32, saved: &[u8]) -> bool {
        let loaded = Fold::load(saved);
        let is_known = loaded.is_some();
        (self.epoch, self.fold) = (epoch, loaded.unwrap_or_default());
        is_known
    }

    /// Takes in the next frame, whose records begin at `place`; false if one of them is unknown.
    pub fn frame(&mut self, place: Place, frame: Frame<'_>) -> bool {
        self.enter(frame.head.epoch);
        self.records(place, frame.records)
    }

    /// What comes next was written in this epoch.
    pub(crate) fn enter(&mut self, epoch: u32) {
        if epoch != self.epoch {
            // Whatever a life of the broker had begun and not closed when it ended.
            self.fold.forget_open();
            self.epoch = epoch;
        }
    }

    /// Takes in records that begin at `place`; false if one of them is unknown.
    pub(crate) fn records(&mut self, place: Place, records: &[u8]) -> bool {
        apply(&mut self.fold, records, place)
    }

    /// The state so far.
    #[must_use]
    pub fn so_far(&self) -> &Fold {
        &self.fold
    }

    /// The state, and how many messages had been begun and not closed.
    #[must_use]
    pub fn finish(self) -> (Fold, usize) {
        let mut fold = self.fold;
        let all = fold.messages();
        fold.forget_open();
        let unfinished = all - fold.messages();
        (fold, unfinished)
    }
}
