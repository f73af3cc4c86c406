//! Reading a log from its beginning to where it ends: which frames count, and what the end is.
//!
//! What is written and not synced may be on the disk after a loss of power, or not, in any order and cut anywhere. So
//! a log ends at its first bad frame, and good frames may lie behind it that must not count: they were never
//! acknowledged. Whether a bad frame was synced, and so is *damage* that nobody may pass over in silence, is told by
//! the frames behind it, since each says how far the log was synced when it was written. An epoch tells what an earlier
//! life of the broker left behind where a later one began to write.
//!
//! Pure: bytes of segments in, one after the other. Reading files, cutting tails and deciding what to do about damage is
//! done by others.

use crate::frame::{self, ALIGNMENT, Frame, Head, Salt};
use std::collections::BTreeMap;

/// A place in the log on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Bytes from its beginning.
    pub offset: usize,
}

/// How a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Behind its last frame there is nothing of it.
    Clean,
    /// What lies there was never known to be synced: it is cut off, and nothing that was acknowledged is lost.
    Torn {
        /// Where it begins.
        at: Place,
        /// Whole frames that are cut off. A part of one may lie there besides.
        frames: u64,
    },
    /// A frame that had been synced is bad. Nothing behind it counts, and acknowledged records are lost if it is
    /// passed over.
    Damaged {
        /// Where it was.
        at: Place,
        /// Its index.
        index: u64,
        /// A good frame behind it, and what that says is synced.
        witness: Place,
        /// The last index that the witness knew to be synced.
        synced: u64,
    },
}

/// Frames that had been synced and are not there, between two that are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where the first of them was to be.
    pub at: Place,
    /// Its index.
    pub first: u64,
    /// The index of the last one.
    pub last: u64,
}

/// How far the log is known to have been synced, for each epoch, from what its own frames say.
pub type Known = BTreeMap<u32, u64>;

/// The state of a scan between two segments.
#[derive(Debug, Clone)]
pub struct Scan {
    salt: Salt,
    /// Index of the frame that comes next.
    next: u64,
    /// Epoch of the last frame that counted.
    epoch: u32,
    /// Where the log goes on, or would.
    at: Place,
    /// What was found behind a place where it does not.
    beyond: Option<Beyond>,
    /// Damage is passed over up to here.
    known: Known,
    gaps: Vec<Gap>,
}

/// Behind a bad frame.
#[derive(Debug, Clone)]
struct Beyond {
    /// Where the bad frame is: not where the log would go on, if nothing is written there.
    at: Place,
    /// Nothing is.
    is_blank: bool,
    /// The next frame had begun: its header is there.
    has_begun: bool,
    /// Good frames of this epoch or a later one.
    frames: u64,
    /// The first of those that knew the bad one to be synced.
    witness: Option<(Place, u64)>,
}

impl Beyond {
    fn at(at: Place, is_blank: bool) -> Beyond {
        Beyond { at, is_blank, has_begun: false, frames: 0, witness: None }
    }
}

/// Whether no frame was ever begun here: there are zeros, or there is no room for a header.
fn is_blank(bytes: &[u8]) -> bool {
    bytes.get(..frame::HEADER).is_none_or(|header| header.iter().all(|byte| *byte == 0))
}

/// All good frames in the bytes of a segment, whether they count or not.
pub fn frames(bytes: &[u8], salt: Salt) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let at = offset;
            if let Some(frame) = frame::decode(rest, salt) {
                offset += frame::size(frame.records.len());
                return Some((at, frame));
            }
            offset += ALIGNMENT;
        }
        None
    })
}

impl Scan {
    /// A scan that begins with the frame `next`, of a log with this salt whose frames before it are of `epoch` or
    /// earlier.
    #[must_use]
    pub fn from(next: u64, epoch: u32, salt: Salt) -> Scan {
        let at = Place { segment: 0, offset: 0 };
        Scan { salt, next, epoch, at, beyond: None, known: Known::new(), gaps: Vec::new() }
    }

