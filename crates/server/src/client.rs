//! The Client: the task of one connection, the middleman between its socket and the Broker.
//!
//! It repeats: see to errands, read, let the [`Conversation`] handle what came, ask the Broker where
//! that is needed. What is held until the Broker has stored it leaves in the same rounds, part by part, so
//! that errands never wait for the end of it. What to do with a packet is decided in `aldis-session`; here is
//! only when.
//!
//! There may be a million of these, so the future stays small: what is rarely awaited (a question to
//! the Broker, a pause, the farewell) is boxed for as long as it lasts.

use crate::broker_handle::{BrokerHandle, Reply};
use crate::clock;
use crate::desk::{READ_BUFFER, at_desk};
use crate::link::Link;
use crate::notices::Kind;
use crate::reader::{Read, Reader};
use crate::server::Doors;
use aldis_broker::{Answer, Command};
use aldis_packet::{Packet, Quoted, ReasonCode, Suback, Unsuback};
use aldis_session::{
    Conversation, Ending, Errands, Farewell, Held, HeldBatch, Next, Request, RetainedLimit, Session, State,
    Subscribing, Unsubscribing, Violation, Wire,
};
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

/// The longest that a publisher is paused between two reads; its keep alive does not count it.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that the broker closes may take to read its last bytes and close, too.
const LINGER: Duration = Duration::from_secs(1);
/// How often a Client that waits for another's write looks whether it is done.
const GLANCE: Duration = Duration::from_millis(1);
/// Reads of a connection that takes no more bytes or is taken over: two megabytes, when a socket's buffer
/// holds less.
const LAST_READS: u8 = 16;
/// How long each of them may take after a loss: the runtime may not know yet that there is something to read.
const LAST_READ: Duration = Duration::from_millis(100);
/// A read of this many bytes lets others run before the next: more is probably there already, and
/// one flooding publisher must not keep a thread to itself.
const LONG_READ: usize = READ_BUFFER / 2;

/// Tells the Broker that the connection is over, however its task ends.
pub(crate) struct DetachGuard {
    broker: BrokerHandle,
    session: u64,
    connection: u32,
    armed: bool,
}

impl DetachGuard {
    pub(crate) fn new(broker: BrokerHandle, session: u64, connection: u32) -> DetachGuard {
        DetachGuard { broker, session, connection, armed: true }
    }

