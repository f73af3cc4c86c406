//! The Outbox: where publishers put what a subscriber is to receive.
//!
//! A state machine around the [`Outbound`] half of a session and the bytes that wait for its
//! socket. It outlives connections: a session that goes offline keeps its Outbox, so no route
//! changes and no message falls between. Each connection has a number; a writer that comes back
//! with the number of an earlier one changes nothing, because its bytes belong to a socket that is
//! gone. Nothing here makes a system call; [`flush`](crate::flush()) does, between
//! [`Outbox::take`] and [`Outbox::written`].

use crate::counters::DropReason;
use crate::delivery::Terms;
use crate::group::Group;
use crate::outbound::{ClientTerms, Offered, Outbound, Passage};
use crate::publication::Offering;
use crate::remains::{Discarded, Remains};
use crate::replay::Replays;
use crate::rights::Identity;
use crate::segments::{Batch, Segments, Wrote};
use crate::violation::{Farewell, Violation};
use crate::wire::Wire;
use crate::workbench::Workbench;
use aldis_packet::{AckKind, PacketId, ReasonCode};
use aldis_store::{Found, Sequence};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Where an Outbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No connection. Offers queue.
    Offline,
    /// A connection is attached and its CONNACK is not out yet. Offers queue.
    Resuming,
    /// Connected, nothing to write.
    Idle,
    /// Bytes wait, and exactly one task has it on its list of Outboxes to write.
    Dirty,
    /// Somebody writes bytes that were taken out; what is appended meanwhile is theirs to write.
    Writing,
    /// The socket is full; the Client of this session waits until it is not.
    Blocked,
    /// The session has ended. Offers are refused.
    Closed,
}

/// What a writer does after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterWrite {
    /// Nothing: all is written, or somebody else goes on.
    Done,
    /// Bytes were appended meanwhile, and the Outbox is still the writer's to flush.
    MoreCame,
}

/// What the Client that owns the connection has to do, asked after each wake.
#[derive(Debug, Clone, Copy, Default)]
pub struct Errands {
    /// End the connection with this farewell.
    pub close: Option<Farewell>,
    /// The connection is lost, or belongs to somebody else by now.
    pub lost: bool,
    /// Wait for writability, then call [`Outbox::unblocked`].
    pub blocked: bool,
    /// Flush: a publisher handed over.
    pub flush: bool,
    /// A retained replay or a shared subscription has more, and there is room for it.
    pub pump: bool,
}

/// Shared subscriptions that a member is to ask for messages, each once.
#[derive(Default)]
struct GroupWork {
    in_turn: VecDeque<Arc<Group>>,
    numbers: BTreeSet<u64>,
}

/// Groups that were left, in the list of those to ask, beyond as many as there are.
const SPARE_TURNS: usize = 32;

/// Bytes that one refill appends before it lets go of the lock.
const REFILL: usize = 64 << 10;

/// The mailbox of one session.
pub struct Outbox {
    /// The sending half of the session.
    pub outbound: Outbound,
    state: State,
    connection: u32,
    wire: Option<Arc<dyn Wire>>,
    bytes: Segments,
    farewell: Option<Farewell>,
    /// DISCONNECT is among the bytes: nothing follows it.
    last_words: bool,
    handed_over: bool,
    /// Shared subscriptions to ask for messages as soon as there is room.
    group_work: Option<Box<GroupWork>>,
    /// Retained messages that are still to be sent for new subscriptions.
    pub(crate) replays: Replays,
    /// Bytes that the client does not read, as they are counted as held.
    unread: usize,
    /// A replay or a shared subscription was refused although the socket takes bytes: the next time to try
    /// is an acknowledgement.
    waits_for_ack: bool,
}

