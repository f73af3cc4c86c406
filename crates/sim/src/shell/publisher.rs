//! Publishing from inside: wills that are due. Retained ones are stored first, then offered along the routes.

use super::desk::at_desk;
use super::{Interest, Then};
use crate::agenda::Actor;
use crate::stage;
use crate::world::World;
use aldis_broker::{Answer, Command, Due, Routes};
use aldis_session::{Act, Offering, Publication, RefuseReason, Route, Router, deliver as deliver_along};
use aldis_store::Origin;
use std::collections::VecDeque;
use std::sync::Arc;

/// Where the publisher stands.
pub enum Stage {
    Ask,
    Sending(Command<u64>, Box<Stage>),
    Waiting(u64),
    Storing(u64, Arc<Publication>, u64),
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
            Stage::Storing(reply, publication, will) => match world.answer(reply) {
                None => {
                    self.stage = Stage::Storing(reply, publication, will);
                    Then::Sleep(Interest { answer: Some(reply), ..Interest::default() })
                }
                Some(Answer::Retained(refused)) => {
                    at_desk(world, |bench| bench.tally.not_retained += refused.len() as u64);
                    deliver(&publication, will, world);
                    Then::Again
                }
                Some(other) => panic!("an answer to something else: {other:?}"),
            },
        }
    }

    fn ask(&mut self, world: &World) -> Then {
        let Some(Due { number, identity, publication }) = self.due.pop_front() else {
            let reply = world.question(Actor::Publisher);
            self.stage = Stage::Sending(Command::TakeDue { reply }, Box::new(Stage::Waiting(reply)));
            return Then::Again;
        };
        world.inner_publication();
        if identity.judge(Act::Publish, &publication.topic).is_err() {
            at_desk(world, |bench| bench.tally.refuse(RefuseReason::NotAuthorized));
            world.forget_will(number);
        } else if publication.retain {
            let reply = world.question(Actor::Publisher);
            let publications = vec![(0, Arc::clone(&publication))];
            let command = Command::Retain { publications, reply };
            self.stage = Stage::Sending(command, Box::new(Stage::Storing(reply, publication, number)));
        } else {
            deliver(&publication, number, world);
        }
        Then::Again
    }
}

fn deliver(publication: &Arc<Publication>, will: u64, world: &World) {
    let origin = if will == 0 { Origin::Nothing } else { Origin::Will { will } };
    at_desk(world, |bench| {
        let offering = Offering::of(publication);
        deliver_along(&offering, origin, &Meanwhile(&world.lights().routes), bench);
    });
    world.will_is_routed(&publication.payload);
}

/// The routes, after each look at which others come in between.
struct Meanwhile<'a>(&'a Routes);

impl Router for Meanwhile<'_> {
    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn resolve(&self, topic: &str) -> Arc<Route> {
        let route = self.0.resolve(topic);
        stage::with(|world| world.meanwhile());
        route
    }
}
