//! A Client's side of an established connection: packets in, answers and actions out.
//!
//! [`Conversation::turn`] handles one read buffer of packets and goes as far as it can without the
//! Broker: it routes publications into Outboxes, answers, and handles acknowledgements. What needs
//! the Broker (SUBSCRIBE, UNSUBSCRIBE, retained messages) is returned as a [`Request`]; the shell
//! asks and comes back. A turn never waits and makes no system call.

use crate::alias::AliasesIn;
use crate::counters::RefuseReason;
use crate::filters::{Subscribing, Unsubscribing};
use crate::inbound::Inbound;
use crate::limits::Limits;
use crate::publication::{Offering, Publication};
use crate::rights::{Act, Identity};
use crate::route::{Route, Router};
use crate::session::Session;
use crate::violation::{Ending, Farewell, Violation};
use crate::workbench::Workbench;
use aldis_packet::{
    Ack, AckKind, Connack, DecodeLimits, Disconnect, Frame, Framed, Packet, PacketId, PacketType,
    ProtocolVersion, Publish, QoS, ReasonCode, decode, encode_ack, encode_pingresp, next_frame,
};
use bytes::Bytes;
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

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

/// A publication that waits until the retained ones before it are stored, with the answer that
/// its publisher is owed.
#[derive(Debug)]
pub struct Held {
    /// The message; `None` for one that is only answered: a repeat, or one that is refused.
    pub publication: Option<Arc<Publication>>,
    answer: Option<(AckKind, PacketId)>,
    /// What the answer says when there is no message.
    reason: ReasonCode,
}

/// What the shell does after a turn.
#[derive(Debug)]
pub enum Next {
    /// Read on.
    Read,
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

struct CachedRoute {
    topic: Arc<str>,
    generation: u64,
    route: Arc<Route>,
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
    limits: Arc<Limits>,
    /// Session expiry interval asked for in CONNECT: 0 forbids another value in DISCONNECT.
    session_expiry: u32,
    aliases: Option<Box<AliasesIn>>,
    route: Option<Box<CachedRoute>>,
}

/// What one turn gathers besides the workbench.
struct Batch<'a> {
    input: Input<'a>,
    inbound: &'a mut Inbound,
    held: Vec<Held>,
    /// QoS 1 publications of this batch: their PUBACK is not out yet.
    unanswered: usize,
}

impl Conversation {
    /// A conversation over connection number `connection` of `session`.
    pub fn new(
        session: Arc<Session>,
        connection: u32,
        version: ProtocolVersion,
        identity: Identity,
        limits: Arc<Limits>,
        session_expiry: u32,
    ) -> Conversation {
        Conversation {
            session,
            connection,
            version,
            identity,
            limits,
            session_expiry,
            aliases: None,
            route: None,
        }
    }

    /// The connection begins: CONNACK leaves before anything else [MQTT-3.2.0-1].
    pub fn begin(&self, connack: &Connack, encoded: &[u8], bench: &mut Workbench) {
        bench.tally.sent(PacketType::Connack as u8);
        if bench.traces {
            bench.observer.sent(&self.identity.client_id, connack);
        }
        let dirty = self.session.outbox.lock().begin(self.connection, encoded, bench);
        if dirty {
            bench.owe(&self.session);
        }
        self.session.pull_from_groups(bench);
    }

    /// Handles the packets in `input`.
    pub fn turn(&mut self, input: Input<'_>, router: &dyn Router, bench: &mut Workbench) -> Turned {
        let session = Arc::clone(&self.session);
        let mut inbound = session.inbound.lock();
        let mut batch = Batch { input, inbound: &mut inbound, held: Vec::new(), unanswered: 0 };
        let mut turned = self.packets(&mut batch, router, bench);
        if !batch.held.is_empty() {
            // Whatever stopped the turn comes again after the held ones are released.
            turned.next = Next::Ask(Request::Retain(batch.held));
        }
        drop(inbound);
        if let Err(violation) = self.settle(bench) {
            if let Next::Ask(Request::Retain(held)) = &turned.next {
                self.forget(held);
            }
            turned.next = Next::End(Ending::Closed(violation.into()));
        }
        turned
    }

