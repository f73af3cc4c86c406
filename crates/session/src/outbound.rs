//! The sending half of a session: packet identifiers, the in-flight window, the queue behind it,
//! and the encoding of deliveries for the version and the limits of the client.
//!
//! It decides what happens to a delivery (sent now, queued, dropped) and never touches a socket;
//! the [`Outbox`](crate::Outbox) around it says whether bytes can be taken at the moment.

mod resend;

use crate::alias::{AliasUse, AliasesOut};
use crate::away::Away;
use crate::counters::{DropReason, Ledger};
use crate::delivery::{Delivery, Terms};
use crate::limits::Limits;
use crate::publication::Offering;
use crate::queue::Queue;
use crate::recording::Recording;
use crate::remains::leave_queue;
use crate::rights::{Act, Identity};
use crate::segments::{SHARE_FROM, Segments};
use crate::window::{Published, Slot, Window};
use crate::workbench::Workbench;
use aldis_packet::{PacketId, PacketType, ProtocolVersion, PublishHead, QoS, Quoted};
use resend::Sent;
use std::sync::Arc;
use std::time::Instant;

/// Bytes in flight that a client gets at the memory watermark, too: whoever reads and acknowledges goes on,
/// whatever others hold.
const KEPT_AT_LEAST: usize = 64 << 10;

/// Messages that one refill takes out of the queue; more than fit into its bytes, if they are sent.
const REFILLED_AT_ONCE: usize = 4096;

/// Expired messages that one new message takes out of a full queue at most: it needs one place.
const EXPIRED_AT_ONCE: usize = 64;

/// What a client said about itself in CONNECT that bounds what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientTerms {
    /// Version of the protocol on this connection.
    pub version: ProtocolVersion,
    /// QoS 1 and 2 PUBLISH packets that it takes without having acknowledged them.
    pub receive_maximum: u16,
    /// Largest packet that it takes, in bytes.
    pub maximum_packet_size: u32,
    /// Topic aliases that it takes.
    pub topic_alias_maximum: u16,
    /// Whether reason strings and user properties may go on every packet.
    pub problem_information: bool,
    /// Whether the session outlives the connection.
    pub lasting: bool,
}

/// What the Outbox can do with a delivery at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// Bytes can be appended.
    Open,
    /// The client is connected, its socket is full.
    Busy,
    /// The client is not connected, or is being told to go.
    Offline,
}

/// What became of a delivery that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// Encoded for the socket.
    Accepted,
    /// Waits in the queue of the client.
    Queued,
    /// Dropped and counted.
    Dropped(DropReason),
    /// Its message expiry interval had passed; counted.
    Expired,
    /// Only for shared subscriptions and replays, which come again: this client can take nothing now.
    Full,
    /// No active subscription of this session asks for it, or, for those two, its client may not receive it.
    NotConcerned,
}

/// The sending half of a session.
#[derive(Debug)]
pub struct Outbound {
    /// Whose session it is, for rights and log lines.
    pub identity: Identity,
    /// The account of this subscriber.
    pub ledger: Ledger,
    pub(crate) terms: ClientTerms,
    pub(crate) limits: Arc<Limits>,
    /// Exchanges begun or taken up again on this connection: they take from its receive maximum.
    outstanding: u16,
    /// Slot that is sent next, while a resumed session catches up or the first of some waits for a commit.
    resend: Option<u64>,
    /// The last slot with a copy of a retained message that is not sent yet: a newer message of QoS 0 must not
    /// overtake it (law 13).
    unsent_copy: Option<u64>,
    /// A refill stopped after many messages of which none was sent: its Client goes on with it.
    pub(crate) refills_on: bool,
    window: Window,
    /// Bytes of the messages that the window keeps to send them again.
    kept_bytes: usize,
    queue: Queue,
    aliases: Option<Box<AliasesOut>>,
    pub(crate) recording: Recording,
}

impl Outbound {
    /// The sending half of a new session.
    pub fn new(identity: Identity, terms: ClientTerms, limits: Arc<Limits>) -> Outbound {
        let mut outbound = Outbound {
            identity,
            ledger: Ledger::default(),
            terms,
            limits,
            outstanding: 0,
            resend: None,
            unsent_copy: None,
            refills_on: false,
            window: Window::default(),
            kept_bytes: 0,
            queue: Queue::default(),
            aliases: None,
            recording: Recording::default(),
        };
        outbound.attach(terms);
        outbound
    }