impl Outbox {
    /// The Outbox of a new session, without a connection.
    pub fn new(outbound: Outbound) -> Outbox {
        Outbox {
            outbound,
            state: State::Offline,
            connection: 0,
            wire: None,
            bytes: Segments::default(),
            farewell: None,
            last_words: false,
            handed_over: false,
            group_work: None,
            replays: Replays::default(),
            unread: 0,
            waits_for_ack: false,
        }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Number of the connection that is attached, or was last.
    pub fn connection(&self) -> u32 {
        self.connection
    }

    /// Encoded bytes that wait for the socket.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn passage(&self) -> Passage {
        match self.state {
            State::Offline | State::Closed => Passage::Offline,
            _ if self.farewell.is_some() => Passage::Offline,
            State::Resuming | State::Blocked => Passage::Busy,
            State::Idle | State::Dirty | State::Writing => {
                if self.bytes.len() < self.outbound.limits.outbox_bytes {
                    Passage::Open
                } else {
                    Passage::Busy
                }
            }
        }
    }

    /// Offers one delivery. The second value says whether the caller now has to flush.
    pub(crate) fn offer(
        &mut self,
        offering: &Offering<'_>,
        terms: Terms,
        shared: bool,
        bench: &mut Workbench,
    ) -> (Offered, bool) {
        if self.state == State::Closed {
            if shared {
                return (Offered::Full, false);
            }
            self.outbound.ledger.offered += 1;
            bench.tally.offered += 1;
            return (self.outbound.drop_one(DropReason::session_ended(terms.qos), bench), false);
        }
        let passage = self.passage();
        let offered = if shared {
            self.outbound.offer_shared(offering, terms, passage, &mut self.bytes, bench)
        } else {
            self.outbound.offer(offering, terms, passage, &mut self.bytes, bench)
        };
        (offered, offered == Offered::Accepted && self.mark_dirty())
    }

    /// Idle with bytes becomes Dirty; true if it did, and so belongs to the caller.
    pub(crate) fn mark_dirty(&mut self) -> bool {
        let dirty = self.state == State::Idle && !self.bytes.is_empty();
        if dirty {
            self.state = State::Dirty;
        }
        dirty
    }

    // ---- the connection ----

    /// Puts a new connection behind the session. Nothing is written before [`Outbox::begin`].
    pub fn attach(&mut self, wire: Arc<dyn Wire>, identity: Identity, terms: ClientTerms) -> u32 {
        self.connection = self.connection.wrapping_add(1);
        self.wire = Some(wire);
        self.state = if planted!(BeforeConnack) { State::Idle } else { State::Resuming };
        self.farewell = None;
        self.last_words = false;
        self.handed_over = false;
        self.waits_for_ack = false;
        self.outbound.identity = identity;
        self.outbound.forget_parked();
        self.outbound.attach(terms);
        self.connection
    }

    /// CONNACK leaves first [MQTT-3.2.0-1], then what was in flight is sent again, then what waits.
    /// True if the caller now has to flush.
    pub fn begin(&mut self, connection: u32, connack: &[u8], bench: &mut Workbench) -> bool {
        if connection != self.connection || self.state != State::Resuming {
            return false;
        }
        self.bytes.open(&mut bench.spare).extend_from_slice(connack);
        self.state = State::Idle;
        self.refill(bench);
        self.mark_dirty()
    }

    /// Whether there is a connection that takes bytes, now or when its socket does.
    fn is_writable(&self) -> bool {
        matches!(self.state, State::Idle | State::Dirty | State::Writing | State::Blocked)
    }

    /// Appends answers of the session's own Client (SUBACK, PINGRESP and so on). True if the caller now has to
    /// flush.
    pub fn answer(&mut self, connection: u32, answers: &[u8], bench: &mut Workbench) -> bool {
        self.answer_after(connection, answers, 0, bench)
    }

    /// The same for answers that leave when `after` is committed, and never before those that came before them
    /// [MQTT-4.6.0-2].
    pub(crate) fn answer_after(
        &mut self,
        connection: u32,
        answers: &[u8],
        after: Sequence,
        bench: &mut Workbench,
    ) -> bool {
        if connection != self.connection || !self.is_writable() || answers.is_empty() {
            return false;
        }
        let is_durable =
            after == 0 || after <= bench.journal.committed() || planted!(AcknowledgedBeforeCommit);
        if !is_durable || self.outbound.has_parked() {
            self.outbound.park(after, answers, bench);
            self.outbound.release_parked(&mut self.bytes, bench);
        } else {
            self.bytes.open(&mut bench.spare).extend_from_slice(answers);
        }
        self.recount_unread(bench);
        self.mark_dirty()
    }

