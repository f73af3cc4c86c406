//! A Client's side of an established connection: packets in, answers and actions out.
//!
//! [`Conversation::turn`] handles one read buffer of packets and goes as far as it can without the
//! Broker: it routes publications into Outboxes, answers, and handles acknowledgements. What needs
//! the Broker (SUBSCRIBE, UNSUBSCRIBE, retained messages) is returned as a [`Request`]; the shell
//! asks and comes back. A turn never waits and makes no system call.

use crate::alias::AliasesIn;
use crate::filters::{Subscribing, Unsubscribing};
use crate::inbound::Inbound;
use crate::limits::Limits;
use crate::publishing::{CachedRoute, Held};
use crate::rights::Identity;
use crate::route::Router;
use crate::session::Session;
use crate::violation::{Ending, Farewell, Violation};
use crate::workbench::Workbench;
use aldis_packet::{
    Ack, AckKind, Connack, DecodeLimits, Disconnect, Frame, Framed, Packet, PacketType, ProtocolVersion,
    ReasonCode, decode, encode_pingresp, next_frame, packet_size,
};
use aldis_store::{Record, Sequence};
use bytes::Bytes;
use std::sync::Arc;

/// What the Broker has to do before the conversation goes on.
#[derive(Debug)]
pub enum Request {
    /// A SUBSCRIBE.
    Subscribe(Subscribing),
    /// An UNSUBSCRIBE.
    Unsubscribe(Unsubscribing),
    /// Publications from the first retained one of a batch on: those with RETAIN are stored first,
    /// then all of them are released in order.
    Retain(Vec<Held>),
}

/// What the shell does after a turn.
#[derive(Debug)]
pub enum Next {
    /// Read on.
    Read,
    /// Enough was done for one turn: others come first, then the rest of the bytes.
    Yield,
    /// Ask the Broker, then go on with the rest of the bytes.
    Ask(Request),
    /// End the connection.
    End(Ending),
}

/// How far a turn came.
#[derive(Debug)]
pub struct Turned {
    /// Bytes that are done with. The rest comes first in the next turn.
    pub consumed: usize,
    /// What the shell does next.
    pub next: Next,
    /// Whole size of the packet that the rest begins with, once it is known.
    pub expects: Option<usize>,
}

/// The bytes of one turn: a borrowed buffer, or one that payloads can be shared from.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// A buffer that is read into again after the turn.
    Borrowed(&'a [u8]),
    /// A buffer of its own, as for large packets.
    Shared(&'a Bytes),
}

/// What CONNECT and CONNACK settled that bounds a conversation.
#[derive(Debug, Clone, Copy)]
pub struct Agreed {
    /// Version of the protocol.
    pub version: ProtocolVersion,
    /// Largest packet that the client takes, in bytes.
    pub maximum_packet_size: u32,
    /// Whether reason strings may go on every packet.
    pub problem_information: bool,
    /// Whether DISCONNECT may bring another session expiry interval.
    pub expiry_may_change: bool,
}

/// The state of one connection after its CONNECT.
pub struct Conversation {
    /// The session that the connection holds.
    pub session: Arc<Session>,
    /// Number of the connection within the session.
    pub connection: u32,
    /// Version of the protocol.
    pub version: ProtocolVersion,
    /// Who is connected.
    pub identity: Identity,
    pub(crate) limits: Arc<Limits>,
    pub(crate) agreed: Agreed,
    pub(crate) aliases: Option<Box<AliasesIn>>,
    pub(crate) route: Option<Box<CachedRoute>>,
    /// The end that comes as soon as the publications before the offence are released.
    pub(crate) doomed: Option<Box<Ending>>,
    /// It ends because a publication could not be kept: nothing behind that is published or answered.
    pub(crate) is_cut_off: bool,
    /// Whether the session outlives the connection, and so what it publishes at QoS 2 is remembered.
    pub(crate) lasting: bool,
    /// The last record that answers to this client wait for.
    pub(crate) after: Sequence,
}

/// What one turn gathers besides the workbench.
pub(crate) struct Batch<'a> {
    pub(crate) input: Input<'a>,
    pub(crate) inbound: &'a mut Inbound,
    pub(crate) held: Vec<Held>,
    /// QoS 1 publications of this batch: their PUBACK is not out yet.
    pub(crate) unanswered: usize,
}

