//! A long run over one Outbox, operation by operation: after every single one the account of the subscriber
//! adds up (law 10), a Dirty Outbox has an owner (finding 6), and what the client sees on the wire is what
//! the standard promises: whole packets, order within each QoS, no identifier twice in flight, DUP on
//! redelivery alone, the receive maximum [MQTT-3.3.4-9] and the maximum packet size [MQTT-3.1.2-24].
//!
//! Which operation comes next is not decided here but by a [`Choose`]: a seed, or the bytes of a fuzzer.

#![allow(dead_code, unreachable_pub, reason = "each user needs its part of it")]

#[path = "../scripted_wire/mod.rs"]
pub mod scripted_wire;

use aldis_packet::{AckKind, Connack, ProtocolVersion, QoS, ReasonCode};
use aldis_session::{
    AfterWrite, Batch, ClientTerms, DropReason, Farewell, Limits, Offered, Offering, Session, State,
    Subscription, Workbench, Wrote,
};
use scripted_wire::{
    Peer, Seen, SeenPublish, Step, bench, identity, packet_id, publication, session, subscription, terms,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Decides what happens next.
pub trait Choose {
    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize;
}

impl Choose for scripted_wire::Random {
    fn below(&mut self, bound: usize) -> usize {
        scripted_wire::Random::below(self, bound)
    }
}

/// The client at the other end: what it has seen in all its connections, and what it owes.
#[derive(Default)]
pub struct Client {
    /// Sequence numbers seen without DUP at QoS 1 and 2.
    first_seen: BTreeSet<u64>,
    newest: u64,
    newest_qos0: u64,
    /// QoS 2: identifier to sequence number, until PUBCOMP.
    held: BTreeMap<u16, u64>,
    /// PUBREC has reached the broker for these: no PUBLISH of them may come any more.
    recorded: BTreeSet<u64>,
    // This connection:
    begun: bool,
    resending: bool,
    outstanding: BTreeMap<u16, u64>,
    owed: Vec<(AckKind, u16)>,
    pub completed: u64,
    pub repeats: u64,
}

impl Client {
    fn connection_begins(&mut self) {
        self.begun = false;
        self.resending = true;
        self.outstanding.clear();
        self.owed.clear();
    }

    fn see(&mut self, seen: Seen, terms: &ClientTerms, in_flight: u16) {
        if !self.begun {
            assert!(matches!(seen, Seen::Connack(..)), "[MQTT-3.2.0-1] {seen:?}");
            self.begun = true;
            return;
        }
        match seen {
            Seen::Publish(publish) => self.see_publish(publish, terms, in_flight),
            Seen::Ack(AckKind::Pubrel, id, _) => self.owed.push((AckKind::Pubcomp, id)),
            other => panic!("{other:?}"),
        }
    }

    fn see_publish(&mut self, seen: SeenPublish, terms: &ClientTerms, in_flight: u16) {
        assert!(seen.size <= terms.maximum_packet_size as usize, "[MQTT-3.1.2-24]");
        assert!(seen.expiry != Some(0) || seen.dup, "[MQTT-3.3.2-5] sent after its expiry");
        let text = std::str::from_utf8(&seen.payload).unwrap();
        let sequence: u64 = text.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(seen.topic, topic(sequence), "a topic alias leads to the topic");
        if seen.qos == 0 {
            assert!(!seen.dup && sequence > self.newest_qos0, "QoS 0 once and in order");
            self.newest_qos0 = sequence;
            return;
        }
        assert!(self.outstanding.insert(seen.id, sequence).is_none(), "[MQTT-2.2.1-4] id {}", seen.id);
        let most = terms.receive_maximum.min(in_flight);
        assert!(self.outstanding.len() <= usize::from(most), "[MQTT-3.3.4-9] more than {most} are out");
        assert!(!self.recorded.contains(&sequence), "[MQTT-4.3.3-6] PUBLISH {sequence} after its PUBREC");
        if seen.dup {
            assert!(self.resending, "[MQTT-4.4.0-1] what was in flight comes first");
            self.repeats += 1;
        } else {
            self.resending = false;
            assert!(self.first_seen.insert(sequence), "without DUP twice: {sequence}");
            assert!(sequence > self.newest, "order: {sequence} after {}", self.newest);
            self.newest = sequence;
        }
        let kind = if seen.qos == 1 { AckKind::Puback } else { AckKind::Pubrec };
        if seen.qos == 2
            && let Some(earlier) = self.held.insert(seen.id, sequence)
        {
            assert_eq!(earlier, sequence, "an identifier in use means another message");
        }
        self.owed.push((kind, seen.id));
    }

    /// The broker has taken this acknowledgement.
    fn acknowledged(&mut self, kind: AckKind, id: u16) {
        match kind {
            AckKind::Pubrec => {
                self.recorded.insert(self.held[&id]);
            }
            _ => {
                self.outstanding.remove(&id);
                self.held.remove(&id);
                self.completed += 1;
            }
        }
    }
}

fn topic(sequence: u64) -> String {
    format!("long/topic/{}", sequence % 5)
}

pub struct Run<C> {
    pub random: C,
    limits: Limits,
    pub session: Arc<Session>,
    all: Arc<Subscription>,
    pub bench: Workbench,
    peer: Option<Peer>,
    terms: ClientTerms,
    connection: u32,
    batches: Vec<Batch>,
    /// How many tasks owe this Outbox a write.
    owners: usize,
    offered: u64,
    pub client: Client,
    honest: bool,
    /// What is done to the packets on their way to the client: nothing, unless somebody wants to know
    /// whether that is noticed.
    pub spoil: fn(Vec<Seen>) -> Vec<Seen>,
}

impl<C: Choose> Run<C> {
    /// An honest client acknowledges what it got and nothing else; another one does as it likes, and what
    /// it sees is not checked.
    pub fn new(mut random: C, honest: bool) -> Run<C> {
        let limits = Limits {
            in_flight: [1, 3, 20][random.below(3)],
            queue_messages: [3, 40][random.below(2)],
            queue_bytes: 60_000,
            queue_qos0: random.below(2) == 0,
            outbox_bytes: [500, 20_000][random.below(2)],
            ..Limits::default()
        };
        let session = session(1, "s", &limits);
        Run {
            random,
            all: subscription(&session, "#", QoS::ExactlyOnce),
            session,
            limits,
            bench: bench(),
            peer: None,
            terms: terms(),
            connection: 0,
            batches: Vec::new(),
            owners: 0,
            offered: 0,
            client: Client::default(),
            honest,
            spoil: |seen| seen,
        }
    }

    pub fn offer(&mut self) {
        self.offered += 1;
        let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.random.below(3)];
        let padding = [0, 30, 200, 5_000][self.random.below(4)];
        let payload = format!("{} {}", self.offered, "x".repeat(padding));
        let mut message = publication(&topic(self.offered), payload, qos);
        if self.random.below(4) == 0 {
            let seconds = self.random.below(4) as u64;
            message.expires_at = Some(self.bench.now + Duration::from_secs(seconds));
        }
        self.bench.memory_full = self.random.below(20) == 0;
        let message = Arc::new(message);
        let offered =
            self.session.offer(std::slice::from_ref(&self.all), &Offering::of(&message), &mut self.bench);
        let state = self.session.outbox.lock().state();
        match offered {
            Offered::Accepted => assert!(matches!(state, State::Idle | State::Dirty | State::Writing)),
            Offered::Dropped(DropReason::MemoryWatermark) => assert!(self.bench.memory_full),
            Offered::Dropped(DropReason::SessionEnded) => assert_eq!(state, State::Closed),
            Offered::Full | Offered::NotConcerned => panic!("{offered:?}"),
            _ => {}
        }
        self.owners += self.bench.give_away(usize::MAX).len();
    }

    fn attach(&mut self) {
        self.terms = ClientTerms {
            version: ProtocolVersion::V5,
            receive_maximum: [1, 2, 5, u16::MAX][self.random.below(4)],
            maximum_packet_size: [150, 6_000, u32::MAX][self.random.below(3)],
            topic_alias_maximum: self.random.below(4) as u16,
            ..terms()
        };
        let peer = Peer::new(self.terms.version);
        let wire = Arc::clone(&peer.wire);
        self.connection = self.session.outbox.lock().attach(wire, identity("s"), self.terms);
        self.peer = Some(peer);
        self.client.connection_begins();
    }

    fn begin(&mut self) {
        let mut connack = Vec::new();
        Connack::new(true, ReasonCode::Success).encode(self.terms.version, u32::MAX, &mut connack);
        let dirty = self.session.outbox.lock().begin(self.connection, &connack, &mut self.bench);
        self.owners += usize::from(dirty);
    }

    fn detach(&mut self) {
        let connection = self.connection;
        if self.session.outbox.lock().detach(connection, &mut self.bench).is_some() {
            self.peer = None;
            self.owners = 0;
        }
    }

    fn take(&mut self) {
        let taken = self.session.outbox.lock().take();
        if let Some(batch) = taken {
            self.owners -= 1;
            self.batches.push(batch);
        }
    }

    /// One of the batches that were taken out, of this connection or an earlier one, is written.
    fn write(&mut self) {
        if self.batches.is_empty() {
            return;
        }
        let index = self.random.below(self.batches.len());
        let mut batch = self.batches.swap_remove(index);
        let stale = batch.connection != self.connection || self.peer.is_none();
        if let (false, Some(peer)) = (stale, &self.peer) {
            match self.random.below(8) {
                0 => peer.wire.will([Step::Take(1 + self.random.below(300)), Step::Block]),
                1 => peer.wire.will([Step::Block]),
                2 if self.random.below(6) == 0 => peer.wire.will([Step::Take(7), Step::Fail]),
                3 => peer.wire.will([Step::Take(1 + self.random.below(300))]),
                _ => {}
            }
        }
        let wrote = batch.write();
        let after = self.session.outbox.lock().written(batch, wrote, &mut self.bench);
        let state = self.session.outbox.lock().state();
        match (stale, wrote) {
            (true, _) => assert_eq!(after, AfterWrite::Done, "finding 4: a stale writer goes on"),
            (false, Wrote::Blocked) => assert_eq!(state, State::Blocked),
            (false, Wrote::Failed) => assert_eq!(state, State::Offline, "finding 5"),
            (false, Wrote::All) => assert_eq!(after == AfterWrite::MoreCame, state == State::Dirty),
        }
        if after == AfterWrite::MoreCame {
            self.owners += 1;
            if self.random.below(3) == 0 {
                // Handed over: the Client's errand says that it is the owner now.
                self.session.outbox.lock().hand_over();
                assert!(self.session.outbox.lock().errands(self.connection).flush);
            }
        }
    }

    fn unblocked(&mut self) {
        let dirty = self.session.outbox.lock().unblocked(self.connection, &mut self.bench);
        self.owners += usize::from(dirty);
    }

    fn acknowledge(&mut self) {
        self.read();
        if self.peer.is_none() {
            // A Client that has detached and does not know it yet.
            let before = self.account();
            self.give(AckKind::Pubrec, 1, ReasonCode::Success, self.connection).unwrap();
            assert_eq!(before, self.account());
            return;
        }
        let mut acks = Vec::new();
        for _ in 0..self.random.below(6) {
            let Client { owed, .. } = &mut self.client;
            if owed.is_empty() {
                break;
            }
            // PUBACKs go in order; across the kinds a client may do as it likes.
            acks.push(owed.remove(0));
        }
        for &(kind, id) in &acks {
            let refuses = !self.honest && self.random.below(5) == 0 && kind != AckKind::Pubcomp;
            let reason = if refuses { ReasonCode::UnspecifiedError } else { ReasonCode::Success };
            self.give(kind, id, reason, self.connection).unwrap();
            self.client.acknowledged(kind, id);
        }
        if self.random.below(4) == 0 {
            // Not in use, or from another life of the connection: no effect.
            let before = self.account();
            self.give(AckKind::Puback, 60_000, ReasonCode::Success, self.connection).unwrap();
            self.give(AckKind::Pubcomp, 60_001, ReasonCode::Success, self.connection).unwrap();
            self.give(AckKind::Puback, 1, ReasonCode::Success, self.connection.wrapping_sub(1)).unwrap();
            assert_eq!(before.completed, self.account().completed);
        }
        if !self.honest && self.random.below(10) == 0 {
            let kind = [AckKind::Puback, AckKind::Pubrec, AckKind::Pubcomp][self.random.below(3)];
            let id = 1 + self.random.below(40) as u16;
            if self.give(kind, id, ReasonCode::Success, self.connection).is_err() {
                self.detach();
            }
        }
    }

    fn give(
        &mut self,
        kind: AckKind,
        id: u16,
        reason: ReasonCode,
        connection: u32,
    ) -> Result<(), aldis_session::Violation> {
        let acks = [(kind, packet_id(id), reason)];
        let dirty = self.session.outbox.lock().acknowledge(connection, &acks, &mut self.bench)?;
        self.owners += usize::from(dirty);
        Ok(())
    }

    fn read(&mut self) {
        let Some(peer) = &mut self.peer else { return };
        for seen in (self.spoil)(peer.read()) {
            if self.honest {
                self.client.see(seen, &self.terms, self.limits.in_flight);
            }
        }
    }

    /// One operation.
    pub fn operate(&mut self) {
        let state = self.session.outbox.lock().state();
        match self.random.below(40) {
            0..14 => self.offer(),
            14..20 => self.take(),
            20..26 => self.write(),
            26..32 if state != State::Resuming => self.acknowledge(),
            32..35 => self.unblocked(),
            35 => self.bench.now += Duration::from_millis(self.random.below(1_500) as u64),
            36 if self.random.below(8) == 0 => self.detach(),
            37 if self.random.below(20) == 0 => {
                let farewell = Farewell::new(ReasonCode::SessionTakenOver, "");
                self.session.outbox.lock().ask_to_close(farewell);
            }
            _ if self.peer.is_none() && self.random.below(3) == 0 => self.attach(),
            _ if state == State::Resuming => self.begin(),
            _ if state == State::Offline && self.peer.is_some() => self.detach(),
            _ => {
                let errands = self.session.outbox.lock().errands(self.connection);
                if errands.close.is_some() && self.peer.is_some() {
                    self.detach();
                }
            }
        }
    }

    pub fn account(&self) -> Account {
        let outbox = self.session.outbox.lock();
        let ledger = &outbox.outbound.ledger;
        Account {
            offered: ledger.offered,
            completed: ledger.completed,
            in_flight: outbox.outbound.in_flight() as u64,
            waiting: u64::try_from(self.bench.tally.waiting).unwrap(),
            expired: ledger.expired,
            dropped: ledger.dropped_in_all(),
        }
    }

    /// Law 10, after every operation.
    pub fn check(&self, what: impl fmt::Display) {
        let account = self.account();
        let Account { offered, completed, in_flight, waiting, expired, dropped } = account;
        assert_eq!(offered, completed + in_flight + waiting + expired + dropped, "{what}: {account:?}");
        assert_eq!(offered, self.offered, "{what}");
        let tally = &self.bench.tally;
        assert_eq!(tally.offered as u64, offered, "{what}");
        assert_eq!(tally.in_flight as u64, in_flight, "{what}");
        assert_eq!((tally.completed, tally.expired), (completed, expired), "{what}");
        assert_eq!(tally.dropped.iter().map(|n| u64::from(*n)).sum::<u64>(), dropped, "{what}");
        let outbox = self.session.outbox.lock();
        let queued = outbox.outbound.queued();
        assert!(queued as u64 <= waiting && queued <= self.limits.queue_messages, "{what}");
        assert_eq!(tally.queued_bytes == 0, queued == 0, "{what}");
        assert!(tally.queued_bytes <= self.limits.queue_bytes as i64, "{what}");
        let held = tally.held_bytes + self.bench.counters().held_bytes.load(Relaxed);
        let keeps = in_flight > 0 || queued > 0 || outbox.state() == State::Blocked;
        assert!(held >= 0 && (keeps || held == 0), "{what}: {held} bytes are held");
        if outbox.state() == State::Dirty {
            assert!(self.owners > 0, "{what}: dirty, and nobody writes it");
        }
    }

    /// The session ends, and a new one comes in its place, with an account of its own.
    pub fn start_over(&mut self) {
        assert!(scripted_wire::end(&self.session, &mut self.bench).is_empty());
        assert_eq!(self.session.outbox.lock().outbound.in_flight(), 0);
        self.peer = None;
        self.check("ended");
        self.session = session(2, "s", &self.limits);
        self.all = subscription(&self.session, "#", QoS::ExactlyOnce);
        // What earlier batches still hold belongs to the old account.
        self.batches.clear();
        (self.bench, self.offered, self.owners) = (bench(), 0, 0);
    }

    /// A good connection at last: everything that waits gets out.
    pub fn drain(&mut self) {
        self.detach();
        self.attach();
        self.begin();
        for _ in 0..10_000 {
            self.take();
            while let Some(mut batch) = self.batches.pop() {
                let wrote = batch.write();
                self.session.outbox.lock().written(batch, wrote, &mut self.bench);
                self.owners = 1;
                self.check("drain");
            }
            self.read();
            for (kind, id) in std::mem::take(&mut self.client.owed) {
                self.give(kind, id, ReasonCode::Success, self.connection).unwrap();
                self.client.acknowledged(kind, id);
            }
            if self.account().waiting == 0 && self.account().in_flight == 0 {
                return;
            }
        }
        panic!("something never leaves: {:?}", self.account());
    }
}

#[derive(Debug, PartialEq)]
pub struct Account {
    pub offered: u64,
    pub completed: u64,
    pub in_flight: u64,
    pub waiting: u64,
    pub expired: u64,
    pub dropped: u64,
}