    /// Begins a connection: its limits hold from now on, and what was in flight is sent again
    /// [MQTT-4.4.0-1].
    pub fn attach(&mut self, terms: ClientTerms) {
        self.terms = terms;
        self.terms.receive_maximum = terms.receive_maximum.min(self.limits.in_flight).max(1);
        self.outstanding = 0;
        self.resend = (self.window.in_use() > 0).then(|| self.window.first());
        let aliases = terms.topic_alias_maximum.min(self.limits.topic_aliases_out);
        self.aliases = (aliases > 0).then(|| Box::new(AliasesOut::new(aliases)));
    }

    /// Deliveries in flight.
    pub fn in_flight(&self) -> usize {
        self.window.in_use()
    }

    /// Deliveries that wait in the queue.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn window_mut(&mut self) -> &mut Window {
        &mut self.window
    }

    pub(crate) fn queue_has_away(&self) -> bool {
        self.queue.has_away()
    }

    pub(crate) fn queue_mut(&mut self) -> &mut Queue {
        &mut self.queue
    }

    /// The exchange `id` is complete. It gives back its part of the receive maximum, unless it was not
    /// sent again on this connection yet and so took none.
    pub(crate) fn acknowledged(&mut self, id: PacketId) {
        let sent_here = self.resend.is_none_or(|next| self.window.number(id) < next);
        self.outstanding -= u16::from(sent_here && self.outstanding > 0);
    }

    /// Frees the slot of an exchange that is over.
    pub(crate) fn free(&mut self, id: PacketId, bench: &mut Workbench) {
        let freed = self.window.free(id);
        self.record_over(&freed, bench);
        bench.tally.in_flight -= 1;
        self.let_go_of(freed, bench);
    }

    /// What a slot kept to be sent again is kept no longer.
    pub(crate) fn let_go_of(&mut self, slot: Slot, bench: &mut Workbench) {
        if let Slot::Published(Published { kept: Some(kept), .. }) = slot {
            self.kept_bytes -= kept.weight();
            if !planted!(MemoryLeaked) {
                bench.tally.held_bytes -= kept.place() as i64;
            }
        }
    }

    /// Whether another QoS 1 or 2 message may be sent now [MQTT-3.3.4-9].
    pub fn has_room(&self) -> bool {
        self.resend.is_none() && self.has_place(self.outstanding.into())
    }

    /// Whether another QoS 1 or 2 message gets a place in the window at least, behind some that wait to be sent
    /// until they are durable.
    fn has_room_behind(&self, bench: &Workbench) -> bool {
        let stands_behind = || self.resend.is_some() && self.terms.lasting && bench.journal.keeps();
        self.has_room() || (stands_behind() && self.has_place(self.window.in_use()))
    }

    /// Whether the window has a place, if so many of its exchanges take from the receive maximum.
    fn has_place(&self, begun: usize) -> bool {
        (begun < usize::from(self.terms.receive_maximum) || planted!(NoReceiveMaximum))
            && self.window.in_use() < usize::from(self.limits.in_flight)
            && self.window.has_identifier()
            && self.kept_bytes <= self.limits.queue_bytes
    }

    /// Whether a new message may be sent now. At the memory watermark only so many bytes are kept in flight:
    /// what is beyond them waits in its shared subscription, or is dropped, as it is in a queue.
    fn has_room_for(&self, terms: &Terms, bench: &Workbench) -> bool {
        if terms.qos == QoS::AtMostOnce {
            return true;
        }
        let tight = bench.memory_full && self.keeps(terms) && self.kept_bytes > KEPT_AT_LEAST;
        self.has_room_behind(bench) && !tight
    }

    /// Whether messages of QoS 0 wait for copies of retained messages that came before them.
    fn holds_qos0(&self) -> bool {
        self.unsent_copy.is_some_and(|last| self.resend.is_some_and(|next| next <= last))
    }

    /// Whether a message is kept while it is in flight. Who can never resume needs no copy to send again;
    /// a shared subscription does, to give the message to another member when this session ends.
    fn keeps(&self, terms: &Terms) -> bool {
        self.terms.lasting || terms.share.is_some()
    }

    /// Decides about one delivery and encodes it if it can leave now.
    pub fn offer(
        &mut self,
        offering: &Offering<'_>,
        terms: Terms,
        passage: Passage,
        bytes: &mut Segments,
        bench: &mut Workbench,
    ) -> Offered {
        self.ledger.offered += 1;
        bench.tally.offered += 1;
        if offering.expired(bench.now) {
            return self.expire(bench);
        }
        let qos = terms.qos;
        if planted!(LostWhileAway) && passage == Passage::Offline && qos != QoS::AtMostOnce {
            self.ledger.completed += 1;
            bench.tally.completed += 1;
            return Offered::Queued;
        }
        let fits = self.has_room_for(&terms, bench);
        let is_held = qos == QoS::AtMostOnce && self.holds_qos0();
        if passage == Passage::Open && fits && !is_held && !self.queue.has_before(qos) {
            return self.send(offering, terms, 0, bytes, bench);
        }
        if qos == QoS::AtMostOnce && passage == Passage::Offline && !self.limits.queue_qos0 {
            return self.drop_one(DropReason::Offline, bench);
        }
        self.enqueue(offering, terms, bench)
    }

    /// Like [`Outbound::offer`] for a member of a shared subscription, which takes a message only
    /// if it can be sent at once; otherwise another member gets it.
    pub fn offer_shared(
        &mut self,
        offering: &Offering<'_>,
        terms: Terms,
        passage: Passage,
        bytes: &mut Segments,
        bench: &mut Workbench,
    ) -> Offered {
        if passage != Passage::Open || !self.has_room_for(&terms, bench) || self.queue.has_before(terms.qos) {
            return Offered::Full;
        }
        let (qos, share) = (terms.qos, terms.share.clone());
        let offered = self.offer(offering, terms, passage, bytes, bench);
        let is_over = matches!(offered, Offered::Dropped(_) | Offered::Expired) || qos == QoS::AtMostOnce;
        if let (true, Some(share), Some(publication)) = (is_over, share, offering.owned.get()) {
            share.record_done(publication, bench);
        }
        offered
    }

    fn enqueue(&mut self, offering: &Offering<'_>, terms: Terms, bench: &mut Workbench) -> Offered {
        if self.is_full_for(offering, &terms) || bench.memory_full {
            self.expire_waiting(EXPIRED_AT_ONCE, bench);
        }
        if self.is_full_for(offering, &terms) {
            return self.drop_one(DropReason::QueueFull, bench);
        }
        if bench.memory_full {
            return self.drop_one(DropReason::MemoryWatermark, bench);
        }
        let publication = Arc::clone(offering.publication(bench.counters()));
        let mut delivery = Delivery { publication, terms, number: 0 };
        if self.records(delivery.terms.qos, bench) {
            (delivery.number, _) = self.record_queued(&delivery.publication, &delivery.terms, None, bench);
            if self.queue.is_long(self.limits.queue_head()) {
                let size = u32::try_from(offering.weight()).unwrap_or(u32::MAX);
                let away = Away { size, expires_at: offering.expires_at };
                self.put_away(delivery.number, away, bench);
                return Offered::Queued;
            }
        }
        self.put_in_queue(delivery, bench);
        Offered::Queued
    }

    pub(crate) fn put_in_queue(&mut self, delivery: Delivery, bench: &mut Workbench) {
        bench.tally.waiting += 1;
        bench.tally.queued_bytes += delivery.weight() as i64;
        bench.tally.held_bytes += delivery.place() as i64;
        self.queue.push(delivery);
    }

    /// A delivery is kept in the window.
    pub(crate) fn keep(&mut self, delivery: &Delivery, bench: &mut Workbench) {
        self.kept_bytes += delivery.weight();
        bench.tally.held_bytes += delivery.place() as i64;
    }

    fn is_full_for(&self, offering: &Offering<'_>, terms: &Terms) -> bool {
        if planted!(QueueWithoutEnd) {
            return false;
        }
        let weight = offering.weight() + terms.place();
        self.queue.len() >= self.limits.queue_messages
            || self.queue.bytes() + weight > self.limits.queue_bytes
    }

    /// Takes out what expired while it waited, up to `count` messages [MQTT-3.3.2-5]; true if there may be
    /// more.
    pub(crate) fn expire_waiting(&mut self, count: usize, bench: &mut Workbench) -> bool {
        for _ in 0..count {
            let Some(gone) = self.queue.take_expired(bench.now) else { return false };
            leave_queue(&gone, bench);
            self.record_done(gone.number, bench);
            self.expire(bench);
        }
        true
    }

    pub(crate) fn drop_one(&mut self, reason: DropReason, bench: &mut Workbench) -> Offered {
        self.ledger.drop_delivery(reason, 1, &mut bench.tally);
        Offered::Dropped(reason)
    }

    fn expire(&mut self, bench: &mut Workbench) -> Offered {
        self.ledger.expired += 1;
        bench.tally.expired += 1;
        Offered::Expired
    }

    /// Encodes a delivery that leaves now and remembers what its acknowledgement will need. One of QoS 2 that is
    /// recorded leaves when it is durable, and others behind it. `number` is that of one that waited.
    fn send(
        &mut self,
        offering: &Offering<'_>,
        terms: Terms,
        number: u64,
        bytes: &mut Segments,
        bench: &mut Workbench,
    ) -> Offered {
        let mut next = self.window.end();
        if planted!(IdentifierInUse) && self.in_flight() > 0 {
            next = self.window.first();
        }
        let qos = terms.qos;
        let id = (qos != QoS::AtMostOnce).then(|| Window::packet_id(next));
        let is_recorded = self.records(qos, bench);
        let is_copy = terms.retain;
        let stands_behind = id.is_some() && self.resend.is_some();
        let waits_for_disk = qos == QoS::ExactlyOnce && (is_recorded || is_known(&terms, offering));
        let leaves = !stands_behind && !waits_for_disk;
        if leaves && !self.encode(offering, &terms, id, false, bytes, bench) {
            self.record_done(number, bench);
            return self.drop_one(DropReason::TooLarge, bench);
        }
        if id.is_none() {
            bytes.qos0 += 1;
            bench.tally.waiting += 1;
            return Offered::Accepted;
        }
        let mut kept = (is_recorded || self.keeps(&terms)).then(|| {
            let publication = Arc::clone(offering.publication(bench.counters()));
            Box::new(Delivery { publication, terms, number })
        });
        let mut after = 0;
        if let Some(kept) = &mut kept {
            self.keep(kept, bench);
            if is_recorded && number != 0 {
                after = self.record_sent(number, qos, next, bench);
            } else if is_recorded {
                (kept.number, after) = self.record_queued(&kept.publication, &kept.terms, Some(next), bench);
            } else if kept.terms.share.is_some() {
                after = self.record_held(kept, bench);
            }
        }
        self.window.push(Published { qos, kept, sent: leaves, after });
        bench.tally.in_flight += 1;
        if leaves {
            self.outstanding += 1;
        } else {
            self.resend.get_or_insert(next);
            self.unsent_copy = if is_copy { Some(next) } else { self.unsent_copy };
        }
        Offered::Accepted
    }

    /// Appends the PUBLISH to `bytes`; false if it is too large for the client [MQTT-3.1.2-24].
    fn encode(
        &mut self,
        offering: &Offering<'_>,
        terms: &Terms,
        packet_id: Option<PacketId>,
        dup: bool,
        bytes: &mut Segments,
        bench: &mut Workbench,
    ) -> bool {
        let mut alias = match &self.aliases {
            Some(aliases) => aliases.choose(offering.topic),
            None => AliasUse::None,
        };
        let (topic, topic_alias) = match alias {
            AliasUse::None => (offering.topic, None),
            AliasUse::Introduce(alias) => (offering.topic, Some(alias)),
            AliasUse::Known(alias) => ("", Some(alias)),
        };
        let mut head = PublishHead {
            version: self.terms.version,
            dup,
            qos: terms.qos,
            retain: terms.retain,
            topic,
            packet_id,
            message_expiry: offering.expires_at.map(|at| seconds_left(at, bench.now)),
            topic_alias,
            subscription_ids: terms.ids.as_slice(),
            forwarded: offering.properties,
        };
        let payload = offering.payload;
        if self.terms.maximum_packet_size != u32::MAX && !planted!(NoMaximumPacketSize) {
            let maximum = self.terms.maximum_packet_size as usize;
            if let AliasUse::Introduce(_) = alias
                && head.packet_size(payload.len()) > maximum
            {
                // The new alias is what makes it too large: it goes without.
                (alias, head.topic_alias) = (AliasUse::None, None);
            }
            if head.packet_size(payload.len()) > maximum {
                return false;
            }
        }
        let open = bytes.open(&mut bench.spare);
        let before = open.len();
        head.encode(payload.len(), open);
        bench.tally.sent(PacketType::Publish as u8, open.len() - before + payload.len());
        if payload.len() < SHARE_FROM {
            open.extend_from_slice(payload);
        } else {
            bytes.share(offering.publication(bench.counters()).payload.clone());
        }
        if let Some(aliases) = &mut self.aliases {
            aliases.sent(offering.topic, alias);
        }
        bench.tally.publish_bytes_sent += payload.len() as u64;
        if bench.traces {
            bench.observer.sent(&self.identity.client_id, &Shown(&head, payload.len()));
        }
        true
    }

    /// Whether there is something that [`Outbound::refill`] could send.
    pub fn has_backlog(&self) -> bool {
        self.resend.is_some() || !self.queue.is_empty()
    }

    /// Moves what waits into `bytes`, up to `limit` bytes: first what is sent again after a resume,
    /// then the queue.
    pub fn refill(&mut self, limit: usize, bytes: &mut Segments, bench: &mut Workbench) {
        self.refill_from_memory(limit, bytes, bench);
        self.ask_for_more(bench);
    }

    fn refill_from_memory(&mut self, limit: usize, bytes: &mut Segments, bench: &mut Workbench) {
        self.refills_on = false;
        let mut taken = 0;
        while bytes.len() < limit {
            if taken == REFILLED_AT_ONCE {
                self.refills_on = true;
                return;
            }
            taken += 1;
            if let Some(number) = self.resend {
                match self.send_again(number, bytes, bench) {
                    Sent::Yes => continue,
                    Sent::NoRoom => return,
                    // What waits for the same commit gets its identifier meanwhile.
                    Sent::NotDurable => {}
                }
            }
            let has_room = self.has_room_behind(bench);
            let next = if planted!(OrderBrokenOnResume) && has_room {
                self.queue.pop_back()
            } else if self.holds_qos0() {
                self.queue.pop_other(has_room)
            } else {
                self.queue.pop(has_room)
            };
            let Some(delivery) = next else { return };
            leave_queue(&delivery, bench);
            if delivery.publication.expired(bench.now) {
                self.record_done(delivery.number, bench);
                self.expire(bench);
            } else if !self.identity.may(Act::Receive, &delivery.publication.topic) {
                self.record_done(delivery.number, bench);
                self.drop_one(DropReason::NotAuthorized, bench);
            } else {
                let terms = delivery.terms.clone();
                self.send(&delivery.offering(), terms, delivery.number, bytes, bench);
            }
        }
    }
}

/// Whether the log may know a message at its place in a shared subscription.
fn is_known(terms: &Terms, offering: &Offering<'_>) -> bool {
    terms.share.as_ref().is_some_and(|share| share.is_known(offering.owned.get()))
}

/// Whole seconds until `at`, rounded up, so that a message that did not wait keeps its interval
/// [MQTT-3.3.2-6].
fn seconds_left(at: Instant, now: Instant) -> u32 {
    let left = at.saturating_duration_since(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// A PUBLISH on its way out, as the log shows it.
struct Shown<'a>(&'a PublishHead<'a>, usize);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shown(head, payload) = self;
        write!(f, "PUBLISH {} q{}", Quoted(head.topic), head.qos as u8)?;
        if let Some(id) = head.packet_id {
            write!(f, " id {}", id.get())?;
        }
        if let Some(alias) = head.topic_alias {
            write!(f, " alias {alias}")?;
        }
        f.write_str(if head.dup { " dup" } else { "" })?;
        f.write_str(if head.retain { " retain" } else { "" })?;
        write!(f, ", {payload} bytes")
    }
}
