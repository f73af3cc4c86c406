//! The store in a directory: opened at the start, written by a thread of its own while the broker runs, closed at the
//! end.
//!
//! The committer's thread waits for nobody but the disk. What takes long there (filling segments with zeros, writing
//! checkpoints) is done by a second thread, and a third reads what sessions wait for. How the log lies on disk and what is to be done when is decided in
//! `aldis-store`; here are only the threads, and the lines in the log that say what happens.

use crate::clock;
use crate::kept_state::{KeptState, wall_now};
use aldis_store::frame::Salt;
use aldis_store::scan::Place;
use aldis_store::{
    Committer, Condition, Cut, Errand, FileDisk, Head, Log, LookedUp, Lookup, OpenError, Opened, Pace, Put,
    Reader, Record, Recovery, SegmentLog, Stage, Syncs,
};
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the committer waits for something before it looks after what else there is.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a start that takes long says how far it is.
const PROGRESS: Duration = Duration::from_secs(1);

/// A thread that has ended its errand says so.
enum Report {
    Prepared(aldis_store::Preparation<FileDisk>, io::Result<()>),
    Checkpointed(io::Result<()>),
}

/// What a start found in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Sessions.
    pub sessions: usize,
    /// Messages that wait for them or are in flight.
    pub messages: usize,
    /// Retained messages.
    pub retained: usize,
    /// What was at the end of the log and was never acknowledged, if there was something.
    pub cut: Option<Cut>,
    /// Names of checkpoints that are damaged, without which the state is whole.
    pub passed_over: Vec<String>,
}

/// Opens the store in `directory`, which exists and belongs to this process, or makes one there. The state is for
/// [`ServerBuilder::state`](crate::ServerBuilder::state); its log is written until that server has stopped.
///
/// # Errors
/// The store cannot be read, is damaged, or was written by a newer Aldis.
pub fn open_store(directory: &Path, syncs: Syncs) -> Result<(KeptState, Found), OpenError> {
    let mut progress = Progress { said_at: clock::now(), records: 0 };
    let disk = Arc::new(FileDisk::new(directory));
    let recovery = RefCell::new(Recovery::default());
    let Opened { log, cut, passed_over } = SegmentLog::open(
        disk,
        Salt(crate::random::u64() as u32),
        &mut |epoch, saved| recovery.borrow_mut().load(epoch, saved),
        &mut |place, frame| {
            progress.count(u64::from(frame.head.records));
            recovery.borrow_mut().frame(place, frame)
        },
    )?;
    let (fold, _) = recovery.into_inner().finish();
    log.has_all_of(&fold)?;
    let found = Found {
        sessions: fold.sessions.len(),
        messages: fold.messages(),
        retained: fold.retained.len(),
        cut,
        passed_over,
    };
    let stage = Arc::new(Stage::default());
    let reader = log.reader();
    // All are read, so that a store in which one is damaged is refused, and stays as it is.
    let (bodies, at_hand) = (fold.bodies(), fold.at_hand(Head::default()));
    let read = Box::new(move |give: &mut dyn FnMut(&Put<'_>)| {
        read_bodies(&bodies, &reader, &mut |put| {
            if at_hand.contains(&put.message) {
                give(put);
            }
        })
    });
    let state = KeptState::new(Arc::clone(&stage) as Arc<dyn Log>, fold, read);
    let state = state.begun_by(Box::new(move |fold| {
        let mut committer = Committer::new(Arc::clone(&stage), log, fold, syncs, Pace::default());
        committer.restore_reserve();
        let thread = start(committer, Arc::clone(&stage))?;
        Ok(Box::new(move || {
            stage.close();
            // A thread that panicked has said so.
            let _ = thread.join();
        }))
    }));
    Ok((state, found))
}

/// Says how far a start is that takes long.
struct Progress {
    said_at: Instant,
    records: u64,
}

impl Progress {
    fn count(&mut self, records: u64) {
        self.records += records;
        let now = clock::now();
        if now.duration_since(self.said_at) >= PROGRESS {
            self.said_at = now;
            tracing::info!(target: "aldis", "reading the store: {} records so far", self.records);
        }
    }
}

/// A message, and where the record with its body lies.
type Body = (u64, Place, u32);

/// Bytes of bodies that are read at once, if they lie close together.
const PIECE: usize = 4 << 20;