    /// The log has come further: answers that waited for it leave, and deliveries that did.
    pub(crate) fn committed(&mut self, bench: &mut Workbench) -> bool {
        if !self.is_writable() || self.last_words {
            return false;
        }
        self.outbound.release_parked(&mut self.bytes, bench);
        if self.passage() == Passage::Open && self.outbound.has_backlog() {
            self.refill(bench);
        }
        self.recount_unread(bench);
        if self.state == State::Idle && self.bytes.is_empty() && self.wants_pump() {
            // What waited was too large, say, and leaves room for others.
            self.wake();
        }
        self.mark_dirty()
    }

    /// What waited on disk is in memory.
    pub(crate) fn take_in(&mut self, found: &Found, bench: &mut Workbench) {
        if self.state != State::Closed {
            self.outbound.take_in(found, bench);
        }
    }

    /// Whether answers wait for a commit.
    pub fn has_parked(&self) -> bool {
        self.outbound.has_parked()
    }

    /// The last answer of a connection that is told to go: it does not wait for those that wait for a commit, which
    /// are not sent any more.
    pub(crate) fn answer_last(&mut self, connection: u32, answer: &[u8], bench: &mut Workbench) -> bool {
        if connection == self.connection {
            self.outbound.forget_parked();
        }
        self.answer(connection, answer, bench)
    }

    /// Handles the acknowledgements of one read batch and sends what they make room for. True if
    /// the caller now has to flush.
    ///
    /// # Errors
    /// The first acknowledgement that does not belong to its exchange.
    pub fn acknowledge(
        &mut self,
        connection: u32,
        acks: &[(AckKind, PacketId, ReasonCode)],
        bench: &mut Workbench,
    ) -> Result<bool, Violation> {
        if connection != self.connection || self.wire.is_none() {
            return Ok(false);
        }
        for (kind, id, reason) in acks {
            self.outbound.acknowledge(*kind, *id, *reason, &mut self.bytes, bench)?;
        }
        self.recount_unread(bench);
        self.waits_for_ack = false;
        if self.passage() == Passage::Open && self.outbound.has_backlog() {
            self.refill(bench);
        }
        Ok(self.mark_dirty())
    }

    /// Makes the connection end with `farewell`: its Client is told, offers stop leaving.
    pub fn ask_to_close(&mut self, farewell: Farewell) {
        if let Some(wire) = &self.wire {
            self.farewell.get_or_insert(farewell);
            wire.wake();
        }
    }

    /// DISCONNECT is among the bytes: offers are no longer sent behind it.
    pub(crate) fn last_words(&mut self, connection: u32, farewell: Farewell) {
        if connection == self.connection {
            self.farewell.get_or_insert(farewell);
            self.last_words = true;
        }
    }

    /// Whether what waits may still leave: always, until the connection is told to go. A broker that
    /// shuts down lets it leave before its DISCONNECT.
    fn lets_out(&self) -> bool {
        let stays = |farewell: Farewell| farewell.reason == ReasonCode::ServerShuttingDown;
        !self.last_words && self.farewell.is_none_or(stays)
    }

    /// The connection ends: its bytes go, the session stays (or ends with [`Outbox::end`]). `None` if
    /// another connection has the session by now.
    pub fn detach(&mut self, connection: u32, bench: &mut Workbench) -> Option<Discarded> {
        if connection != self.connection || self.state == State::Closed {
            return None;
        }
        self.let_go(bench);
        self.wire = None;
        self.group_work = None;
        if planted!(ReplayForgotten) {
            self.replays = Replays::default();
        }
        Some(self.outbound.go_offline(bench))
    }

    /// Forgets the bytes of a connection. What was in flight stays in the window.
    fn let_go(&mut self, bench: &mut Workbench) {
        let bytes = std::mem::take(&mut self.bytes);
        self.outbound.qos0_lost(bytes.qos0, bench);
        self.count_unread(0, bench);
        self.state = State::Offline;
        self.handed_over = false;
        self.outbound.forget_parked();
    }

