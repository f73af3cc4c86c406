//! One connection as the broker sees it: what its CONNECT agreed, and what is sent on it.

use super::broker::Broker;
use super::rule::Rule::{self, V5, V311};
use super::rule::Rules;
use super::websocket;
use super::{Door, SERVER_KEEP_ALIVE};
use crate::wire::property::{
    MAXIMUM_PACKET_SIZE, RECEIVE_MAXIMUM, REQUEST_PROBLEM_INFORMATION, TOPIC_ALIAS_MAXIMUM,
};
use crate::wire::property::{Properties, REASON_STRING};
use crate::wire::{Connect, Disconnect, Packet, Property, Version, first, reason};
use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was accepted yet.
    New,
    /// It has begun with a CONNECT, whose version is known.
    Greeted,
    /// CONNECT is accepted.
    Connected,
    /// CONNECT is rejected, or DISCONNECT has come: the connection is about to be closed.
    Ending,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) door: Door,
    /// The kind of frames of WebSocket that packets are sent in.
    pub(super) kind_of_data: u8,
    pub(super) phase: Phase,
    pub(super) version: Version,
    /// Whose it is, once CONNECT is accepted.
    pub(super) client_id: Vec<u8>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) last_heard: Instant,
    pub(super) maximum_packet_size: usize,
    pub(super) receive_maximum: usize,
    /// The aliases that the client uses, and the highest the broker may use.
    pub(super) aliases_in: BTreeMap<u16, Vec<u8>>,
    pub(super) aliases_out: BTreeMap<Vec<u8>, u16>,
    pub(super) alias_maximum: u16,
    pub(super) problem_information: bool,
    /// The exchange of enhanced authentication, and its method.
    pub(super) login: Option<super::auth::Login>,
    /// Packets that wait because a broken rule holds them back.
    pub(super) held_back: Vec<Vec<u8>>,
    /// The way to the thread that writes; none when the connection is closed.
    out: Option<Sender<Vec<u8>>>,
    socket: TcpStream,
}

impl Connection {
    pub(super) fn new(
        rules: Rules,
        door: Door,
        out: Sender<Vec<u8>>,
        socket: TcpStream,
        now: Instant,
    ) -> Self {
        Self {
            door,
            kind_of_data: websocket::kind_of_data(rules),
            phase: Phase::New,
            version: rules.usual_version(),
            client_id: Vec::new(),
            keep_alive: None,
            last_heard: now,
            maximum_packet_size: usize::MAX,
            receive_maximum: usize::from(u16::MAX),
            aliases_in: BTreeMap::new(),
            aliases_out: BTreeMap::new(),
            alias_maximum: 0,
            problem_information: true,
            login: None,
            held_back: Vec::new(),
            out: Some(out),
            socket,
        }
    }

