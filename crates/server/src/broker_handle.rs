//! What everybody else holds of the Broker: the way to send it a command, and what they may read.
//!
//! Nothing that the Broker owns is changed from here but by a command, and no command is answered by
//! anyone but the Broker's task.

use crate::observer::Log;
use aldis_broker::{Answer, Command, Population, Retained, Routes};
use aldis_session::{Counters, Journal, Limits, Rights};
use aldis_store::Record;
use parking_lot::RwLock;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Where an answer of the Broker goes.
pub(crate) type Reply = oneshot::Sender<Answer>;

/// Commands that may wait for the Broker. Clients wait for a place, and do not read meanwhile.
pub(crate) const COMMANDS: usize = 1024;

/// A command for the Broker's task.
pub(crate) enum ToBroker {
    /// For the state machine.
    Command(Command<Reply>),
    /// New limits.
    Limits(Arc<Limits>),
}

/// What the handle leads to.
pub(crate) struct Shared {
    commands: mpsc::Sender<ToBroker>,
    commands_sent: AtomicU64,
    pub(crate) routes: Arc<Routes>,
    pub(crate) retained: Arc<Retained>,
    pub(crate) population: Arc<Population>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) observer: Arc<Log>,
    pub(crate) rights: Option<Arc<dyn Rights>>,
    // Read at each connect, written by a reload.
    limits: RwLock<Arc<Limits>>,
    memory_watermark: AtomicUsize,
    /// Where the server runs. A publisher from inside may be on another runtime, or on none.
    pub(crate) runtime: Handle,
}

/// A handle on the Broker. Cloning it costs a reference count.
#[derive(Clone)]
pub(crate) struct BrokerHandle(Arc<Shared>);

impl Deref for BrokerHandle {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl BrokerHandle {
    pub(crate) fn new(
        commands: mpsc::Sender<ToBroker>,
        broker: &aldis_broker::Broker<Reply>,
        counters: Arc<Counters>,
        journal: Arc<Journal>,
        observer: Arc<Log>,
        rights: Option<Arc<dyn Rights>>,
        limits: Arc<Limits>,
    ) -> BrokerHandle {
        BrokerHandle(Arc::new(Shared {
            commands,
            commands_sent: AtomicU64::new(0),
            routes: broker.routes(),
            retained: broker.retained(),
            population: broker.population(),
            counters,
            journal,
            observer,
            rights,
            memory_watermark: AtomicUsize::new(limits.memory_watermark),
            limits: RwLock::new(limits),
            runtime: Handle::current(),
        }))
    }

    /// The limits in force.
    pub(crate) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.limits.read())
    }

    /// Puts new limits in force.
    pub(crate) async fn set_limits(&self, limits: Arc<Limits>) {
        self.memory_watermark.store(limits.memory_watermark, Relaxed);
        *self.limits.write() = Arc::clone(&limits);
        self.tell(ToBroker::Limits(limits)).await;
    }

    /// Whether what is held for all clients together is above the watermark.
    pub(crate) fn memory_full(&self) -> bool {
        self.counters.holds_more_than(self.memory_watermark.load(Relaxed))
    }

    /// Whether it is so far above the watermark that what may still take memory there no longer may.
    pub(crate) fn memory_crowded(&self) -> bool {
        let watermark = self.memory_watermark.load(Relaxed);
        self.counters.holds_more_than(watermark.saturating_add(watermark / 4))
    }

    /// A will is not published at all: a start does not do it either.
    pub(crate) fn forget_will(&self, will: u64) {
        if will != 0 && self.journal.keeps() {
            self.journal.append(&Record::WillSent { will });
        }
    }

    /// Whether the Broker has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    /// Sends a command; waits while the Broker has too much to do.
    pub(crate) async fn send(&self, command: Command<Reply>) {
        self.tell(ToBroker::Command(command)).await;
    }

    /// Commands sent since the start.
    pub(crate) fn commands_sent(&self) -> u64 {
        self.commands_sent.load(Relaxed)
    }

    async fn tell(&self, command: ToBroker) {
        self.commands_sent.fetch_add(1, Relaxed);
        // The Broker's task outlives every Client; it can only be gone while the runtime ends.
        let _ = self.commands.send(command).await;
    }

    /// Sends a command and waits for its answer; `None` only while the runtime ends.
    pub(crate) async fn ask(&self, command: impl FnOnce(Reply) -> Command<Reply>) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await;
        answer.await.ok()
    }
}
