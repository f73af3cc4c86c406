//! The run: everybody in it, and the one loop that lets them take steps.
//!
//! Everything lies in cells, because a step may be interrupted: where a pure crate calls out, [`World::meanwhile`]
//! lets others take whole steps before it goes on. Whoever is in the middle of a step is taken out of its place,
//! so nobody finds it half done.

use crate::agenda::{Actor, Agenda, MILLI, SECOND, Time};
use crate::ground::{Conn, Message};
use crate::model::client::Client;
use crate::plan::{Feature, Plan};
use crate::probe;
use crate::random::Random;
use crate::seams::Policy;
use crate::shell::broker_task::BrokerTask;
use crate::shell::client::Task;
use crate::shell::desk;
use crate::shell::keep_alive::Heard;
use crate::shell::publisher::Publisher;
use crate::shell::{Interest, Then};
use crate::tap::Way;
use crate::watch::{Fact, Figures, Watch};
use crate::wire::{Link, Wrote};
use aldis_broker::{Answer, Broker, Command, Connected, Population, Retained, Routes};
use aldis_packet::Publish;
use aldis_session::{Counters, Limits, Rights, Session, Workbench};
use aldis_store::MemoryLog;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

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

/// One run.
pub struct World {
    pub plan: Plan,
    pub limits: Arc<Limits>,
    pub rights: Arc<dyn Rights>,
    pub routes: Arc<Routes>,
    pub retained: Arc<Retained>,
    pub benches: RefCell<Vec<Workbench>>,
    pub parts: RefCell<BTreeMap<usize, Vec<Arc<Session>>>>,
    pub heard: RefCell<BTreeMap<usize, Heard>>,
    /// Connections in the middle of a turn, the innermost last.
    pub turning: RefCell<Vec<usize>>,
    /// Workbenches that are in use.
    pub visits: Cell<usize>,
    pub watch: RefCell<Watch>,
    population: Arc<Population>,
    counters: Arc<Counters>,
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
        let counters = Arc::new(Counters::default());
        let limits = Arc::new(plan.limits.clone());
        let log = Arc::new(MemoryLog::default());
        let broker = Broker::new(Arc::clone(&limits), Arc::clone(&counters), start)
            .recording_to(Arc::clone(&log) as Arc<dyn aldis_store::Log>);
        let expiries = (limits.session_expiry_default, limits.session_expiry_max);
        let mut watch = Watch::new(expiries, tells);
        watch.ground.retained_is_bounded = limits.retained_messages < usize::MAX
            || limits.retained_bytes < usize::MAX
            || limits.memory_watermark < Limits::default().memory_watermark;
        let clients = plan.personas.iter().enumerate().map(|(number, persona)| {
            let is_there = !plan.cut.clients.contains(&number);
            is_there.then(|| Box::new(Client::new(number, persona.clone(), plan.seed)))
        });
        World {
            limits,
            rights: Arc::new(Policy),
            routes: broker.routes(),
            retained: broker.retained(),
            population: broker.population(),
            counters,
            start,
            clock: Cell::new(0),
            agenda: RefCell::default(),
            random: RefCell::new(Random::new(plan.seed, 2 + 500_000 * plan.cut.schedule)),
            interests: RefCell::default(),
            clients: RefCell::new(clients.collect()),
            broker: RefCell::new(Some(BrokerTask::new(broker, log))),
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

    // ---- the loop ----

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
        }
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
                self.sweeps.set(self.counters.queued_bytes.load(Relaxed) > 0);
                self.call_soon(Actor::Broker);
                Then::Over
            }
            Actor::Standstill => {
                self.stand_still();
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

    // ---- the end ----

    fn drain(&self) {
        self.phase.set(Phase::Draining);
        self.call_clients();
        self.come_to_rest();
        self.look(|figures| Fact::Rest(figures));
        self.phase.set(Phase::Ending);
        self.leave();
        self.settle(Time::MAX);
        self.probe();
        self.leave();
        self.settle(Time::MAX);
        self.benches.borrow_mut().clear();
        self.look(|figures| Fact::End(figures));
    }

    /// Everybody who is there ends its session.
    fn leave(&self) {
        let count = self.clients.borrow().len();
        for number in 0..count {
            let taken = self.clients.borrow_mut()[number].take();
            let Some(mut client) = taken else { continue };
            client.leave(self);
            self.clients.borrow_mut()[number] = Some(client);
        }
    }

    fn call_clients(&self) {
        let count = self.clients.borrow().len();
        for number in 0..count {
            self.call_soon(Actor::Client(number));
        }
    }

    /// Lets everybody read and acknowledge until nothing more comes.
    fn come_to_rest(&self) {
        self.settle(2 * SECOND);
        // Whoever was ended meanwhile comes back once more.
        self.call_clients();
        self.settle(2 * SECOND);
    }

    /// Goes on for as long as somebody comes within `patience`.
    fn settle(&self, patience: Time) {
        for _ in 0..100_000 {
            if !self.one(self.now().saturating_add(patience)) {
                return;
            }
        }
        self.fail("rest", "the broker never comes to rest".to_owned());
    }

    /// Somebody new asks for everything that is retained, and takes it away.
    fn probe(&self) {
        if self.failed.get() {
            return;
        }
        let number = self.clients.borrow().len();
        let mut probe = Box::new(probe::new(number, self.plan.seed));
        self.watch.borrow_mut().ground.probe = Some(number);
        self.clients.borrow_mut().push(None);
        for round in 0..3 {
            let goes_on = probe::round(&mut probe, round, self);
            self.clients.borrow_mut()[number] = Some(probe);
            self.call_soon(Actor::Client(number));
            self.settle(2 * SECOND);
            if !goes_on || self.failed.get() {
                return;
            }
            let taken = self.clients.borrow_mut()[number].take();
            let Some(client) = taken else { return };
            probe = client;
        }
    }

    // ---- who is called ----

    /// Now.
    pub fn now(&self) -> Time {
        self.clock.get()
    }

    /// Now, as the pure crates have it.
    pub fn instant(&self) -> Instant {
        self.start + Duration::from_micros(self.now())
    }

    /// When that is.
    pub fn time_of(&self, at: Instant) -> Time {
        let since = at.saturating_duration_since(self.start);
        // Rounded up: whoever is called is not called too early.
        u64::try_from(since.as_nanos().div_ceil(1_000)).unwrap_or(Time::MAX)
    }

    /// Lets an actor take a step at `at`.
    pub fn call(&self, actor: Actor, at: Time) {
        self.agenda.borrow_mut().call(actor, at);
    }

    fn call_after(&self, actor: Actor, pause: Time) {
        // In the middle of its own step it could not be called.
        self.agenda.borrow_mut().done(actor);
        self.call(actor, self.now() + pause);
    }

    fn call_soon(&self, actor: Actor) {
        let delay = {
            let mut random = self.random.borrow_mut();
            if random.one_in(12) { random.between(200, 2_000) } else { random.between(1, 60) }
        };
        self.call(actor, self.now() + delay);
    }

    fn is_ready(&self, actor: Actor, interest: &Interest) -> bool {
        let answered = interest.answer.is_some_and(|reply| {
            self.questions.borrow().get(&reply).is_some_and(|(_, answer)| answer.is_some())
        });
        let placed = interest.place && self.commands.borrow().len() < self.plan.commands;
        let of_link = match actor {
            Actor::Task(number) => {
                let link = Arc::clone(&self.links.borrow()[number]);
                (interest.bell && link.is_rung())
                    || (interest.readable && link.is_readable())
                    || (interest.writable && link.is_writable())
            }
            _ => false,
        };
        answered || placed || of_link
    }

    fn call_if_ready(&self, actor: Actor) {
        let interest = self.interests.borrow().get(&actor).copied();
        if interest.is_some_and(|interest| self.is_ready(actor, &interest)) {
            self.call_soon(actor);
        }
    }

    /// Something about a connection has changed that its Client may wait for.
    pub fn nudge(&self, number: usize) {
        self.call_if_ready(Actor::Task(number));
    }

    /// Rings the bell of a connection.
    pub fn ring(&self, number: usize) {
        let link = Arc::clone(&self.links.borrow()[number]);
        aldis_session::Wire::wake(&*link);
    }

    /// At the end a client comes when there is something to read.
    fn call_client(&self, number: usize) {
        if !self.is_draining() {
            return;
        }
        let client = self.watch.borrow().ground.conns[number].client;
        let link = Arc::clone(&self.links.borrow()[number]);
        if link.unread() > 0 || link.has_ended() {
            self.call_soon(Actor::Client(client));
        }
    }

    // ---- what the Broker is told, and answers ----

    /// Gives a command to the Broker, or gives it back if there is no place.
    ///
    /// # Errors
    /// As many commands wait as may.
    pub fn send(&self, command: Command<u64>) -> Result<(), Command<u64>> {
        if self.commands.borrow().len() >= self.plan.commands {
            self.count("a command waited for a place");
            return Err(command);
        }
        self.commands.borrow_mut().push_back(command);
        self.call_soon(Actor::Broker);
        Ok(())
    }

    /// Takes a command.
    pub fn take_command(&self) -> Option<Command<u64>> {
        let command = self.commands.borrow_mut().pop_front()?;
        let waiting: Vec<Actor> = self
            .interests
            .borrow()
            .iter()
            .filter(|(_, interest)| interest.place)
            .map(|(actor, _)| *actor)
            .collect();
        for actor in waiting {
            self.call_if_ready(actor);
        }
        Some(command)
    }

    /// Whether commands wait.
    pub fn has_commands(&self) -> bool {
        !self.commands.borrow().is_empty()
    }

    /// Whether it is time for a sweep.
    pub fn take_sweep(&self) -> bool {
        self.sweeps.replace(false)
    }

    /// A number for an answer to `asker`.
    pub fn question(&self, asker: Actor) -> u64 {
        self.asked.set(self.asked.get() + 1);
        self.questions.borrow_mut().insert(self.asked.get(), (asker, None));
        self.asked.get()
    }

    /// Who waits for an answer.
    pub fn asker(&self, reply: u64) -> Option<Actor> {
        self.questions.borrow().get(&reply).map(|(actor, _)| *actor)
    }

    /// The answer, if it has come.
    pub fn answer(&self, reply: u64) -> Option<Answer> {
        let mut questions = self.questions.borrow_mut();
        let answer = questions.get_mut(&reply)?.1.take()?;
        questions.remove(&reply);
        Some(answer)
    }

    /// Answers.
    ///
    /// # Errors
    /// Nobody waits for it any more.
    pub fn give(&self, reply: u64, answer: Answer) -> Result<(), Answer> {
        let Some(actor) = self.asker(reply) else { return Err(answer) };
        if let Some((_, place)) = self.questions.borrow_mut().get_mut(&reply) {
            *place = Some(answer);
        }
        self.call_if_ready(actor);
        Ok(())
    }

    /// A connection gets its session.
    pub fn attached(&self, number: usize, connected: &Connected) {
        self.sessions.borrow_mut().push(Arc::downgrade(&connected.session));
        self.attached.borrow_mut().insert((connected.session.number, connected.connection), number);
        let mut watch = self.watch.borrow_mut();
        watch.ground.now = self.now();
        watch.ground.attach(number, connected.session_present);
        watch.tell(|ground| {
            let what = if connected.session_present { "its session" } else { "a new session" };
            format!("the Broker gives {} #{number} {what}", ground.name(ground.conns[number].client))
        });
        watch.see(&Fact::Attached { conn: number });
        self.note(&watch);
    }

    /// A connection has let go of its session.
    pub fn detached(&self, session: u64, connection: u32) {
        let number = self.attached.borrow_mut().remove(&(session, connection));
        let Some(number) = number else { return };
        let mut watch = self.watch.borrow_mut();
        let now = self.now();
        watch.ground.conns[number].detached = Some(now);
        watch.ground.tick();
        watch.tell(|ground| {
            format!("the Broker hears that {} #{number} is gone", ground.name(ground.conns[number].client))
        });
        watch.see(&Fact::Detached { conn: number });
        self.note(&watch);
    }

    // ---- connections ----

    /// A client opens a connection with so much room on the way to it.
    pub fn open(&self, client: usize, room: usize) -> Arc<Link> {
        let number = self.links.borrow().len();
        let link = Arc::new(Link::new(number, room));
        self.links.borrow_mut().push(Arc::clone(&link));
        self.tasks.borrow_mut().push(Some(Box::new(Task::new(Arc::clone(&link), self.now()))));
        self.watch.borrow_mut().ground.conns.push(Conn::new(client));
        self.call_soon(Actor::Task(number));
        link
    }

    /// Bytes that one read of the broker asks for.
    pub fn read_size(&self) -> usize {
        let mut random = self.random.borrow_mut();
        if random.one_in(5) { 1 + random.below(30) } else { 100_000 }
    }

    /// The broker has read bytes.
    pub fn read(&self, number: usize, bytes: &[u8]) {
        let mut watch = self.watch.borrow_mut();
        watch.tap(number, Way::Up, bytes);
        self.note(&watch);
    }

    /// The turn at hand begins to handle its next packet.
    pub fn handles(&self) {
        let number = self.turning.borrow().last().copied();
        let Some(number) = number else { return };
        let mut watch = self.watch.borrow_mut();
        watch.handles(number);
        self.note(&watch);
    }

    /// The broker has written bytes.
    pub fn wrote(&self, number: usize, wrote: Wrote, bytes: &[u8]) {
        match wrote {
            Wrote::All => {}
            Wrote::Part => self.count("a part of a write was taken"),
            Wrote::Nothing => self.count("a socket was full"),
            Wrote::Failed => self.count("a write failed"),
        }
        {
            let mut watch = self.watch.borrow_mut();
            watch.tap(number, Way::Down, bytes);
            if !watch.ground.conns[number].down.is_empty() {
                watch.census.count("half a frame written");
            }
            self.note(&watch);
        }
        self.call_client(number);
    }

    /// Somebody begins to write to a connection.
    pub fn watch_writer(&self, number: usize, alone: bool) {
        let mut watch = self.watch.borrow_mut();
        watch.see(&Fact::Writes { conn: number, alone });
        self.note(&watch);
    }

    /// The broker asks where a message of this connection goes.
    pub fn routes(&self, number: usize) {
        let mut watch = self.watch.borrow_mut();
        watch.ground.tick();
        watch.tell(|_| format!("#{number} asks for a route"));
        watch.see(&Fact::Routes { conn: number });
        self.note(&watch);
    }

    /// Gives Outboxes away to be written.
    pub fn hand_part(&self, dirty: Vec<Arc<Session>>) {
        let number = self.handed.get();
        self.handed.set(number + 1);
        self.parts.borrow_mut().insert(number, dirty);
        self.count("writes were given away");
        self.call_soon(desk::part(number));
    }

    // ---- what is known ----

    /// How many there are of what the Broker owns.
    pub fn population(&self) -> Arc<Population> {
        Arc::clone(&self.population)
    }

    /// The totals.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Whether what is held for all is above the watermark.
    pub fn memory_full(&self) -> bool {
        self.counters.holds_more_than(self.limits.memory_watermark)
    }

    /// Whether everybody only reads and acknowledges.
    pub fn is_draining(&self) -> bool {
        self.phase.get() != Phase::Running
    }

    /// Whether nobody comes back.
    pub fn is_ending(&self) -> bool {
        self.phase.get() == Phase::Ending
    }

    fn note(&self, watch: &Watch) {
        self.failed.set(watch.failure.is_some());
    }

    /// Something is wrong.
    pub fn fail(&self, checker: &'static str, what: String) {
        let mut watch = self.watch.borrow_mut();
        watch.fail(checker, what);
        self.note(&watch);
    }

    /// It happened once more.
    pub fn count(&self, kind: &'static str) {
        self.watch.borrow_mut().census.count(kind);
    }

    /// Whether somebody is in the middle of a replay of retained messages.
    pub fn is_replaying(&self) -> bool {
        let sessions = self.sessions.borrow();
        sessions.iter().filter_map(Weak::upgrade).any(|session| session.outbox.lock().waiting_replays() > 0)
    }

    /// Adds a line to the story.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let mut watch = self.watch.borrow_mut();
        watch.ground.now = self.now();
        watch.tell(|_| line());
    }

    /// A client is going to publish this.
    pub fn new_message(&self, message: Message) -> usize {
        let messages = &mut self.watch.borrow_mut().ground.messages;
        messages.push(message);
        messages.len() - 1
    }

    /// The message with this number.
    pub fn message(&self, number: usize) -> Message {
        self.watch.borrow().ground.messages[number].clone()
    }

    /// The next message without a payload on this connection is that one.
    pub fn sends_empty(&self, number: usize, message: usize) {
        self.watch.borrow_mut().ground.conns[number].empties.push_back(message);
    }

    /// Topics that may have a retained message.
    pub fn retained_topics(&self) -> std::collections::BTreeSet<String> {
        let watch = self.watch.borrow();
        let retained = watch.ground.messages.iter().filter(|message| message.retain);
        retained.map(|message| message.topic.clone()).collect()
    }

    /// The newest life of a client's session.
    pub fn life_of(&self, client: usize) -> usize {
        self.watch.borrow().ground.life_of.get(&client).copied().unwrap_or(usize::MAX)
    }

    /// The application of a client gets a message.
    pub fn taken(&self, client: usize, life: usize, publish: &Publish<'_>, topic: String) {
        let mut watch = self.watch.borrow_mut();
        let published = crate::ground::Published {
            message: watch.ground.message_in(publish.payload),
            topic,
            qos: publish.qos.value(),
            id: publish.packet_id.map_or(0, |id| id.get()),
            dup: publish.dup,
            retain: publish.retain,
            is_repeat: false,
        };
        watch.see(&Fact::Taken { client, life, publish: &published });
        self.note(&watch);
    }

    /// A will is handed to the publisher.
    pub fn will_is_due(&self, payload: &[u8]) {
        let mut watch = self.watch.borrow_mut();
        let Some(message) = watch.ground.message_in(payload) else { return };
        let moment = watch.ground.tick();
        watch.ground.messages[message].read_at = Some(moment);
        watch.tell(|ground| {
            format!(
                "the will of {} is due (message {message})",
                ground.name(ground.messages[message].publisher)
            )
        });
        watch.see(&Fact::WillDue { message });
        self.note(&watch);
    }

    /// A will was offered.
    pub fn will_is_routed(&self, payload: &[u8]) {
        let mut watch = self.watch.borrow_mut();
        let Some(message) = watch.ground.message_in(payload) else { return };
        let moment = watch.ground.tick();
        watch.ground.messages[message].answered_at = Some(moment);
        watch.see(&Fact::WillRouted { message });
        self.note(&watch);
    }

    /// A publication from inside.
    pub fn inner_publication(&self) {
        self.inner.set(self.inner.get() + 1);
    }

    // ---- looking on ----

    fn calm(&self) {
        self.look(|figures| Fact::Calm(figures));
    }

    fn look(&self, fact: impl for<'a> Fn(&'a Figures<'a>) -> Fact<'a>) {
        if self.failed.get() {
            return;
        }
        self.sessions.borrow_mut().retain(|session| session.strong_count() > 0);
        let mut sessions: Vec<Arc<Session>> =
            self.sessions.borrow().iter().filter_map(Weak::upgrade).collect();
        sessions.sort_by_key(|session| session.number);
        sessions.dedup_by_key(|session| session.number);
        let is_due = self
            .broker
            .borrow()
            .as_ref()
            .is_some_and(|task| task.broker.poll_timeout(self.instant()).is_some());
        let at_work = self.publisher.borrow().as_ref().is_some_and(Publisher::is_at_work);
        let figures = Figures {
            counters: &self.counters,
            limits: &self.limits,
            sessions: &sessions,
            population: &self.population,
            routes: &self.routes,
            retained: &self.retained,
            held: usize::from(at_work),
            inner: self.inner.get(),
            is_due,
        };
        let mut watch = self.watch.borrow_mut();
        watch.see(&fact(&figures));
        self.note(&watch);
    }
}
