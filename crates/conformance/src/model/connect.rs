//! What follows from a CONNECT (3.1.4): who may come in, whose session it is, and the CONNACK (3.2).

use super::broker::Broker;
use super::connection::Phase;
use super::reader::Read;
use super::rule::Rule::{self, V5, V311};
use super::{Door, MAXIMUM_PACKET_SIZE, PASSWORD, SERVER_KEEP_ALIVE, USER};
use crate::wire::property::{self, Properties};
use crate::wire::{Connack, Connect, Packet, Property, Version, reason};

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
        let has_to_tell = code == reason::UNSUPPORTED_VERSION
            || (code == reason::CLIENT_ID_NOT_VALID && !connection.version.is_5());
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
        self.take_over(&connect.client_id);
        let present = self.attach(number, &connect);
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
