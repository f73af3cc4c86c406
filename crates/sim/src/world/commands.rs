//! What the Broker is told and what it answers: a bounded queue of commands, and a place for each answer.

use super::World;
use crate::agenda::Actor;
use crate::watch::Fact;
use aldis_broker::{Answer, Command, Connected};
use std::sync::Arc;

impl World {
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
        watch.ground.attach(number, connected.session.number, connected.session_present);
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
}
