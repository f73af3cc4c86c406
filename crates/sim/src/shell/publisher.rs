//! Publishing from inside: wills that are due. Retained ones are stored first, then offered along the routes.

use super::desk::at_desk;
use super::{Interest, Then};
use crate::agenda::Actor;
use crate::world::World;
use aldis_broker::{Answer, Command, Due};
use aldis_session::{Act, Offering, Publication, RefuseReason, Router};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where the publisher stands.
pub enum Stage {
    Ask,
    Sending(Command<u64>, Box<Stage>),
    Waiting(u64),
    Storing(u64, Arc<Publication>),
}

/// The in-process publisher.
pub struct Publisher {
    pub stage: Stage,
    due: VecDeque<Due>,
}

impl Default for Publisher {
    fn default() -> Publisher {
        Publisher { stage: Stage::Ask, due: VecDeque::new() }
    }
}

impl Publisher {
    /// Whether it has wills that are not published yet.
    pub fn is_at_work(&self) -> bool {
        !self.due.is_empty() || matches!(self.stage, Stage::Storing(..) | Stage::Sending(..))
    }

    /// Takes one step.
    pub fn step(&mut self, world: &World) -> Then {
        match std::mem::replace(&mut self.stage, Stage::Ask) {
            Stage::Ask => self.ask(world),
            Stage::Sending(command, next) => match world.send(command) {
                Ok(()) => {
                    self.stage = *next;
                    Then::Again
                }
                Err(command) => {
                    self.stage = Stage::Sending(command, next);
                    Then::Sleep(Interest { place: true, ..Interest::default() })
                }
            },
            Stage::Waiting(reply) => match world.answer(reply) {
                None => {
                    self.stage = Stage::Waiting(reply);
                    Then::Sleep(Interest { answer: Some(reply), ..Interest::default() })
                }
                Some(Answer::Due(due)) => {
                    for due in &due {
                        world.will_is_due(&due.publication.payload);
                    }
                    self.due.extend(due);
                    Then::Again
                }
                Some(other) => panic!("an answer to something else: {other:?}"),
            },
            Stage::Storing(reply, publication) => match world.answer(reply) {
                None => {
                    self.stage = Stage::Storing(reply, publication);
                    Then::Sleep(Interest { answer: Some(reply), ..Interest::default() })
                }
                Some(Answer::Retained(refused)) => {
                    at_desk(world, |bench| bench.tally.not_retained += refused.len() as u64);
                    deliver(&publication, world);
                    Then::Again
                }
                Some(other) => panic!("an answer to something else: {other:?}"),
            },
        }
    }

    fn ask(&mut self, world: &World) -> Then {
        let Some(Due { identity, publication, .. }) = self.due.pop_front() else {
            let reply = world.question(Actor::Publisher);
            self.stage = Stage::Sending(Command::TakeDue { reply }, Box::new(Stage::Waiting(reply)));
            return Then::Again;
        };
        world.inner_publication();
        if identity.judge(Act::Publish, &publication.topic).is_err() {
            at_desk(world, |bench| bench.tally.refuse(RefuseReason::NotAuthorized));
        } else if publication.retain {
            let reply = world.question(Actor::Publisher);
            let publications = vec![(0, Arc::clone(&publication))];
            let command = Command::Retain { publications, reply };
            self.stage = Stage::Sending(command, Box::new(Stage::Storing(reply, publication)));
        } else {
            deliver(&publication, world);
        }
        Then::Again
    }
}

fn deliver(publication: &Arc<Publication>, world: &World) {
    at_desk(world, |bench| {
        let route = world.routes.resolve(&publication.topic);
        world.meanwhile();
        route.deliver(&Offering::of(publication), bench);
    });
    world.will_is_routed(&publication.payload);
}
