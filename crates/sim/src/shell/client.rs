//! The Client of one connection: see to errands, read, let the conversation handle what came, ask the Broker
//! where that is needed.

use super::desk::at_desk;
use super::greeting::{Asked, FIRST_PACKET, UNKNOWN};
use super::reader::{Read, Reader};
use super::{Interest, Then};
use crate::agenda::{MILLI, Time};
use crate::seams::Seam;
use crate::wire::Link;
use crate::world::World;
use aldis_broker::Command;
use aldis_packet::{PacketId, ProtocolVersion, ReasonCode};
use aldis_session::{
    Conversation, Ending, Errands, Farewell, Held, HeldBatch, Next, RetainedLimit, Session, Violation,
};
use std::sync::Arc;

/// The longest that a publisher is paused between two reads.
pub const PAUSE: Time = 100 * MILLI;
/// Reads of a connection that takes no more bytes or is taken over.
const LAST_READS: u8 = 16;
/// How long each of them may take after a loss.
const LAST_READ: Time = 100 * MILLI;

/// What the Broker was asked, and what is to be done with its answer.
pub enum Question {
    Subscribe(PacketId),
    Unsubscribe(PacketId),
    Retain(Vec<Held>),
}

/// Where a Client stands between two steps.
pub enum Stage {
    /// Reads the first packet.
    Greeting,
    /// Waits for a place among the Broker's commands.
    Sending(Command<u64>, Box<Stage>),
    /// Waits for its session.
    Connecting(Box<Asked>),
    /// Looks for errands.
    Look,
    /// Waits for something to do.
    Event { errands: Errands, until: Option<Time> },
    /// Waits for the Broker, and writes meanwhile.
    Asking(u64, Question),
    /// Reads nothing for a while.
    Resting { end: Time, publishes: bool },
    /// The connection ends: what waits leaves first, then the farewell.
    WritingOut { ending: Ending, by: Time },
    /// What the Broker has stored for its client is delivered.
    ReleasingRest(Ending),
    /// The Broker is told.
    Detaching(Ending),
    /// Closed.
    Over,
}

/// The broker's side of one connection.
pub struct Task {
    pub link: Arc<Link>,
    pub stage: Stage,
    pub reader: Reader,
    pub first: Vec<u8>,
    pub first_by: Time,
    pub version: ProtocolVersion,
    pub maximum_packet_size: u32,
    pub client: Option<Client>,
    /// Number of the connection within its session.
    pub connection: Option<u32>,
}

/// One connection with its session.
pub struct Client {
    pub session: Arc<Session>,
    pub conversation: Conversation,
    pub releasing: Option<(HeldBatch, Vec<(usize, RetainedLimit)>)>,
    publications: bool,
    /// It has written for others: now its own client is heard first.
    pub has_waited: bool,
    after_end: u8,
}

impl Client {
    /// A Client that has nothing behind it.
    pub fn new(session: Arc<Session>, conversation: Conversation) -> Client {
        Client {
            session,
            conversation,
            releasing: None,
            publications: false,
            has_waited: false,
            after_end: 0,
        }
    }

    /// What it has to do.
    pub fn errands(&self) -> Errands {
        self.session.outbox.lock().errands(self.conversation.connection)
    }
}

enum Event {
    Bell,
    Writable,
    Turned(Next),
    Over(Ending),
}

impl Task {
    /// The broker's side of a new connection.
    pub fn new(link: Arc<Link>, now: Time) -> Task {
        Task {
            link,
            stage: Stage::Greeting,
            reader: Reader::default(),
            first: Vec::new(),
            first_by: now + FIRST_PACKET,
            version: UNKNOWN,
            maximum_packet_size: u32::MAX,
            client: None,
            connection: None,
        }
    }

