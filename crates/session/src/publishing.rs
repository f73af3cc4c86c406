//! A client's PUBLISH: whether it is routed, where it goes, and what its publisher is answered.
//!
//! The other half of [`Conversation`]. What is retained, and all that follows it in one read, is held
//! until the Broker has stored it, and then released in order (law 13). Not here: what a subscriber
//! gets of it, which `outbound` decides.

use crate::conversation::{Batch, Conversation, Input, protocol_error};
use crate::counters::RefuseReason;
use crate::inbound::Inbound;
use crate::limits::RetainedLimit;
use crate::publication::{Offering, Publication};
use crate::rights::Act;
use crate::route::{Route, Router};
use crate::violation::{Ending, Violation};
use crate::workbench::Workbench;
use aldis_packet::{
    Ack, AckKind, Frame, Packet, PacketId, ProtocolVersion, Publish, QoS, ReasonCode, encode_ack,
};
use aldis_store::{Condition, Origin, Sequence};
use std::cell::OnceCell;
use std::iter::Enumerate;
use std::sync::Arc;
use std::time::Duration;

/// A publication that waits until the retained ones before it are stored, with the answer that
/// its publisher is owed.
#[derive(Debug)]
pub struct Held {
    /// The message; `None` for one that is only answered: a repeat, or one that is refused.
    pub publication: Option<Arc<Publication>>,
    answer: Option<(AckKind, PacketId)>,
    /// What the answer says when there is no message.
    said: Said,
}

/// A reason code, and words for the client where something was refused.
#[derive(Debug, Clone, Copy)]
struct Said {
    reason: ReasonCode,
    words: Option<&'static str>,
}

impl From<ReasonCode> for Said {
    fn from(reason: ReasonCode) -> Said {
        Said { reason, words: None }
    }
}

/// Held publications on their way out, each with its position in its batch.
pub type HeldBatch = Enumerate<std::vec::IntoIter<Held>>;

/// Where the topic used last leads.
pub(crate) struct CachedRoute {
    topic: Arc<str>,
    generation: u64,
    /// `None` if it is too large for every connection to keep.
    route: Option<Arc<Route>>,
}

impl Conversation {
    /// Begins a turn; routes of an earlier generation keep nobody in memory who may have ended since.
    pub(crate) fn begin_turn(&mut self, router: &dyn Router, bench: &mut Workbench) {
        let generation = router.generation();
        bench.begin_turn(generation);
        if let Some(cached) = self.route.as_mut().filter(|cached| cached.generation != generation) {
            cached.route = None;
        }
    }

