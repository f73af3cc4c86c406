//! The end of a run: everybody comes back and reads, then everybody leaves, and nothing may stay behind.

use super::{Phase, World};
use crate::agenda::{Actor, SECOND, Time};
use crate::probe;
use crate::shell::publisher::Publisher;
use crate::watch::{Fact, Figures};
use aldis_session::Session;
use std::sync::{Arc, Weak};

impl World {
    pub(super) fn drain(&self) {
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
    pub(super) fn leave(&self) {
        let count = self.clients.borrow().len();
        for number in 0..count {
            let taken = self.clients.borrow_mut()[number].take();
            let Some(mut client) = taken else { continue };
            client.leave(self);
            self.clients.borrow_mut()[number] = Some(client);
        }
    }

    pub(super) fn call_clients(&self) {
        let count = self.clients.borrow().len();
        for number in 0..count {
            self.call_soon(Actor::Client(number));
        }
    }

    /// Lets everybody read and acknowledge until nothing more comes.
    pub(super) fn come_to_rest(&self) {
        self.settle(2 * SECOND);
        // Whoever was ended meanwhile comes back once more.
        self.call_clients();
        self.settle(2 * SECOND);
    }

    /// Goes on for as long as somebody comes within `patience`.
    pub(super) fn settle(&self, patience: Time) {
        for _ in 0..100_000 {
            if !self.one(self.now().saturating_add(patience)) {
                return;
            }
        }
        self.fail("rest", "the broker never comes to rest".to_owned());
    }

    /// Somebody new asks for everything that is retained, and takes it away.
    pub(super) fn probe(&self) {
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

    pub(super) fn calm(&self) {
        self.look(|figures| Fact::Calm(figures));
    }

    pub(super) fn look(&self, fact: impl for<'a> Fn(&'a Figures<'a>) -> Fact<'a>) {
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
        let lights = self.lights();
        let figures = Figures {
            counters: &lights.counters,
            limits: &self.limits,
            sessions: &sessions,
            population: &lights.population,
            routes: &lights.routes,
            retained: &lights.retained,
            held: usize::from(at_work),
            inner: self.inner.get(),
            is_due,
            whole_at: self.whole_at.get(),
        };
        let mut watch = self.watch.borrow_mut();
        watch.see(&fact(&figures));
        self.note(&watch);
    }
}
