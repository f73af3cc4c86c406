//! The Client: the task of one connection, the middleman between its socket and the Broker.
//!
//! It greets, asks the Broker for its session, and then repeats: see to errands, read, let the
//! [`Conversation`] handle what came, ask the Broker where that is needed. What to do with a packet
//! is decided in `aldis-session`; here is only when.

use crate::broker_handle::{BrokerHandle, Reply};
use crate::clock;
use crate::desk::at_desk;
use crate::greeting::{self, Greeting, NoGreeting};
use crate::link::Link;
use crate::reader::{Read, Reader};
use crate::server::Doors;
use crate::transport::{Connection, ReadHalf, WriteHalf};
use aldis_broker::{Answer, Command, Connected};
use aldis_packet::{Disconnect, Packet, ProtocolVersion, ReasonCode, Suback, Unsuback};
use aldis_session::{
    Conversation, Ending, Errands, Farewell, Held, Identity, Next, Refusal, Request, Session, Subscribing,
    Unsubscribing, Violation, Wire,
};
use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The longest that a publisher is paused between two reads; its keep alive does not count it.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that the broker closes may take to read its last bytes and close, too.
const LINGER: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
pub(crate) async fn serve(connection: Connection, doors: Arc<Doors>, trusted: bool) {
    let Connection { read: mut half, write, peer } = connection;
    let limits = doors.broker.limits();
    let authenticator = (!trusted).then_some(&*doors.authenticator);
    let greeting = tokio::select! {
        biased;
        greeting = greeting::greet(&mut half, &limits, authenticator) => greeting,
        () = doors.closing() => return,
    };
    match greeting {
        Ok(greeting) => Box::pin(begin(greeting, half, write, peer, &doors)).await,
        Err(NoGreeting::Silence(why)) => tracing::debug!(target: "aldis", "{peer}: {why}"),
        Err(NoGreeting::Refused(refusal)) => turn_away(&refusal, half, &*write, &peer, &doors).await,
    }
}

/// Says no: the CONNACK if there is one, then the end.
async fn turn_away(refusal: &Refusal, half: ReadHalf, write: &dyn WriteHalf, peer: &str, doors: &Doors) {
    if let Some(more) = doors.refusals.allow() {
        tracing::info!(target: "aldis", "refused: connection from {peer}: {}{more}", refusal.why);
    }
    if !refusal.answer.is_empty() {
        // A fresh socket takes a few bytes at once; if it does not, the peer does not listen.
        let _ = write.try_write(&[IoSlice::new(&refusal.answer)]);
        let mut reader = Reader::new(half, Vec::new());
        let _ = timeout(Duration::from_millis(100), reader.drain()).await;
    }
}