    pub(crate) fn publish(
        &mut self,
        frame: &Frame<'_>,
        batch: &mut Batch<'_>,
        router: &dyn Router,
        bench: &mut Workbench,
    ) -> Result<(), Violation> {
        let last_topic = self.route.as_ref().map(|cached| Arc::clone(&cached.topic));
        let known = last_topic.as_deref().unwrap_or("");
        let publish = Publish::decode_trusting(frame, self.version, &self.decode_limits(), known)?;
        if bench.traces {
            bench.observer.received(&self.identity.client_id, &publish);
        }
        if !publish.properties.subscription_ids.is_empty() {
            return Err(protocol_error("MQTT-3.3.4-6", "a subscription identifier in a client's PUBLISH"));
        }
        bench.tally.publish_bytes_received += publish.payload.len() as u64;
        let aliased = self.aliased(&publish, bench)?;
        let topic = aliased.as_deref().unwrap_or(publish.topic);
        if !is_same(topic, known) {
            self.check_topic(topic)?;
        }
        let answer = answer_to(&publish);
        if !self.admit(&publish, topic, answer, batch, bench)? {
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
        if bench.log_refuses && self.is_refused_for_the_log(&offering, answer, batch, router, bench)? {
            return Ok(());
        }
        if publish.retain || !batch.held.is_empty() {
            let publication = Some(Arc::clone(offering.publication(bench.counters())));
            batch.held.push(Held { publication, answer, said: ReasonCode::Success.into() });
            return Ok(());
        }
        if planted!(AcknowledgedBeforeRouted) {
            self.answer(answer, true, bench);
            let answers = std::mem::take(&mut bench.answers);
            if self.session.outbox.lock().answer(self.connection, &answers, bench) {
                bench.owe(&self.session);
            }
            bench.finish();
            route(&mut self.route, &offering, router, bench);
            return Ok(());
        }
        let matched = route(&mut self.route, &offering, router, bench);
        if bench.is_recording() {
            let after = self.close(&offering, answer, batch.inbound, bench);
            self.answers_wait_for(after, batch.inbound);
        }
        self.answer(answer, matched, bench);
        Ok(())
    }

    /// The topic that the alias of a PUBLISH stands for, if it has one.
    fn aliased(&mut self, publish: &Publish<'_>, bench: &Workbench) -> Result<Option<Arc<str>>, Violation> {
        let Some(alias) = publish.properties.topic_alias else { return Ok(None) };
        let (maximum, is_tight) = (self.limits.topic_alias_maximum, bench.memory_full);
        let aliases = self.aliases.get_or_insert_default();
        aliases.resolve(alias, publish.topic, maximum, is_tight, bench.counters()).map(Some)
    }

    /// The targets of a publication are all recorded, if it has lasting ones. Its packet identifier is part of it where
    /// it is remembered (gate a); what comes back is the record that its answer waits for.
    fn close(
        &self,
        offering: &Offering<'_>,
        answer: Option<(AckKind, PacketId)>,
        inbound: &mut Inbound,
        bench: &mut Workbench,
    ) -> Sequence {
        let origin = match answer {
            Some((AckKind::Pubrec, packet_id)) if self.lasting && !planted!(InboundForgotten) => {
                Origin::Inbound { session: self.session.number, packet_id }
            }
            _ => Origin::Nothing,
        };
        let Some(after) = bench.close(offering, origin) else { return 0 };
        if let Origin::Inbound { packet_id, .. } = origin {
            inbound.remember_recorded(packet_id, bench.counters());
        }
        if answer.is_some() { after } else { 0 }
    }

    /// Whether a publication has a lasting target that it cannot be recorded for, as the log takes nothing at the
    /// moment. Its publisher is told, or ended where the protocol has no way to say so: it was not taken.
    fn is_refused_for_the_log(
        &self,
        offering: &Offering<'_>,
        answer: Option<(AckKind, PacketId)>,
        batch: &mut Batch<'_>,
        router: &dyn Router,
        bench: &mut Workbench,
    ) -> Result<bool, Violation> {
        let Some((kind, id)) = answer else { return Ok(false) };
        let reaches_lasting = offering.retain || {
            resolved(offering.topic, router.generation(), router, bench).reaches_lasting(offering)
        };
        if !reaches_lasting {
            return Ok(false);
        }
        let words = refusal_of(bench.journal.condition());
        bench.refuse(&self.identity.client_id, offering.topic, RefuseReason::StoreRefuses, &words);
        match kind {
            AckKind::Pubrec => drop(batch.inbound.release(id)),
            _ => batch.unanswered = batch.unanswered.saturating_sub(1),
        }
        if self.version != ProtocolVersion::V5 {
            return Err(Violation::new(ReasonCode::QuotaExceeded, "", words));
        }
        let said = Said { reason: ReasonCode::QuotaExceeded, words: Some(words) };
        self.answer_only(answer, said, batch, bench);
        Ok(true)
    }

    /// Whether a PUBLISH is routed: its client has not sent it before, keeps to the receive maximum,
    /// and may. What is not routed is answered here.
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
            && !planted!(RepeatRouted)
        {
            bench.tally.refuse(RefuseReason::Repeated);
            self.answer_only(answer, ReasonCode::Success.into(), batch, bench);
            return Ok(false);
        }
        let owed = batch.unanswered + batch.inbound.unreleased_here();
        let exceeds = owed >= usize::from(self.limits.receive_maximum);
        if self.version == ProtocolVersion::V5 && publish.qos != QoS::AtMostOnce && exceeds {
            return Err(Violation::new(
                ReasonCode::ReceiveMaximumExceeded,
                "MQTT-3.3.4-7",
                "more unacknowledged PUBLISH packets than the receive maximum allows",
            ));
        }
        if let Err(denial) = self.identity.judge(Act::Publish, topic) {
            bench.refuse(&self.identity.client_id, topic, RefuseReason::NotAuthorized, &denial);
            // 3.x knows no refusal: acknowledged as usual, and not routed [MQTT-3.3.5-2].
            let words = Some(denial.words_for_client());
            self.answer_only(answer, Said { reason: ReasonCode::NotAuthorized, words }, batch, bench);
            if let (QoS::ExactlyOnce, Some((_, id))) = (publish.qos, answer)
                && self.version != ProtocolVersion::V5
            {
                batch.inbound.received(id, bench.counters());
            }
            return Ok(false);
        }
        match (publish.qos, answer) {
            (QoS::ExactlyOnce, Some((_, id))) => batch.inbound.received(id, bench.counters()),
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
        said: Said,
        batch: &mut Batch<'_>,
        bench: &mut Workbench,
    ) {
        if !batch.held.is_empty() {
            batch.held.push(Held { publication: None, answer, said });
        } else if let Some((kind, id)) = answer {
            self.encode_said(kind, id, said, bench);
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

    /// Goes on with publications that were held, after the Broker has stored the retained ones, until
    /// all are done or the turn has done enough; `refused` says, in ascending order, which of them (by
    /// position) could not be stored, and which limit is in the way. True if all are done.
    pub fn release(
        &mut self,
        held: &mut HeldBatch,
        refused: &[(usize, RetainedLimit)],
        router: &dyn Router,
        bench: &mut Workbench,
    ) -> bool {
        self.begin_turn(router, bench);
        while !bench.has_done_enough() {
            let Some((position, Held { publication, answer, said })) = held.next() else { break };
            if self.is_cut_off {
                // Nothing is answered out of its turn; its client sends it again.
                if publication.is_some() {
                    self.was_not_taken(answer, bench);
                }
                continue;
            }
            match (publication, answer) {
                (Some(publication), _) => {
                    let found = refused.binary_search_by_key(&position, |(at, _)| *at).ok();
                    let limit = found.and_then(|found| refused.get(found)).map(|(_, limit)| *limit);
                    self.release_one(&publication, answer, limit, router, bench);
                }
                (None, Some((kind, id))) => self.encode_said(kind, id, said, bench),
                (None, None) => {}
            }
        }
        // Only acknowledgements of the client can break a rule here, and there are none.
        let _ = self.settle(bench);
        held.len() == 0
    }

    fn release_one(
        &mut self,
        publication: &Arc<Publication>,
        answer: Option<(AckKind, PacketId)>,
        limit: Option<RetainedLimit>,
        router: &dyn Router,
        bench: &mut Workbench,
    ) {
        if let Some(limit) = limit {
            let client_id = &self.identity.client_id;
            bench.observer.refused(client_id, &publication.topic, RefuseReason::RetainedFull, &limit);
            if let (ProtocolVersion::V5, Some((kind, id))) = (self.version, answer) {
                bench.tally.refuse(RefuseReason::RetainedFull);
                if kind == AckKind::Pubrec {
                    self.session.inbound.lock().release(id);
                }
                return self.encode_refusal(kind, id, ReasonCode::QuotaExceeded, limit.to_string(), bench);
            }
            if limit == RetainedLimit::Store && answer.is_some() {
                // It cannot be acknowledged, and there is no other way to say so.
                self.was_not_taken(answer, bench);
                let why =
                    Violation::new(ReasonCode::QuotaExceeded, "", refusal_of(bench.journal.condition()));
                self.doomed = Some(Box::new(Ending::Closed(why.into())));
                self.is_cut_off = true;
                return;
            }
            // Nobody can be told, so what can be done is done: it is delivered, not kept.
            bench.tally.not_retained += 1;
        }
        let offering = Offering::of(publication);
        let session = Arc::clone(&self.session);
        let mut inbound = session.inbound.lock();
        let matched = route(&mut self.route, &offering, router, bench);
        let after = self.close(&offering, answer, &mut inbound, bench);
        self.answers_wait_for(after, &mut inbound);
        self.answer(answer, matched, bench);
    }

    /// A publication has no place in the store and is not answered. When it comes again it is a new one.
    fn was_not_taken(&self, answer: Option<(AckKind, PacketId)>, bench: &mut Workbench) {
        bench.tally.refuse(RefuseReason::StoreRefuses);
        if let Some((AckKind::Pubrec, id)) = answer {
            self.session.inbound.lock().release(id);
        }
    }

    /// What the client is told once its held publications are answered: it broke a rule behind them.
    pub fn ends_after_release(&mut self) -> Option<Ending> {
        self.doomed.take().map(|ending| *ending)
    }

    fn answer(&self, answer: Option<(AckKind, PacketId)>, matched: bool, bench: &mut Workbench) {
        if let Some((kind, id)) = answer {
            let reason = if matched { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers };
            self.encode_answer(kind, id, reason, bench);
        }
    }

    fn encode_said(&self, kind: AckKind, id: PacketId, said: Said, bench: &mut Workbench) {
        match said.words {
            None => self.encode_answer(kind, id, said.reason, bench),
            Some(words) => self.encode_refusal(kind, id, said.reason, words.to_owned(), bench),
        }
    }

    /// An answer with the reason in words, for a client that wants them and has room for them.
    fn encode_refusal(
        &self,
        kind: AckKind,
        id: PacketId,
        reason: ReasonCode,
        words: String,
        bench: &mut Workbench,
    ) {
        let ack = Ack { reason_string: self.told(Some(words)), ..Ack::new(kind, id, reason) };
        let before = bench.answers.len();
        ack.encode(self.version, self.agreed.maximum_packet_size, &mut bench.answers);
        bench.tally.sent(kind.packet_type() as u8, bench.answers.len() - before);
        if bench.traces {
            bench.observer.sent(&self.identity.client_id, &Packet::Ack(ack));
        }
    }

    pub(crate) fn encode_answer(
        &self,
        kind: AckKind,
        id: PacketId,
        reason: ReasonCode,
        bench: &mut Workbench,
    ) {
        let before = bench.answers.len();
        encode_ack(kind, id, reason, self.version, &mut bench.answers);
        bench.tally.sent(kind.packet_type() as u8, bench.answers.len() - before);
        if bench.traces {
            bench.observer.sent(&self.identity.client_id, &Packet::Ack(Ack::new(kind, id, reason)));
        }
    }
}

/// Offers a message to everybody its topic leads to; false if that is nobody. The way is the one used
/// last if it is the same topic and nothing changed since.
fn route(
    last: &mut Option<Box<CachedRoute>>,
    offering: &Offering<'_>,
    router: &dyn Router,
    bench: &mut Workbench,
) -> bool {
    let (topic, generation) = (offering.topic, router.generation());
    let same = |cached: &&CachedRoute| cached.generation == generation && is_same(&cached.topic, topic);
    if let Some(route) = last.as_deref().filter(same).and_then(|cached| cached.route.as_ref()) {
        return route.deliver(offering, bench);
    }
    let route = resolved(topic, generation, router, bench);
    let matched = route.deliver(offering, bench);
    let route = route.is_small().then_some(route);
    match last {
        Some(cached) => {
            if &*cached.topic != topic {
                cached.topic = Arc::from(topic);
            }
            (cached.generation, cached.route) = (generation, route);
        }
        None => *last = Some(Box::new(CachedRoute { topic: Arc::from(topic), generation, route })),
    }
    matched
}

/// Whether two topics are equal. One that was recognized as the last one lies where that does.
fn is_same(one: &str, other: &str) -> bool {
    std::ptr::eq(one, other) || one == other
}

fn answer_to(publish: &Publish<'_>) -> Option<(AckKind, PacketId)> {
    match publish.qos {
        QoS::AtMostOnce => None,
        QoS::AtLeastOnce => publish.packet_id.map(|id| (AckKind::Puback, id)),
        QoS::ExactlyOnce => publish.packet_id.map(|id| (AckKind::Pubrec, id)),
    }
}

/// The route of a topic: a large one that this thread keeps, if nothing changed since, or a new one.
fn resolved(topic: &str, generation: u64, router: &dyn Router, bench: &mut Workbench) -> Arc<Route> {
    bench.large_route(topic, generation).unwrap_or_else(|| {
        let route = router.resolve(topic);
        bench.works(route.steps);
        if !route.is_small() {
            bench.keep_large_route(topic, generation, &route);
        }
        route
    })
}

/// Offers a message of somebody who has no connection to everybody its topic leads to; false if that is nobody.
pub fn deliver(offering: &Offering<'_>, origin: Origin, router: &dyn Router, bench: &mut Workbench) -> bool {
    let matched = resolved(offering.topic, router.generation(), router, bench).deliver(offering, bench);
    bench.close(offering, origin);
    matched
}

/// Why the log takes nothing, in words.
fn refusal_of(condition: Condition) -> &'static str {
    match condition {
        Condition::Failed => "the store has failed; the broker has to be started anew",
        Condition::Full | Condition::Good => "the disk of the store is full",
    }
}
