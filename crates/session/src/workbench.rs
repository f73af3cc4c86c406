//! What a thread works with while it handles one read batch: scratch space, counts, and the list
//! of Outboxes that it owes a write.

use crate::counters::{Counters, RefuseReason, Tally};
use crate::filters::FilterRefusal;
use crate::flush;
use crate::journal::Journal;
use crate::publication::{Offering, Publication};
use crate::route::Route;
use crate::session::Session;
use aldis_packet::{AckKind, PacketId, PacketType, QoS, ReasonCode};
use aldis_store::{Origin, Record, Sequence};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Buffers that a workbench keeps for the next Outbox that needs one.
const SPARE_BUFFERS: usize = 16;
/// Work for one turn: targets that are asked and places that are looked at on the way to them. A millisecond
/// or two, and a hundred messages for a hundred and fifty subscribers; with more, one client would keep a
/// thread from all others.
const ENOUGH: usize = 16 << 10;
/// Large routes that a workbench keeps: as many as topics with many subscribers are busy at a time.
const LARGE_ROUTES: usize = 8;
/// Buffers that have grown beyond this many bytes are given back to the allocator.
const SPARE_CAPACITY: usize = 256 << 10;

/// Who watches packets go by: the broker's log.
pub trait Observer: Send + Sync {
    /// Whether every packet is to be reported.
    fn traces(&self) -> bool;
    /// A packet came from this client.
    fn received(&self, client_id: &str, packet: &dyn fmt::Display);
    /// A packet was handed to the connection of this client.
    fn sent(&self, client_id: &str, packet: &dyn fmt::Display);
    /// A publication was refused; `why` is the rule or the limit that did.
    fn refused(&self, client_id: &str, topic: &str, reason: RefuseReason, why: &dyn fmt::Display);
    /// A filter of a SUBSCRIBE or an UNSUBSCRIBE (`packet`) was refused.
    fn refused_filter(&self, client_id: &str, packet: PacketType, filter: &str, why: &FilterRefusal);
    /// A subscription was granted.
    fn subscribed(&self, client_id: &str, filter: &str, granted: QoS);
    /// A subscription was ended by its client, or there was none.
    fn unsubscribed(&self, client_id: &str, filter: &str, reason: ReasonCode);
}

/// An observer that looks away.
pub struct NoObserver;

impl Observer for NoObserver {
    fn traces(&self) -> bool {
        false
    }
    fn received(&self, _: &str, _: &dyn fmt::Display) {}
    fn sent(&self, _: &str, _: &dyn fmt::Display) {}
    fn refused(&self, _: &str, _: &str, _: RefuseReason, _: &dyn fmt::Display) {}
    fn refused_filter(&self, _: &str, _: PacketType, _: &str, _: &FilterRefusal) {}
    fn subscribed(&self, _: &str, _: &str, _: QoS) {}
    fn unsubscribed(&self, _: &str, _: &str, _: ReasonCode) {}
}

/// Scratch space of one thread. It is empty between two read batches: [`Workbench::finish`] writes
/// what was appended and posts what was counted, and so does dropping it, so that no Outbox is ever
/// left with bytes and without somebody who writes them.
pub struct Workbench {
    /// The time of this batch.
    pub now: Instant,
    /// What this batch counted.
    pub tally: Tally,
    /// Whether the broker holds more than its memory watermark: nothing more is queued.
    pub memory_full: bool,
    /// Whether packets are reported to the observer.
    pub traces: bool,
    /// Who is told about packets and refusals.
    pub observer: Arc<dyn Observer>,
    counters: Arc<Counters>,
    /// What is recorded, and who waits for it.
    pub(crate) journal: Arc<Journal>,
    /// Whether the log took nothing that needs space when the turn began.
    pub(crate) log_refuses: bool,
    /// Whether a target of the message at hand was recorded.
    recorded: bool,
    /// Sessions that wait until the message at hand is durable.
    wait_for_put: Vec<Weak<Session>>,
    /// Sessions that wait for a commit.
    wait: Vec<(Sequence, Weak<Session>)>,
    pub(crate) spare: Vec<Vec<u8>>,
    /// Outboxes that this thread made dirty and has to write.
    pub(crate) dirty: Vec<Arc<Session>>,
    /// Answers to the client whose batch this is.
    pub(crate) answers: Vec<u8>,
    /// Acknowledgements that the client sent for deliveries.
    pub(crate) acks: Vec<(AckKind, PacketId, ReasonCode)>,
    /// Work done in this turn.
    work: usize,
    /// Routes too large for every connection to keep, all of one generation.
    large_routes: Vec<(Arc<str>, Arc<Route>)>,
    generation: u64,
    replaced_next: usize,
}