/// Asks the Broker for the session of an accepted CONNECT, and serves it.
async fn begin(
    greeting: Greeting,
    half: ReadHalf,
    write: Box<dyn WriteHalf>,
    peer: String,
    doors: &Arc<Doors>,
) {
    let Greeting { negotiated, verified, behind, received } = greeting;
    let broker = &doors.broker;
    let version = negotiated.terms.version;
    let identity = Identity {
        client_id: Arc::clone(&negotiated.client_id),
        user_name: negotiated.user_name.clone().filter(|_| verified),
        rights: broker.rights.clone(),
    };
    if let Some(will) = &negotiated.will
        && !identity.may(aldis_session::Act::Publish, &will.topic)
    {
        let what = "the client may not publish to its will topic";
        let why = Violation::new(ReasonCode::NotAuthorized, "MQTT-3.1.4-2", what);
        return turn_away(&greeting::unavailable(version, why), half, &*write, &peer, doors).await;
    }
    let link = Arc::new(Link::new(write, doors.clock.millis(clock::now())));
    let mut connack = negotiated.connack(false);
    let maximum_packet_size = negotiated.terms.maximum_packet_size;
    let (session_expiry, keep_alive) = (negotiated.session_expiry, negotiated.keep_alive);
    let line = format!(
        "{peer} connected as {:?}, user {:?}, MQTT {version}, keep alive {keep_alive} s",
        identity.client_id, negotiated.user_name
    );
    let wire = Arc::clone(&link) as Arc<dyn Wire>;
    let asked = {
        let identity = identity.clone();
        broker.ask(|reply| Command::Connect { negotiated, identity, wire, reply }).await
    };
    let Connected { session, connection, session_present } = match asked {
        Some(Answer::Connected(connected)) => connected,
        Some(Answer::Refused(why)) => {
            let refusal = greeting::unavailable(version, why);
            let _ = link.try_write(&[IoSlice::new(&refusal.answer)]);
            return;
        }
        _ => return,
    };
    tracing::debug!(target: "aldis", "{line}");
    let conversation = Conversation::new(
        Arc::clone(&session),
        connection,
        version,
        identity,
        broker.limits(),
        session_expiry,
    );
    let detach = DetachGuard { broker: broker.clone(), session: session.number, connection, armed: true };
    connack.session_present = session_present;
    let mut encoded = Vec::new();
    connack.encode(version, maximum_packet_size, &mut encoded);
    at_desk(broker, |desk| {
        desk.bench.tally.received(1);
        desk.bench.tally.bytes_received += received.saturating_sub(behind.len()) as u64;
        conversation.begin(&connack, &encoded, &mut desk.bench);
    });
    doors.keep_alive.watch(&link, keep_alive);
    let client = Client {
        broker: broker.clone(),
        doors: Arc::clone(doors),
        reader: Reader::new(half, behind),
        link,
        session,
        conversation,
        maximum_packet_size,
        publishes: false,
    };
    client.run(detach).await;
}

/// Tells the Broker that the connection is over, however its task ends.
struct DetachGuard {
    broker: BrokerHandle,
    session: u64,
    connection: u32,
    armed: bool,
}

impl DetachGuard {
    async fn detach(mut self, ending: Ending) {
        self.armed = false;
        let (session, connection) = (self.session, self.connection);
        self.broker.send(Command::Detach { session, connection, ending }).await;
    }
}

impl Drop for DetachGuard {
    fn drop(&mut self) {
        if self.armed {
            let (broker, session, connection) = (self.broker.clone(), self.session, self.connection);
            crate::spawn(async move {
                broker.send(Command::Detach { session, connection, ending: Ending::Lost }).await;
            });
        }
    }
}

/// One connection with its session.
struct Client {
    broker: BrokerHandle,
    doors: Arc<Doors>,
    reader: Reader,
    link: Arc<Link>,
    session: Arc<Session>,
    conversation: Conversation,
    maximum_packet_size: u32,
    /// Whether the last read brought publications.
    publishes: bool,
}

/// What a Client was woken by.
enum Event {
    Bell,
    Writable,
    Turned(Next),
    Over(Ending),
}

impl Client {
    async fn run(mut self, detach: DetachGuard) {
        let ending = self.converse().await;
        let client_id = Arc::clone(&self.conversation.identity.client_id);
        if let Ending::Closed(farewell) = ending {
            self.say_farewell(farewell);
        }
        match ending {
            Ending::Closed(Farewell {
                reason: ReasonCode::MalformedPacket | ReasonCode::ProtocolError,
                ..
            }) => {
                if let Some(more) = self.doors.refusals.allow() {
                    tracing::info!(target: "aldis", "{client_id:?} disconnected: {ending}{more}");
                }
            }
            _ => tracing::debug!(target: "aldis", "{client_id:?} disconnected: {ending}"),
        }
        detach.detach(ending).await;
        let Client { mut reader, link, .. } = self;
        drop(link);
        // Not after a loss: there is nobody to wait for.
        if !matches!(ending, Ending::Lost) {
            let _ = timeout(LINGER, reader.drain()).await;
        }
    }

