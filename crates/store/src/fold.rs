//! The fold: durable state as the records of the log make it, in the order of the log.
//!
//! It knows where the body of every message lies and never holds one. Whoever writes the log keeps it up to date, from
//! what is committed, so that a checkpoint can be made of it at any moment ([`Fold::save`]); after a start it is what
//! the Broker is rebuilt from. A record about a session that is gone changes nothing.

mod deliveries;
mod groups;
mod reading;
mod wills;

pub use deliveries::Deliveries;
pub use groups::GroupState;
pub use wills::{OwedWill, WillState};

use crate::record::{Origin, Put, Queue, Record, SharePlace, Wall};
use crate::scan::Place;
use aldis_packet::{PacketId, QoS, SubscriptionOptions};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How much later than it was a time in the log may be, in milliseconds.
const ROUNDING: Wall = 1_000;

/// A subscription that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Its options.
    pub options: SubscriptionOptions,
    /// Its subscription identifier.
    pub subscription_id: Option<u32>,
    /// Whether retained messages are on their way for it.
    pub replays: bool,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits.
    Queued,
    /// It has this slot of the in-flight window, and may have been sent.
    Sent(u64),
    /// It has this slot, and its PUBREC has come.
    Received(u64),
}

/// A message that a session is to receive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryState {
    /// Number of the message.
    pub message: u64,
    /// Where it stands.
    pub standing: Standing,
    /// Quality of service of this copy.
    pub qos: QoS,
    /// RETAIN flag of this copy.
    pub retain: bool,
    /// What few deliveries have.
    pub rare: Option<Box<Rare>>,
}

/// What few deliveries have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rare {
    /// Subscription identifiers of the copy.
    pub ids: Vec<u32>,
    /// Its place in the shared subscription that it came from.
    pub share: Option<SharePlace>,
}

impl DeliveryState {
    /// Subscription identifiers of this copy.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        self.rare.as_deref().map_or(&[], |rare| &rare.ids)
    }

    /// Its place in the shared subscription that it came from.
    #[must_use]
    pub fn share(&self) -> Option<SharePlace> {
        self.rare.as_deref()?.share
    }
}

/// What is kept of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionState {
    /// Client id.
    pub client_id: Box<str>,
    /// User name that was verified.
    pub user_name: Option<Box<str>>,
    /// Session expiry interval in seconds.
    pub session_expiry: u32,
    /// Since when it has no connection; `None` while it has one.
    pub left_at: Option<Wall>,
    /// Its will, if it is still to be published.
    pub will: Option<Box<WillState>>,
    /// Its subscriptions, by filter as the client wrote it.
    pub subscriptions: BTreeMap<Box<str>, SubscriptionState>,
    /// Packet identifiers of QoS 2 messages that it published and has not released.
    pub held: BTreeSet<PacketId>,
    /// What it is to receive, in order.
    pub deliveries: Deliveries,
    /// The last number of a delivery.
    pub last_number: u64,
    /// The slot of the in-flight window that comes next.
    pub next_slot: u64,
}

/// Where the body of a message lies, and who refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message {
    // A store has as many segments at most, and none of them is longer.
    segment: u32,
    offset: u32,
    /// Length of the record there; 0 while the message is not closed.
    length: u32,
    references: u32,
    /// When it expires; `NEVER` if it does not.
    expires_at: Wall,
}

/// The time when what does not expire does.
const NEVER: Wall = Wall::MAX;

impl Message {
    fn new(place: Place, length: u32, expires_at: Option<Wall>) -> Message {
        let (segment, offset) = (place.segment as u32, place.offset as u32);
        Message { segment, offset, length, references: 0, expires_at: expires_at.unwrap_or(NEVER) }
    }

    fn place(&self) -> Place {
        Place { segment: self.segment.into(), offset: self.offset as usize }
    }

    fn expires_at(&self) -> Option<Wall> {
        Some(self.expires_at).filter(|at| *at != NEVER)
    }
}

