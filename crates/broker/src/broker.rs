//! The Broker: the one owner and only writer of sessions, subscriptions, retained messages, shared
//! subscriptions and wills.
//!
//! A pure state machine: [`Broker::handle`] takes in what happened, [`Broker::poll_effect`] says
//! what is to be done about it, [`Broker::poll_timeout`] when it wants to be called without
//! anything having happened. It delivers nothing: messages go from Client to Client along the
//! routes that it writes, and wills are handed to the in-process publisher.

use crate::chore::{Chore, RetainChore};
use crate::command::{Answer, Command, Due, Effect};
use crate::population::{Population, subtract};
use crate::retained::Retained;
use crate::routes::Routes;
use crate::subscribe::SubscribeChore;
use crate::subscription_list::SubscriptionList;
use crate::timers::{Timer, TimerKey, Timers};
use aldis_packet::{ReasonCode, Will};
use aldis_session::{
    Counters, Farewell, Group, Identity, Journal, Limits, Memory, Negotiated, NoObserver, Observer,
    Publication, Session, Stamp, Wire, Workbench,
};
use aldis_store::{Record, Sequence};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Timers handled in one step.
const TIMERS_A_STEP: usize = 16;

/// A will that waits for the connection to end, or for its delay.
pub(crate) struct WillHeld {
    /// Its number in the log; 0 if it is not recorded.
    pub(crate) number: u64,
    pub(crate) will: Will,
    #[expect(dead_code, reason = "it counts for as long as the will is held")]
    pub(crate) memory: Memory,
    pub(crate) identity: Identity,
    pub(crate) timer: Option<TimerKey>,
}

/// A connection that waits for the old one of its client id to let go of the session.
pub(crate) struct Newcomer<R> {
    pub(crate) negotiated: Box<Negotiated>,
    pub(crate) identity: Identity,
    pub(crate) wire: Arc<dyn Wire>,
    /// It has no place among the connections but that of the one it ends.
    pub(crate) take_over_only: bool,
    pub(crate) reply: R,
}

/// What the Broker knows of a session.
pub(crate) struct Entry<R> {
    pub(crate) session: Arc<Session>,
    /// Number of the connection that holds the session.
    pub(crate) connection: Option<u32>,
    pub(crate) newcomer: Option<Box<Newcomer<R>>>,
    pub(crate) subscriptions: SubscriptionList,
    /// While a long SUBSCRIBE or UNSUBSCRIBE is under way: those that come after it, of a later connection.
    #[expect(
        clippy::box_collection,
        reason = "nearly no session ever has one: a pointer for each is enough"
    )]
    pub(crate) subscribing: Option<Box<VecDeque<SubscribeChore<R>>>>,
    pub(crate) session_expiry: u32,
    /// Whether the session outlives its connection, and so is recorded.
    pub(crate) lasting: bool,
    pub(crate) expires: Option<TimerKey>,
    pub(crate) will: Option<Box<WillHeld>>,
    #[expect(dead_code, reason = "the client id counts as held for as long as the session is there")]
    pub(crate) memory: Memory,
}

/// The state that everybody shares and one task owns. `R` is where an answer goes.
pub struct Broker<R> {
    pub(crate) routes: Arc<Routes>,
    pub(crate) retained: Arc<Retained>,
    pub(crate) population: Arc<Population>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) journal: Arc<Journal>,
    /// Sequence of the last record that the command at hand made; 0 is none.
    pub(crate) recorded: Sequence,
    pub(crate) bench: Workbench,
    /// By the number of the session, in which order they are walked through.
    pub(crate) entries: BTreeMap<u64, Box<Entry<R>>>,
    // Never walked through, so that its random order is seen nowhere.
    pub(crate) by_client_id: HashMap<Arc<str>, u64>,
    pub(crate) groups: BTreeMap<Arc<str>, Arc<Group>>,
    pub(crate) timers: Timers,
    /// The timer of each retained topic whose message expires.
    pub(crate) retained_timers: HashMap<Arc<str>, TimerKey>,
    /// A sweep for expired messages is under way.
    pub(crate) sweeping: bool,
    pub(crate) chores: VecDeque<Chore<R>>,
    pub(crate) effects: VecDeque<Effect<R>>,
    pub(crate) due: Vec<Due>,
    pub(crate) asks_for_due: Option<R>,
    pub(crate) numbers: u64,
    pub(crate) shutting_down: bool,
}