    async fn converse(&mut self) -> Ending {
        loop {
            let errands = self.session.outbox.lock().errands(self.conversation.connection);
            if let Some(ending) = self.ending(&errands) {
                return ending;
            }
            if errands.flush {
                at_desk(&self.broker, |desk| desk.bench.owe(&self.session));
            }
            if errands.pump {
                self.pump();
                tokio::task::yield_now().await;
            }
            if errands.pause || (self.publishes && self.broker.memory_full()) {
                let _ = timeout(PAUSE, self.link.rung()).await;
                self.publishes = false;
            }
            match self.next_event(errands).await {
                Event::Bell => {}
                Event::Writable => self.write_on(),
                Event::Over(ending) => return ending,
                Event::Turned(Next::Read) => {}
                Event::Turned(Next::End(ending)) => return ending,
                Event::Turned(Next::Ask(request)) => self.ask(request).await,
            }
        }
    }

    fn ending(&self, errands: &Errands) -> Option<Ending> {
        if let Some(farewell) = errands.close {
            return Some(Ending::Closed(farewell));
        }
        if errands.lost {
            return Some(Ending::Lost);
        }
        let silent = self.link.is_silent();
        silent.then(|| {
            let what = "nothing was heard for one and a half times the keep alive";
            let clause = "MQTT-3.1.2-22";
            Ending::Closed(Violation::new(ReasonCode::KeepAliveTimeout, clause, what).into())
        })
    }

    async fn next_event(&mut self, errands: Errands) -> Event {
        let link = Arc::clone(&self.link);
        // The bell first: an errand may be the end of this connection. Then what waits to be
        // written, which frees memory, then what brings more.
        tokio::select! {
            biased;
            () = link.rung() => Event::Bell,
            _ = poll_fn(|cx| link.poll_writable(cx)), if errands.blocked => Event::Writable,
            event = poll_fn(|cx| self.poll_turn(cx)) => event,
            () = std::future::ready(()), if errands.pump => Event::Bell,
        }
    }

