//! What needs the Broker: subscriptions, and publications that are retained.

use super::client::{Question, Stage, Task};
use super::desk::at_desk;
use super::{Interest, Then};
use crate::agenda::Actor;
use crate::seams::Seam;
use crate::world::World;
use aldis_broker::{Answer, Command};
use aldis_packet::{Packet, Suback, Unsuback};
use aldis_session::{Next, Request};
use std::sync::Arc;

impl Task {
    /// Sends what a packet asks of the Broker.
    pub fn ask(&mut self, request: Request, world: &World) -> Then {
        world.leave_off(self.link.number);
        let session = self.client().session.number;
        let reply = world.question(Actor::Task(self.link.number));
        let (command, question) = match request {
            Request::Subscribe(subscribing) => {
                let question = Question::Subscribe(subscribing.packet_id);
                (Command::Subscribe { session, subscribing, reply }, question)
            }
            Request::Unsubscribe(unsubscribing) => {
                let question = Question::Unsubscribe(unsubscribing.packet_id);
                (Command::Unsubscribe { session, unsubscribing, reply }, question)
            }
            Request::Retain(held) => {
                let retained = held.iter().enumerate().filter_map(|(position, held)| {
                    let publication = held.publication.as_ref().filter(|publication| publication.retain)?;
                    Some((position, Arc::clone(publication)))
                });
                let publications: Vec<_> = retained.collect();
                world.tell(|| {
                    format!("#{} asks the Broker to store {}", self.link.number, publications.len())
                });
                (Command::Retain { publications, reply }, Question::Retain(held))
            }
        };
        self.stage = Stage::Sending(command, Box::new(Stage::Asking(reply, question)));
        Then::Again
    }

    /// Waits for the answer. Nothing is read meanwhile, but what is to be written is written.
    pub fn wait(&mut self, reply: u64, question: Question, world: &World) -> Then {
        let errands = self.client().errands();
        if errands.flush {
            self.flush(world);
        }
        if let Some(answer) = world.answer(reply) {
            // A ring that was heard meanwhile may have been meant for the rounds that follow.
            world.ring(self.link.number);
            return self.answered(question, answer, world);
        }
        self.stage = Stage::Asking(reply, question);
        if self.link.take_ring() {
            return Then::Again;
        }
        if errands.blocked && self.link.is_writable() {
            self.write_on(world);
            return Then::Again;
        }
        let writable = errands.blocked;
        Then::Sleep(Interest { bell: true, writable, answer: Some(reply), ..Interest::default() })
    }

    fn answered(&mut self, question: Question, answer: Answer, world: &World) -> Then {
        match (question, answer) {
            (Question::Subscribe(id), Answer::Reasons(reasons)) => {
                self.append(&Packet::Suback(Suback::new(id, reasons)), world);
            }
            (Question::Unsubscribe(id), Answer::Reasons(reasons)) => {
                self.append(&Packet::Unsuback(Unsuback::new(id, reasons)), world);
            }
            (Question::Retain(held), Answer::Retained(refused)) => {
                // They leave in the rounds that follow, before anything is read.
                self.client().releasing = Some((held.into_iter().enumerate(), refused));
                return self.again();
            }
            (Question::Subscribe(_) | Question::Unsubscribe(_), Answer::Refused(why)) => {
                self.client().session.outbox.lock().ask_to_close(why.into());
            }
            (_, other) => panic!("an answer to something else: {other:?}"),
        }
        world.go_on(self.link.number);
        match self.client().conversation.ends_after_release() {
            Some(ending) => self.end(ending, world),
            None => self.rest_between_reads(world),
        }
    }

    fn append(&mut self, packet: &Packet<'_>, world: &World) {
        let conversation = &self.client().conversation;
        at_desk(world, |bench| conversation.append(packet, bench));
    }

    /// Lets out a part of what is held, and says how to go on.
    pub fn release_part(&mut self, world: &World) -> Next {
        let number = self.link.number;
        let client = self.client();
        let Some((mut held, refused)) = client.releasing.take() else { return Next::Read };
        let lights = world.lights();
        let routes = Seam { routes: &lights.routes, number };
        let conversation = &mut client.conversation;
        let all = at_desk(world, |bench| conversation.release(&mut held, &refused, &routes, bench));
        if !all {
            client.releasing = Some((held, refused));
            return Next::Yield;
        }
        world.go_on(number);
        self.client().conversation.ends_after_release().map_or(Next::Read, Next::End)
    }
}