    /// The session ends. What was in flight and waited is left to the caller, to be settled.
    pub fn end(&mut self, bench: &mut Workbench) -> Remains {
        if self.state == State::Closed {
            return Remains::default();
        }
        self.let_go(bench);
        self.state = State::Closed;
        self.replays = Replays::default();
        self.group_work = None;
        if let Some(wire) = self.wire.take() {
            wire.wake();
        }
        self.outbound.end()
    }

    /// Takes up to `count` messages out of the queue that expired in it; true if there may be more.
    pub fn expire_waiting(&mut self, count: usize, bench: &mut Workbench) -> bool {
        self.outbound.expire_waiting(count, bench)
    }

    /// Moves what waits to the bytes for the socket.
    fn refill(&mut self, bench: &mut Workbench) {
        let before = self.outbound.in_flight();
        self.outbound.refill(REFILL, &mut self.bytes, bench);
        // What had a place in the window and was not sent after all leaves it to others.
        self.waits_for_ack &= self.outbound.in_flight() >= before;
    }

    /// Answers pile up behind a socket that is full.
    fn recount_unread(&mut self, bench: &mut Workbench) {
        if self.state == State::Blocked {
            self.count_unread(self.bytes.len(), bench);
        }
    }

    fn count_unread(&mut self, bytes: usize, bench: &mut Workbench) {
        bench.tally.held_bytes += bytes as i64 - self.unread as i64;
        self.unread = bytes;
    }

    // ---- writing ----

    /// Takes the bytes out to write them; only from Dirty, so there is one writer at a time.
    pub fn take(&mut self) -> Option<Batch> {
        if self.state != State::Dirty {
            return None;
        }
        let wire = Arc::clone(self.wire.as_ref()?);
        self.state = State::Writing;
        self.handed_over = false;
        Some(Batch::new(std::mem::take(&mut self.bytes), wire, self.connection))
    }

    /// Reports how the write of `batch` ended.
    pub fn written(&mut self, batch: Batch, wrote: Wrote, bench: &mut Workbench) -> AfterWrite {
        let stale = batch.connection != self.connection || self.state != State::Writing;
        if wrote == Wrote::All {
            self.outbound.qos0_written(batch.qos0(), bench);
        } else if stale || wrote == Wrote::Failed {
            self.outbound.qos0_lost(batch.qos0(), bench);
        }
        if stale {
            return AfterWrite::Done;
        }
        match wrote {
            Wrote::Failed => {
                // The session goes on by the offline rules; its Client detaches.
                self.let_go(bench);
                self.wake();
                AfterWrite::Done
            }
            Wrote::Blocked => {
                self.bytes = batch.rest_before(std::mem::take(&mut self.bytes));
                self.count_unread(self.bytes.len(), bench);
                self.state = State::Blocked;
                self.wake();
                AfterWrite::Done
            }
            Wrote::All => {
                bench.recycle(batch.into_buffer());
                self.go_on(bench)
            }
        }
    }

    /// After a write: more bytes, or what waited for them to leave.
    fn go_on(&mut self, bench: &mut Workbench) -> AfterWrite {
        if self.lets_out() && self.outbound.has_backlog() {
            self.refill(bench);
        }
        if self.bytes.is_empty() {
            self.state = State::Idle;
            if self.wants_pump() {
                self.wake();
            }
            return AfterWrite::Done;
        }
        self.state = State::Dirty;
        AfterWrite::MoreCame
    }

    /// A writer has done its share: the session's own Client flushes what is left.
    pub fn hand_over(&mut self) {
        if self.state == State::Dirty {
            self.handed_over = true;
            if !planted!(BellForgotten) {
                self.wake();
            }
        }
    }

    /// The socket takes bytes again. True if the caller now has to flush.
    pub fn unblocked(&mut self, connection: u32, bench: &mut Workbench) -> bool {
        if connection != self.connection || self.state != State::Blocked {
            return false;
        }
        self.state = State::Idle;
        self.count_unread(0, bench);
        if self.bytes.len() < REFILL && self.lets_out() {
            self.refill(bench);
        }
        self.mark_dirty()
    }

