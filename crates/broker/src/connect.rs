//! Attaching a connection to its session, take-over, and what the end of a connection does.

use crate::broker::{Broker, Entry, Newcomer, WillHeld};
use crate::command::{Answer, Connected};
use crate::population::{add, subtract};
use crate::subscription_list::SubscriptionList;
use crate::timers::Timer;
use aldis_packet::{ReasonCode, Will};
use aldis_session::{ClientTerms, Ending, Farewell, Memory, Outbound, Session, Violation, planted};
use aldis_store::{Condition, Record, WillRecord};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A session expiry interval that never passes.
const NEVER: u32 = u32::MAX;

/// Bytes of client id and will that a client may bring at the memory watermark, too.
const SMALL: usize = 4 << 10;

impl<R> Broker<R> {
    /// A connection wants its session. If another one holds it, that one is told to go
    /// [MQTT-3.1.4-3] and this one waits; a third one takes the place of the second.
    pub(crate) fn connect(&mut self, newcomer: Newcomer<R>) {
        if self.shutting_down {
            let why = Violation::new(ReasonCode::ServerShuttingDown, "", "the broker shuts down");
            return self.answer(newcomer.reply, Answer::Refused(why));
        }
        let known = self.by_client_id.get(&newcomer.negotiated.client_id).copied();
        let is_connected = |number| self.entries.get(&number).is_some_and(|entry| entry.connection.is_some());
        if newcomer.take_over_only && !known.is_some_and(is_connected) {
            let what = "all places of limits.connections are taken";
            let why = Violation::new(ReasonCode::QuotaExceeded, "", what);
            return self.answer(newcomer.reply, Answer::Refused(why));
        }
        let refusal = self.refusal_for_memory(&newcomer, known.is_some());
        if let Some(why) = refusal.or_else(|| self.refusal_for_the_store(&newcomer, known.is_some())) {
            return self.answer(newcomer.reply, Answer::Refused(why));
        }
        let Some((number, entry)) = known.and_then(|number| Some((number, self.entries.get_mut(&number)?)))
        else {
            return self.attach_new(newcomer);
        };
        // A session whose user was verified belongs to that user. Before anything happens to it:
        let user = entry.session.outbox.lock().outbound.identity.user_name.clone();
        if user.is_some() && user != newcomer.identity.user_name {
            let what = "the client id belongs to a session of another user";
            let why = Violation::new(ReasonCode::NotAuthorized, "", what);
            return self.answer(newcomer.reply, Answer::Refused(why));
        }
        if entry.connection.is_none() || planted!(TwoOwners) {
            return self.attach_known(number, newcomer);
        }
        let taken_over = Farewell::new(ReasonCode::SessionTakenOver, "the client id connected anew");
        entry.session.outbox.lock().ask_to_close(taken_over);
        add(&self.population.taken_over);
        // Once it has ended the other one it is like any other.
        let mut newcomer = Newcomer { take_over_only: false, ..newcomer };
        let earlier = entry.newcomer.take();
        // A clean start that was asked for ends the session, whoever comes next [MQTT-3.1.2-4].
        newcomer.negotiated.clean_start |=
            earlier.as_ref().is_some_and(|earlier| earlier.negotiated.clean_start);
        entry.newcomer = Some(Box::new(newcomer));
        if let Some(earlier) = earlier {
            self.answer(earlier.reply, Answer::Refused(taken_over.why));
        }
    }

    /// What is against a newcomer when memory is short. At the watermark whoever is small is let in: clients that
    /// connect anew, as they do after a fault, are served. A quarter beyond it there are no new sessions that last,
    /// whose number would be the only bound.
    fn refusal_for_memory(&self, newcomer: &Newcomer<R>, is_known: bool) -> Option<Violation> {
        let negotiated = &newcomer.negotiated;
        let watermark = self.limits.memory_watermark;
        let id = if is_known { 0 } else { negotiated.client_id.len() };
        let is_large = id + negotiated.will.as_ref().map_or(0, will_bytes) > SMALL;
        let is_new_and_lasts = !is_known && negotiated.session_expiry > 0;
        let what = if is_large && self.counters.holds_more_than(watermark) {
            "limits.memory_watermark is reached, and the client id and the will are large"
        } else if is_new_and_lasts && self.counters.holds_more_than(watermark.saturating_add(watermark / 4)) {
            "limits.memory_watermark is exceeded by a quarter, and the session would last"
        } else {
            return None;
        };
        Some(Violation::new(ReasonCode::QuotaExceeded, "", what))
    }

    /// What is against a newcomer whose session is recorded when the store takes nothing. Known sessions are served on a
    /// full disk: they read what waits for them, which frees space.
    fn refusal_for_the_store(&self, newcomer: &Newcomer<R>, is_known: bool) -> Option<Violation> {
        if !self.journal.keeps() || newcomer.negotiated.session_expiry == 0 {
            return None;
        }
        let what = match self.journal.condition() {
            Condition::Failed => "the store has failed, and the session would last",
            Condition::Full if !is_known => "the disk of the store is full, and the session would last",
            Condition::Full | Condition::Good => return None,
        };
        Some(Violation::new(ReasonCode::ServerUnavailable, "", what))
    }

    /// The client id has a session without a connection: it is resumed, or ends and a new one
    /// begins [MQTT-3.1.2-4] [MQTT-3.1.2-5].
    fn attach_known(&mut self, number: u64, newcomer: Newcomer<R>) {
        if newcomer.negotiated.clean_start {
            self.end_session(number);
            return self.attach_new(newcomer);
        }
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if let Some(key) = entry.expires.take() {
            self.timers.cancel(key);
        }
        if planted!(WillAfterReturn)
            && let Some(will) = entry.will.take()
        {
            self.publish_will(*will);
        }
        let Some(entry) = self.entries.get_mut(&number) else { return };
        // Back before its will was due: the will is not sent [MQTT-3.1.3-9].
        if let Some(key) = entry.will.take().and_then(|will| will.timer) {
            self.timers.cancel(key);
        }
        self.attach(number, newcomer, true);
    }

