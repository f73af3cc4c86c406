//! A broker that keeps its state on a disk: it commits, crashes, and is there again.

use super::{Lights, World, lights};
use crate::agenda::{Actor, MILLI, SECOND, Time};
use crate::disk::{Loss, SimDisk};
use crate::seams::Policy;
use crate::shell::broker_task::BrokerTask;
use crate::shell::desk::at_desk;
use crate::shell::publisher::Publisher;
use crate::store::{self, Found, Store};
use crate::watch::Fact;
use aldis_broker::{Bodies, Broker};
use aldis_packet::ReasonCode;
use aldis_session::{Counters, Farewell, Limits, Rights, Session};
use aldis_store::{Condition, Cut, Log, OpenError, Record};
use std::sync::Arc;
use std::time::Instant;

/// What a life of the broker begins with.
type Life = (Store, Lights, BrokerTask, Option<Cut>);

/// Begins a life of the broker with what is on the disk.
pub(super) fn begin(
    disk: &SimDisk,
    limits: &Arc<Limits>,
    rights: &Arc<dyn Rights>,
    now: Time,
    instant: Instant,
) -> Result<Life, OpenError> {
    let Found { store, fold, bodies, cut } = store::open(disk, limits.queue_head())?;
    let journal = Arc::new(store::journal(&store, &fold, now, instant));
    let counters = Arc::new(Counters::default());
    let broker = Broker::new(Arc::clone(limits), Arc::clone(&counters), instant);
    let mut broker = broker.recording_in(Arc::clone(&journal));
    let puts = bodies.iter().filter_map(|record| store::put(record));
    let bodies: Bodies =
        puts.map(|put| (put.message, Arc::new(journal.publication(&put).counted(&counters)))).collect();
    broker.restore(&fold, &bodies, Some(rights), instant);
    let lights = lights(&broker, counters, journal);
    let log = Arc::clone(&store.stage) as Arc<dyn Log>;
    Ok((store, lights, BrokerTask::new(broker, log), cut))
}

/// Whose session it is, and its number.
fn known(session: &Arc<Session>) -> Option<(usize, u64)> {
    let client = session.client_id.strip_prefix('c')?.parse().ok()?;
    Some((client, session.number))
}

impl World {
    /// The committer comes when something is staged.
    pub(super) fn call_committer(&self) {
        let is_staged = self
            .store
            .borrow()
            .as_ref()
            .is_some_and(|store| store.stage.waiting() > 0 || store.stage.is_asked());
        if is_staged {
            let delay = {
                let mut random = self.random.borrow_mut();
                if random.one_in(4) { random.between(200, 20 * MILLI) } else { random.between(1, 300) }
            };
            self.call(Actor::Commit, self.now() + delay);
        }
    }

    /// One commit.
    pub(super) fn commit(&self) {
        let taken = self.store.borrow_mut().take();
        let Some(mut store) = taken else { return };
        if store.stage.condition() == Condition::Failed {
            *self.store.borrow_mut() = Some(store);
            return;
        }
        let fails_in = self.plan.store.as_ref().map_or(usize::MAX, |store| store.sync_fails_in);
        if !self.is_draining() && self.random.borrow_mut().one_in(fails_in) {
            self.count("a sync failed");
            self.disk.iter().for_each(SimDisk::fail_next_sync);
        }
        let committed = store.commit(self.now());
        if committed.is_err() && !self.disk.as_ref().is_some_and(SimDisk::has_no_power) {
            self.tell(|| "the disk cannot sync".to_owned());
        }
        if committed.as_ref().is_ok_and(|wrote| *wrote) {
            self.count("a checkpoint was written");
        }
        let stage = Arc::clone(&store.stage);
        *self.store.borrow_mut() = Some(store);
        if stage.waiting() == 0 && committed.is_ok() {
            self.whole_at.set(self.now());
        }
        self.call_soon(Actor::Release);
        self.call_soon(Actor::Broker);
    }

    /// Whoever waited for a commit goes on.
    pub(super) fn release_committed(&self) {
        let journal = Arc::clone(&self.lights().journal);
        while let Some(session) = journal.released() {
            at_desk(self, |bench| session.committed(bench));
        }
        while let Some((session, found)) = journal.found() {
            self.count("what waited on disk was read");
            at_desk(self, |bench| session.found(&found, bench));
        }
        if journal.condition() == Condition::Failed {
            let farewell = Farewell::new(ReasonCode::ImplementationSpecificError, "the store has failed");
            while let Some(session) = journal.abandoned() {
                let mut outbox = session.outbox.lock();
                if outbox.has_parked() {
                    outbox.ask_to_close(farewell);
                }
            }
        }
    }

    /// A will is not published at all.
    pub fn forget_will(&self, will: u64) {
        let journal = Arc::clone(&self.lights().journal);
        if will != 0 && journal.keeps() {
            journal.append(&Record::WillSent { will });
        }
    }

