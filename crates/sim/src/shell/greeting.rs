//! From a new connection to a Client with a session, or to a refusal.

use super::client::{Client, Stage, Task};
use super::desk::at_desk;
use super::reader::Reader;
use super::{Interest, Then};
use crate::agenda::MILLI;
use crate::world::World;
use aldis_broker::{Answer, Command, Connected};
use aldis_packet::{Connack, ProtocolVersion};
use aldis_session::{
    Act, Agreed, Conversation, First, Identity, Negotiated, Refusal, Violation, Wire, first_packet,
    refuse_within,
};
use std::sync::Arc;

/// A CONNECT that waits for the Broker.
pub struct Asked {
    pub reply: u64,
    identity: Identity,
    agreed: Agreed,
    keep_alive: u16,
    connack: Connack,
    behind: Vec<u8>,
}

impl Task {
    /// Reads a piece of the first packet.
    pub fn greet(&mut self, world: &World) -> Then {
        if self.first_by <= world.now() {
            world.count("no CONNECT in time");
            return self.close();
        }
        let read = self.link.read(world.read_size());
        let Ok(read) = read else { return self.close() };
        let Some(bytes) = read else {
            self.stage = Stage::Greeting;
            let until = Some(self.first_by);
            return Then::Sleep(Interest { readable: true, until, ..Interest::default() });
        };
        if bytes.is_empty() {
            return self.close();
        }
        world.read(self.link.number, &bytes);
        self.first.extend(bytes);
        match first_packet(&self.first, &world.limits) {
            Ok(First::Partial(_)) => {
                self.stage = Stage::Greeting;
                Then::Again
            }
            Ok(First::Connect(connect, size)) => {
                let behind = self.first.split_off(size);
                let assigned = || format!("c{}", 1_000 + self.link.number);
                match Negotiated::new(*connect, &world.limits, assigned) {
                    Ok(negotiated) => self.ask_for_session(Box::new(negotiated), behind, world),
                    Err(refusal) => self.turn_away(&refusal),
                }
            }
            Err(refusal) => self.turn_away(&refusal),
        }
    }

    fn ask_for_session(&mut self, negotiated: Box<Negotiated>, behind: Vec<u8>, world: &World) -> Then {
        let identity = Identity {
            client_id: Arc::clone(&negotiated.client_id),
            user_name: None,
            rights: Some(Arc::clone(&world.rights)),
        };
        if let Some(will) = &negotiated.will
            && identity.judge(Act::Publish, &will.topic).is_err()
        {
            let what = "the client may not publish to its will topic";
            let why = Violation::new(aldis_packet::ReasonCode::NotAuthorized, "", what);
            return self.turn_away(&refuse_within(
                negotiated.terms.version,
                negotiated.terms.maximum_packet_size,
                why,
            ));
        }
        self.maximum_packet_size = negotiated.terms.maximum_packet_size;
        self.version = negotiated.terms.version;
        let reply = world.question(crate::agenda::Actor::Task(self.link.number));
        let asked = Asked {
            reply,
            identity: identity.clone(),
            agreed: negotiated.agreed(),
            keep_alive: negotiated.keep_alive,
            connack: negotiated.connack(false),
            behind,
        };
        let wire = Arc::clone(&self.link) as Arc<dyn Wire>;
        let take_over_only = world.has_no_place();
        let command = Command::Connect { negotiated, identity, wire, take_over_only, reply };
        self.stage = Stage::Sending(command, Box::new(Stage::Connecting(Box::new(asked))));
        Then::Again
    }

    /// Waits for the session.
    pub fn connect(&mut self, asked: Box<Asked>, world: &World) -> Then {
        let reply = asked.reply;
        match world.answer(reply) {
            None => {
                self.stage = Stage::Connecting(asked);
                Then::Sleep(Interest { answer: Some(reply), ..Interest::default() })
            }
            Some(Answer::Connected(connected)) => self.begin(*asked, connected, world),
            Some(Answer::Refused(why)) => {
                self.turn_away(&refuse_within(self.version, self.maximum_packet_size, why))
            }
            Some(other) => panic!("an answer to CONNECT: {other:?}"),
        }
    }

    fn begin(&mut self, asked: Asked, connected: Connected, world: &World) -> Then {
        let Asked { identity, agreed, keep_alive, mut connack, behind, .. } = asked;
        let Connected { session, connection, session_present } = connected;
        let limits = Arc::clone(&world.limits);
        let conversation = Conversation::new(Arc::clone(&session), connection, identity, limits, agreed);
        connack.session_present = session_present;
        let mut encoded = Vec::new();
        connack.encode(self.version, self.maximum_packet_size, &mut encoded);
        self.reader = Reader::new(behind, world);
        at_desk(world, |bench| conversation.begin(&connack, &encoded, bench));
        world.watch_silence(self.link.number, keep_alive);
        self.connection = Some(connection);
        self.client = Some(Client::new(session, conversation));
        self.stage = Stage::Look;
        Then::Again
    }

    /// Says no: the CONNACK if there is one, then the end.
    fn turn_away(&mut self, refusal: &Refusal) -> Then {
        if !refusal.answer.is_empty() {
            // A fresh socket takes a few bytes at once; if it does not, the peer does not listen.
            let _ = self.link.try_write(&[std::io::IoSlice::new(&refusal.answer)]);
        }
        self.close()
    }

    /// The socket is closed.
    pub fn close(&mut self) -> Then {
        self.link.end();
        self.stage = Stage::Over;
        Then::Over
    }
}

/// How long a connection may take until its CONNECT is whole.
pub const FIRST_PACKET: u64 = 500 * MILLI;

/// What a connection is before anything is known of it.
pub const UNKNOWN: ProtocolVersion = ProtocolVersion::V311;