    fn attach_new(&mut self, newcomer: Newcomer<R>) {
        if self.entries.len() >= self.limits.sessions {
            let what = "there are limits.sessions sessions already";
            let why = Violation::new(ReasonCode::QuotaExceeded, "", what);
            return self.answer(newcomer.reply, Answer::Refused(why));
        }
        let number = self.next_number();
        let outbound =
            Outbound::new(newcomer.identity.clone(), newcomer.negotiated.terms, Arc::clone(&self.limits));
        let session = Session::new(number, outbound);
        self.by_client_id.insert(Arc::clone(&session.client_id), number);
        let entry = Entry {
            session,
            connection: None,
            newcomer: None,
            subscriptions: SubscriptionList::default(),
            subscribing: None,
            session_expiry: 0,
            lasting: false,
            expires: None,
            will: None,
            memory: Memory::of(newcomer.negotiated.client_id.len(), &self.counters),
        };
        self.entries.insert(number, Box::new(entry));
        add(&self.population.sessions);
        self.attach(number, newcomer, false);
    }

    fn attach(&mut self, number: u64, newcomer: Newcomer<R>, session_present: bool) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        let Newcomer { negotiated, identity, wire, reply, .. } = newcomer;
        let was_lasting = entry.lasting;
        entry.session_expiry = negotiated.session_expiry;
        entry.lasting = was_lasting || negotiated.session_expiry > 0;
        let lasting = entry.lasting;
        // Numbered like sessions: never again.
        let will_number = self.numbers + 1;
        entry.will = negotiated.will.map(|will| {
            self.numbers = will_number;
            let memory = Memory::of(will_bytes(&will), &self.counters);
            let number = if lasting { will_number } else { 0 };
            Box::new(WillHeld { number, will, memory, identity: identity.clone(), timer: None })
        });
        let will = entry.will.as_ref().map(|held| held.will.clone());
        let user_name = identity.user_name.clone();
        // A session that lasted does so until it is on disk that it no longer will: what its end is acknowledged for
        // until then is recorded.
        let terms = ClientTerms { lasting, ..negotiated.terms };
        let connection = entry.session.outbox.lock().attach(wire, identity, terms);
        entry.connection = Some(connection);
        let session = Arc::clone(&entry.session);
        let client_id = &session.client_id;
        let session_expiry = negotiated.session_expiry;
        self.record(
            lasting,
            &Record::Connect {
                session: number,
                client_id,
                user_name: user_name.as_deref(),
                session_expiry,
                will: will.as_ref().map(|will| will_record(will_number, will)),
            },
        );
        add(&self.population.connected);
        let connected = self.population.connected.load(Relaxed);
        self.population.connected_maximum.fetch_max(connected, Relaxed);
        self.answer(reply, Answer::Connected(Connected { session, connection, session_present }));
    }

    /// A connection has ended: its will, its session and whoever waits for it are seen to.
    pub(crate) fn detach(&mut self, number: u64, connection: u32, ending: Ending) {
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if entry.connection != Some(connection) {
            return;
        }
        entry.connection = None;
        let discarded = entry.session.outbox.lock().detach(connection, &mut self.bench);
        for group in entry.session.groups() {
            group.offline(number);
        }
        subtract(&self.population.connected);
        if let Ending::Disconnected { session_expiry: Some(expiry), .. } = ending {
            entry.session_expiry = expiry.min(self.limits.session_expiry_max);
        }
        if matches!(ending, Ending::Disconnected { will: false, .. }) {
            // [MQTT-3.14.4-3]
            entry.will = None;
        }
        let newcomer = entry.newcomer.take();
        self.discard(discarded.unwrap_or_default());
        self.after_detach(number);
        if let Some(newcomer) = newcomer {
            self.connect(*newcomer);
        }
    }

    /// The session ends at once, or its will and its expiry begin to run [MQTT-3.1.2-8].
    pub(crate) fn after_detach(&mut self, number: u64) {
        let now = self.bench.now;
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if entry.session_expiry == 0 {
            return self.end_session(number);
        }
        let (lasting, session_expiry) = (entry.lasting, entry.session_expiry);
        let (will, at) = (entry.will.is_some(), self.journal.wall(now));
        self.record(lasting, &Record::Disconnect { session: number, session_expiry, will, at });
        let Some(entry) = self.entries.get_mut(&number) else { return };
        if session_expiry != NEVER {
            let at = now + Duration::from_secs(u64::from(session_expiry));
            entry.expires = Some(self.timers.set(at, Timer::Session(number)));
        }
        match entry.will.as_mut() {
            None => {}
            Some(held) if held.will.delay == 0 => {
                if let Some(held) = entry.will.take() {
                    self.record(lasting, &Record::WillDue { session: number });
                    self.publish_will(*held);
                }
            }
            Some(held) => {
                let at = now + Duration::from_secs(u64::from(held.will.delay));
                held.timer = Some(self.timers.set(at, Timer::Will(number)));
            }
        }
    }
}

fn will_bytes(will: &Will) -> usize {
    will.topic.len() + will.payload.len() + will.forwarded.len()
}

fn will_record(number: u64, will: &Will) -> WillRecord<'_> {
    WillRecord {
        number,
        topic: &will.topic,
        payload: &will.payload,
        properties: &will.forwarded,
        qos: will.qos,
        retain: will.retain,
        delay: will.delay,
        message_expiry: will.message_expiry,
    }
}