impl Conversation {
    /// A conversation over connection number `connection` of `session`.
    pub fn new(
        session: Arc<Session>,
        connection: u32,
        identity: Identity,
        limits: Arc<Limits>,
        agreed: Agreed,
    ) -> Conversation {
        let lasting = session.outbox.lock().outbound.terms.lasting;
        let after = session.inbound.lock().recorded();
        Conversation {
            session,
            connection,
            version: agreed.version,
            identity,
            limits,
            agreed,
            aliases: None,
            route: None,
            doomed: None,
            is_cut_off: false,
            lasting,
            after,
        }
    }

    /// The connection begins: CONNACK leaves before anything else [MQTT-3.2.0-1].
    pub fn begin(&self, connack: &Connack, encoded: &[u8], bench: &mut Workbench) {
        bench.tally.sent(PacketType::Connack as u8, encoded.len());
        if bench.traces {
            bench.observer.sent(&self.identity.client_id, connack);
        }
        self.session.begin(self.connection, encoded, bench);
    }

    /// Handles the packets in `input`, as many as are enough for one turn.
    pub fn turn(&mut self, input: Input<'_>, router: &dyn Router, bench: &mut Workbench) -> Turned {
        self.begin_turn(router, bench);
        let session = Arc::clone(&self.session);
        let mut inbound = session.inbound.lock();
        let mut batch = Batch { input, inbound: &mut inbound, held: Vec::new(), unanswered: 0 };
        let mut turned = self.packets(&mut batch, router, bench);
        if let Err(violation) = self.settle(bench) {
            turned.next = violated(violation);
        }
        if !batch.held.is_empty() {
            // What came before an offence is released first; whatever else stopped the turn comes again.
            if let Next::End(ending) = turned.next {
                self.doomed = Some(Box::new(ending));
            }
            turned.next = Next::Ask(Request::Retain(batch.held));
        }
        turned
    }

    fn packets(&mut self, batch: &mut Batch<'_>, router: &dyn Router, bench: &mut Workbench) -> Turned {
        let bytes: &[u8] = match batch.input {
            Input::Borrowed(bytes) => bytes,
            Input::Shared(bytes) => bytes,
        };
        let mut consumed = 0;
        loop {
            let rest = bytes.get(consumed..).unwrap_or_default();
            let (frame, size) = match next_frame(rest, self.limits.packet_size) {
                Ok(Framed::Whole { frame, size }) => (frame, size),
                Ok(Framed::Partial { size }) => return Turned { consumed, next: Next::Read, expects: size },
                Err(error) => return stopped(consumed, violated(error.into())),
            };
            if !batch.held.is_empty() && !may_pass_held(frame.packet_type) {
                return stopped(consumed, Next::Read);
            }
            if bench.has_done_enough() {
                return stopped(consumed, Next::Yield);
            }
            if !bench.acks.is_empty() && !is_acknowledgement(frame.packet_type) {
                // One that breaks a rule is noticed before anything behind it takes effect.
                if let Err(violation) = self.settle(bench) {
                    return stopped(consumed, violated(violation));
                }
            }
            match self.packet(&frame, batch, router, bench) {
                Ok(None) => consumed += size,
                Ok(Some(next)) => return stopped(consumed + size, next),
                Err(violation) => return stopped(consumed, violated(violation)),
            }
        }
    }