/// Durable state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// Sessions by their number.
    pub sessions: BTreeMap<u64, SessionState>,
    /// Shared subscriptions by their number.
    pub groups: BTreeMap<u64, GroupState>,
    /// Wills that are owed, by their number.
    pub wills: BTreeMap<u64, OwedWill>,
    /// The message that is retained for each topic.
    pub retained: BTreeMap<Box<str>, u64>,
    // Never walked through where the order would be seen.
    messages: HashMap<u64, Message>,
    /// Retained messages that are not closed yet, in the order of the log: message, topic, whether it removes.
    retains: Vec<(u64, Box<str>, bool)>,
    /// Bytes of records in each segment that are still referred to.
    live: BTreeMap<u64, u64>,
    /// The latest wall-clock time in the log.
    pub clock: Wall,
    /// The last number of a session, a will or a shared subscription.
    pub last_session: u64,
    /// The last number of a message.
    pub last_message: u64,
}

impl Fold {
    /// What time it is, when the clock on the wall says `wall`: never much earlier than the log says it was, or a clock
    /// that was set back would make everything younger than it is.
    #[must_use]
    pub fn time(&self, wall: Wall) -> Wall {
        // Times are rounded up when they are written.
        if self.clock > wall.saturating_add(ROUNDING) { self.clock } else { wall }
    }

    /// Messages that something refers to.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// Where the record with the body of a message lies, and its length.
    #[must_use]
    pub fn body(&self, message: u64) -> Option<(Place, u32)> {
        let found = self.messages.get(&message).filter(|message| message.length > 0)?;
        Some((found.place(), found.length))
    }

    /// When a message expires, if it does.
    #[must_use]
    pub fn expires_at(&self, message: u64) -> Option<Wall> {
        self.messages.get(&message)?.expires_at()
    }

    /// All messages, with where the records with their bodies lie, in the order of their places.
    #[must_use]
    pub fn bodies(&self) -> Vec<(u64, Place, u32)> {
        self.bodies_where(|_| true)
    }

    /// Bytes of records in a segment that are still referred to.
    #[must_use]
    pub fn live_bytes(&self, segment: u64) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    /// The segments in which something is still referred to.
    pub fn live_segments(&self) -> impl Iterator<Item = u64> {
        self.live.keys().copied()
    }

    /// Bytes of records that are still referred to, in all segments.
    #[must_use]
    pub fn all_live_bytes(&self) -> u64 {
        self.live.values().sum()
    }

    /// The messages whose bodies lie in a segment, in the order of their places.
    #[must_use]
    pub fn in_segment(&self, segment: u64) -> Vec<(u64, Place, u32)> {
        self.bodies_where(|place| place.segment == segment)
    }

    fn bodies_where(&self, is_meant: impl Fn(Place) -> bool) -> Vec<(u64, Place, u32)> {
        let meant = |message: &Message| message.length > 0 && is_meant(message.place());
        let found = self.messages.iter().filter(|(_, message)| meant(message));
        let mut found: Vec<_> = found.map(|(number, one)| (*number, one.place(), one.length)).collect();
        found.sort_unstable_by_key(|(_, place, _)| *place);
        found
    }

