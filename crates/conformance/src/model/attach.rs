//! A session and its connections (3.1.2.4, 3.1.4, 4.1): how one is begun or resumed, taken over, left, and ended.

use super::broker::Broker;
use super::connection::Phase;
use super::reader::{Read, protocol_error};
use super::rule::Rule::{V5, V311};
use super::session::{InFlight, Lasting, Session};
use crate::wire::property::{Properties, SESSION_EXPIRY, WILL_DELAY};
use crate::wire::{Connect, Disconnect, Version, reason};
use std::time::Duration;

impl Broker {
    /// The client identifier may be connected already: that connection ends.
    pub(super) fn take_over(&mut self, client_id: &[u8]) {
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let Some(old) = session.connection else { return };
        if !self.rules.keep(&[V311("MQTT-3.1.4-2"), V5("MQTT-3.1.4-3: stays")]) {
            session.connection = None;
            return;
        }
        if self.keeps(&[V5("MQTT-3.1.4-3")]) {
            self.dismiss(old, reason::SESSION_TAKEN_OVER, "the client has a new connection");
        }
        if !self.keeps(&[V5("MQTT-3.1.3-9: take-over")]) {
            self.publish_will(client_id);
        }
        self.close(old);
    }

    /// Makes the session of a CONNECT, or resumes it. Returns whether there was one to resume.
    pub(super) fn attach(&mut self, number: u64, connect: &Connect) -> bool {
        let rules = self.rules;
        let client_id = &connect.client_id;
        let mut carried = (Vec::new(), Vec::new());
        if self.begins_anew(connect.clean) {
            carried = self.carried(client_id);
            self.end_session(client_id);
        }
        let present = self.sessions.contains_key(client_id);
        let Some(connection) = self.connections.get(&number) else { return present };
        let lasting = self.lasting(connection.version, connect);
        let will = self.will_of(connect);
        let now = self.now;
        let session = self.sessions.entry(client_id.clone()).or_insert_with(|| Session::new(number, now));
        session.connection = Some(number);
        session.since = now;
        session.lasting = lasting;
        session.ends = None;
        if session.will_due.is_none() || rules.keep(&[V5("MQTT-3.1.3-9")]) {
            session.will_due = None;
            session.will = will;
        }
        session.in_flight.extend(carried.0);
        session.received.extend(carried.1);
        self.forget_on_resuming(number, client_id);
        present
    }

    /// Whether an earlier session is discarded.
    fn begins_anew(&self, clean: bool) -> bool {
        match clean {
            true => self.keeps(&[
                V311("MQTT-3.1.2-6"),
                V311("MQTT-3.1.2-6: earlier"),
                V311("MQTT-3.1.4-3"),
                V5("MQTT-3.1.2-4"),
                V5("MQTT-3.1.4-4"),
            ]),
            false => !self.keeps(&[V5("MQTT-3.1.2-5")]),
        }
    }

    /// What a clean start leaves of an earlier session: no message and no identifier, unless that is broken.
    fn carried(&self, client_id: &[u8]) -> (Vec<InFlight>, Vec<u16>) {
        let messages = &[
            V311("MQTT-3.1.2-6: messages"),
            V5("MQTT-3.1.2-4: messages"),
            V5("MQTT-4.4.0-1: after a clean start"),
        ];
        let identifiers = &[V311("MQTT-3.1.2-6: identifiers"), V5("MQTT-3.1.2-4: identifiers")];
        let Some(session) = self.sessions.get(client_id) else { return (Vec::new(), Vec::new()) };
        (
            if self.keeps(messages) { Vec::new() } else { session.in_flight.clone() },
            if self.keeps(identifiers) { Vec::new() } else { session.received.clone() },
        )
    }

    /// How long the session is to last behind its connection.
    fn lasting(&self, version: Version, connect: &Connect) -> Lasting {
        if version.is_5() {
            return lasting_for(connect.properties.number(SESSION_EXPIRY).unwrap_or(0));
        }
        match connect.clean {
            true if self.keeps(&[V311("MQTT-3.1.2-6"), V311("MQTT-3.1.2-6: kept")]) => Lasting::Connection,
            false if !self.keeps(&[V311("MQTT-3.1.2-4")]) => Lasting::Connection,
            _ => Lasting::Forever,
        }
    }

    /// All of a session is there when it is resumed, and nothing of its last connection. Nothing happens here unless
    /// that is broken.
    fn forget_on_resuming(&mut self, number: u64, client_id: &[u8]) {
        let rules = self.rules;
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        if !rules.keep(&[V311("MQTT-3.1.2-4: subscriptions"), V5("MQTT-3.1.2-5: subscriptions")]) {
            session.subscriptions.clear();
        }
        let messages =
            &[V311("MQTT-3.1.2-4: messages"), V5("MQTT-3.1.2-5: messages"), V311("MQTT-4.1.0-1: messages")];
        if !rules.keep(messages) {
            session.queue.clear();
            session.in_flight.clear();
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.aliases_in = std::mem::take(&mut session.old_aliases);
            connection.aliases_out = std::mem::take(&mut session.old_aliases_out);
        }
    }