    fn packet(
        &mut self,
        frame: &Frame<'_>,
        batch: &mut Batch<'_>,
        router: &dyn Router,
        bench: &mut Workbench,
    ) -> Result<Option<Next>, Violation> {
        bench.tally.received(frame.packet_type as u8, packet_size(frame.body.len()));
        if frame.packet_type == PacketType::Publish {
            return self.publish(frame, batch, router, bench).map(|()| None);
        }
        if frame.packet_type == PacketType::Connect {
            // Whatever is in it [MQTT-3.1.0-2].
            return Err(protocol_error("MQTT-3.1.0-2", "a second CONNECT on one connection"));
        }
        let packet = decode(frame, self.version, &self.decode_limits())?;
        if bench.traces {
            bench.observer.received(&self.identity.client_id, &packet);
        }
        match packet {
            Packet::Ack(ack) if ack.kind == AckKind::Pubrel => self.pubrel(&ack, batch, bench),
            Packet::Ack(ack) => bench.acks.push((ack.kind, ack.packet_id, ack.reason)),
            Packet::Pingreq => {
                encode_pingresp(&mut bench.answers);
                bench.tally.sent(PacketType::Pingresp as u8, packet_size(0));
                if bench.traces {
                    bench.observer.sent(&self.identity.client_id, &Packet::Pingresp);
                }
            }
            Packet::Subscribe(subscribe) => {
                self.check_count(subscribe.filters.len())?;
                let subscribing =
                    Subscribing::check(subscribe, self.version, &self.identity, &self.limits, bench)?;
                return Ok(Some(Next::Ask(Request::Subscribe(subscribing))));
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.check_count(unsubscribe.filters.len())?;
                let client_id = &self.identity.client_id;
                let unsubscribing =
                    Unsubscribing::check(unsubscribe, self.version, client_id, &self.limits, bench)?;
                return Ok(Some(Next::Ask(Request::Unsubscribe(unsubscribing))));
            }
            Packet::Disconnect(disconnect) => {
                return self.disconnect(&disconnect).map(|end| Some(Next::End(end)));
            }
            Packet::Auth(_) => {
                return Err(protocol_error(
                    "MQTT-4.12.0-7",
                    "AUTH without an authentication method in CONNECT",
                ));
            }
            _ => return Err(protocol_error("", "a packet that only a server may send")),
        }
        Ok(None)
    }