impl<R> Broker<R> {
    /// A Broker that owns nothing yet. What it counts goes to `counters`.
    pub fn new(limits: Arc<Limits>, counters: Arc<Counters>, now: Instant) -> Broker<R> {
        Broker {
            routes: Arc::new(Routes::new()),
            retained: Arc::new(Retained::new()),
            population: Arc::default(),
            bench: Workbench::new(Arc::clone(&counters), Arc::new(NoObserver), now),
            journal: Arc::new(Journal::in_memory(now)),
            recorded: 0,
            counters,
            limits,
            entries: BTreeMap::new(),
            by_client_id: HashMap::new(),
            groups: BTreeMap::new(),
            timers: Timers::default(),
            retained_timers: HashMap::new(),
            sweeping: false,
            chores: VecDeque::new(),
            effects: VecDeque::new(),
            due: Vec::new(),
            asks_for_due: None,
            numbers: 0,
            shutting_down: false,
        }
    }

    /// Records what changes in `journal`, instead of keeping it in memory only.
    pub fn recording_in(mut self, journal: Arc<Journal>) -> Broker<R> {
        self.bench = self.bench.recording_in(Arc::clone(&journal));
        self.journal = journal;
        self
    }

    /// Tells `observer` what this Broker's own steps send and refuse.
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Broker<R> {
        self.bench.observer = observer;
        self
    }

