//! The Broker's loop: commands in, effects out, one after the other.

use super::{Interest, Then};
use crate::agenda::Actor;
use crate::world::World;
use aldis_broker::{Answer, Broker, Command, Effect};
use aldis_packet::ReasonCode;
use aldis_session::{Ending, Violation};
use aldis_store::{Condition, Gate, Log, Sequence};
use std::sync::Arc;

/// The Broker with what stands around it.
pub struct BrokerTask {
    pub broker: Broker<u64>,
    gate: Gate<(u64, Answer)>,
    log: Arc<dyn Log>,
}

impl BrokerTask {
    /// A loop around `broker`, whose records go to `log`.
    pub fn new(broker: Broker<u64>, log: Arc<dyn Log>) -> BrokerTask {
        BrokerTask { broker, gate: Gate::default(), log }
    }

    /// Takes one command, or does a piece of what is due.
    pub fn step(&mut self, world: &World) -> Then {
        while let Some((reply, answer)) = self.gate.release(self.log.committed()) {
            self.give(reply, answer, world);
        }
        if self.log.condition() == Condition::Failed {
            while let Some((reply, answer)) = self.gate.release(Sequence::MAX) {
                self.refuse(reply, answer, world);
            }
        }
        if world.take_sweep() {
            world.count("a sweep for expired messages");
            self.broker.handle(Command::Sweep, world.instant());
            self.carry_out(world);
        }
        if let Some(command) = world.take_command() {
            let detached = match &command {
                Command::Detach { session, connection, .. } => Some((*session, *connection)),
                Command::Retain { .. } if world.is_replaying() => {
                    world.count("a retained message was set during a replay");
                    None
                }
                _ => None,
            };
            self.broker.handle(command, world.instant());
            if let Some((session, connection)) = detached {
                world.detached(session, connection);
            }
            self.carry_out(world);
        }
        if self.broker.poll_timeout(world.instant()).is_some_and(|at| at <= world.instant()) {
            let retained = world.lights().retained.messages();
            self.broker.step(world.instant());
            if world.lights().retained.messages() < retained {
                world.count("a retained message expired");
            }
            self.carry_out(world);
        }
        if world.has_commands() {
            return Then::Again;
        }
        let until = self.broker.poll_timeout(world.instant()).map(|at| world.time_of(at));
        Then::Sleep(Interest { until, ..Interest::default() })
    }

    fn carry_out(&mut self, world: &World) {
        while let Some(Effect::Answer(reply, answer, after)) = self.broker.poll_effect() {
            if let Some((reply, answer)) = self.gate.pass(after, self.log.committed(), (reply, answer)) {
                self.give(reply, answer, world);
            }
        }
    }

    /// What was done is not durable, and never will be.
    fn refuse(&mut self, reply: u64, answer: Answer, world: &World) {
        match answer {
            Answer::Connected(connected) => {
                let why = Violation::new(ReasonCode::ServerUnavailable, "", "the store has failed");
                let _ = world.give(reply, Answer::Refused(why));
                let ending =
                    Ending::Disconnected { will: false, session_expiry: None, reason: ReasonCode::Success };
                let (session, connection) = (connected.session.number, connected.connection);
                self.broker.handle(Command::Detach { session, connection, ending }, world.instant());
            }
            Answer::Reasons(_) => {
                let what = "the store has failed";
                let why = Violation::new(ReasonCode::ImplementationSpecificError, "", what);
                let _ = world.give(reply, Answer::Refused(why));
            }
            other => self.give(reply, other, world),
        }
    }

    fn give(&mut self, reply: u64, answer: Answer, world: &World) {
        if let Answer::Connected(connected) = &answer
            && let Some(Actor::Task(number)) = world.asker(reply)
        {
            world.attached(number, connected);
        }
        if let Err(Answer::Connected(connected)) = world.give(reply, answer) {
            // Nobody took the session: the connection is gone before it began, and so has no will.
            let ending =
                Ending::Disconnected { will: false, session_expiry: None, reason: ReasonCode::Success };
            let (session, connection) = (connected.session.number, connected.connection);
            self.broker.handle(Command::Detach { session, connection, ending }, world.instant());
            world.detached(session, connection);
        }
    }
}