    pub(crate) fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits { user_properties: self.limits.user_properties }
    }

    /// A packet may hold so many filters. And SUBACK and UNSUBACK have a code for each, of which none may be
    /// left out: one that asks for an answer its client does not take is not acted on [MQTT-3.1.2-24].
    fn check_count(&self, filters: usize) -> Result<(), Violation> {
        if filters > self.limits.filters_in_packet {
            let what = "more topic filters in one packet than limits.filters_in_packet";
            return Err(Violation::new(ReasonCode::QuotaExceeded, "", what));
        }
        let size = packet_size(2 + 1 + filters);
        if self.version != ProtocolVersion::V5 || size <= self.agreed.maximum_packet_size as usize {
            return Ok(());
        }
        let what = "its answer would be larger than the client's maximum packet size";
        Err(Violation::new(ReasonCode::PacketTooLarge, "MQTT-3.1.2-24", what))
    }

    fn disconnect(&self, disconnect: &Disconnect) -> Result<Ending, Violation> {
        if !self.agreed.expiry_may_change && disconnect.session_expiry.is_some_and(|expiry| expiry != 0) {
            return Err(protocol_error(
                "",
                "DISCONNECT sets a session expiry interval that CONNECT had as 0",
            ));
        }
        if disconnect.only_a_server_sends_it() {
            return Err(protocol_error("", "DISCONNECT holds what only a server may send"));
        }
        Ok(Ending::Disconnected {
            will: disconnect.reason != ReasonCode::Success,
            session_expiry: disconnect.session_expiry,
            reason: disconnect.reason,
        })
    }

    /// PUBREL: the identifier is free again.
    fn pubrel(&mut self, ack: &Ack, batch: &mut Batch<'_>, bench: &mut Workbench) {
        let held = batch.inbound.release(ack.packet_id);
        if batch.inbound.forget_recorded(ack.packet_id) {
            // PUBCOMP when that is durable (gate c).
            let (session, packet_id) = (self.session.number, ack.packet_id);
            let after = bench.journal.append(&Record::Released { session, packet_id });
            self.answers_wait_for(after, batch.inbound);
        }
        let reason = if held { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.encode_answer(AckKind::Pubcomp, ack.packet_id, reason, bench);
    }

    /// Handles the acknowledgements gathered so far and appends the answers, under one lock.
    pub(crate) fn settle(&mut self, bench: &mut Workbench) -> Result<(), Violation> {
        if bench.acks.is_empty() && bench.answers.is_empty() {
            return Ok(());
        }
        let acks = std::mem::take(&mut bench.acks);
        let answers = std::mem::take(&mut bench.answers);
        let mut outbox = self.session.outbox.lock();
        let answered = outbox.answer_after(self.connection, &answers, self.after, bench);
        let acknowledged = outbox.acknowledge(self.connection, &acks, bench);
        let overdrawn = outbox.overdrawn();
        let asks_groups = outbox.groups_with_work() > 0;
        // What was appended before one that breaks a rule is owed a write, too.
        let dirty = acknowledged == Ok(true) || (acknowledged.is_err() && outbox.mark_dirty());
        drop(outbox);
        if answered || dirty {
            bench.dirty.push(Arc::clone(&self.session));
        }
        if asks_groups {
            self.session.pull_from_groups(bench);
        }
        (bench.acks, bench.answers) = (acks, answers);
        bench.acks.clear();
        bench.answers.clear();
        acknowledged?;
        if overdrawn {
            let what = "answers pile up unread beyond limits.answers_bytes";
            return Err(Violation::new(ReasonCode::QuotaExceeded, "", what));
        }
        Ok(())
    }

    /// What this client is answered from now on leaves when `after` is committed.
    pub(crate) fn answers_wait_for(&mut self, after: Sequence, inbound: &mut Inbound) {
        self.after = self.after.max(after);
        inbound.is_recorded(after);
    }

    /// Words for a client about what was refused, unless it asked for none [MQTT-3.1.2-29].
    pub fn told(&self, words: Option<String>) -> Option<String> {
        words.filter(|_| self.agreed.problem_information)
    }

    /// Appends an answer of the Broker: SUBACK or UNSUBACK.
    pub fn append(&self, packet: &Packet<'_>, bench: &mut Workbench) {
        let encoded = self.encode(packet, bench);
        let dirty = self.session.outbox.lock().answer(self.connection, &encoded, bench);
        if dirty {
            bench.dirty.push(Arc::clone(&self.session));
        }
    }

    fn encode(&self, packet: &Packet<'_>, bench: &mut Workbench) -> Vec<u8> {
        let mut encoded = Vec::new();
        packet.encode_within(self.version, self.agreed.maximum_packet_size, &mut encoded);
        bench.tally.sent(packet.packet_type() as u8, encoded.len());
        if bench.traces {
            bench.observer.sent(&self.identity.client_id, packet);
        }
        encoded
    }

    /// The broker ends the connection: DISCONNECT to an MQTT 5 client, which 3.x does not know; nothing
    /// follows [MQTT-3.14.4-1].
    pub fn say_farewell(&self, farewell: Farewell, bench: &mut Workbench) {
        if self.version == ProtocolVersion::V5 {
            let mut disconnect = Disconnect::new(farewell.reason);
            disconnect.reason_string = Some(farewell.why.to_string());
            let encoded = self.encode(&Packet::Disconnect(Box::new(disconnect)), bench);
            let dirty = self.session.outbox.lock().answer_last(self.connection, &encoded, bench);
            if dirty {
                bench.dirty.push(Arc::clone(&self.session));
            }
        }
        self.session.outbox.lock().last_words(self.connection, farewell);
    }
}

/// Packets that a held publication before them does not stop. PINGREQ is not among them: its answer tells a client
/// that what it sent before is done.
fn may_pass_held(packet_type: PacketType) -> bool {
    use PacketType::{Puback, Pubcomp, Publish, Pubrec};
    matches!(packet_type, Publish | Puback | Pubrec | Pubcomp)
}

/// Acknowledgements of a client for what it was sent: they are handled together.
fn is_acknowledgement(packet_type: PacketType) -> bool {
    matches!(packet_type, PacketType::Puback | PacketType::Pubrec | PacketType::Pubcomp)
}

pub(crate) fn protocol_error(clause: &'static str, what: &'static str) -> Violation {
    Violation::new(ReasonCode::ProtocolError, clause, what)
}

fn violated(violation: Violation) -> Next {
    Next::End(Ending::Closed(Farewell::from(violation)))
}

fn stopped(consumed: usize, next: Next) -> Turned {
    Turned { consumed, next, expects: None }
}
