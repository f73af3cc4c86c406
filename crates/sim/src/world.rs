//! The run: everybody in it, and the one loop that lets them take steps.
//!
//! Everything lies in cells, because a step may be interrupted: where a pure crate calls out, [`World::meanwhile`]
//! lets others take whole steps before it goes on. Whoever is in the middle of a step is taken out of its place,
//! so nobody finds it half done.

mod calls;
mod commands;
mod connections;
mod crash;
mod end;
mod knowledge;

use crate::agenda::{Actor, Agenda, MILLI, SECOND, Time};
use crate::disk::SimDisk;
use crate::model::client::Client;
use crate::plan::{Feature, Plan};
use crate::random::Random;
use crate::seams::Policy;
use crate::shell::broker_task::BrokerTask;
use crate::shell::client::Task;
use crate::shell::desk;
use crate::shell::keep_alive::Heard;
use crate::shell::publisher::Publisher;
use crate::shell::{Interest, Then};
use crate::store::Store;
use crate::watch::Watch;
use crate::wire::Link;
use aldis_broker::{Answer, Broker, Command, Population, Retained, Routes};
use aldis_session::{Counters, Journal, Limits, Rights, Session, Workbench};
use aldis_store::MemoryLog;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// How deep steps may lie in steps.
const DEPTH: usize = 3;
/// How far ahead those may come that come in between.
const AHEAD: Time = 300;
/// How often queues are looked through for messages that have expired.
const SWEEP: Time = 10 * SECOND;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Draining,
    Ending,
}

/// What everybody sees of the broker, for as long as it lives.
#[derive(Clone)]
pub struct Lights {
    pub routes: Arc<Routes>,
    pub retained: Arc<Retained>,
    pub population: Arc<Population>,
    pub counters: Arc<Counters>,
    pub journal: Arc<Journal>,
}

/// One run.
pub struct World {
    pub plan: Plan,
    pub limits: Arc<Limits>,
    pub rights: Arc<dyn Rights>,
    pub benches: RefCell<Vec<Workbench>>,
    pub parts: RefCell<BTreeMap<usize, Vec<Arc<Session>>>>,
    pub heard: RefCell<BTreeMap<usize, Heard>>,
    /// Connections in the middle of a turn, the innermost last.
    pub turning: RefCell<Vec<usize>>,
    /// Workbenches that are in use.
    pub visits: Cell<usize>,
    pub watch: RefCell<Watch>,
    lights: RefCell<Lights>,
    /// The disk of a broker that keeps its state on one.
    disk: Option<SimDisk>,
    store: RefCell<Option<Store>>,
    /// When the log was whole last, with nothing staged.
    whole_at: Cell<Time>,
    crashes: Cell<usize>,
    start: Instant,
    clock: Cell<Time>,
    agenda: RefCell<Agenda>,
    random: RefCell<Random>,
    interests: RefCell<BTreeMap<Actor, Interest>>,
    broker: RefCell<Option<BrokerTask>>,
    publisher: RefCell<Option<Publisher>>,
    tasks: RefCell<Vec<Option<Box<Task>>>>,
    clients: RefCell<Vec<Option<Box<Client>>>>,
    links: RefCell<Vec<Arc<Link>>>,
    commands: RefCell<VecDeque<Command<u64>>>,
    questions: RefCell<BTreeMap<u64, (Actor, Option<Answer>)>>,
    sessions: RefCell<Vec<Weak<Session>>>,
    attached: RefCell<BTreeMap<(u64, u32), usize>>,
    asked: Cell<u64>,
    handed: Cell<usize>,
    sweeps: Cell<bool>,
    depth: Cell<usize>,
    inner: Cell<u64>,
    phase: Cell<Phase>,
    failed: Cell<bool>,
}