    /// Takes over what the client's CONNECT says of this connection.
    pub(super) fn agree(&mut self, connect: &Connect) {
        let number = |id| connect.properties.number(id);
        let given = if self.door == Door::Limited && self.version.is_5() {
            SERVER_KEEP_ALIVE
        } else {
            connect.keep_alive
        };
        self.keep_alive =
            Some(given).filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(u64::from(seconds)));
        self.maximum_packet_size = number(MAXIMUM_PACKET_SIZE).map_or(usize::MAX, |size| size as usize);
        self.receive_maximum = number(RECEIVE_MAXIMUM).map_or(usize::from(u16::MAX), |count| count as usize);
        self.alias_maximum = number(TOPIC_ALIAS_MAXIMUM).map_or(0, |count| count as u16);
        self.problem_information = number(REQUEST_PROBLEM_INFORMATION) != Some(0);
    }

    pub(super) fn is_open(&self) -> bool {
        self.out.is_some()
    }

    /// Hands bytes to the thread that writes. A connection that is gone takes nothing.
    pub(super) fn put(&mut self, bytes: Vec<u8>) {
        let framed =
            if self.door == Door::WebSocket { websocket::data(self.kind_of_data, &bytes) } else { bytes };
        self.put_as_it_is(framed);
    }

    /// Hands over what is no packet.
    pub(super) fn put_as_it_is(&mut self, bytes: Vec<u8>) {
        if let Some(out) = &self.out {
            let _ = out.send(bytes);
        }
    }

    /// Nothing more is sent: the thread that writes sends what it has, and then ends the stream.
    pub(super) fn end(&mut self) {
        if self.door == Door::WebSocket {
            self.put_as_it_is(websocket::close());
        }
        self.out = None;
    }

    /// Ends the connection at once, when the model stops.
    pub(super) fn abort(&mut self) {
        self.out = None;
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

impl Broker {
    /// Sends a packet, unless it is larger than the client takes.
    pub(super) fn send(&mut self, number: u64, packet: impl Into<Packet>) {
        let packet = packet.into();
        let rules = self.rules;
        let holds = self.holds_back(number, &packet);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let mut bytes = packet.to_bytes(connection.version);
        if !rules.keep(&[V5("MQTT-2.2.2-1")]) && has_no_property(&packet) {
            bytes = packet.to_bytes(Version::V311);
        }
        let fits = bytes.len() <= connection.maximum_packet_size;
        if !fits && rules.keep(&[V5("MQTT-3.1.2-24"), V5("MQTT-3.1.2-24: answers")]) {
            return;
        }
        if !rules.keep(&[V311("MQTT-3.1.2-24: both ways"), V5("MQTT-3.1.2-22: both ways")]) {
            connection.last_heard = self.now;
        }
        if holds {
            connection.held_back.push(bytes);
        } else {
            connection.put(bytes);
        }
    }

    /// Only PUBLISH waits for the send quota (4.9). If that is broken, other packets wait too.
    fn holds_back(&mut self, number: u64, packet: &Packet) -> bool {
        if self.keeps(&[V5("MQTT-3.3.4-10"), V5("MQTT-4.9.0-3")]) || matches!(packet, Packet::Publish(_)) {
            return false;
        }
        let Some(connection) = self.connections.get(&number) else { return false };
        let quota = self.quota(connection);
        self.session_of(number).is_some_and(|session| session.unacknowledged() >= quota)
    }

    /// The send quota has grown: what waited for it goes out.
    pub(super) fn send_held_back(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number) {
            for bytes in std::mem::take(&mut connection.held_back) {
                connection.put(bytes);
            }
        }
    }

    /// Sends an answer with a reason string and a user property, as far as the client wants them and they fit.
    pub(super) fn explain(&mut self, number: u64, packet: impl Into<Packet>, why: &str) {
        let mut packet = packet.into();
        let rules = self.rules;
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let always = matches!(packet, Packet::Connack(_) | Packet::Disconnect(_));
        let wanted = always
            || connection.problem_information
            || !rules.keep(&[V5("MQTT-3.1.2-29"), rule_of_problem_information(&packet)]);
        if !connection.version.is_5() || !wanted || self.manner.is_sparing() {
            return self.send(number, packet);
        }
        let [reason_rule, user_rule] = rules_of_size(&packet);
        let mut too_large = false;
        for (property, rule) in
            [(Property::text(REASON_STRING, why), reason_rule), (Property::user("model", why), user_rule)]
        {
            let mut longer = packet.clone();
            if let Some(properties) = properties_of(&mut longer) {
                properties.push(property);
            }
            let fits = longer.to_bytes(connection.version).len() <= connection.maximum_packet_size;
            let forced = !fits && rule.is_some_and(|rule| !rules.keep(&[rule]));
            too_large |= forced;
            if fits || forced {
                packet = longer;
            }
        }
        if too_large {
            connection.put(packet.to_bytes(connection.version));
        } else {
            self.send(number, packet);
        }
    }

    /// Ends a connection of MQTT 5 with a DISCONNECT that says why; earlier versions are closed without a word.
    pub(super) fn dismiss(&mut self, number: u64, code: u8, why: &str) {
        let Some(connection) = self.connections.get(&number) else { return };
        // Only of a take-over the client has to be told.
        let tells = !self.manner.is_sparing() || code == reason::SESSION_TAKEN_OVER;
        if connection.version.is_5() && tells {
            let code = if self.rules.keep(&[V5("MQTT-3.14.2-1")]) { code } else { 0x03 };
            let mut disconnect = Disconnect { code, ..Disconnect::default() };
            if !self.rules.keep(&[V5("MQTT-3.14.2-2")]) {
                disconnect.properties.push(Property::four(crate::wire::property::SESSION_EXPIRY, 0));
            }
            self.explain(number, disconnect, why);
            if !self.rules.keep(&[V5("MQTT-3.14.4-1")]) {
                self.send(number, Packet::Pingresp);
            }
            if !self.rules.keep(&[V5("MQTT-3.14.4-2"), V5("MQTT-4.13.2-1")]) {
                return;
            }
        }
        self.close(number);
    }

    /// Ends a connection, whatever state it is in.
    pub(super) fn close(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.end();
        }
        self.detach(number);
    }

    /// Sends a packet in the turn of those before it. A broken rule sends every second one later.
    pub(super) fn send_in_order(&mut self, number: u64, packet: Packet, why: &str, rules: &[Rule]) {
        self.acknowledgements += 1;
        if !self.rules.keep(rules) && self.acknowledgements % 2 == 1 {
            self.send_late(number, packet);
        } else {
            self.explain(number, packet, why);
        }
    }
}