impl Workbench {
    /// An empty workbench that posts to `counters`.
    pub fn new(counters: Arc<Counters>, observer: Arc<dyn Observer>, now: Instant) -> Workbench {
        Workbench {
            now,
            tally: Tally::default(),
            memory_full: false,
            traces: false,
            observer,
            counters,
            journal: Arc::new(Journal::in_memory(now)),
            log_refuses: false,
            recorded: false,
            wait_for_put: Vec::new(),
            wait: Vec::new(),
            spare: Vec::new(),
            dirty: Vec::new(),
            answers: Vec::new(),
            acks: Vec::new(),
            work: 0,
            large_routes: Vec::new(),
            generation: 0,
            replaced_next: 0,
        }
    }

    /// Records what is durable in `journal`, instead of keeping it in memory only.
    #[must_use]
    pub fn recording_in(mut self, journal: Arc<Journal>) -> Workbench {
        self.journal = journal;
        self
    }

    /// The session has something that may happen when `after` is committed.
    pub(crate) fn waits_for(&mut self, after: Sequence, session: &Weak<Session>) {
        match self.wait.last_mut() {
            Some((last, known)) if Weak::ptr_eq(known, session) => *last = after.max(*last),
            _ => self.wait.push((after, Weak::clone(session))),
        }
    }

    /// The session has a message that leaves when it is durable, and its body is recorded after this.
    pub(crate) fn waits_for_put(&mut self, session: &Weak<Session>) {
        self.wait_for_put.push(Weak::clone(session));
    }

    /// Whether a target of the message at hand is recorded, so that it is to be closed.
    #[inline]
    pub(crate) fn is_recording(&self) -> bool {
        self.recorded
    }

    /// A target of the message at hand is recorded.
    pub(crate) fn has_recorded(&mut self) {
        self.recorded = true;
    }

    /// All targets that a message has from its publisher are recorded, if it has lasting ones: its body is, too, and so
    /// closes it. Answers what its publisher's acknowledgement waits for. Somebody may have closed it already, who was
    /// sent a copy of it meanwhile; what it came from is recorded here all the same.
    pub(crate) fn close(&mut self, offering: &Offering<'_>, origin: Origin) -> Option<Sequence> {
        let is_recorded = std::mem::take(&mut self.recorded);
        let owned = offering.owned.get().filter(|publication| is_recorded || publication.retain);
        let numbered = owned.map(|publication| (publication, publication.stamp.known_number()));
        let Some((publication, message)) = numbered.filter(|(_, message)| *message != 0) else {
            if let Origin::Will { will } = origin
                && self.journal.keeps()
            {
                self.journal.append(&Record::WillSent { will });
            }
            return None;
        };
        Some(self.put(message, publication, origin))
    }

    fn put(&mut self, message: u64, publication: &Publication, origin: Origin) -> Sequence {
        let after = self.journal.put(message, publication, origin);
        while let Some(session) = self.wait_for_put.pop() {
            self.waits_for(after, &session);
        }
        for session in self.journal.who_waits_for(message) {
            self.waits_for(after, &session);
        }
        after
    }

    /// A copy of a message that is kept already was recorded: of a retained one, or of one that waited in a shared
    /// subscription. `was_open` says that its publisher is about to close it; otherwise nobody else does.
    pub(crate) fn close_copy(&mut self, publication: &Publication, was_open: bool) {
        if !std::mem::take(&mut self.recorded) {
            return;
        }
        let Some(message) = publication.stamp.open() else {
            // Closed meanwhile.
            let after = publication.stamp.after();
            while let Some(session) = self.wait_for_put.pop() {
                self.waits_for(after, &session);
            }
            return;
        };
        if !was_open {
            self.put(message, publication, Origin::Nothing);
        } else if !self.wait_for_put.is_empty() {
            self.journal.wait_for_put(message, std::mem::take(&mut self.wait_for_put));
            if let Some(after) =
                Some(publication.stamp.after()).filter(|_| publication.stamp.open().is_none())
            {
                // Closed in between, by somebody who may have looked too early.
                for session in self.journal.who_waits_for(message) {
                    self.waits_for(after, &session);
                }
            }
        }
    }