    /// DISCONNECT came: the will is discarded unless the client asks for it, and the connection closed.
    pub(super) fn disconnect(&mut self, number: u64, disconnect: &Disconnect) -> Read<()> {
        let rules = self.rules;
        if let Some(session) = self.session_of(number) {
            if let Some(seconds) = disconnect.properties.number(SESSION_EXPIRY) {
                if session.lasting == Lasting::Connection && seconds > 0 {
                    return protocol_error("a session that was to end with its connection, and now is not");
                }
                session.lasting = lasting_for(seconds);
            }
            let discards = match disconnect.code {
                reason::SUCCESS => rules.keep(&[
                    V311("MQTT-3.14.4-3"),
                    V5("MQTT-3.14.4-3"),
                    V311("MQTT-3.1.2-10"),
                    V5("MQTT-3.1.2-10"),
                ]),
                _ => !rules.keep(&[V5("MQTT-3.1.2-8: DISCONNECT with will")]),
            };
            if discards {
                session.will = None;
            }
            if let Some(will) = &mut session.will
                && !rules.keep(&[V5("MQTT-3.1.2-8: delay after DISCONNECT")])
            {
                will.properties.retain(|property| property.id != WILL_DELAY);
            }
        }
        let ends = rules.keep(&[V5("MQTT-3.14.4-1: of the client")]);
        // A broker should close, and may leave it to the client, who has to.
        if ends && !self.manner.is_sparing() {
            self.close(number);
            return Ok(());
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.phase = Phase::Ending;
        }
        if ends {
            self.detach(number);
        }
        Ok(())
    }

    /// The connection of a session is gone: its will is published, now or after its delay, and the session ends,
    /// now or when it expires.
    pub(super) fn detach(&mut self, number: u64) {
        let (rules, now) = (self.rules, self.now);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let client_id = connection.client_id.clone();
        let Some(session) = self.sessions.get_mut(&client_id).filter(|one| one.connection == Some(number))
        else {
            return;
        };
        session.connection = None;
        session.in_flight.iter_mut().for_each(|exchange| exchange.sent = false);
        if !rules.keep(&[V311("MQTT-4.1.0-1")]) {
            session.received.clear();
        }
        if !rules.keep(&[V5("MQTT-3.3.2-7")]) {
            session.old_aliases = std::mem::take(&mut connection.aliases_in);
        }
        if !rules.keep(&[V5("MQTT-3.3.2-7: of the broker")]) {
            session.old_aliases_out = std::mem::take(&mut connection.aliases_out);
        }
        let lasting = match rules.keep(&[V5("MQTT-3.1.2-23")]) {
            true => session.lasting,
            false => Lasting::Connection,
        };
        let expires = rules.keep(&[V5("MQTT-4.1.0-2")]);
        session.ends = match lasting {
            Lasting::For(time) if !rules.keep(&[V5("MQTT-4.1.0-2: early")]) => Some(now + time / 10),
            Lasting::For(time) if !rules.keep(&[V5("MQTT-3.1.2-23: from CONNECT on")]) => {
                Some(session.since + time)
            }
            Lasting::For(time) if expires => Some(now + time),
            _ => None,
        };
        let delay = session.will.as_ref().and_then(|will| will.properties.number(WILL_DELAY)).unwrap_or(0);
        if delay > 0 && lasting != Lasting::Connection && rules.keep(&[V5("MQTT-3.1.2-8")]) {
            session.will_due = Some(now + Duration::from_secs(u64::from(delay)));
        } else {
            self.publish_will(&client_id);
        }
        self.forget_shared(&client_id);
        if lasting == Lasting::Connection && expires {
            self.end_session(&client_id);
        }
    }

    /// A session is over: its will goes out if it still waits, and everything else is forgotten.
    pub(super) fn end_session(&mut self, client_id: &[u8]) {
        let waits = self.sessions.get(client_id).is_some_and(|session| session.will_due.is_some());
        if waits && self.keeps(&[V5("MQTT-3.1.2-8: session end")]) {
            self.publish_will(client_id);
        }
        let Some(session) = self.sessions.remove(client_id) else { return };
        self.pass_on_shared(&session);
        if !self.keeps(&[V311("MQTT-3.1.2-7")]) {
            self.retained.retain(|_, message| message.publisher != client_id);
        }
    }
}

/// A Session Expiry Interval.
fn lasting_for(seconds: u32) -> Lasting {
    match seconds {
        0 => Lasting::Connection,
        u32::MAX => Lasting::Forever,
        _ => Lasting::For(Duration::from_secs(u64::from(seconds))),
    }
}