    /// The broker crashes here, if it is time; or the power goes in the middle of something soon.
    pub(super) fn crash_perhaps(&self) {
        let (Some(disk), Some(plan)) = (&self.disk, &self.plan.store) else { return };
        if self.failed.get() {
            return;
        }
        if disk.has_no_power() {
            self.count("a crash in the middle of a commit");
            return self.crash();
        }
        let has_failed = self.lights().journal.condition() == Condition::Failed;
        let crash_in = if has_failed { 30 } else { plan.crash_in };
        let is_time =
            (has_failed || self.crashes.get() < plan.crashes) && self.random.borrow_mut().one_in(crash_in);
        if !is_time {
            return;
        }
        let (at_once, after) = {
            let mut random = self.random.borrow_mut();
            (has_failed || random.one_in(2), random.below(12) as u64)
        };
        if at_once {
            self.crash();
        } else {
            disk.plan_loss(Some(after));
        }
    }

    /// Before everybody comes to an end a store that failed, or has no power, is there again.
    pub(super) fn crash_at_last(&self) {
        let Some(disk) = &self.disk else { return };
        let has_failed = self.lights().journal.condition() == Condition::Failed;
        disk.plan_loss(None);
        if has_failed && !self.failed.get() {
            self.crash();
        }
    }

    /// The broker is gone; some time later it is there again.
    fn crash(&self) {
        let Some(disk) = &self.disk else { return };
        self.crashes.set(self.crashes.get() + 1);
        self.count("the broker crashed");
        self.tell(|| "the broker crashes".to_owned());
        self.look(|figures| Fact::Crashes(figures));
        self.watch.borrow_mut().close_census(&self.counters(), &self.population());
        let (loss, pause) = {
            let mut random = self.random.borrow_mut();
            let pause = if random.one_in(3) { random.between(0, 4 * SECOND) } else { 0 };
            (random.pick(&[Loss::None, Loss::All, Loss::Some, Loss::Some]), pause)
        };
        for link in self.links.borrow().iter() {
            link.crash(self.random.borrow_mut().one_in(2));
        }
        self.tasks.borrow_mut().iter_mut().for_each(|task| *task = None);
        self.forget();
        // Nobody comes in between: there is nobody.
        let depth = self.depth.replace(usize::MAX);
        self.clock.set(self.now() + pause);
        let life = self.recover(disk, loss);
        self.depth.set(depth);
        let (store, lights, broker, cut) = life;
        if cut.is_some() {
            self.count("the end of a log was cut");
        }
        self.sessions.borrow_mut().extend(broker.broker.sessions().map(Arc::downgrade));
        let found: Vec<(usize, u64)> = broker.broker.sessions().filter_map(known).collect();
        *self.store.borrow_mut() = Some(store);
        *self.lights.borrow_mut() = lights;
        *self.broker.borrow_mut() = Some(broker);
        *self.publisher.borrow_mut() = Some(Publisher::default());
        {
            let mut watch = self.watch.borrow_mut();
            watch.ground.now = self.now();
            watch.ground.crash(self.whole_at.get());
            for (client, session) in found {
                // One that was made and not answered for.
                watch.ground.finds(client, session);
            }
        }
        self.tell(|| "the broker is there again".to_owned());
        self.call(Actor::Broker, self.now());
        self.call(Actor::Publisher, self.now() + 1);
        self.call_clients();
    }

    /// Drops all that was in the broker's memory.
    fn forget(&self) {
        *self.broker.borrow_mut() = None;
        *self.publisher.borrow_mut() = None;
        *self.store.borrow_mut() = None;
        self.parts.borrow_mut().clear();
        self.commands.borrow_mut().clear();
        self.questions.borrow_mut().clear();
        self.heard.borrow_mut().clear();
        self.attached.borrow_mut().clear();
        self.sessions.borrow_mut().clear();
        self.turning.borrow_mut().clear();
        self.benches.borrow_mut().clear();
        self.interests.borrow_mut().retain(|actor, _| matches!(actor, Actor::Client(_)));
        self.inner.set(0);
        self.sweeps.set(false);
    }

    /// Starts the broker until it is there, whatever happens meanwhile.
    fn recover(&self, disk: &SimDisk, loss: Loss) -> Life {
        let mut loss = loss;
        loop {
            let mut random = self.random.borrow_mut();
            disk.lose(loss, &mut random);
            let dies = random.one_in(3);
            disk.plan_loss(dies.then(|| random.below(25) as u64));
            loss = random.pick(&[Loss::None, Loss::All, Loss::Some]);
            drop(random);
            let rights = Arc::new(Policy) as Arc<dyn Rights>;
            match begin(disk, &self.limits, &rights, self.now(), self.instant()) {
                Ok(life) if !disk.has_no_power() => {
                    disk.plan_loss(None);
                    return life;
                }
                Ok(_) => self.count("a crash during recovery"),
                Err(_) if disk.has_no_power() => self.count("a crash during recovery"),
                Err(error) => {
                    self.fail("recovery", format!("the broker does not start: {error}"));
                    // To come to an end at all.
                    let empty = SimDisk::default();
                    if let Ok(life) = begin(&empty, &self.limits, &rights, self.now(), self.instant()) {
                        return life;
                    }
                }
            }
        }
    }
}