impl World {
    /// A run that has not begun. `start` is what its clock begins with.
    pub fn new(plan: Plan, start: Instant, tells: bool) -> World {
        let limits = Arc::new(plan.limits.clone());
        let disk = plan.store.is_some().then(SimDisk::default);
        let (store, lights, broker) = match &disk {
            None => {
                let log = Arc::new(MemoryLog::default());
                let (lights, broker) = in_memory(&limits, start);
                (None, lights, BrokerTask::new(broker, log))
            }
            Some(disk) => {
                let rights = Arc::new(Policy) as Arc<dyn Rights>;
                let (store, lights, broker, _) =
                    crash::begin(disk, &limits, &rights, 0, start).expect("a store on an empty disk");
                (Some(store), lights, broker)
            }
        };
        let expiries = (limits.session_expiry_default, limits.session_expiry_max);
        let mut watch = Watch::new(expiries, tells);
        watch.ground.retained_is_bounded = limits.retained_messages < usize::MAX
            || limits.retained_bytes < usize::MAX
            || limits.memory_watermark < Limits::default().memory_watermark
            || plan.store.as_ref().is_some_and(|store| store.sync_fails_in < usize::MAX);
        watch.ground.is_stored = disk.is_some();
        let clients = plan.personas.iter().enumerate().map(|(number, persona)| {
            let is_there = !plan.cut.clients.contains(&number);
            is_there.then(|| Box::new(Client::new(number, persona.clone(), plan.seed)))
        });
        World {
            limits,
            rights: Arc::new(Policy),
            lights: RefCell::new(lights),
            disk,
            store: RefCell::new(store),
            whole_at: Cell::new(0),
            crashes: Cell::new(0),
            start,
            clock: Cell::new(0),
            agenda: RefCell::default(),
            random: RefCell::new(Random::new(plan.seed, 2 + 500_000 * plan.cut.schedule)),
            interests: RefCell::default(),
            clients: RefCell::new(clients.collect()),
            broker: RefCell::new(Some(broker)),
            publisher: RefCell::new(Some(Publisher::default())),
            tasks: RefCell::default(),
            links: RefCell::default(),
            commands: RefCell::default(),
            questions: RefCell::default(),
            sessions: RefCell::default(),
            attached: RefCell::default(),
            benches: RefCell::default(),
            parts: RefCell::default(),
            heard: RefCell::default(),
            turning: RefCell::default(),
            visits: Cell::new(0),
            watch: RefCell::new(watch),
            asked: Cell::new(0),
            handed: Cell::new(0),
            sweeps: Cell::new(false),
            depth: Cell::new(0),
            inner: Cell::new(0),
            phase: Cell::new(Phase::Running),
            failed: Cell::new(false),
            plan,
        }
    }

    /// Runs until something is wrong, or until the steps of the plan are taken and all has come to its end.
    pub fn run(&self) {
        self.call(Actor::Broker, 0);
        self.call(Actor::Publisher, 1);
        self.call(Actor::Sweep, SWEEP);
        if self.plan.has(Feature::Standstills) {
            self.call(Actor::Standstill, 3 * MILLI);
        }
        let count = self.clients.borrow().len();
        for number in 0..count {
            let at = self.random.borrow_mut().between(0, 2 * MILLI);
            self.call(Actor::Client(number), at);
        }
        while self.step() < self.plan.steps && self.one(Time::MAX) {
            self.calm();
            self.crash_perhaps();
        }
        self.crash_at_last();
        self.drain();
    }

    fn step(&self) -> usize {
        self.watch.borrow().step
    }

    /// One step of whoever comes next, at `limit` at the latest; false if nobody does, or something is wrong.
    fn one(&self, limit: Time) -> bool {
        if self.failed.get() {
            return false;
        }
        let Some((at, actor)) = self.agenda.borrow_mut().next(limit) else { return false };
        self.clock.set(self.clock.get().max(at));
        {
            let mut watch = self.watch.borrow_mut();
            watch.step += 1;
            watch.ground.now = self.clock.get();
        }
        self.interests.borrow_mut().remove(&actor);
        let then = self.act(actor);
        self.call_committer();
        if self.agenda.borrow_mut().done(actor) {
            self.call_soon(actor);
        }
        match then {
            Then::Again => self.call_soon(actor),
            Then::Over => {}
            Then::Sleep(interest) => {
                self.interests.borrow_mut().insert(actor, interest);
                if self.is_ready(actor, &interest) {
                    self.call_soon(actor);
                } else if let Some(until) = interest.until {
                    self.call(actor, until.max(self.now()));
                }
            }
        }
        !self.failed.get()
    }