    /// Takes one step.
    pub fn step(&mut self, world: &World) -> Then {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Greeting => self.greet(world),
            Stage::Sending(command, next) => self.send(command, next, world),
            Stage::Connecting(asked) => self.connect(asked, world),
            Stage::Look => self.look(world),
            Stage::Event { errands, until } => self.event(errands, until, world),
            Stage::Asking(reply, question) => self.wait(reply, question, world),
            Stage::Resting { end, publishes } => self.rest(end, publishes, world),
            Stage::WritingOut { ending, by } => self.write_out(ending, by, world),
            Stage::ReleasingRest(ending) => self.release_rest(ending, world),
            Stage::Detaching(ending) => self.detach(ending),
            Stage::Over => Then::Over,
        }
    }

    /// The Client; there is one from CONNACK on.
    pub fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("a conversation")
    }

    fn send(&mut self, command: Command<u64>, next: Box<Stage>, world: &World) -> Then {
        match world.send(command) {
            Ok(()) => {
                self.stage = *next;
                if matches!(self.stage, Stage::Over) { self.close() } else { Then::Again }
            }
            Err(command) => {
                self.stage = Stage::Sending(command, next);
                Then::Sleep(Interest { place: true, ..Interest::default() })
            }
        }
    }

    /// Looks for errands: the first half of a round.
    fn look(&mut self, world: &World) -> Then {
        if self.client().releasing.is_none() && world.dies() {
            // Its guard tells the Broker, as the server's does when a task panics.
            self.stage = Stage::Detaching(Ending::Lost);
            return Then::Again;
        }
        let errands = self.client().errands();
        if errands.flush {
            self.flush(world);
        }
        if let Some(ending) = self.ending(&errands, world) {
            return self.end(ending, world);
        }
        if errands.pump {
            self.pump(world);
        }
        if errands.flush || errands.pump {
            self.client().has_waited = true;
        }
        let until = (errands.lost && errands.close.is_none()).then(|| world.now() + LAST_READ);
        self.stage = Stage::Event { errands, until };
        Then::Again
    }

    /// What was handed over has no other writer.
    pub fn flush(&mut self, world: &World) {
        let session = Arc::clone(&self.client().session);
        world.count("a flush handed over");
        at_desk(world, |bench| bench.owe(&session));
    }

    /// Goes on with retained messages and shared subscriptions.
    pub fn pump(&mut self, world: &World) {
        let session = Arc::clone(&self.client().session);
        at_desk(world, |bench| {
            world.lights().retained.replay(&session, bench);
            session.pull_from_groups(bench);
        });
    }

    /// The socket takes bytes again.
    pub fn write_on(&mut self, world: &World) {
        let client = self.client();
        let (session, connection) = (Arc::clone(&client.session), client.conversation.connection);
        at_desk(world, |bench| {
            let mut outbox = session.outbox.lock();
            if outbox.unblocked(connection, bench) {
                drop(outbox);
                bench.owe(&session);
            }
        });
    }

    fn ending(&mut self, errands: &Errands, world: &World) -> Option<Ending> {
        let has_unread = self.reader.has_unread();
        let number = self.link.number;
        let client = self.client();
        let is_releasing = client.releasing.is_some();
        if let Some(farewell) = errands.close
            && (farewell.reason != ReasonCode::SessionTakenOver || is_releasing)
        {
            return Some(Ending::Closed(farewell));
        }
        if errands.close.is_some() || errands.lost {
            if !is_releasing && !has_unread {
                client.after_end += 1;
            }
            let ending = errands.close.map_or(Ending::Lost, Ending::Closed);
            return (client.after_end > LAST_READS).then_some(ending);
        }
        world.is_silent(number).then(|| {
            let why = Violation::new(ReasonCode::KeepAliveTimeout, "MQTT-3.1.2-22", "nothing was heard");
            Ending::Closed(Farewell::from(why))
        })
    }

    /// Waits for something to do: the second half of a round.
    fn event(&mut self, errands: Errands, until: Option<Time>, world: &World) -> Then {
        let event = match errands.close {
            Some(farewell) => {
                let over = Event::Over(Ending::Closed(farewell));
                Some(match self.poll_turn(world) {
                    None | Some(Event::Over(_)) => over,
                    Some(event) => event,
                })
            }
            None => self.next_event(&errands, world),
        };
        match event {
            None if until.is_some_and(|at| at <= world.now()) => self.end(Ending::Lost, world),
            None => {
                self.stage = Stage::Event { errands, until };
                if self.reader.is_ready(&self.link) {
                    return Then::Again;
                }
                let writable = errands.blocked;
                Then::Sleep(Interest { bell: true, readable: true, writable, until, ..Interest::default() })
            }
            Some(Event::Bell) => self.again(),
            Some(Event::Writable) => {
                self.write_on(world);
                self.again()
            }
            Some(Event::Over(ending)) | Some(Event::Turned(Next::End(ending))) => self.end(ending, world),
            Some(Event::Turned(Next::Read)) => self.rest_between_reads(world),
            Some(Event::Turned(Next::Yield)) => {
                world.count("a turn had done enough");
                self.again()
            }
            Some(Event::Turned(Next::Ask(request))) => self.ask(request, world),
        }
    }

    /// Another round.
    pub fn again(&mut self) -> Then {
        self.stage = Stage::Look;
        Then::Again
    }

    fn next_event(&mut self, errands: &Errands, world: &World) -> Option<Event> {
        if std::mem::take(&mut self.client().has_waited)
            && let Some(event) = self.poll_turn(world)
        {
            return Some(event);
        }
        if self.link.take_ring() {
            return Some(Event::Bell);
        }
        if errands.blocked && self.link.is_writable() {
            return Some(Event::Writable);
        }
        self.poll_turn(world).or_else(|| errands.pump.then_some(Event::Bell))
    }

    /// Reads once and handles what came; or lets out a part of what is held, which comes before.
    fn poll_turn(&mut self, world: &World) -> Option<Event> {
        if self.client().releasing.is_some() {
            return Some(Event::Turned(self.release_part(world)));
        }
        let Task { link, reader, client, .. } = self;
        let client = client.as_mut().expect("a conversation");
        let Client { conversation, publications, .. } = client;
        let lights = world.lights();
        let routes = Seam { routes: &lights.routes, number: link.number };
        let read = at_desk(world, |bench| {
            reader.turn(link, world, |input, _| {
                let before = bench.tally.publish_bytes_received;
                world.turning.borrow_mut().push(link.number);
                let turned = conversation.turn(input, &routes, bench);
                world.turning.borrow_mut().pop();
                *publications = bench.tally.publish_bytes_received != before;
                turned
            })
        });
        if reader.has_heard() {
            world.hear(link.number);
        }
        match read {
            Read::Pending => None,
            Read::End => Some(Event::Over(Ending::Lost)),
            Read::Turned(next) => Some(Event::Turned(next)),
        }
    }

    /// Slows a client that leaves its answers unread, or publishes while memory is short.
    pub fn rest_between_reads(&mut self, world: &World) -> Then {
        let publishes = std::mem::take(&mut self.client().publications);
        if !self.has_to_rest(publishes, world) {
            return self.again();
        }
        world.count("a client was paused");
        world.leave_off(self.link.number);
        self.stage = Stage::Resting { end: world.now() + PAUSE, publishes };
        Then::Again
    }

    fn has_to_rest(&mut self, publishes: bool, world: &World) -> bool {
        (publishes && world.memory_full()) || self.client().session.outbox.lock().piles_up()
    }

    /// Reads nothing for a while, but does what else there is to do.
    fn rest(&mut self, end: Time, publishes: bool, world: &World) -> Then {
        let errands = self.client().errands();
        let is_over = world.now() >= end || !self.has_to_rest(publishes, world);
        if errands.flush && !is_over {
            self.flush(world);
        }
        if is_over || errands.lost || errands.close.is_some() || world.is_silent(self.link.number) {
            if is_over && errands.flush {
                // Asking for errands has taken this one.
                self.flush(world);
            }
            world.go_on(self.link.number);
            return self.again();
        }
        if errands.pump {
            self.pump(world);
        }
        self.stage = Stage::Resting { end, publishes };
        if errands.flush || errands.pump || self.link.take_ring() {
            return Then::Again;
        }
        if errands.blocked && self.link.is_writable() {
            self.write_on(world);
            return Then::Again;
        }
        let writable = errands.blocked;
        Then::Sleep(Interest { bell: true, writable, until: Some(end), ..Interest::default() })
    }
}