    /// Gives the journal who waits for a commit, and lets those go on whose commit has happened.
    fn wait(&mut self) {
        // Each session once, in the order in which they came: whatever one waits for in this batch is committed together
        // nearly always.
        let mut latest: Vec<(Sequence, Weak<Session>)> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        for (after, session) in std::mem::take(&mut self.wait) {
            let place = *places.entry(session.as_ptr() as usize).or_insert(latest.len());
            match latest.get_mut(place) {
                Some((known, _)) => *known = after.max(*known),
                None => latest.push((after, session)),
            }
        }
        for (after, session) in latest {
            let passed = self.journal.wait(after, session);
            if let Some(session) = passed.and_then(|session| session.upgrade()) {
                session.committed(self);
            }
        }
    }

    /// Begins a batch at the time `now`.
    pub fn begin(&mut self, now: Instant, memory_full: bool) {
        self.now = now;
        self.memory_full = memory_full;
        self.traces = self.observer.traces();
        // Only a batch that panicked leaves anything here.
        self.answers.clear();
        self.acks.clear();
        self.wait_for_put.clear();
        self.recorded = false;
    }

    /// Begins a turn at this generation of the routes: as much work again may be done.
    pub(crate) fn begin_turn(&mut self, generation: u64) {
        self.work = 0;
        self.log_refuses = self.journal.refuses();
        self.forget_routes_before(generation);
    }

    /// Drops routes of another generation: they keep sessions alive that may have ended since.
    fn forget_routes_before(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.large_routes = Vec::new();
        }
    }

    /// So many steps of work are done.
    #[inline]
    pub(crate) fn works(&mut self, steps: usize) {
        self.work += steps;
    }

    /// Whether this turn has done its share, so that others come first.
    #[inline]
    pub(crate) fn has_done_enough(&self) -> bool {
        self.work >= ENOUGH
    }

    /// The large route of a topic, if it was kept at this generation.
    pub(crate) fn large_route(&mut self, topic: &str, generation: u64) -> Option<Arc<Route>> {
        self.forget_routes_before(generation);
        self.large_routes.iter().find(|(known, _)| &**known == topic).map(|(_, route)| Arc::clone(route))
    }

    /// Keeps a large route in place of the one kept longest.
    pub(crate) fn keep_large_route(&mut self, topic: &str, generation: u64, route: &Arc<Route>) {
        self.forget_routes_before(generation);
        let kept = (Arc::from(topic), Arc::clone(route));
        if self.large_routes.len() < LARGE_ROUTES {
            return self.large_routes.push(kept);
        }
        self.replaced_next = (self.replaced_next + 1) % LARGE_ROUTES;
        if let Some(place) = self.large_routes.get_mut(self.replaced_next) {
            *place = kept;
        }
    }

    /// The totals that this workbench posts to.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Puts an Outbox that was made dirty on the list of those to write.
    pub fn owe(&mut self, session: &Arc<Session>) {
        self.dirty.push(Arc::clone(session));
    }

    /// Takes over a list of Outboxes that another workbench owed a write.
    pub fn take_over(&mut self, dirty: Vec<Arc<Session>>) {
        self.dirty.extend(dirty);
    }

    /// Gives the last `count` of the Outboxes that wait for a write to somebody else, who has to
    /// hand them to a workbench of their own with [`Workbench::take_over`].
    pub fn give_away(&mut self, count: usize) -> Vec<Arc<Session>> {
        self.dirty.split_off(self.dirty.len().saturating_sub(count))
    }

    /// Outboxes that wait for a write.
    pub fn dirty_count(&self) -> usize {
        self.dirty.len()
    }

    /// Counts and reports a publication that is not routed.
    pub fn refuse(&mut self, client_id: &str, topic: &str, reason: RefuseReason, why: &dyn fmt::Display) {
        self.tally.refuse(reason);
        self.observer.refused(client_id, topic, reason, why);
    }

    /// Counts and reports a filter that is refused.
    pub fn refuse_filter(&mut self, client_id: &str, packet: PacketType, filter: &str, why: &FilterRefusal) {
        self.tally.refuse_filter(why.reason());
        self.observer.refused_filter(client_id, packet, filter, why);
    }

    /// Writes every Outbox that this batch appended to, once each, and posts the counts.
    pub fn finish(&mut self) {
        loop {
            while let Some(session) = self.dirty.pop() {
                flush::flush(&session, self);
            }
            if self.wait.is_empty() {
                break;
            }
            self.wait();
        }
        self.tally.post(&self.counters);
    }

    /// Keeps an emptied buffer for the next Outbox.
    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= SPARE_CAPACITY && self.spare.len() < SPARE_BUFFERS {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        self.finish();
    }
}