    /// Reads once and handles what came.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let Client { broker, doors, reader, link, conversation, publishes, .. } = self;
        at_desk(broker, |desk| {
            let (buffer, bench) = (&mut desk.buffer, &mut desk.bench);
            let polled = reader.poll_turn(cx, buffer, |input, count| {
                link.heard(doors.clock.millis(bench.now));
                bench.tally.bytes_received += count as u64;
                let before = bench.tally.publish_bytes_received;
                let turned = conversation.turn(input, &*broker.routes, bench);
                *publishes = bench.tally.publish_bytes_received != before;
                turned
            });
            polled.map(|read| match read {
                Ok(Read::Turned(next)) => Event::Turned(next),
                Ok(Read::End) | Err(_) => Event::Over(Ending::Lost),
            })
        })
    }

    /// The socket takes bytes again.
    fn write_on(&self) {
        at_desk(&self.broker, |desk| {
            let mut outbox = self.session.outbox.lock();
            if outbox.unblocked(self.conversation.connection, &mut desk.bench) {
                drop(outbox);
                desk.bench.owe(&self.session);
            }
        });
    }

    /// Goes on with retained messages and shared subscriptions, one bounded step.
    fn pump(&self) {
        at_desk(&self.broker, |desk| {
            self.broker.retained.replay(&self.session, &mut desk.bench);
            self.session.pull_from_groups(&mut desk.bench);
        });
    }

    // ---- what needs the Broker ----

    async fn ask(&mut self, request: Request) {
        match request {
            Request::Subscribe(subscribing) => self.subscribe(subscribing).await,
            Request::Unsubscribe(unsubscribing) => self.unsubscribe(unsubscribing).await,
            Request::Retain(held) => self.retain(held).await,
        }
    }

    async fn subscribe(&mut self, subscribing: Subscribing) {
        let (session, packet_id) = (self.session.number, subscribing.packet_id);
        self.log_refused(&subscribing);
        let asked = self.wait(|reply| Command::Subscribe { session, subscribing, reply }).await;
        let Some(Answer::Reasons(mut reasons)) = asked else { return };
        if self.conversation.version != ProtocolVersion::V5 {
            // [MQTT-3.9.3-2]: 3.x knows one failure.
            reasons.iter_mut().filter(|reason| **reason >= 0x80).for_each(|reason| *reason = 0x80);
        }
        let suback = Suback::new(packet_id, reasons);
        let mut encoded = Vec::new();
        suback.encode(self.conversation.version, self.maximum_packet_size, &mut encoded);
        self.append(&Packet::Suback(suback), &encoded);
    }

    fn log_refused(&self, subscribing: &Subscribing) {
        for (filter, _) in &subscribing.filters {
            if let Err(reason) = filter
                && let Some(more) = self.doors.refusals.allow()
            {
                let client_id = &self.conversation.identity.client_id;
                tracing::info!(target: "aldis", "refused: client {client_id:?}, SUBSCRIBE: {reason}{more}");
            }
        }
    }

    async fn unsubscribe(&mut self, unsubscribing: Unsubscribing) {
        let (session, packet_id) = (self.session.number, unsubscribing.packet_id);
        let asked = self.wait(|reply| Command::Unsubscribe { session, unsubscribing, reply }).await;
        let Some(Answer::Reasons(reasons)) = asked else { return };
        let unsuback = Unsuback::new(packet_id, reasons);
        let mut encoded = Vec::new();
        unsuback.encode(self.conversation.version, self.maximum_packet_size, &mut encoded);
        self.append(&Packet::Unsuback(unsuback), &encoded);
    }

    async fn retain(&mut self, held: Vec<Held>) {
        let retained = held.iter().enumerate().filter_map(|(position, held)| {
            let publication = held.publication.as_ref().filter(|publication| publication.retain)?;
            Some((position, Arc::clone(publication)))
        });
        let publications = retained.collect();
        let asked = self.wait(|reply| Command::Retain { publications, reply }).await;
        let Some(Answer::Retained(refused)) = asked else { return };
        let (broker, conversation) = (&self.broker, &mut self.conversation);
        at_desk(broker, |desk| conversation.release(held, &refused, &*broker.routes, &mut desk.bench));
    }

    fn append(&self, packet: &Packet<'_>, encoded: &[u8]) {
        at_desk(&self.broker, |desk| self.conversation.append(packet, encoded, &mut desk.bench));
    }

    /// Asks the Broker. Meanwhile nothing is read, but what is to be written is written, so that
    /// nobody who waits for this client's acknowledgements waits for the Broker, too.
    async fn wait(&mut self, command: impl FnOnce(Reply) -> Command<Reply>) -> Option<Answer> {
        let (reply, mut answer) = oneshot::channel();
        self.broker.send(command(reply)).await;
        loop {
            let errands = self.session.outbox.lock().errands(self.conversation.connection);
            if errands.flush {
                at_desk(&self.broker, |desk| desk.bench.owe(&self.session));
            }
            // The answer first: it is what this waits for. A connection that is to end learns so
            // right after it, and the Broker always answers.
            tokio::select! {
                biased;
                answer = &mut answer => {
                    // A ring that was for this loop may have been for the next one, too.
                    self.link.wake();
                    return answer.ok();
                }
                () = self.link.rung() => {}
                _ = poll_fn(|cx| self.link.poll_writable(cx)), if errands.blocked => self.write_on(),
            }
        }
    }

    /// DISCONNECT to an MQTT 5 client; 3.x has none from the server.
    fn say_farewell(&self, farewell: Farewell) {
        if self.conversation.version != ProtocolVersion::V5 {
            return;
        }
        let mut disconnect = Disconnect::new(farewell.reason);
        disconnect.reason_string = Some(farewell.why.to_string());
        let mut encoded = Vec::new();
        disconnect.encode(self.conversation.version, self.maximum_packet_size, &mut encoded);
        self.append(&Packet::Disconnect(Box::new(disconnect)), &encoded);
    }
}