    /// Held publications go with their connection, unanswered: sent again, they are new.
    fn forget(&self, held: &[Held]) {
        let mut inbound = self.session.inbound.lock();
        for held in held.iter().filter(|held| held.publication.is_some()) {
            if let Some((AckKind::Pubrec, id)) = held.answer {
                inbound.release(id);
            }
        }
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
                Err(error) => return ended(consumed, violated(error.into())),
            };
            if !batch.held.is_empty() && !may_pass_held(frame.packet_type) {
                return Turned { consumed, next: Next::Read, expects: None };
            }
            match self.packet(&frame, batch, router, bench) {
                Ok(None) => consumed += size,
                Ok(Some(next)) => return Turned { consumed: consumed + size, next, expects: None },
                Err(violation) => return ended(consumed, violated(violation)),
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
        bench.tally.received(frame.packet_type as u8);
        if frame.packet_type == PacketType::Publish {
            return self.publish(frame, batch, router, bench).map(|()| None);
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
                bench.tally.sent(PacketType::Pingresp as u8);
                if bench.traces {
                    bench.observer.sent(&self.identity.client_id, &Packet::Pingresp);
                }
            }
            Packet::Subscribe(subscribe) => {
                let observer = &*bench.observer;
                let subscribing = Subscribing::check(subscribe, &self.identity, &self.limits, observer)?;
                return Ok(Some(Next::Ask(Request::Subscribe(subscribing))));
            }
            Packet::Unsubscribe(unsubscribe) => {
                let unsubscribing = Unsubscribing::check(unsubscribe, &self.limits)?;
                return Ok(Some(Next::Ask(Request::Unsubscribe(unsubscribing))));
            }
            Packet::Disconnect(disconnect) => {
                return self.disconnect(&disconnect).map(|end| Some(Next::End(end)));
            }
            Packet::Connect(_) => {
                return Err(protocol_error("MQTT-3.1.0-2", "a second CONNECT on one connection"));
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

    fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits { user_properties: self.limits.user_properties }
    }

    fn disconnect(&self, disconnect: &Disconnect) -> Result<Ending, Violation> {
        if self.session_expiry == 0 && disconnect.session_expiry.is_some_and(|expiry| expiry != 0) {
            return Err(protocol_error(
                "",
                "DISCONNECT sets a session expiry interval that CONNECT had as 0",
            ));
        }
        Ok(Ending::Disconnected {
            will: disconnect.reason != ReasonCode::Success,
            session_expiry: disconnect.session_expiry,
            reason: disconnect.reason,
        })
    }

    /// PUBREL: the identifier is free again.
    fn pubrel(&self, ack: &Ack, batch: &mut Batch<'_>, bench: &mut Workbench) {
        let held = batch.inbound.release(ack.packet_id);
        let reason = if held { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.encode_answer(AckKind::Pubcomp, ack.packet_id, reason, bench);
    }

    fn publish(
        &mut self,
        frame: &Frame<'_>,
        batch: &mut Batch<'_>,
        router: &dyn Router,
        bench: &mut Workbench,
    ) -> Result<(), Violation> {
        let cached = self.route.take();
        let last_topic = cached.as_ref().map(|cached| Arc::clone(&cached.topic));
        let known = last_topic.as_deref().unwrap_or("");
        let publish = Publish::decode_trusting(frame, self.version, &self.decode_limits(), known)?;
        if bench.traces {
            bench.observer.received(&self.identity.client_id, &publish);
        }
        if !publish.properties.subscription_ids.is_empty() {
            return Err(protocol_error("MQTT-3.3.4-6", "a subscription identifier in a client's PUBLISH"));
        }
        bench.tally.publish_bytes_received += publish.payload.len() as u64;
        let aliased = match publish.properties.topic_alias {
            None => None,
            Some(alias) => {
                let aliases = self.aliases.get_or_insert_default();
                Some(aliases.resolve(alias, publish.topic, self.limits.topic_alias_maximum)?)
            }
        };
        let topic = aliased.as_deref().unwrap_or(publish.topic);
        if topic != known {
            self.check_topic(topic)?;
        }
        let answer = answer_to(&publish);
        if !self.admit(&publish, topic, answer, batch, bench)? {
            self.route = cached;
            return Ok(());
        }
        let offering = Offering {
            topic,
            payload: publish.payload,
            properties: &publish.properties.forwarded,
            qos: publish.qos,
            retain: publish.retain,
            expires_at: (publish.properties.message_expiry)
                .and_then(|seconds| bench.now.checked_add(Duration::from_secs(u64::from(seconds)))),
            publisher: Some(&self.identity.client_id),
            buffer: match batch.input {
                Input::Shared(buffer) => Some(buffer),
                Input::Borrowed(_) => None,
            },
            owned: OnceCell::new(),
        };
        if publish.retain || !batch.held.is_empty() {
            let publication = Some(Arc::clone(offering.publication()));
            batch.held.push(Held { publication, answer, reason: ReasonCode::Success });
            self.route = cached;
            return Ok(());
        }
        let cached = refresh(cached, topic, router);
        cached.route.deliver(&offering, bench);
        let matched = !cached.route.targets.is_empty();
        self.route = Some(cached);
        self.answer(answer, matched, bench);
        Ok(())
    }

    /// Whether a PUBLISH is routed: its client may, has not sent it before, and keeps to the
    /// receive maximum. What is not routed is answered here.
    fn admit(
        &self,
        publish: &Publish<'_>,
        topic: &str,
        answer: Option<(AckKind, PacketId)>,
        batch: &mut Batch<'_>,
        bench: &mut Workbench,
    ) -> Result<bool, Violation> {
        if publish.qos == QoS::ExactlyOnce
            && let Some((_, id)) = answer
            && batch.inbound.holds(id)
        {
            bench.tally.refuse(RefuseReason::Repeated);
            self.answer_only(answer, ReasonCode::Success, batch, bench);
            return Ok(false);
        }
        let owed = batch.unanswered + batch.inbound.unreleased();
        let exceeds = owed >= usize::from(self.limits.receive_maximum);
        if self.version == ProtocolVersion::V5 && publish.qos != QoS::AtMostOnce && exceeds {
            return Err(Violation::new(
                ReasonCode::ReceiveMaximumExceeded,
                "MQTT-3.3.4-7",
                "more unacknowledged PUBLISH packets than the receive maximum allows",
            ));
        }
        if !self.identity.may(Act::Publish, topic) {
            bench.tally.refuse(RefuseReason::NotAuthorized);
            bench.observer.refused(&self.identity.client_id, topic, RefuseReason::NotAuthorized);
            // 3.x knows no refusal: acknowledged as usual, and not routed [MQTT-3.3.5-2].
            self.answer_only(answer, ReasonCode::NotAuthorized, batch, bench);
            if let (QoS::ExactlyOnce, Some((_, id))) = (publish.qos, answer)
                && self.version != ProtocolVersion::V5
            {
                batch.inbound.received(id);
            }
            return Ok(false);
        }
        match (publish.qos, answer) {
            (QoS::ExactlyOnce, Some((_, id))) => batch.inbound.received(id),
            (QoS::AtLeastOnce, _) => batch.unanswered += 1,
            _ => {}
        }
        Ok(true)
    }

    /// Answers a PUBLISH that is not routed, in its turn: behind those that are held
    /// [MQTT-4.6.0-2].
    fn answer_only(
        &self,
        answer: Option<(AckKind, PacketId)>,
        reason: ReasonCode,
        batch: &mut Batch<'_>,
        bench: &mut Workbench,
    ) {
        if !batch.held.is_empty() {
            batch.held.push(Held { publication: None, answer, reason });
        } else if let Some((kind, id)) = answer {
            self.encode_answer(kind, id, reason, bench);
        }
    }

    fn check_topic(&self, topic: &str) -> Result<(), Violation> {
        if topic.len() > self.limits.topic_bytes {
            let what = "the topic name is longer than limits.topic_bytes";
            return Err(Violation::new(ReasonCode::TopicNameInvalid, "", what));
        }
        let levels = 1 + topic.bytes().filter(|byte| *byte == b'/').count();
        if levels > self.limits.topic_levels {
            let what = "the topic name has more levels than limits.topic_levels";
            return Err(Violation::new(ReasonCode::TopicNameInvalid, "", what));
        }
        Ok(())
    }

    /// Goes on with publications that were held, after the Broker has stored the retained ones;
    /// `refused` says which of them (by position) it could not store.
    pub fn release(
        &mut self,
        held: Vec<Held>,
        refused: &[usize],
        router: &dyn Router,
        bench: &mut Workbench,
    ) {
        for (position, Held { publication, answer, reason }) in held.into_iter().enumerate() {
            let Some(publication) = publication else {
                if let Some((kind, id)) = answer {
                    self.encode_answer(kind, id, reason, bench);
                }
                continue;
            };
            if refused.contains(&position) {
                bench.tally.refuse(RefuseReason::RetainedFull);
                bench.observer.refused(
                    &self.identity.client_id,
                    &publication.topic,
                    RefuseReason::RetainedFull,
                );
                if let (ProtocolVersion::V5, Some((kind, id))) = (self.version, answer) {
                    self.session.inbound.lock().release(id);
                    self.encode_answer(kind, id, ReasonCode::QuotaExceeded, bench);
                    continue;
                }
                // Nobody can be told, so what can be done is done: it is delivered, not kept.
            }
            let cached = refresh(self.route.take(), &publication.topic, router);
            cached.route.deliver(&Offering::of(&publication), bench);
            let matched = !cached.route.targets.is_empty();
            self.route = Some(cached);
            self.answer(answer, matched, bench);
        }
        // Only acknowledgements of the client can break a rule here, and there are none.
        let _ = self.settle(bench);
    }

    fn answer(&self, answer: Option<(AckKind, PacketId)>, matched: bool, bench: &mut Workbench) {
        if let Some((kind, id)) = answer {
            let reason = if matched { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers };
            self.encode_answer(kind, id, reason, bench);
        }
    }

    fn encode_answer(&self, kind: AckKind, id: PacketId, reason: ReasonCode, bench: &mut Workbench) {
        encode_ack(kind, id, reason, self.version, &mut bench.answers);
        bench.tally.sent(kind.packet_type() as u8);
        if bench.traces {
            bench.observer.sent(&self.identity.client_id, &Packet::Ack(Ack::new(kind, id, reason)));
        }
    }

    /// Ends a batch: acknowledgements are handled and answers appended, under one lock.
    fn settle(&mut self, bench: &mut Workbench) -> Result<(), Violation> {
        if bench.acks.is_empty() && bench.answers.is_empty() {
            return Ok(());
        }
        let acks = std::mem::take(&mut bench.acks);
        let answers = std::mem::take(&mut bench.answers);
        let mut outbox = self.session.outbox.lock();
        let answered = outbox.answer(self.connection, &answers, bench);
        let acknowledged = outbox.acknowledge(self.connection, &acks, bench);
        let overdrawn = outbox.overdrawn();
        drop(outbox);
        if answered || acknowledged == Ok(true) {
            bench.dirty.push(Arc::clone(&self.session));
        }
        if !acks.is_empty() && self.session.has_groups() {
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

    /// Appends an answer of the Broker (SUBACK, UNSUBACK) or a DISCONNECT, which nothing follows
    /// [MQTT-3.14.4-1].
    pub fn append(&self, packet: &Packet<'_>, encoded: &[u8], bench: &mut Workbench) {
        bench.tally.sent(packet.packet_type() as u8);
        if bench.traces {
            bench.observer.sent(&self.identity.client_id, packet);
        }
        let mut outbox = self.session.outbox.lock();
        let dirty = outbox.answer(self.connection, encoded, bench);
        if let Packet::Disconnect(disconnect) = packet {
            outbox.last_words(self.connection, Farewell::new(disconnect.reason, "DISCONNECT was sent"));
        }
        drop(outbox);
        if dirty {
            bench.dirty.push(Arc::clone(&self.session));
        }
    }
}

/// The route for `topic`: the one used last if it is the same topic and nothing changed since.
fn refresh(cached: Option<Box<CachedRoute>>, topic: &str, router: &dyn Router) -> Box<CachedRoute> {
    let generation = router.generation();
    match cached {
        Some(cached) if &*cached.topic == topic && cached.generation == generation => cached,
        Some(mut cached) => {
            if &*cached.topic != topic {
                cached.topic = Arc::from(topic);
            }
            cached.generation = generation;
            cached.route = router.resolve(topic);
            cached
        }
        None => Box::new(CachedRoute { topic: Arc::from(topic), generation, route: router.resolve(topic) }),
    }
}

fn answer_to(publish: &Publish<'_>) -> Option<(AckKind, PacketId)> {
    match publish.qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => publish.packet_id.map(|id| (AckKind::Puback, id)),
        QoS::ExactlyOnce => publish.packet_id.map(|id| (AckKind::Pubrec, id)),
    }
}

/// Packets that a held publication before them does not stop.
fn may_pass_held(packet_type: PacketType) -> bool {
    use PacketType::{Pingreq, Puback, Pubcomp, Publish, Pubrec};
    matches!(packet_type, Publish | Puback | Pubrec | Pubcomp | Pingreq)
}

fn protocol_error(clause: &'static str, what: &'static str) -> Violation {
    Violation::new(ReasonCode::ProtocolError, clause, what)
}

fn violated(violation: Violation) -> Next {
    Next::End(Ending::Closed(Farewell::from(violation)))
}

fn ended(consumed: usize, next: Next) -> Turned {
    Turned { consumed, next, expects: None }
}
