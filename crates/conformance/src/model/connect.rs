//! What follows from a CONNECT (3.1.4): who may come in, whose session it is, and the CONNACK (3.2).

use super::broker::Broker;
use super::connection::Phase;
use super::reader::{Read, protocol_error};
use super::rule::Rule::{self, V5, V311};
use super::session::{Lasting, Session};
use super::{Door, MAXIMUM_PACKET_SIZE, PASSWORD, SERVER_KEEP_ALIVE, USER};
use crate::wire::property::{self, Properties};
use crate::wire::{Connack, Connect, Disconnect, Packet, Property, Version, reason};
use std::time::Duration;

impl Broker {
    /// A well-formed CONNECT came, the first packet of its connection.
    pub(super) fn connect(&mut self, number: u64, connect: Connect) -> Read<()> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        connection.agree(&connect);
        let (door, version) = (connection.door, connection.version);
        if let Some(method) = connect.properties.bytes(property::AUTHENTICATION_METHOD) {
            let method = method.to_vec();
            self.begin_login(number, connect, &method);
            return Ok(());
        }
        let known = connect.user_name.as_deref() == Some(USER.as_bytes())
            && connect.password.as_deref() == Some(PASSWORD.as_bytes());
        if door == Door::Login && !known {
            let rules = &[V5("MQTT-3.1.4-2")];
            self.reject(number, reason::BAD_USER_NAME_OR_PASSWORD, "who are you?", rules);
            return Ok(());
        }
        if let Some(will) = connect.will.as_ref().filter(|_| door == Door::Limited && version.is_5()) {
            if will.qos > 1 {
                self.reject(number, reason::QOS_NOT_SUPPORTED, "QoS 2 is not supported here", &[]);
                return Ok(());
            }
            if will.retain {
                self.reject(number, reason::RETAIN_NOT_SUPPORTED, "nothing is retained here", &[]);
                return Ok(());
            }
        }
        if let Some(rules) = self.objects_to_client_id(version, &connect) {
            self.reject(number, reason::CLIENT_ID_NOT_VALID, "no valid client identifier", rules);
            return Ok(());
        }
        self.accept(number, connect, Vec::new());
        Ok(())
    }

    /// Whether the client identifier is rejected, and if so which rules say that the connection is closed then.
    fn objects_to_client_id(&self, version: Version, connect: &Connect) -> Option<&'static [Rule]> {
        let id = &connect.client_id;
        if id.is_empty() {
            return match version {
                Version::V31 => Some(&[]),
                _ if self.manner.is_sparing() => Some(&[]),
                Version::V311 if connect.clean => None,
                Version::V311 if self.keeps(&[V311("MQTT-3.1.3-7"), V311("MQTT-3.1.3-8")]) => {
                    Some(&[V311("MQTT-3.1.3-9"), V311("MQTT-3.1.3-8: stays open")])
                }
                Version::V311 => None,
                Version::V5 => None,
            };
        }
        let plain = id.len() <= 23 && id.iter().all(u8::is_ascii_alphanumeric);
        let longest = if self.keeps(&[V311("MQTT-3.1.3-5"), V5("MQTT-3.1.3-5")]) { 23 } else { 22 };
        let capitals = !self.keeps(&[V311("MQTT-3.1.3-5: capitals"), V5("MQTT-3.1.3-5: capitals")]);
        let objects = plain && (id.len() > longest || (capitals && id.iter().any(u8::is_ascii_uppercase)));
        let unusual = id.len() > 256 || id.iter().any(|byte| matches!(byte, b'#' | b'+' | b'/'));
        let unusual = unusual || (self.manner.is_sparing() && !plain);
        if objects || unusual || (version == Version::V31 && id.len() > 23) {
            Some(&[V311("MQTT-3.1.3-9"), V5("MQTT-3.1.3-8")])
        } else {
            None
        }
    }

    /// Refuses a CONNECT with a CONNACK and closes. `rules` are those that demand the closing of this case.
    pub(super) fn reject(&mut self, number: u64, code: u8, why: &str, rules: &[Rule]) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.phase = Phase::Ending;
        let has_to_tell = !connection.version.is_5()
            && matches!(code, reason::UNSUPPORTED_VERSION | reason::CLIENT_ID_NOT_VALID);
        if self.manner.is_sparing() && !has_to_tell {
            return self.close(number);
        }
        let own = [V311("MQTT-3.1.3-8: other code"), V311("MQTT-3.1.3-9: other code")];
        let code = match connection.version {
            Version::V5 if !self.rules.keep(&[V5("MQTT-3.2.2-8")]) => reason::PACKET_ID_NOT_FOUND,
            Version::V5 => code,
            _ if code == reason::CLIENT_ID_NOT_VALID && !self.rules.keep(&own) => 5,
            _ => reject_code_of_3(code),
        };
        let session_present = !self.keeps(&[V311("MQTT-3.2.2-4"), V5("MQTT-3.2.2-6")]);
        self.explain(number, Connack { session_present, code, properties: Vec::new() }, why);
        let stays = !self.keeps(rules)
            || !self.keeps(&[V311("MQTT-3.2.2-5"), V5("MQTT-3.2.2-7"), V5("MQTT-4.13.2-1")])
            || !self.keeps(&[V311("MQTT-3.1.4-5"), V5("MQTT-3.1.4-6")]);
        if !stays {
            self.close(number);
        }
    }

    /// Lets a client in: its session begins or goes on, and CONNACK says so.
    pub(super) fn accept(&mut self, number: u64, mut connect: Connect, mut properties: Vec<Property>) {
        if connect.client_id.is_empty() {
            connect.client_id = self.assign_client_id();
            if self.keeps(&[V5("MQTT-3.1.3-7")]) {
                properties.push(Property::text(property::ASSIGNED_CLIENT_ID, &connect.client_id));
            }
        }
        if !self.keeps(&[V311("MQTT-3.1.3-2"), V5("MQTT-3.1.3-2")]) {
            connect.client_id.extend(format!("-{number}").into_bytes());
        }
        self.take_over(&connect.client_id, connect.clean);
        let present = self.open_session(number, &connect);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.phase = Phase::Connected;
        connection.client_id.clone_from(&connect.client_id);
        let version = connection.version;
        if version.is_5() {
            properties.extend(self.announce(number, &connect));
            if !self.keeps(&[V5("MQTT-4.12.0-6")]) {
                properties.push(Property::text(property::AUTHENTICATION_METHOD, crate::scram::METHOD));
            }
        }
        let code = match self.keeps(&[V311("MQTT-3.1.4-4"), V5("MQTT-3.1.4-5")]) {
            true => reason::SUCCESS,
            false if version.is_5() => reason::NOT_AUTHORISED,
            false => reject_code_of_3(reason::NOT_AUTHORISED),
        };
        if !connect.clean && !present && !self.keeps(&[V5("MQTT-3.1.2-6")]) {
            self.sessions.remove(&connect.client_id);
        }
        if !self.keeps(&[V311("MQTT-3.2.0-1"), V5("MQTT-3.2.0-1")]) {
            self.send(number, Packet::Pingresp);
        }
        let connack =
            Connack { session_present: self.tells_present(present, connect.clean), code, properties };
        self.send_connack(number, connack);
        self.flush(&connect.client_id);
    }

    fn send_connack(&mut self, number: u64, connack: Connack) {
        if !self.keeps(&[V5("MQTT-3.2.2-1")]) {
            let mut bytes = Packet::from(connack).to_bytes(Version::V5);
            if let Some(flags) = bytes.get_mut(2) {
                *flags |= 0x80;
            }
            if let Some(connection) = self.connections.get_mut(&number) {
                connection.put(bytes);
            }
            return;
        }
        if !self.keeps(&[V5("MQTT-3.2.0-2")]) {
            self.explain(number, connack.clone(), "welcome");
        }
        self.explain(number, connack, "welcome");
    }

    fn assign_client_id(&mut self) -> Vec<u8> {
        let unique = &[V311("MQTT-3.1.3-6"), V5("MQTT-3.1.3-6"), V5("MQTT-3.2.2-16")];
        if self.keeps(unique) {
            self.last_assigned += 1;
        }
        format!("assigned{}", self.last_assigned).into_bytes()
    }

    /// The client identifier may be connected already: that connection ends (3.1.4).
    fn take_over(&mut self, client_id: &[u8], clean: bool) {
        let Some(old) = self.sessions.get(client_id).and_then(|session| session.connection) else { return };
        if !self.keeps(&[V311("MQTT-3.1.4-2"), V5("MQTT-3.1.4-3: stays")]) {
            if let Some(session) = self.sessions.get_mut(client_id) {
                session.connection = None;
            }
            return;
        }
        if self.keeps(&[V5("MQTT-3.1.4-3")]) {
            self.dismiss(old, reason::SESSION_TAKEN_OVER, "the client has a new connection");
        }
        self.close(old);
        if clean && self.keeps(&[V311("MQTT-3.1.2-6: earlier")]) {
            self.end_session(client_id);
        }
    }

    /// Makes the session of a CONNECT, or resumes it. Returns whether there was one to resume.
    fn open_session(&mut self, number: u64, connect: &Connect) -> bool {
        let client_id = &connect.client_id;
        let clean = match connect.clean {
            true => self.keeps(&[
                V311("MQTT-3.1.4-3"),
                V5("MQTT-3.1.4-4"),
                V311("MQTT-3.1.2-6"),
                V311("MQTT-3.1.2-6: earlier"),
                V5("MQTT-3.1.2-4"),
            ]),
            false => !self.keeps(&[V5("MQTT-3.1.2-5")]),
        };
        let mut carried = Vec::new();
        if clean {
            if !self.keeps(&[V5("MQTT-4.4.0-1: after a clean start")]) {
                carried = self.sessions.get(client_id).map(|one| one.in_flight.clone()).unwrap_or_default();
            }
            self.end_session(client_id);
        }
        let now = self.now;
        let present = self.sessions.contains_key(client_id);
        let version = self.connections.get(&number).map_or(Version::V311, |one| one.version);
        let will = self.will_of(connect);
        let lasting = self.lasting(version, connect);
        let keeps_will_due = !self.keeps(&[V5("MQTT-3.1.3-9")]);
        let loses_subscriptions =
            !self.keeps(&[V311("MQTT-3.1.2-4: subscriptions"), V5("MQTT-3.1.2-5: subscriptions")]);
        let loses_messages = !self.keeps(&[
            V311("MQTT-3.1.2-4: messages"),
            V5("MQTT-3.1.2-5: messages"),
            V311("MQTT-4.1.0-1: messages"),
        ]);
        let session = self.sessions.entry(client_id.clone()).or_insert_with(|| Session::new(number, now));
        if loses_subscriptions {
            session.subscriptions.clear();
        }
        if loses_messages {
            session.queue.clear();
            session.in_flight.clear();
        }
        session.in_flight.extend(carried);
        session.connection = Some(number);
        session.since = now;
        session.ends = None;
        session.lasting = lasting;
        if !keeps_will_due {
            session.will_due = None;
            session.will = will;
        } else if session.will_due.is_none() {
            session.will = will;
        }
        let aliases = std::mem::take(&mut session.old_aliases);
        let aliases_out = std::mem::take(&mut session.old_aliases_out);
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.aliases_in = aliases;
            connection.aliases_out = aliases_out;
        }
        present
    }

    /// How long the session is to last behind its connection.
    fn lasting(&self, version: Version, connect: &Connect) -> Lasting {
        if version.is_5() {
            return lasting_for(connect.properties.number(property::SESSION_EXPIRY).unwrap_or(0));
        }
        let ends = self.keeps(&[V311("MQTT-3.1.2-6"), V311("MQTT-3.1.2-6: kept")]);
        let kept = self.keeps(&[V311("MQTT-3.1.2-4")]);
        match connect.clean {
            true if ends => Lasting::Connection,
            false if !kept => Lasting::Connection,
            _ => Lasting::Forever,
        }
    }

    /// Session Present: whether there was a session to resume.
    fn tells_present(&self, present: bool, clean: bool) -> bool {
        let rules: &[Rule] = match (clean, present) {
            (true, _) => &[V311("MQTT-3.2.2-1"), V5("MQTT-3.2.2-2")],
            (false, true) => &[V311("MQTT-3.2.2-2"), V5("MQTT-3.2.2-3")],
            (false, false) => &[V311("MQTT-3.2.2-3"), V5("MQTT-3.2.2-3: without state")],
        };
        let told = present && !clean;
        if self.keeps(rules) { told } else { !told }
    }

    /// What CONNACK says of this broker (3.2.2.3).
    fn announce(&self, number: u64, connect: &Connect) -> Vec<Property> {
        let limited = self.connections.get(&number).is_some_and(|one| one.door == Door::Limited);
        let mut list = vec![
            Property::two(property::RECEIVE_MAXIMUM, self.manner.receive_maximum()),
            Property::four(property::MAXIMUM_PACKET_SIZE, MAXIMUM_PACKET_SIZE as u32),
        ];
        if limited {
            list.push(Property::two(property::SERVER_KEEP_ALIVE, SERVER_KEEP_ALIVE));
            list.push(Property::byte(property::MAXIMUM_QOS, 1));
            list.push(Property::byte(property::RETAIN_AVAILABLE, 0));
        } else if !self.manner.is_sparing() {
            list.push(Property::two(property::TOPIC_ALIAS_MAXIMUM, self.manner.topic_alias_maximum()));
        }
        if self.manner.is_sparing() {
            list.push(Property::byte(property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE, 0));
            list.push(Property::byte(property::SHARED_AVAILABLE, 0));
            return list;
        }
        let asked = connect.properties.number(property::REQUEST_RESPONSE_INFORMATION) == Some(1);
        if asked || !self.keeps(&[V5("MQTT-3.1.2-28")]) {
            list.push(Property::text(property::RESPONSE_INFORMATION, "responses"));
        }
        list
    }

    /// DISCONNECT came: the will is discarded unless the client asks for it, and the connection closed.
    pub(super) fn disconnect(&mut self, number: u64, disconnect: &Disconnect) -> Read<()> {
        let Some(connection) = self.connections.get(&number) else { return Ok(()) };
        let client_id = connection.client_id.clone();
        let discards = self.keeps(&[
            V311("MQTT-3.14.4-3"),
            V5("MQTT-3.14.4-3"),
            V311("MQTT-3.1.2-10"),
            V5("MQTT-3.1.2-10"),
        ]);
        let with_will = self.keeps(&[V5("MQTT-3.1.2-8: DISCONNECT with will")]);
        if let Some(session) = self.sessions.get_mut(&client_id).filter(|one| one.connection == Some(number))
        {
            if let Some(seconds) = disconnect.properties.number(property::SESSION_EXPIRY) {
                if session.lasting == Lasting::Connection && seconds > 0 {
                    return protocol_error("a session that was to end with its connection, and now is not");
                }
                session.lasting = lasting_for(seconds);
            }
            if (disconnect.code == 0 && discards) || (disconnect.code == reason::WITH_WILL && !with_will) {
                session.will = None;
            }
        }
        self.leave(number);
        Ok(())
    }

    /// A client has said DISCONNECT, and its connection is closed.
    fn leave(&mut self, number: u64) {
        let ends = self.keeps(&[V5("MQTT-3.14.4-1: of the client")]);
        let closes = self.keeps(&[V5("MQTT-3.14.4-2: of the client")]);
        if ends && closes {
            return self.close(number);
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.phase = Phase::Ending;
        }
        if ends {
            self.detach(number);
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

/// The return code of MQTT 3 for a reason code of MQTT 5.
fn reject_code_of_3(code: u8) -> u8 {
    match code {
        reason::UNSUPPORTED_VERSION => 1,
        reason::CLIENT_ID_NOT_VALID => 2,
        reason::BAD_USER_NAME_OR_PASSWORD => 4,
        reason::NOT_AUTHORISED => 5,
        _ => 3,
    }
}