    /// The routes, for everybody to read.
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes)
    }

    /// The retained messages, for everybody to read.
    pub fn retained(&self) -> Arc<Retained> {
        Arc::clone(&self.retained)
    }

    /// All sessions, in the order in which they were made.
    pub fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.entries.values().map(|entry| &entry.session)
    }

    /// The sizes of the tables, for everybody to read.
    pub fn population(&self) -> Arc<Population> {
        Arc::clone(&self.population)
    }

    /// Uses new limits for what happens from now on.
    pub fn set_limits(&mut self, limits: Arc<Limits>) {
        self.limits = limits;
    }

    /// Takes in one command at the time `now`.
    pub fn handle(&mut self, command: Command<R>, now: Instant) {
        self.bench.begin(now, false);
        self.recorded = 0;
        match command {
            Command::Connect { negotiated, identity, wire, take_over_only, reply } => {
                self.connect(Newcomer { negotiated, identity, wire, take_over_only, reply });
            }
            Command::Detach { session, connection, ending } => self.detach(session, connection, ending),
            Command::Subscribe { session, subscribing, reply } => {
                self.begin_subscribe(SubscribeChore::subscribe(session, subscribing, reply));
            }
            Command::Unsubscribe { session, unsubscribing, reply } => {
                self.begin_subscribe(SubscribeChore::unsubscribe(session, unsubscribing, reply));
            }
            Command::Retain { publications, reply } => self.retain(RetainChore::new(publications, reply)),
            Command::Sweep => self.begin_sweep(),
            Command::TakeDue { reply } => {
                self.asks_for_due = Some(reply);
                self.hand_out_due();
            }
            Command::Shutdown => self.shut_down(),
        }
        self.bench.finish();
    }

    /// What is to be done; to be asked until there is nothing more.
    pub fn poll_effect(&mut self) -> Option<Effect<R>> {
        self.effects.pop_front()
    }

    /// When [`Broker::step`] is to be called next, if nothing happens before.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        if self.chores.is_empty() { self.timers.next() } else { Some(now) }
    }

    /// Does a bounded piece of what is due at `now`: timers, and one step of a long chore.
    pub fn step(&mut self, now: Instant) {
        self.bench.begin(now, false);
        for _ in 0..TIMERS_A_STEP {
            match self.timers.pop(now) {
                None => break,
                Some(Timer::Session(number)) => self.expire(number),
                Some(Timer::Will(number)) => self.will_is_due(number),
                Some(Timer::Retained(topic)) => {
                    self.retained_timers.remove(&topic);
                    self.retained.expire(&topic, now, &self.journal);
                }
            }
        }
        if let Some(chore) = self.chores.pop_front() {
            self.go_on(chore);
        }
        self.bench.finish();
    }

    pub(crate) fn answer(&mut self, reply: R, answer: Answer) {
        self.effects.push_back(Effect::Answer(reply, answer, self.recorded));
    }

    /// Records a change of a session that outlives its connection; others leave no trace.
    pub(crate) fn record(&mut self, lasting: bool, record: &Record<'_>) {
        if lasting && self.journal.keeps() {
            self.recorded = self.journal.append(record);
        }
    }

    pub(crate) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    // ---- the end of a session ----

    /// The session ends now: offers are refused from here on, its routes go in steps.
    pub(crate) fn end_session(&mut self, number: u64) {
        let Some(mut entry) = self.entries.remove(&number) else { return };
        let session = Arc::clone(&entry.session);
        if entry.will.is_some() {
            self.record(entry.lasting, &Record::WillDue { session: number });
        }
        self.record(entry.lasting, &Record::End { session: number });
        if self.by_client_id.get(&session.client_id) == Some(&number) {
            self.by_client_id.remove(&session.client_id);
        }
        if let Some(key) = entry.expires.take() {
            self.timers.cancel(key);
        }
        if let Some(will) = entry.will.take() {
            self.publish_will(*will);
        }
        for group in session.groups() {
            group.offline(number);
        }
        let remains = session.outbox.lock().end(&mut self.bench);
        self.settle(session, remains);
        subtract(&self.population.sessions);
        self.remove_routes(entry.subscriptions.into_all());
    }

    fn expire(&mut self, number: u64) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        entry.expires = None;
        if entry.connection.is_none() {
            self.population.expired.fetch_add(1, Relaxed);
            self.end_session(number);
        }
    }

    // ---- wills ----

    fn will_is_due(&mut self, number: u64) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let lasting = entry.lasting;
        if let Some(will) = entry.will.take() {
            self.record(lasting, &Record::WillDue { session: number });
            self.publish_will(*will);
        }
    }

    /// Hands a will to the in-process publisher.
    pub(crate) fn publish_will(&mut self, held: WillHeld) {
        if let Some(key) = held.timer {
            self.timers.cancel(key);
        }
        let WillHeld { number, will, identity, .. } = held;
        let now = self.bench.now;
        let publication = Publication {
            topic: Arc::from(will.topic),
            payload: will.payload,
            properties: will.forwarded,
            qos: will.qos,
            retain: will.retain,
            expires_at: (will.message_expiry)
                .and_then(|seconds| now.checked_add(std::time::Duration::from_secs(u64::from(seconds)))),
            publisher: Some(Arc::clone(&identity.client_id)),
            memory: Memory::default(),
            stamp: Stamp::default(),
        };
        let publication = publication.counted(&self.counters);
        self.due.push(Due { number, identity, publication: Arc::new(publication) });
        self.hand_out_due();
    }

    fn hand_out_due(&mut self) {
        if !self.due.is_empty()
            && let Some(reply) = self.asks_for_due.take()
        {
            let due = std::mem::take(&mut self.due);
            self.answer(reply, Answer::Due(due));
        }
    }

    fn shut_down(&mut self) {
        self.shutting_down = true;
        let farewell = Farewell::new(ReasonCode::ServerShuttingDown, "the broker shuts down");
        for entry in self.entries.values() {
            if entry.connection.is_some() {
                entry.session.outbox.lock().ask_to_close(farewell);
            }
        }
    }
}