    /// Takes in the next record of the log, which lies at `place` and is `length` bytes long.
    pub fn apply(&mut self, record: &Record<'_>, place: Place, length: u32) {
        match record {
            Record::Connect { session, client_id, user_name, session_expiry, will } => {
                let will_number = will.map_or(0, |will| will.number);
                self.last_session = self.last_session.max(*session).max(will_number);
                let state = self.sessions.entry(*session).or_default();
                state.client_id = (*client_id).into();
                state.user_name = user_name.map(Box::from);
                state.session_expiry = *session_expiry;
                state.will = will.as_ref().map(|will| Box::new(WillState::new(will)));
                state.left_at = None;
            }
            Record::End { session } => self.end(*session),
            Record::Queue(queue) => self.queue(queue),
            Record::Retain { message, topic, removes } => self.retain(*message, topic, *removes),
            Record::Put(put) => self.close(put, place, length),
            Record::Moved(put) => self.moved(put.message, place, length),
            Record::Unretain { topic } => {
                if let Some(message) = self.retained.remove(*topic) {
                    self.let_go(message);
                }
            }
            Record::Done { session, number } => {
                let state = self.sessions.get_mut(session);
                if let Some(done) = state.and_then(|state| state.deliveries.remove(*number)) {
                    self.let_go(done.message);
                }
            }
            Record::Group { .. }
            | Record::Share { .. }
            | Record::ShareDone { .. }
            | Record::GroupEnd { .. } => {
                self.of_group(record);
            }
            Record::WillSent { will } => drop(self.wills.remove(will)),
            Record::Owed { client_id, user_name, will } => {
                let (client_id, user_name) = ((*client_id).into(), user_name.map(Box::from));
                let will = WillState::new(will);
                self.wills.insert(will.number, OwedWill { client_id, user_name, will });
            }
            Record::Clock { at } => self.clock = self.clock.max(*at),
            Record::Located { message, segment, offset, length, expires_at } => {
                let place = Place { segment: *segment, offset: usize::try_from(*offset).unwrap_or(0) };
                self.last_message = self.last_message.max(*message);
                self.messages.insert(*message, Message::new(place, *length, *expires_at));
                *self.live.entry(*segment).or_default() += u64::from(*length);
            }
            Record::Numbers { session, message } => {
                self.last_session = self.last_session.max(*session);
                self.last_message = self.last_message.max(*message);
            }
            of_session => self.of_session(of_session),
        }
    }

    /// Records that change nothing but one session.
    fn of_session(&mut self, record: &Record<'_>) {
        let (Record::Disconnect { session, .. }
        | Record::Subscribe { session, .. }
        | Record::Unsubscribe { session, .. }
        | Record::Replayed { session, .. }
        | Record::Sent { session, .. }
        | Record::Received { session, .. }
        | Record::Released { session, .. }
        | Record::WillDue { session }
        | Record::Held { session, .. }
        | Record::Used { session, .. }) = record
        else {
            return;
        };
        let Some(state) = self.sessions.get_mut(session) else { return };
        match record {
            Record::Disconnect { session_expiry, will, at, .. } => {
                self.clock = self.clock.max(*at);
                (state.session_expiry, state.left_at) = (*session_expiry, Some(*at));
                state.will = state.will.take().filter(|_| *will);
            }
            Record::Subscribe { filter, options, subscription_id, replays, .. } => {
                // A replay that is under way goes on if the new subscription asks for none.
                let goes_on = state.subscriptions.get(*filter).is_some_and(|known| known.replays);
                let (options, subscription_id) = (*options, *subscription_id);
                let new = SubscriptionState { options, subscription_id, replays: *replays || goes_on };
                state.subscriptions.insert((*filter).into(), new);
            }
            Record::Unsubscribe { filter, .. } => drop(state.subscriptions.remove(*filter)),
            Record::Replayed { filter, .. } => {
                if let Some(subscription) = state.subscriptions.get_mut(*filter) {
                    subscription.replays = false;
                }
            }
            Record::Sent { number, slot, .. } => {
                state.next_slot = state.next_slot.max(slot + 1);
                if let Some(delivery) = state.deliveries.get_mut(*number) {
                    delivery.standing = Standing::Sent(*slot);
                }
            }
            Record::Received { number, .. } => {
                if let Some(delivery) = state.deliveries.get_mut(*number)
                    && let Standing::Sent(slot) = delivery.standing
                {
                    delivery.standing = Standing::Received(slot);
                }
            }
            Record::Released { packet_id, .. } => drop(state.held.remove(packet_id)),
            Record::WillDue { .. } => {
                let (client_id, user_name) = (state.client_id.clone(), state.user_name.clone());
                if let Some(will) = state.will.take() {
                    self.wills.insert(will.number, OwedWill { client_id, user_name, will: *will });
                }
            }
            Record::Held { packet_id, .. } => drop(state.held.insert(*packet_id)),
            Record::Used { number, slot, .. } => {
                state.last_number = state.last_number.max(*number);
                state.next_slot = state.next_slot.max(*slot);
            }
            _ => {}
        }
    }

    fn end(&mut self, session: u64) {
        let Some(ended) = self.sessions.remove(&session) else { return };
        for delivery in ended.deliveries.into_values() {
            if let Some(place) = delivery.share().filter(|_| delivery.goes_back()) {
                self.share(place, delivery.message);
            }
            self.let_go(delivery.message);
        }
    }