fn has_no_property(packet: &Packet) -> bool {
    match packet {
        Packet::Publish(publish) => publish.properties.is_empty(),
        Packet::Suback(suback) => suback.properties.is_empty(),
        Packet::Unsuback(unsuback) => unsuback.properties.is_empty(),
        _ => false,
    }
}

fn properties_of(packet: &mut Packet) -> Option<&mut Vec<Property>> {
    match packet {
        Packet::Connack(packet) => Some(&mut packet.properties),
        Packet::Ack(packet) => Some(&mut packet.properties),
        Packet::Suback(packet) => Some(&mut packet.properties),
        Packet::Unsuback(packet) => Some(&mut packet.properties),
        Packet::Disconnect(packet) => Some(&mut packet.properties),
        Packet::Auth(packet) => Some(&mut packet.properties),
        _ => None,
    }
}

/// Request Problem Information 0 for one kind of packet.
fn rule_of_problem_information(packet: &Packet) -> Rule {
    V5(match packet {
        Packet::Ack(ack) => match ack.first {
            first::PUBACK => "MQTT-3.1.2-29: PUBACK",
            first::PUBREC => "MQTT-3.1.2-29: PUBREC",
            first::PUBREL => "MQTT-3.1.2-29: PUBREL",
            _ => "MQTT-3.1.2-29: PUBCOMP",
        },
        Packet::Suback(_) => "MQTT-3.1.2-29: SUBACK",
        Packet::Unsuback(_) => "MQTT-3.1.2-29: UNSUBACK",
        _ => "MQTT-3.1.2-29",
    })
}

/// The rules that leave the reason string, and the user properties, out of a packet that would be too large.
fn rules_of_size(packet: &Packet) -> [Option<Rule>; 2] {
    let [reason_string, user_property] = match packet {
        Packet::Connack(_) => ["MQTT-3.2.2-19", "MQTT-3.2.2-20"],
        Packet::Ack(ack) => match ack.first {
            first::PUBACK => ["MQTT-3.4.2-2", "MQTT-3.4.2-3"],
            first::PUBREC => ["MQTT-3.5.2-2", "MQTT-3.5.2-3"],
            first::PUBREL => ["MQTT-3.6.2-2", "MQTT-3.6.2-3"],
            _ => ["MQTT-3.7.2-2", "MQTT-3.7.2-3"],
        },
        Packet::Suback(_) => ["MQTT-3.9.2-1", "MQTT-3.9.2-2"],
        Packet::Unsuback(_) => ["MQTT-3.11.2-1", "MQTT-3.11.2-2"],
        Packet::Disconnect(_) => ["MQTT-3.14.2-3", "MQTT-3.14.2-4"],
        _ => return [None, None],
    };
    [Some(V5(reason_string)), Some(V5(user_property))]
}
