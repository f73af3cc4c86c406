//! Who is called when: what an actor waits for, and what happened.

use super::World;
use crate::agenda::{Actor, Time};
use crate::shell::Interest;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl World {
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

    pub(super) fn call_after(&self, actor: Actor, pause: Time) {
        // In the middle of its own step it could not be called.
        self.agenda.borrow_mut().done(actor);
        self.call(actor, self.now() + pause);
    }

    pub(super) fn call_soon(&self, actor: Actor) {
        let delay = {
            let mut random = self.random.borrow_mut();
            if random.one_in(12) { random.between(200, 2_000) } else { random.between(1, 60) }
        };
        self.call(actor, self.now() + delay);
    }

    pub(super) fn is_ready(&self, actor: Actor, interest: &Interest) -> bool {
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

    pub(super) fn call_if_ready(&self, actor: Actor) {
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
    pub(super) fn call_client(&self, number: usize) {
        if !self.is_draining() {
            return;
        }
        let client = self.watch.borrow().ground.conns[number].client;
        let link = Arc::clone(&self.links.borrow()[number]);
        if link.unread() > 0 || link.has_ended() {
            self.call_soon(Actor::Client(client));
        }
    }
}
