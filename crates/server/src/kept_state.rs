//! What a broker begins with: the state that a store has kept, and the log that goes on from there.

use crate::broker_handle::Reply;
use aldis_broker::{Bodies, Broker};
use aldis_session::{Counters, Journal, Rights};
use aldis_store::{Fold, Log, OpenError, Put, Wall};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Reads all messages that a fold refers to, in whatever order is quick, and gives each to its argument.
pub type ReadBodies = Box<dyn FnOnce(&mut dyn FnMut(&Put<'_>)) -> Result<(), OpenError> + Send>;

/// State as a store has kept it.
pub struct KeptState {
    log: Arc<dyn Log>,
    fold: Fold,
    bodies: ReadBodies,
    begin: Option<Begin>,
}

/// Ends a log: everything that was recorded is on disk when it returns.
pub(crate) type Close = Box<dyn FnOnce() + Send + Sync>;

/// Begins to write a log behind the records that have made a fold, once the Broker is there.
pub(crate) type Begin = Box<dyn FnOnce(Fold) -> io::Result<Close> + Send>;

/// A Broker with its state.
pub(crate) struct Restored {
    pub(crate) broker: Broker<Reply>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) close: Option<Close>,
}

impl fmt::Debug for KeptState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptState").field("sessions", &self.fold.sessions.len()).finish_non_exhaustive()
    }
}

impl KeptState {
    /// The state that the records of `log` make, whose messages `bodies` reads.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, fold: Fold, bodies: ReadBodies) -> KeptState {
        KeptState { log, fold, bodies, begin: None }
    }

    /// The same state, whose log is written from when `begin` is called on.
    pub(crate) fn begun_by(mut self, begin: Begin) -> KeptState {
        self.begin = Some(begin);
        self
    }

    /// No state.
    #[must_use]
    pub fn empty(log: Arc<dyn Log>) -> KeptState {
        KeptState::new(log, Fold::default(), Box::new(|_| Ok(())))
    }

    /// Gives the state to a Broker.
    pub(crate) fn restore(
        self,
        broker: Broker<Reply>,
        rights: Option<&Arc<dyn Rights>>,
        counters: &Arc<Counters>,
        now: Instant,
    ) -> Result<Restored, OpenError> {
        let KeptState { log, fold, bodies, begin } = self;
        // Time never goes back: a clock that does makes nothing younger than it was.
        let wall = fold.time(wall_now());
        let journal = Arc::new(Journal::new(Arc::clone(&log), fold.last_message, now, wall));
        let mut broker = broker.recording_in(Arc::clone(&journal));
        let mut known: Bodies = HashMap::new();
        bodies(&mut |put| {
            let publication = journal.publication(put).counted(counters);
            known.insert(put.message, Arc::new(publication));
        })?;
        broker.restore(&fold, &known, rights, now);
        let close = begin.map(|begin| begin(fold)).transpose()?;
        Ok(Restored { broker, journal, log, close })
    }
}

/// The time on the clock on the wall.
#[expect(clippy::disallowed_methods, reason = "the one place that looks at the clock on the wall")]
pub(crate) fn wall_now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(Wall::MAX)
}