    fn queue(&mut self, queue: &Queue<'_>) {
        self.last_message = self.last_message.max(queue.message);
        let standing = queue.slot.map_or(Standing::Queued, Standing::Sent);
        let is_rare = !queue.ids.is_empty() || queue.share.is_some();
        let rare = is_rare.then(|| Box::new(Rare { ids: queue.ids.to_vec(), share: queue.share }));
        let (message, qos, retain) = (queue.message, queue.qos, queue.retain);
        let new = DeliveryState { message, standing, qos, retain, rare };
        let waited = queue.share.and_then(|place| self.take_share(place));
        match (self.sessions.get_mut(&queue.session), queue.share) {
            (Some(state), _) => {
                state.last_number = state.last_number.max(queue.number);
                state.next_slot = state.next_slot.max(queue.slot.map_or(0, |slot| slot + 1));
                if state.deliveries.insert(queue.number, new) {
                    self.refer_to(message);
                }
            }
            // The session ended meanwhile, and gives it back.
            (None, Some(place)) if new.goes_back() => self.share(place, message),
            (None, _) => {}
        }
        if let Some(waited) = waited {
            self.let_go(waited);
        }
    }

    fn refer_to(&mut self, message: u64) {
        let open = Message::new(Place { segment: 0, offset: 0 }, 0, None);
        self.messages.entry(message).or_insert(open).references += 1;
    }

    /// A message has one reference less; with the last one it is gone, unless it is still to be closed.
    fn let_go(&mut self, message: u64) {
        let Some(found) = self.messages.get_mut(&message) else { return };
        found.references = found.references.saturating_sub(1);
        if found.references == 0 {
            let gone = *found;
            self.messages.remove(&message);
            self.no_longer_lives(gone);
        }
    }

    fn no_longer_lives(&mut self, gone: Message) {
        if let Some(live) = self.live.get_mut(&gone.segment.into()) {
            *live = live.saturating_sub(u64::from(gone.length));
            if *live == 0 {
                self.live.remove(&gone.segment.into());
            }
        }
    }

    fn retain(&mut self, message: u64, topic: &str, removes: bool) {
        self.last_message = self.last_message.max(message);
        if self.body(message).is_some() {
            return self.is_retained(message, topic, removes);
        }
        self.retains.push((message, topic.into(), removes));
    }

    fn is_retained(&mut self, message: u64, topic: &str, removes: bool) {
        let before = if removes {
            self.retained.remove(topic)
        } else {
            self.refer_to(message);
            self.retained.insert(topic.into(), message)
        };
        if let Some(before) = before {
            self.let_go(before);
        }
    }

    /// A message is closed: its targets count.
    fn close(&mut self, put: &Put<'_>, place: Place, length: u32) {
        self.last_message = self.last_message.max(put.message);
        let known = self.body(put.message).is_some();
        if let Some(found) = self.retains.iter().position(|(message, ..)| *message == put.message) {
            let (message, topic, removes) = self.retains.remove(found);
            // Earlier changes of the same topic that are closed later come too late.
            let mut at = 0;
            self.retains.retain(|(_, other, _)| {
                at += 1;
                at > found || *other != topic
            });
            self.is_retained(message, &topic, removes);
        }
        match put.origin {
            Origin::Nothing => {}
            Origin::Inbound { session, packet_id } => {
                if let Some(state) = self.sessions.get_mut(&session) {
                    state.held.insert(packet_id);
                }
            }
            Origin::Will { will } => drop(self.wills.remove(&will)),
        }
        if !known && let Some(found) = self.messages.get_mut(&put.message) {
            let references = found.references;
            *found = Message { references, ..Message::new(place, length, put.expires_at) };
            *self.live.entry(place.segment).or_default() += u64::from(length);
        }
    }

    fn moved(&mut self, message: u64, place: Place, length: u32) {
        let Some(found) = self.messages.get_mut(&message).filter(|found| found.length > 0) else { return };
        let before = *found;
        *found =
            Message { references: before.references, ..Message::new(place, length, before.expires_at()) };
        self.no_longer_lives(before);
        *self.live.entry(place.segment).or_default() += u64::from(length);
    }