    /// The same, which goes on behind damage: for who wants what is left of a log, and says what is not. It goes on
    /// with frames alone that their own life of the broker knew to be synced, or with the one behind them, so that
    /// nothing counts that a later life had cut off.
    #[must_use]
    pub fn passing_over(self, known: Known) -> Scan {
        Scan { known, ..self }
    }

    /// What was passed over.
    #[must_use]
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Index of the frame that would come next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Epoch of the last frame that counted.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Where the next frame would be. Whoever goes on writing there has to overwrite the first [`frame::HEADER`] bytes
    /// with zeros and sync them first: a torn frame may lie there, and other bytes written over its end could make it
    /// whole.
    #[must_use]
    pub fn place(&self) -> Place {
        self.at
    }

    /// Reads the next segment in the order of their numbers: its bytes from `from` on, a multiple of [`ALIGNMENT`].
    /// Each frame that counts is given to `found`, in order.
    pub fn segment(
        &mut self,
        number: u64,
        bytes: &[u8],
        from: usize,
        found: &mut dyn FnMut(Place, Frame<'_>),
    ) {
        let mut offset = from;
        match &mut self.beyond {
            None => self.at = Place { segment: number, offset },
            Some(beyond) if beyond.is_blank => {
                beyond.at = Place { segment: number, offset };
                beyond.is_blank = is_blank(bytes.get(offset..).unwrap_or_default());
            }
            Some(_) => {}
        }
        while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
            let place = Place { segment: number, offset };
            let frame = frame::decode(rest, self.salt).filter(|frame| frame.head.epoch >= self.epoch);
            let Some(frame) = frame else {
                if self.beyond.is_none() {
                    let header = frame::header(rest, self.salt).map(|header| header.head);
                    let has_begun =
                        header.is_some_and(|head| head.index == self.next && head.epoch >= self.epoch);
                    self.beyond = Some(Beyond { has_begun, ..Beyond::at(self.at, is_blank(rest)) });
                }
                offset += ALIGNMENT;
                continue;
            };
            // Behind a bad frame the log goes on in a later segment: the one before was full, or a later life of the
            // broker had cut off the rest of it. An index has one place in each life, and what an earlier life left
            // there has an epoch that is too low.
            if self.passes_over_to(frame.head) {
                let at = self.beyond.as_ref().map_or(self.at, |beyond| beyond.at);
                self.gaps.push(Gap { at, first: self.next, last: frame.head.index - 1 });
                self.next = frame.head.index;
            }
            if frame.head.index == self.next {
                (self.next, self.epoch, self.beyond) = (frame.head.index + 1, frame.head.epoch, None);
                self.at = Place { segment: number, offset: offset + frame::size(frame.records.len()) };
                found(place, frame);
            } else {
                let (next, at) = (self.next, self.at);
                let beyond = self.beyond.get_or_insert_with(|| Beyond::at(at, false));
                // What a recycled segment still holds from before is behind the log, and older than it.
                if frame.head.index >= next {
                    beyond.frames += 1;
                    if frame.head.synced >= next {
                        beyond.witness.get_or_insert((place, frame.head.synced));
                    }
                }
            }
            offset += frame::size(frame.records.len());
        }
    }

    fn passes_over_to(&self, head: Head) -> bool {
        head.index > self.next && self.known.get(&head.epoch).is_some_and(|synced| head.index <= synced + 1)
    }

    /// What the end is, when there are no more segments.
    #[must_use]
    pub fn end(&self) -> End {
        match &self.beyond {
            Some(Beyond { witness: Some((witness, synced)), at, .. }) => {
                End::Damaged { at: *at, index: self.next, witness: *witness, synced: *synced }
            }
            Some(Beyond { frames, has_begun, .. }) if *has_begun || *frames > 0 => {
                End::Torn { at: self.at, frames: *frames }
            }
            _ => End::Clean,
        }
    }
}