/// Reads all bodies in the order of their places, many at once.
fn read_bodies(
    bodies: &[Body],
    reader: &Reader<FileDisk>,
    give: &mut dyn FnMut(&Put<'_>),
) -> Result<(), OpenError> {
    let mut rest = bodies;
    while let Some((_, first, _)) = rest.first() {
        let is_near = |(_, place, length): &&Body| {
            place.segment == first.segment && place.offset + *length as usize <= first.offset + PIECE
        };
        let count = rest.iter().take_while(is_near).count().max(1);
        let (near, behind) = rest.split_at(count);
        let end = near.last().map_or(0, |(_, place, length)| place.offset + *length as usize);
        let bytes = reader.read(*first, end - first.offset)?;
        for (message, place, _) in near {
            match bytes.get(place.offset - first.offset..).and_then(Record::decode) {
                Some((Record::Put(put) | Record::Moved(put), _)) if put.message == *message => give(&put),
                _ => return Err(OpenError::damaged_body(*place)),
            }
        }
        rest = behind;
    }
    Ok(())
}

fn start(committer: Committer<FileDisk>, stage: Arc<Stage>) -> io::Result<JoinHandle<()>> {
    let (errands, errands_given) = channel();
    let (reports, reports_given) = channel();
    let helper = std::thread::Builder::new().name("aldis-store-2".to_owned());
    let helper = helper.spawn(move || run_errands(&errands_given, &reports))?;
    let (lookups, lookups_given) = channel();
    let answers = Arc::clone(&stage);
    let reader = std::thread::Builder::new().name("aldis-store-3".to_owned());
    let reader = reader.spawn(move || run_lookups(&lookups_given, &answers))?;
    std::thread::Builder::new().name("aldis-store".to_owned()).spawn(move || {
        commit(committer, &stage, &Others { errands: &errands, reports: &reports_given, lookups: &lookups });
        drop((errands, lookups));
        let _ = (helper.join(), reader.join());
    })
}

/// The second thread.
fn run_errands(errands: &Receiver<Errand<FileDisk>>, reports: &Sender<Report>) {
    while let Ok(errand) = errands.recv() {
        let report = match errand {
            Errand::Prepare(mut preparation) => {
                let result = preparation.run();
                Report::Prepared(preparation, result)
            }
            Errand::Checkpoint(mut job) => Report::Checkpointed(job.run()),
        };
        if reports.send(report).is_err() {
            return;
        }
    }
}

/// The third thread.
fn run_lookups(lookups: &Receiver<Lookup<FileDisk>>, stage: &Stage) {
    while let Ok(lookup) = lookups.recv() {
        let LookedUp { found, again, failed } = lookup.run();
        found.into_iter().for_each(|found| stage.answer(found));
        if let Some(error) = failed {
            tracing::error!(target: "aldis", "the store cannot read what waits for a session: {error}; it is tried again");
            stage.pause(PATIENCE);
        }
        again.into_iter().for_each(|again| stage.want(again));
    }
}

/// The ways to and from the other threads.
struct Others<'a> {
    errands: &'a Sender<Errand<FileDisk>>,
    reports: &'a Receiver<Report>,
    lookups: &'a Sender<Lookup<FileDisk>>,
}

/// The committer's thread.
fn commit(mut committer: Committer<FileDisk>, stage: &Stage, others: &Others<'_>) {
    let mut was = Condition::Good;
    loop {
        match committer.run_once(PATIENCE, wall_now) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::error!(
                    target: "aldis",
                    "the store has failed: {error}; nothing that has to be kept is acknowledged any more: see to the disk and start Aldis anew"
                );
                return;
            }
        }
        while let Ok(report) = others.reports.try_recv() {
            match report {
                Report::Prepared(preparation, result) => committer.prepared(preparation, result),
                Report::Checkpointed(Ok(())) => committer.checkpointed(),
                Report::Checkpointed(Err(error)) => {
                    tracing::warn!(target: "aldis", "a checkpoint of the store could not be written: {error}");
                    committer.checkpoint_failed();
                }
            }
        }
        while let Some(errand) = committer.errand() {
            // The other threads end after this one.
            let _ = others.errands.send(errand);
        }
        while let Some(lookup) = committer.lookup() {
            let _ = others.lookups.send(lookup);
        }
        was = say(was, stage.condition());
    }
}

/// Says that the disk is full, and that it is no longer.
fn say(was: Condition, is: Condition) -> Condition {
    match (was, is) {
        (Condition::Good, Condition::Full) => tracing::warn!(
            target: "aldis",
            "the disk of the store is full: messages that have to be kept are refused until there is space"
        ),
        (Condition::Full, Condition::Good) => {
            tracing::info!(target: "aldis", "the store has space again: messages are kept as before");
        }
        _ => {}
    }
    is
}