    /// A life of the broker is over: what it had not closed never happened.
    pub fn forget_open(&mut self) {
        self.end_deserted_groups();
        self.retains.clear();
        let open = self.messages.iter().filter(|(_, message)| message.length == 0);
        let open: HashSet<u64> = open.map(|(number, _)| *number).collect();
        if open.is_empty() {
            return;
        }
        self.forget(&open);
    }

    /// Takes messages out of everything that refers to them.
    pub fn forget(&mut self, messages: &HashSet<u64>) {
        for message in messages {
            if let Some(gone) = self.messages.remove(message) {
                self.no_longer_lives(gone);
            }
        }
        for state in self.sessions.values_mut() {
            state.deliveries.retain(|delivery| !messages.contains(&delivery.message));
        }
        for group in self.groups.values_mut() {
            group.queue.retain(|_, message| !messages.contains(message));
        }
        self.retained.retain(|_, message| !messages.contains(message));
    }

    /// Appends records that make this fold again.
    pub fn save(&self, out: &mut Vec<u8>) {
        Record::Numbers { session: self.last_session, message: self.last_message }.encode(out);
        Record::Clock { at: self.clock }.encode(out);
        for (message, found) in self.messages.iter().filter(|(_, found)| found.length > 0) {
            let (segment, offset) = (found.segment.into(), found.offset.into());
            let (message, length, expires_at) = (*message, found.length, found.expires_at());
            Record::Located { message, segment, offset, length, expires_at }.encode(out);
        }
        for (number, state) in &self.groups {
            state.save(*number, out);
        }
        for (number, state) in &self.sessions {
            state.save(*number, out);
        }
        for OwedWill { client_id, user_name, will } in self.wills.values() {
            Record::Owed { client_id, user_name: user_name.as_deref(), will: will.record() }.encode(out);
        }
        for (topic, message) in &self.retained {
            Record::Retain { message: *message, topic, removes: false }.encode(out);
        }
        for (message, topic, removes) in &self.retains {
            Record::Retain { message: *message, topic, removes: *removes }.encode(out);
        }
    }

    /// A fold from what [`Fold::save`] appended; `None` if it is something else.
    #[must_use]
    pub fn load(mut saved: &[u8]) -> Option<Fold> {
        let mut fold = Fold::default();
        while !saved.is_empty() {
            let (record, rest) = Record::decode(saved)?;
            fold.apply(&record, Place { segment: 0, offset: 0 }, 0);
            saved = rest;
        }
        Some(fold)
    }
}

impl SessionState {
    fn save(&self, session: u64, out: &mut Vec<u8>) {
        let will = self.will.as_ref().map(|will| will.record());
        let (client_id, user_name) = (&*self.client_id, self.user_name.as_deref());
        let session_expiry = self.session_expiry;
        Record::Connect { session, client_id, user_name, session_expiry, will }.encode(out);
        if let Some(at) = self.left_at {
            let will = self.will.is_some();
            Record::Disconnect { session, session_expiry, will, at }.encode(out);
        }
        for (filter, state) in &self.subscriptions {
            let SubscriptionState { options, subscription_id, replays } = *state;
            Record::Subscribe { session, filter, options, subscription_id, replays }.encode(out);
        }
        for packet_id in &self.held {
            Record::Held { session, packet_id: *packet_id }.encode(out);
        }
        for (number, delivery) in self.deliveries.iter() {
            let DeliveryState { message, standing, qos, retain, .. } = *delivery;
            let slot = match standing {
                Standing::Queued => None,
                Standing::Sent(slot) | Standing::Received(slot) => Some(slot),
            };
            let (ids, share) = (Cow::Borrowed(delivery.ids()), delivery.share());
            Record::Queue(Queue { session, number, message, qos, retain, ids, slot, share }).encode(out);
            if let Standing::Received(_) = standing {
                Record::Received { session, number }.encode(out);
            }
        }
        Record::Used { session, number: self.last_number, slot: self.next_slot }.encode(out);
    }
}