    fn act(&self, actor: Actor) -> Then {
        match actor {
            Actor::Broker => {
                let taken = self.broker.borrow_mut().take();
                let Some(mut broker) = taken else { return Then::Over };
                let then = broker.step(self);
                *self.broker.borrow_mut() = Some(broker);
                then
            }
            Actor::Publisher => {
                let taken = self.publisher.borrow_mut().take();
                let Some(mut publisher) = taken else { return Then::Over };
                let then = publisher.step(self);
                *self.publisher.borrow_mut() = Some(publisher);
                then
            }
            Actor::Task(number) => {
                let taken = self.tasks.borrow_mut()[number].take();
                let Some(mut task) = taken else { return Then::Over };
                let then = task.step(self);
                if !matches!(then, Then::Over) {
                    self.tasks.borrow_mut()[number] = Some(task);
                }
                self.call_client(number);
                then
            }
            Actor::Client(number) => {
                let taken = self.clients.borrow_mut()[number].take();
                let Some(mut client) = taken else { return Then::Over };
                let until = client.step(self);
                self.clients.borrow_mut()[number] = Some(client);
                Then::Sleep(Interest { until, ..Interest::default() })
            }
            Actor::Part(number) => {
                desk::write_part(self, number);
                Then::Over
            }
            Actor::KeepAlive(number) => {
                let until = self.look_for_silence(number);
                Then::Sleep(Interest { until, ..Interest::default() })
            }
            Actor::Sweep => {
                if !self.is_draining() {
                    self.call_after(Actor::Sweep, SWEEP);
                }
                self.sweeps.set(self.counters().queued_bytes.load(Relaxed) > 0);
                self.call_soon(Actor::Broker);
                Then::Over
            }
            Actor::Standstill => {
                self.stand_still();
                Then::Over
            }
            Actor::Commit => {
                self.commit();
                Then::Over
            }
            Actor::Release => {
                self.release_committed();
                Then::Over
            }
        }
    }

    fn stand_still(&self) {
        if self.is_draining() {
            return;
        }
        let (pause, next) = {
            let mut random = self.random.borrow_mut();
            let longest = if random.one_in(6) { 20 * SECOND } else { 2 * SECOND };
            (random.between(100 * MILLI, longest), random.between(MILLI, 8 * MILLI))
        };
        self.clock.set(self.now() + pause);
        self.tell(|| format!("nothing happens for {:.1} s", pause as f64 / SECOND as f64));
        self.call_after(Actor::Standstill, next);
    }

    /// Others may take steps here, in the middle of somebody's step.
    pub fn meanwhile(&self) {
        if self.depth.get() >= DEPTH || self.plan.meanwhile_in == 0 || self.failed.get() {
            return;
        }
        let count = {
            let mut random = self.random.borrow_mut();
            if !random.one_in(self.plan.meanwhile_in) {
                return;
            }
            // Now and then enough for a whole exchange with the Broker.
            if random.one_in(4) { 1 + random.below(32) } else { 1 + random.below(4) }
        };
        self.depth.set(self.depth.get() + 1);
        for _ in 0..count {
            if !self.one(self.now() + AHEAD) {
                break;
            }
            self.count("a step in the middle of another");
        }
        self.depth.set(self.depth.get() - 1);
    }
}

/// A broker that keeps its state in memory.
fn in_memory(limits: &Arc<Limits>, start: Instant) -> (Lights, Broker<u64>) {
    let counters = Arc::new(Counters::default());
    let broker = Broker::new(Arc::clone(limits), Arc::clone(&counters), start);
    let journal = Arc::new(Journal::in_memory(start));
    (lights(&broker, counters, journal), broker)
}

fn lights(broker: &Broker<u64>, counters: Arc<Counters>, journal: Arc<Journal>) -> Lights {
    Lights {
        routes: broker.routes(),
        retained: broker.retained(),
        population: broker.population(),
        counters,
        journal,
    }
}
