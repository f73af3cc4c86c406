//! The log as those who deliver see it: what they record, and who waits for a commit.
//!
//! A workbench gathers what it has to wait for and gives it to the journal at its end, when it holds no lock; whoever
//! runs the broker calls [`Journal::released`] after each commit. What a session does then is its own affair
//! ([`Session::committed`]).

use crate::memory::Memory;
use crate::publication::Publication;
use crate::session::Session;
use crate::stamp::Stamp;
use aldis_store::{
    Condition, Found, Gate, Head, Log, MemoryLog, Origin, Put, Record, Sequence, Wall, Wanted, Written,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The log, the numbers of messages, and the sessions that wait for a commit.
pub struct Journal {
    log: Arc<dyn Log>,
    keeps: bool,
    /// The last number given to a message.
    messages: AtomicU64,
    /// One moment on both clocks.
    anchor: (Instant, Wall),
    // Held to put one session in or to take one out.
    gate: Mutex<Gate<Weak<Session>>>,
    /// Sessions with a copy of a message that its publisher has not closed yet, and how many messages those are.
    // Held to put some in or to take some out, which is rare.
    copies: Mutex<BTreeMap<u64, Vec<Weak<Session>>>>,
    copied: AtomicUsize,
    /// Sessions that ask for what waits for them on disk.
    // Held to put one in or to take one out.
    asking: Mutex<BTreeMap<u64, Weak<Session>>>,
}

impl Journal {
    /// The journal of a broker that keeps its state in memory only.
    #[must_use]
    pub fn in_memory(now: Instant) -> Journal {
        Journal::new(Arc::new(MemoryLog::default()), 0, now, 0)
    }

    /// A journal over `log`, in which `last_message` was the last number of a message; `now` is `wall` on the clock
    /// on the wall.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, last_message: u64, now: Instant, wall: Wall) -> Journal {
        let (keeps, messages) = (log.keeps(), AtomicU64::new(last_message));
        Journal {
            log,
            keeps,
            messages,
            anchor: (now, wall),
            gate: Mutex::default(),
            copies: Mutex::default(),
            copied: AtomicUsize::new(0),
            asking: Mutex::default(),
        }
    }

    /// Whether records are kept at all.
    #[inline]
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Whether nothing that needs space is taken at the moment.
    #[inline]
    pub fn refuses(&self) -> bool {
        self.keeps && self.log.condition() != Condition::Good
    }

    /// What the log can do at the moment.
    pub fn condition(&self) -> Condition {
        self.log.condition()
    }

    /// What was written to disk since the start.
    pub fn written(&self) -> Written {
        self.log.written()
    }

    /// Whether so much waits to be written that publishers are to slow down.
    pub fn is_behind(&self) -> bool {
        self.keeps && self.log.is_behind()
    }

    /// Records a change.
    pub fn append(&self, record: &Record<'_>) -> Sequence {
        self.log.append(record)
    }

    /// Everything up to here is durable.
    pub fn committed(&self) -> Sequence {
        self.log.committed()
    }

    /// A number for a message.
    pub fn next_message(&self) -> u64 {
        self.messages.fetch_add(1, Relaxed) + 1
    }

    /// An instant on the clock on the wall, rounded up: nothing that is counted from it happens too early.
    #[must_use]
    pub fn wall(&self, at: Instant) -> Wall {
        let (instant, wall) = self.anchor;
        let up = |duration: Duration| duration.as_nanos().div_ceil(1_000_000);
        let millis = |duration: Duration| u64::try_from(up(duration)).unwrap_or(u64::MAX);
        match at.checked_duration_since(instant) {
            // The anchor is a whole millisecond, and may be a part of one behind.
            Some(since) => wall.saturating_add(millis(since) + 1),
            None => wall.saturating_sub(millis(instant.duration_since(at))),
        }
    }

    /// A time on the clock on the wall as an instant; what was before the start is the start. `None` is too far away
    /// to come.
    #[must_use]
    pub fn instant(&self, at: Wall) -> Option<Instant> {
        let (instant, wall) = self.anchor;
        instant.checked_add(Duration::from_millis(at.saturating_sub(wall)))
    }

    /// The message in a record that a start has read.
    #[must_use]
    pub fn publication(&self, put: &Put<'_>) -> Publication {
        Publication {
            topic: Arc::from(put.topic),
            payload: Bytes::copy_from_slice(put.payload),
            properties: Bytes::copy_from_slice(put.properties),
            qos: put.qos,
            retain: put.retain,
            expires_at: put.expires_at.and_then(|at| self.instant(at)),
            publisher: put.publisher.map(Arc::from),
            memory: Memory::default(),
            stamp: Stamp::known(put.message),
        }
    }

    /// The body of a message is recorded; from when on it is durable.
    pub(crate) fn put(&self, message: u64, publication: &Publication, origin: Origin) -> Sequence {
        let after = self.append(&Record::Put(Put {
            message,
            origin,
            publisher: publication.publisher.as_deref(),
            topic: &publication.topic,
            properties: &publication.properties,
            payload: &publication.payload,
            qos: publication.qos,
            retain: publication.retain,
            expires_at: publication.expires_at.map(|at| self.wall(at)),
        }));
        publication.stamp.close(after);
        after
    }

    /// These sessions wait until a message is closed.
    pub(crate) fn wait_for_put(&self, message: u64, sessions: Vec<Weak<Session>>) {
        let mut copies = self.copies.lock();
        copies.entry(message).or_default().extend(sessions);
        self.copied.store(copies.len(), SeqCst);
    }

    /// The sessions that wait for a message, which is closed.
    pub(crate) fn who_waits_for(&self, message: u64) -> Vec<Weak<Session>> {
        if self.copied.load(SeqCst) == 0 {
            return Vec::new();
        }
        let mut copies = self.copies.lock();
        let waiting = copies.remove(&message).unwrap_or_default();
        self.copied.store(copies.len(), SeqCst);
        waiting
    }

    /// Asks for what waits on disk for a session, from delivery `from` on.
    pub(crate) fn want(&self, session: u64, from: u64, head: Head, me: &Weak<Session>) {
        self.asking.lock().insert(session, Weak::clone(me));
        self.log.want(Wanted::new(session, from, head));
    }

    /// The next session whose question is answered, with what was found. To be asked after every bell until there is
    /// none.
    pub fn found(&self) -> Option<(Arc<Session>, Found)> {
        loop {
            let found = self.log.found()?;
            let session = self.asking.lock().remove(&found.session);
            if let Some(session) = session.and_then(|session| session.upgrade()) {
                return Some((session, found));
            }
        }
    }

    /// The session waits for a commit; it comes back if that has happened.
    pub(crate) fn wait(&self, after: Sequence, session: Weak<Session>) -> Option<Weak<Session>> {
        let mut gate = self.gate.lock();
        // Under the lock: a commit that comes now looks into the gate afterwards.
        let committed = self.committed();
        gate.pass(after, committed, session)
    }

    /// The next session whose commit has happened. To be asked after every commit until there is none.
    pub fn released(&self) -> Option<Arc<Session>> {
        let mut gate = self.gate.lock();
        loop {
            let session = gate.release(self.committed())?;
            if let Some(session) = session.upgrade() {
                return Some(session);
            }
        }
    }

    /// The next session that waits, whatever for: the log has failed.
    pub fn abandoned(&self) -> Option<Arc<Session>> {
        let mut gate = self.gate.lock();
        loop {
            let session = gate.release(Sequence::MAX)?;
            if let Some(session) = session.upgrade() {
                return Some(session);
            }
        }
    }
}
