//! The retained messages. Written by the Broker alone, read by every Client that replays them.

use aldis_session::{
    Counters, Journal, Limits, Memory, Offered, Publication, RetainedLimit, Session, Workbench, planted,
};
use aldis_store::Record;
use aldis_topic::{RetainedTree, Walk};
use parking_lot::RwLock;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Topics that one step of a replay looks at, under the lock.
const STEP: usize = 64;

/// Bytes of a level of a topic that no other topic shares, roughly.
const NODE_BYTES: usize = 100;

/// A retained message, with its share of the tree.
#[derive(Debug)]
struct Stored {
    publication: Arc<Publication>,
    /// The way to it; the message itself is counted for all who keep it.
    way: Memory,
}

impl Stored {
    fn weight(&self) -> usize {
        self.publication.weight() + self.way.bytes()
    }
}

/// Bytes of a topic's way through the tree, if no other topic shares it.
fn way(topic: &str) -> usize {
    topic.len() + NODE_BYTES * (1 + topic.bytes().filter(|byte| *byte == b'/').count())
}

/// The newest retained message of every topic.
#[derive(Debug)]
pub struct Retained {
    // A read-write lock: a replay step holds it while it reads and offers, so that a value stored
    // later is also delivered later (law 13); the Broker holds it for at most 64 changes.
    tree: RwLock<RetainedTree<Stored>>,
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Retained {
    pub(crate) fn new() -> Retained {
        Retained {
            tree: RwLock::new(RetainedTree::new()),
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Retained messages.
    pub fn messages(&self) -> usize {
        self.messages.load(Relaxed)
    }

    /// Bytes of memory that they stand for.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// The retained message of a topic.
    pub fn get(&self, topic: &str) -> Option<Arc<Publication>> {
        self.tree.read().get(topic).map(|stored| Arc::clone(&stored.publication))
    }

    /// Stores, replaces or (empty payload) removes [MQTT-3.3.1-5] [MQTT-3.3.1-6]; answers the
    /// positions of those that a limit refuses, ascending.
    pub(crate) fn store(
        &self,
        publications: &[(usize, Arc<Publication>)],
        limits: &Limits,
        counters: &Arc<Counters>,
        journal: &Journal,
    ) -> Vec<(usize, RetainedLimit)> {
        let mut refused = Vec::new();
        let mut tree = self.tree.write();
        for (position, publication) in publications {
            if planted!(StaleRetained)
                && !publication.payload.is_empty()
                && tree.get(&publication.topic).is_some()
            {
                continue;
            }
            // $SYS is told anew by every broker that starts.
            let is_recorded = journal.keeps() && !publication.topic.starts_with("$SYS/");
            if is_recorded && journal.refuses() {
                refused.push((*position, RetainedLimit::Store));
                continue;
            }
            if publication.payload.is_empty() {
                let old = tree.remove(&publication.topic);
                self.bytes.fetch_sub(old.map_or(0, |old| old.weight()), Relaxed);
            } else if let Some(limit) = self.limit_reached(publication, &tree, limits, counters) {
                refused.push((*position, limit));
                continue;
            } else {
                let way = Memory::of(way(&publication.topic), counters);
                let new = Stored { publication: Arc::clone(publication), way };
                self.bytes.fetch_add(new.weight(), Relaxed);
                let old = tree.insert(&publication.topic, new);
                self.bytes.fetch_sub(old.map_or(0, |old| old.weight()), Relaxed);
            }
            if is_recorded {
                // Under the lock: a replay that had the old message has recorded what it sent of it.
                let message = publication.stamp.number(|| journal.next_message());
                let (topic, removes) = (&*publication.topic, publication.payload.is_empty());
                journal.append(&Record::Retain { message, topic, removes });
            }
        }
        self.messages.store(tree.len(), Relaxed);
        refused
    }

    /// The limit that keeps a message out, if one does. One that takes the place of a larger one is never
    /// kept out.
    fn limit_reached(
        &self,
        publication: &Publication,
        tree: &RetainedTree<Stored>,
        limits: &Limits,
        counters: &Counters,
    ) -> Option<RetainedLimit> {
        let old = tree.get(&publication.topic);
        let (new_bytes, old_bytes) =
            (publication.weight() + way(&publication.topic), old.map_or(0, Stored::weight));
        let watermark = limits.memory_watermark;
        let messages = tree.len() + usize::from(old.is_none());
        let bytes = self.bytes() + new_bytes - old_bytes;
        if new_bytes <= old_bytes {
            None
        } else if messages > limits.retained_messages {
            Some(RetainedLimit::Messages(limits.retained_messages))
        } else if bytes > limits.retained_bytes {
            Some(RetainedLimit::Bytes(limits.retained_bytes))
        } else if bytes > watermark / 4 * 3 {
            Some(RetainedLimit::WatermarkShare(watermark))
        } else if counters.holds_more_than(watermark) {
            Some(RetainedLimit::Watermark(watermark))
        } else {
            None
        }
    }

    /// Removes the message of `topic` if it has expired.
    pub(crate) fn expire(&self, topic: &str, now: Instant, journal: &Journal) -> bool {
        let mut tree = self.tree.write();
        let expired = tree.get(topic).is_some_and(|stored| stored.publication.expired(now));
        if expired && let Some(old) = tree.remove(topic) {
            if journal.keeps() {
                journal.append(&Record::Unretain { topic });
            }
            self.bytes.fetch_sub(old.weight(), Relaxed);
            self.messages.store(tree.len(), Relaxed);
        }
        expired
    }

    /// Puts a message in that a start found in the log.
    pub(crate) fn restore(&self, publication: Arc<Publication>, counters: &Arc<Counters>) {
        let mut tree = self.tree.write();
        let way = Memory::of(way(&publication.topic), counters);
        let topic = Arc::clone(&publication.topic);
        let new = Stored { publication, way };
        self.bytes.fetch_add(new.weight(), Relaxed);
        tree.insert(&topic, new);
        self.messages.store(tree.len(), Relaxed);
    }

    /// One step of the replay that `session` has under way, at most 64 topics. The caller goes on
    /// for as long as the Outbox has an errand to pump.
    pub fn replay(&self, session: &Arc<Session>, bench: &mut Workbench) {
        let tree = self.tree.read();
        let mut outbox = session.outbox.lock();
        let Some(replay) = outbox.next_replay() else { return };
        let subscription = &replay.subscription;
        let filter = subscription.filter.filter();
        let mut dirty = false;
        let walk = tree.walk(filter, replay.cursor.as_ref(), STEP, &mut |_, stored| {
            let publication = &stored.publication;
            if publication.expired(bench.now) {
                return ControlFlow::Continue(());
            }
            let (offered, flush) = outbox.offer_retained(publication, subscription, bench);
            dirty |= flush;
            if offered == Offered::Full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        outbox.replayed(
            match walk {
                Walk::Done => None,
                Walk::Paused(cursor) => Some(cursor),
            },
            bench,
        );
        drop(outbox);
        if dirty {
            bench.owe(session);
        }
    }
}
