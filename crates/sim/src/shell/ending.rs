//! How a connection ends: its last bytes, its farewell, and the word to the Broker.

use super::client::{Stage, Task};
use super::desk::at_desk;
use super::{Interest, Then};
use crate::agenda::{MILLI, SECOND, Time};
use crate::world::World;
use aldis_broker::Command;
use aldis_packet::ReasonCode;
use aldis_session::{Ending, State};

/// How long a connection that the broker closes may take to read its last bytes.
const LINGER: Time = SECOND;
/// How often a Client that waits for another's write looks whether it is done.
const GLANCE: Time = MILLI;

impl Task {
    /// The connection ends.
    pub fn end(&mut self, ending: Ending, world: &World) -> Then {
        if let Ending::Closed(farewell) = ending {
            let conversation = &self.client().conversation;
            at_desk(world, |bench| conversation.say_farewell(farewell, bench));
            // Nobody waits for this session, so what is on its way may still leave.
            if farewell.reason != ReasonCode::SessionTakenOver {
                self.stage = Stage::WritingOut { ending, by: world.now() + LINGER };
                return Then::Again;
            }
        }
        self.release_the_rest(ending)
    }

    fn release_the_rest(&mut self, ending: Ending) -> Then {
        let client = self.client();
        if client.releasing.is_some() {
            // As of an earlier connection (law 14): no answer follows a DISCONNECT [MQTT-3.14.4-1].
            client.conversation.connection = client.conversation.connection.wrapping_sub(1);
        }
        self.stage = Stage::ReleasingRest(ending);
        Then::Again
    }

    /// Writes until nothing is left, or the connection is lost, or it takes too long.
    pub fn write_out(&mut self, ending: Ending, by: Time, world: &World) -> Then {
        if by <= world.now() {
            return self.release_the_rest(ending);
        }
        let client = self.client();
        let connection = client.conversation.connection;
        let (state, errands) = {
            let mut outbox = client.session.outbox.lock();
            (outbox.state(), outbox.errands(connection))
        };
        let until = match state {
            _ if errands.lost => return self.release_the_rest(ending),
            State::Blocked if self.link.is_writable() => {
                self.write_on(world);
                None
            }
            State::Blocked => Some(by),
            State::Dirty if errands.flush => {
                self.flush(world);
                None
            }
            // Somebody else writes, and rings, or is done before long.
            State::Dirty | State::Writing => (!self.link.take_ring()).then_some(world.now() + GLANCE),
            _ => return self.release_the_rest(ending),
        };
        self.stage = Stage::WritingOut { ending, by };
        match until {
            None => Then::Again,
            Some(until) => {
                let blocked = state == State::Blocked;
                let until = Some(until);
                Then::Sleep(Interest { bell: !blocked, writable: blocked, until, ..Interest::default() })
            }
        }
    }

    /// What the Broker has stored is delivered, whoever has gone meanwhile.
    pub fn release_rest(&mut self, ending: Ending, world: &World) -> Then {
        if self.client().releasing.is_some() {
            self.release_part(world);
            self.stage = Stage::ReleasingRest(ending);
            return Then::Again;
        }
        world.forget_silence(self.link.number);
        self.stage = Stage::Detaching(ending);
        Then::Again
    }

    /// The Broker is told that the connection is over.
    pub fn detach(&mut self, ending: Ending) -> Then {
        let client = self.client();
        let (session, connection) = (client.session.number, client.conversation.connection);
        // `release_rest` may have lowered the number of the conversation; the session knows the real one.
        let connection = self.connection.unwrap_or(connection);
        self.client = None;
        self.reader = Default::default();
        let command = Command::Detach { session, connection, ending };
        self.stage = Stage::Sending(command, Box::new(Stage::Over));
        Then::Again
    }
}