    async fn detach(mut self, ending: Ending) {
        let (session, connection) = (self.session, self.connection);
        self.broker.send(Command::Detach { session, connection, ending }).await;
        self.armed = false;
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
pub(crate) struct Client {
    pub(crate) broker: BrokerHandle,
    pub(crate) doors: Arc<Doors>,
    pub(crate) reader: Reader,
    pub(crate) link: Arc<Link>,
    pub(crate) session: Arc<Session>,
    pub(crate) conversation: Conversation,
    pub(crate) detach: DetachGuard,
    pub(crate) last_read: LastRead,
    /// Boxed, because few ever publish what is retained.
    pub(crate) releasing: Option<Box<Releasing>>,
}

/// Publications that waited for the Broker to store them, or those before them, on their way out: a part
/// in each round, and nothing is read before all of them are.
pub(crate) struct Releasing {
    held: HeldBatch,
    /// Which could not be stored, by position.
    refused: Vec<(usize, RetainedLimit)>,
}

/// What the last read brought.
#[derive(Default)]
pub(crate) struct LastRead {
    publications: bool,
    long: bool,
    /// The Client has written for others since: now its own client is heard first.
    has_waited: bool,
    /// Reads since the connection takes no more bytes, or is taken over.
    after_end: u8,
}

/// What a Client was woken by.
enum Event {
    Bell,
    Writable,
    Turned(Next),
    Over(Ending),
}

impl Client {
    /// Serves the connection to its end.
    pub(crate) async fn run(mut self) {
        let ending = self.converse().await;
        Box::pin(self.end(ending)).await;
    }

    async fn end(mut self, ending: Ending) {
        let client_id = Arc::clone(&self.conversation.identity.client_id);
        let (mut cut_off, mut told) = (false, true);
        if let Ending::Closed(farewell) = ending {
            self.doors.ended.count(farewell.reason);
            let stops = farewell.reason == ReasonCode::ServerShuttingDown;
            if stops {
                // What waits for the client leaves before its DISCONNECT, if it reads.
                cut_off = timeout(self.doors.time_to_drain(), self.write_out()).await.is_err();
            }
            at_desk(&self.broker, |desk| self.conversation.say_farewell(farewell, &mut desk.bench));
            // Nobody waits for this session, so what is on its way may still leave.
            if farewell.reason != ReasonCode::SessionTakenOver {
                told = timeout(LINGER, self.write_out()).await.is_ok() || !stops;
                cut_off |= !told;
            }
        }
        match ending {
            Ending::Closed(Farewell { reason, .. }) if !is_ordinary(reason) => {
                let line = format_args!("{} disconnected: {ending}", Quoted(&client_id));
                self.doors.notices.warn(Kind::Ended(reason), line);
            }
            _ => tracing::debug!(target: "aldis", "{} disconnected: {ending}", Quoted(&client_id)),
        }
        self.release_rest().await;
        let Client { mut reader, link, detach, doors, .. } = self;
        doors.keep_alive.forget(&link);
        detach.detach(ending).await;
        drop(link);
        // Not after a loss, nor if it cannot be told: there is nobody to wait for.
        if told && !matches!(ending, Ending::Lost) {
            let _ = timeout(LINGER, reader.drain()).await;
        }
        if cut_off {
            // Here, where the connection is all but closed: nobody counts it twice.
            doors.cuts_off();
        }
    }

    /// What the Broker has stored for its client is delivered, too, whoever has gone meanwhile: its QoS 2
    /// identifiers are remembered as received, so it would never be delivered again.
    async fn release_rest(&mut self) {
        if self.releasing.is_some() {
            // As of an earlier connection (law 14): no answer follows a DISCONNECT [MQTT-3.14.4-1].
            self.conversation.connection = self.conversation.connection.wrapping_sub(1);
        }
        while self.releasing.is_some() {
            self.release_part();
            tokio::task::yield_now().await;
        }
    }

    async fn converse(&mut self) -> Ending {
        loop {
            let errands = self.session.outbox.lock().errands(self.conversation.connection);
            if errands.flush {
                // Even at the end: what was handed over has no other writer.
                at_desk(&self.broker, |desk| desk.bench.owe(&self.session));
            }
            if let Some(ending) = self.ending(&errands) {
                return ending;
            }
            if errands.pump {
                self.pump();
            }
            if errands.flush || errands.pump {
                // There may be more of it for a long time: others come first, and the client's own packets.
                self.last_read.has_waited = true;
                tokio::task::yield_now().await;
            }
            let event = if let Some(farewell) = errands.close {
                self.last_event(Ending::Closed(farewell)).await
            } else if errands.lost {
                let last_read = Box::pin(timeout(LAST_READ, self.next_event(errands)));
                last_read.await.unwrap_or(Event::Over(Ending::Lost))
            } else {
                self.next_event(errands).await
            };
            match event {
                Event::Bell => {}
                Event::Writable => self.write_on(),
                Event::Over(ending) => return ending,
                Event::Turned(Next::Read) => self.rest_between_reads().await,
                Event::Turned(Next::Yield) => tokio::task::yield_now().await,
                Event::Turned(Next::End(ending)) => return ending,
                Event::Turned(Next::Ask(request)) => {
                    if let Some(ending) = Box::pin(self.ask(request)).await {
                        return ending;
                    }
                    if self.releasing.is_none() {
                        self.rest_between_reads().await;
                    }
                }
            }
        }
    }

    /// Slows a client that leaves its answers unread, or publishes while memory is short: a pause
    /// before the next read, never a stop, so that its acknowledgements and pings are always heard.
    async fn rest_between_reads(&mut self) {
        let publishes = std::mem::take(&mut self.last_read.publications);
        let is_long = std::mem::take(&mut self.last_read.long);
        if self.has_to_rest(publishes) {
            Box::pin(self.pause(publishes)).await;
        } else if is_long {
            tokio::task::yield_now().await;
        }
    }

    fn has_to_rest(&self, publishes: bool) -> bool {
        (publishes && (self.broker.memory_full() || self.broker.journal.is_behind()))
            || self.session.outbox.lock().piles_up()
    }

    /// Reads nothing for a while, but does what else there is to do: that is what frees memory. Beside the
    /// end of the connection nothing ends the pause before its time but the end of what it is for.
    async fn pause(&mut self, publishes: bool) {
        let end = Instant::now() + PAUSE;
        self.link.leave_off(self.now());
        while Instant::now() < end && self.has_to_rest(publishes) {
            let errands = self.session.outbox.lock().errands(self.conversation.connection);
            if errands.flush {
                at_desk(&self.broker, |desk| desk.bench.owe(&self.session));
            }
            if errands.lost || errands.close.is_some() || self.link.is_silent() {
                break;
            }
            if errands.pump {
                self.pump();
            }
            if errands.flush || errands.pump {
                tokio::task::yield_now().await;
                continue;
            }
            // The bell first: it may be the end of this connection. Then what frees memory; it does not
            // put off the end of the pause, for which each round looks itself.
            tokio::select! {
                biased;
                () = self.link.rung() => {}
                _ = poll_fn(|cx| self.link.poll_writable(cx)), if errands.blocked => self.write_on(),
                () = sleep_until(end) => {}
            }
        }
        self.link.go_on(self.now());
    }

    /// The time as the keep alive counts it.
    fn now(&self) -> u64 {
        self.doors.clock.millis(clock::now())
    }

    fn ending(&mut self, errands: &Errands) -> Option<Ending> {
        let farewell = errands.close;
        if farewell.is_some_and(|farewell| {
            farewell.reason != ReasonCode::SessionTakenOver || self.releasing.is_some()
        }) {
            return farewell.map(Ending::Closed);
        }
        if farewell.is_some() || errands.lost {
            // What has arrived is done first: there may be a DISCONNECT in it [MQTT-3.14.4-3]. Who sends
            // one and closes while messages come is lost for writing before it is heard, and who comes back
            // at once may be taken over before.
            if self.releasing.is_none() && !self.reader.has_unread() {
                self.last_read.after_end += 1;
            }
            let ending = farewell.map_or(Ending::Lost, Ending::Closed);
            return (self.last_read.after_end > LAST_READS).then_some(ending);
        }
        let silent = self.link.is_silent();
        silent.then(|| {
            let what = "nothing was heard for one and a half times the keep alive";
            let clause = "MQTT-3.1.2-22";
            Ending::Closed(Violation::new(ReasonCode::KeepAliveTimeout, clause, what).into())
        })
    }

    /// Waits for something to do.
    async fn next_event(&mut self, errands: Errands) -> Event {
        let mut reads_first = std::mem::take(&mut self.last_read.has_waited);
        // The bell first: an errand may be the end of this connection. Then what waits to be
        // written, which frees memory, then what brings more. Who has just written reads once before.
        poll_fn(|cx| {
            if std::mem::take(&mut reads_first)
                && let Poll::Ready(event) = self.poll_turn(cx)
            {
                return Poll::Ready(event);
            }
            if self.link.poll_rung(cx).is_ready() {
                return Poll::Ready(Event::Bell);
            }
            if errands.blocked && self.link.poll_writable(cx).is_ready() {
                return Poll::Ready(Event::Writable);
            }
            match self.poll_turn(cx) {
                Poll::Pending if errands.pump => Poll::Ready(Event::Bell),
                polled => polled,
            }
        })
        .await
    }

    /// Reads what has arrived, of a connection that ends if nothing has.
    async fn last_event(&mut self, ending: Ending) -> Event {
        poll_fn(|cx| {
            Poll::Ready(match self.poll_turn(cx) {
                Poll::Pending | Poll::Ready(Event::Over(_)) => Event::Over(ending),
                Poll::Ready(event) => event,
            })
        })
        .await
    }

    /// Reads once and handles what came; or lets out a part of what is held, which comes before.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.releasing.is_some() {
            return Poll::Ready(Event::Turned(self.release_part()));
        }
        let Client { broker, doors, reader, link, conversation, last_read, .. } = self;
        at_desk(broker, |desk| {
            let (buffer, bench) = (&mut desk.buffer, &mut desk.bench);
            let now = doors.clock.millis(bench.now);
            let crowded = broker.memory_crowded();
            let polled = reader.poll_turn(cx, buffer, &broker.counters, crowded, |input, count| {
                let before = bench.tally.publish_bytes_received;
                let turned = conversation.turn(input, &*broker.routes, bench);
                last_read.publications = bench.tally.publish_bytes_received != before;
                last_read.long = count >= LONG_READ;
                turned
            });
            if reader.has_heard() {
                link.heard(now);
            }
            polled.map(|read| match read {
                Ok(Read::Turned(next)) => Event::Turned(next),
                Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                    let why =
                        "limits.memory_watermark is exceeded by a quarter, and a large packet is not whole";
                    Event::Over(Ending::Closed(Farewell::new(ReasonCode::QuotaExceeded, why)))
                }
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

    /// Does what needs the Broker; the end of the connection, if a packet behind it broke a rule.
    async fn ask(&mut self, request: Request) -> Option<Ending> {
        self.link.leave_off(self.now());
        match request {
            Request::Subscribe(subscribing) => self.subscribe(subscribing).await,
            Request::Unsubscribe(unsubscribing) => self.unsubscribe(unsubscribing).await,
            Request::Retain(held) => self.retain(held).await,
        }
        if self.releasing.is_some() {
            return None;
        }
        self.link.go_on(self.now());
        self.conversation.ends_after_release()
    }

    async fn subscribe(&mut self, mut subscribing: Subscribing) {
        let reason_string = self.conversation.told(subscribing.refusal.take());
        let (session, packet_id) = (self.session.number, subscribing.packet_id);
        let asked = self.wait(|reply| Command::Subscribe { session, subscribing, reply }).await;
        let Some(reasons) = self.reasons(asked) else { return };
        self.append(&Packet::Suback(Suback { reason_string, ..Suback::new(packet_id, reasons) }));
    }

    async fn unsubscribe(&mut self, mut unsubscribing: Unsubscribing) {
        let reason_string = self.conversation.told(unsubscribing.refusal.take());
        let (session, packet_id) = (self.session.number, unsubscribing.packet_id);
        let asked = self.wait(|reply| Command::Unsubscribe { session, unsubscribing, reply }).await;
        let Some(reasons) = self.reasons(asked) else { return };
        self.append(&Packet::Unsuback(Unsuback { reason_string, ..Unsuback::new(packet_id, reasons) }));
    }

    /// The reason codes of an answer; there are none if what was done cannot be kept, and then the connection ends.
    fn reasons(&self, answer: Option<Answer>) -> Option<Vec<u8>> {
        match answer? {
            Answer::Reasons(reasons) => Some(reasons),
            Answer::Refused(why) => {
                self.session.outbox.lock().ask_to_close(Farewell::from(why));
                None
            }
            _ => None,
        }
    }

    async fn retain(&mut self, held: Vec<Held>) {
        let retained = held.iter().enumerate().filter_map(|(position, held)| {
            let publication = held.publication.as_ref().filter(|publication| publication.retain)?;
            Some((position, Arc::clone(publication)))
        });
        let publications = retained.collect();
        let asked = self.wait(|reply| Command::Retain { publications, reply }).await;
        let Some(Answer::Retained(refused)) = asked else { return };
        self.releasing = Some(Box::new(Releasing { held: held.into_iter().enumerate(), refused }));
    }

    /// Lets out a part of what is held, and says how to go on.
    fn release_part(&mut self) -> Next {
        let Client { broker, conversation, releasing, .. } = self;
        let Some(Releasing { held, refused }) = releasing.as_deref_mut() else { return Next::Read };
        let routes = &*broker.routes;
        if !at_desk(broker, |desk| conversation.release(held, refused, routes, &mut desk.bench)) {
            return Next::Yield;
        }
        self.releasing = None;
        self.link.go_on(self.now());
        self.conversation.ends_after_release().map_or(Next::Read, Next::End)
    }

    fn append(&self, packet: &Packet<'_>) {
        at_desk(&self.broker, |desk| self.conversation.append(packet, &mut desk.bench));
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
                    // A ring that this loop heard may have been meant for the next one, too.
                    self.link.wake();
                    return answer.ok();
                }
                () = self.link.rung() => {}
                _ = poll_fn(|cx| self.link.poll_writable(cx)), if errands.blocked => self.write_on(),
            }
        }
    }

    /// Writes until nothing is left, or the connection is lost.
    async fn write_out(&mut self) {
        loop {
            let (state, errands, parked) = {
                let mut outbox = self.session.outbox.lock();
                (outbox.state(), outbox.errands(self.conversation.connection), outbox.has_parked())
            };
            match state {
                _ if errands.lost => return,
                State::Blocked => {
                    let _ = poll_fn(|cx| self.link.poll_writable(cx)).await;
                    self.write_on();
                }
                State::Dirty if errands.flush => {
                    at_desk(&self.broker, |desk| desk.bench.owe(&self.session));
                }
                // Somebody else writes, and rings, or is done before long.
                State::Dirty | State::Writing => {
                    let _ = timeout(GLANCE, self.link.rung()).await;
                }
                // Answers that leave with the next commit.
                _ if parked => {
                    let _ = timeout(GLANCE, self.link.rung()).await;
                }
                _ => return,
            }
        }
    }
}

/// Ends that are no offence: they are logged with `-v` only.
pub(crate) fn is_ordinary(reason: ReasonCode) -> bool {
    use ReasonCode::{KeepAliveTimeout, ServerShuttingDown, SessionTakenOver};
    matches!(reason, KeepAliveTimeout | ServerShuttingDown | SessionTakenOver)
}
