//! The store of a run: the very log of the broker over a disk that loses power, committed a step at a time.

use crate::agenda::{MILLI, Time};
use crate::disk::SimDisk;
use aldis_session::Journal;
use aldis_store::frame::Salt;
use aldis_store::{
    Committer, Cut, Errand, Fold, Head, Log, LookedUp, OpenError, Opened, Pace, Put, Record, Recovery,
    SegmentLog, Stage, Syncs, Wall,
};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Checkpoints come often, and so does whatever can go wrong with them.
const PACE: Pace = Pace { checkpoint_after: 2_000, spare: 0 };

/// What the clock on the wall shows when a run begins.
const FIRST: Wall = 1_000_000;

/// The log of one life of the broker.
pub struct Store {
    pub stage: Arc<Stage>,
    pub committer: Committer<SimDisk>,
}

/// What a life begins with.
pub struct Found {
    pub store: Store,
    pub fold: Fold,
    pub bodies: Vec<Vec<u8>>,
    pub cut: Option<Cut>,
}

/// The time on the clock on the wall.
pub fn wall(now: Time) -> Wall {
    FIRST + now / MILLI
}

/// Opens what is on the disk.
///
/// # Errors
/// The power goes, or something is wrong.
pub fn open(disk: &SimDisk, head: Head) -> Result<Found, OpenError> {
    let recovery = RefCell::new(Recovery::default());
    let Opened { log, cut, .. } = SegmentLog::open(
        Arc::new(disk.clone()),
        Salt(77),
        &mut |epoch, saved| recovery.borrow_mut().load(epoch, saved),
        &mut |place, frame| recovery.borrow_mut().frame(place, frame),
    )?;
    let (fold, _) = recovery.into_inner().finish();
    log.has_all_of(&fold)?;
    let at_hand = fold.at_hand(head);
    let reader = log.reader();
    let mut bodies = Vec::new();
    for (message, place, length) in fold.bodies() {
        let record = reader.read(place, length as usize)?;
        let is_it = matches!(
            Record::decode(&record),
            Some((Record::Put(put) | Record::Moved(put), rest)) if put.message == message && rest.is_empty()
        );
        if !is_it {
            return Err(OpenError::BadState(format!("the place of message {message}")));
        }
        if at_hand.contains(&message) {
            bodies.push(record);
        }
    }
    let stage = Arc::new(Stage::default());
    let mut committer = Committer::new(Arc::clone(&stage), log, fold.clone(), Syncs::Always, PACE);
    committer.restore_reserve();
    Ok(Found { store: Store { stage, committer }, fold, bodies, cut })
}

/// The message in a record.
pub fn put(record: &[u8]) -> Option<Put<'_>> {
    match Record::decode(record)?.0 {
        Record::Put(put) | Record::Moved(put) => Some(put),
        _ => None,
    }
}

/// The journal of a life that begins now.
pub fn journal(store: &Store, fold: &Fold, now: Time, instant: Instant) -> Journal {
    let log = Arc::clone(&store.stage) as Arc<dyn Log>;
    Journal::new(log, fold.last_message, instant, fold.time(wall(now)))
}

impl Store {
    /// Commits what is staged, and does the errands that come of it; true if there is a new checkpoint.
    ///
    /// # Errors
    /// The disk failed.
    pub fn commit(&mut self, now: Time) -> std::io::Result<bool> {
        self.committer.run_once(Duration::ZERO, || wall(now))?;
        let mut wrote = false;
        while let Some(errand) = self.committer.errand() {
            match errand {
                Errand::Prepare(mut preparation) => {
                    let result = preparation.run();
                    self.committer.prepared(preparation, result);
                }
                Errand::Checkpoint(mut job) => match job.run() {
                    Ok(()) => {
                        wrote = true;
                        self.committer.checkpointed();
                    }
                    Err(_) => self.committer.checkpoint_failed(),
                },
            }
        }
        while let Some(lookup) = self.committer.lookup() {
            let LookedUp { found, again, failed } = lookup.run();
            if failed.is_some() {
                // The power is gone, and soon the broker.
                continue;
            }
            found.into_iter().for_each(|found| self.stage.answer(found));
            again.into_iter().for_each(|again| self.stage.want(again));
        }
        Ok(wrote)
    }
}