    /// Wakes the Client of the connection, if there is one.
    pub fn wake(&self) {
        if let Some(wire) = &self.wire {
            wire.wake();
        }
    }

    /// Whether a replay or a shared subscription could send something now. What waits in the client's own
    /// queue comes first.
    fn could_send(&self) -> bool {
        self.passage() == Passage::Open
            && self.bytes.len() < REFILL
            && !self.outbound.has_backlog()
            && !self.waits_for_ack
    }

    fn wants_pump(&self) -> bool {
        let groups = self.groups_with_work() > 0 && self.outbound.has_room();
        self.outbound.refills_on || (self.could_send() && (!self.replays.is_empty() || groups))
    }

    /// A replay or a shared subscription was refused. If that was not for the socket, which wakes its Client
    /// when it takes bytes again, it was for the window or for memory, and waits for an acknowledgement.
    pub(crate) fn refused(&mut self) {
        self.waits_for_ack = self.passage() == Passage::Open && self.outbound.in_flight() > 0;
    }

    /// Goes on with a long queue of which nothing could be sent for a while. True if the caller now has to
    /// flush.
    pub(crate) fn refill_on(&mut self, bench: &mut Workbench) -> bool {
        if !self.outbound.refills_on || self.passage() != Passage::Open || !self.lets_out() {
            self.outbound.refills_on = false;
            return false;
        }
        self.refill(bench);
        self.mark_dirty()
    }

    /// A shared subscription waits for a word, or has messages.
    pub(crate) fn work_for(&mut self, group: &Arc<Group>) {
        if self.state == State::Closed {
            return;
        }
        let work = self.group_work.get_or_insert_default();
        if work.numbers.insert(group.number) {
            work.in_turn.push_back(Arc::clone(group));
        }
    }

    /// How many shared subscriptions wait for a word or have messages.
    pub(crate) fn groups_with_work(&self) -> usize {
        self.group_work.as_ref().map_or(0, |work| work.numbers.len())
    }

    /// The next shared subscription to ask, as long as something of it could be sent.
    pub(crate) fn next_group(&mut self) -> Option<Arc<Group>> {
        if !self.could_send() || !self.outbound.has_room() {
            return None;
        }
        let work = self.group_work.as_mut()?;
        // One that was left meanwhile is passed over.
        let next = loop {
            match work.in_turn.pop_front() {
                Some(group) if work.numbers.remove(&group.number) => break Some(group),
                Some(_) => {}
                None => break None,
            }
        };
        if work.numbers.is_empty() {
            self.group_work = None;
        }
        next
    }

    /// The session is no member of this shared subscription any more.
    pub(crate) fn no_work_for(&mut self, number: u64) {
        let Some(work) = &mut self.group_work else { return };
        work.numbers.remove(&number);
        if work.numbers.is_empty() {
            self.group_work = None;
        } else if work.in_turn.len() > 2 * work.numbers.len() + SPARE_TURNS {
            work.in_turn.retain(|group| work.numbers.contains(&group.number));
        }
    }

    /// What the Client of connection number `connection` has to do now.
    pub fn errands(&mut self, connection: u32) -> Errands {
        if connection != self.connection || matches!(self.state, State::Closed | State::Offline) {
            return Errands { lost: true, close: self.farewell, ..Errands::default() };
        }
        Errands {
            close: self.farewell,
            lost: false,
            blocked: self.state == State::Blocked,
            flush: self.state == State::Dirty && std::mem::take(&mut self.handed_over),
            pump: self.wants_pump(),
        }
    }

    /// Whether bytes pile up that the client does not read: it is paused between reads.
    pub fn piles_up(&self) -> bool {
        self.state == State::Blocked && self.bytes.len() > self.outbound.limits.outbox_bytes
    }

    /// Whether answers that the client does not read have piled up beyond their limit.
    pub fn overdrawn(&self) -> bool {
        let limits = &self.outbound.limits;
        self.bytes.len() > limits.outbox_bytes + limits.answers_bytes + limits.packet_size
    }
}
