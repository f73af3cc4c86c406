//! The whole state of the model, and the way of a packet into it.
//!
//! One mutex holds a [`Broker`], so everything happens one thing after another. Each packet, each end of a
//! connection and each tick of the clock is one call; what has to be sent is handed to the connections' threads.

use super::connection::{Connection, Phase};
use super::reader::{Read, Violation, protocol_error};
use super::rule::Rule::{self, V5, V311};
use super::rule::Rules;
use super::session::{Message, Session};
use super::timers::Late;
use super::{Door, decode, decode_connect};
use crate::wire::{Packet, Version, first, reason};
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::mpsc::Sender;
use std::time::Instant;

/// Everything there is.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) rules: Rules,
    /// What it does where the standards leave it a choice.
    pub(super) manner: super::Manner,
    /// When the call that runs now began.
    pub(super) now: Instant,
    pub(super) connections: BTreeMap<u64, Connection>,
    /// By client id.
    pub(super) sessions: BTreeMap<Vec<u8>, Session>,
    /// By topic.
    pub(super) retained: BTreeMap<Vec<u8>, Message>,
    /// Counts the choices among the members of shared subscriptions.
    pub(super) turn: usize,
    /// Counts messages and acknowledgements. No rule needs them; broken ones delay every seventh, or second.
    pub(super) messages: usize,
    pub(super) acknowledgements: usize,
    /// What a broken rule delays.
    pub(super) late: Vec<(Instant, Late)>,
    /// The last will of each client id. No rule needs them; a broken one does.
    pub(super) old_wills: BTreeMap<Vec<u8>, crate::wire::Will>,
    last_number: u64,
    pub(super) last_assigned: u64,
}

impl Broker {
    pub(super) fn new(rules: Rules, manner: super::Manner) -> Self {
        Self {
            rules,
            manner,
            now: Instant::now(),
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            turn: 0,
            messages: 0,
            acknowledgements: 0,
            late: Vec::new(),
            old_wills: BTreeMap::new(),
            last_number: 0,
            last_assigned: 0,
        }
    }

    /// Whether all of these rules are kept.
    pub(super) fn keeps(&self, rules: &[Rule]) -> bool {
        self.rules.keep(rules)
    }

    /// A connection was opened at a door; its number is the name it has from now on.
    pub(super) fn opened(&mut self, door: Door, out: Sender<Vec<u8>>, socket: TcpStream) -> u64 {
        self.last_number += 1;
        let connection = Connection::new(self.rules, door, out, socket, Instant::now());
        self.connections.insert(self.last_number, connection);
        self.last_number
    }

    /// The stream of a connection ended.
    pub(super) fn ended(&mut self, number: u64) {
        self.now = Instant::now();
        self.close(number);
        self.connections.remove(&number);
    }

    /// What a thread has to say on a connection that is no packet: the greeting and the answers of WebSocket.
    pub(super) fn say(&mut self, number: u64, bytes: Vec<u8>) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.put_as_it_is(bytes);
        }
    }

    /// A whole packet came.
    pub(super) fn frame(&mut self, number: u64, first_byte: u8, body: &[u8]) {
        self.now = Instant::now();
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&number).filter(|one| one.is_open()) else { return };
        let counts = first_byte == first::PINGREQ
            || self.rules.keep(&[V311("MQTT-3.1.2-24: PINGREQ alone"), V5("MQTT-3.1.2-22: PINGREQ alone")]);
        if counts {
            connection.last_heard = now;
        }
        let phase = connection.phase;
        let outcome = match phase {
            Phase::New | Phase::Greeted => self.before_connack(number, first_byte, body),
            Phase::Connected => self.after_connack(number, first_byte, body),
            Phase::Ending if self.ends_at_once() => Ok(()),
            Phase::Ending => self.after_connack(number, first_byte, body),
        };
        if let Err(violation) = outcome {
            self.violated(number, violation);
        }
    }

    /// All that was read at once is processed. A connection that is about to be closed ends here at the latest.
    pub(super) fn chunk_processed(&mut self, number: u64) {
        let ending = self.connections.get(&number).is_some_and(|one| one.phase == Phase::Ending);
        if ending && !self.ends_at_once() {
            self.close(number);
        }
    }

    /// Nothing is processed behind a CONNECT that was rejected, or behind DISCONNECT.
    fn ends_at_once(&self) -> bool {
        self.keeps(&[V311("MQTT-3.1.4-5"), V5("MQTT-3.1.4-6"), V5("MQTT-3.14.4-1: of the client")])
    }

    fn before_connack(&mut self, number: u64, first_byte: u8, body: &[u8]) -> Read<()> {
        let rules = self.rules;
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        if first_byte & 0xF0 == first::CONNECT && connection.phase == Phase::New {
            connection.version = match decode_connect::version(rules, body)? {
                Ok(version) => version,
                Err(level) => {
                    self.refuse_version(number, level);
                    return Ok(());
                }
            };
            connection.phase = Phase::Greeted;
            let connect = decode_connect::connect(rules, connection.version, first_byte, body)?;
            return self.connect(number, connect);
        }
        if first_byte & 0xF0 == first::AUTH && connection.phase == Phase::Greeted {
            let version = connection.version;
            if let Packet::Auth(auth) = decode::decode(rules, version, first_byte, body)? {
                return self.auth(number, auth);
            }
        }
        if first_byte & 0xF0 == first::DISCONNECT
            && self.connections.get(&number).is_some_and(|one| one.login.is_some())
        {
            self.close(number);
            return Ok(());
        }
        if self.keeps(&[V311("MQTT-3.1.0-1"), V5("MQTT-3.1.0-1")]) {
            return protocol_error("the first packet was not CONNECT");
        }
        self.after_connack(number, first_byte, body)
    }

    fn after_connack(&mut self, number: u64, first_byte: u8, body: &[u8]) -> Read<()> {
        let Some(connection) = self.connections.get(&number) else { return Ok(()) };
        let version = connection.version;
        if first_byte & 0xF0 == first::CONNECT {
            let rules = &[V311("MQTT-3.1.0-2"), V5("MQTT-3.1.0-2")];
            return if self.keeps(rules) { protocol_error("a second CONNECT") } else { Ok(()) };
        }
        match decode::decode(self.rules, version, first_byte, body)? {
            Packet::Publish(publish) => self.publish(number, publish),
            Packet::Ack(ack) => self.acknowledged(number, &ack),
            Packet::Subscribe(subscribe) => self.subscribe(number, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(number, unsubscribe),
            Packet::Disconnect(disconnect) => self.disconnect(number, &disconnect),
            Packet::Auth(auth) => self.auth(number, auth),
            Packet::Pingreq => {
                if self.keeps(&[V311("MQTT-3.12.4-1"), V5("MQTT-3.12.4-1")]) {
                    self.send(number, Packet::Pingresp);
                }
                Ok(())
            }
            _ => protocol_error("a packet that a client may not send"),
        }
    }

    /// A packet broke a rule: the connection it came on is closed (4.8 of 3.1.1, 4.13 of 5).
    pub(super) fn violated(&mut self, number: u64, violation: Violation) {
        let Some(connection) = self.connections.get(&number) else { return };
        let Violation { code, why } = violation;
        match connection.phase {
            Phase::New => self.close(number),
            Phase::Greeted if !self.keeps(&[V311("MQTT-3.1.4-1"), V5("MQTT-3.1.4-1")]) => {}
            Phase::Greeted if !self.keeps(&[V5("MQTT-3.14.0-1")]) => self.dismiss(number, code, why),
            Phase::Greeted if self.manner.is_sparing() => self.close(number),
            Phase::Greeted if connection.version.is_5() => self.reject(number, code, why, &[]),
            Phase::Greeted if self.keeps(&[V311("MQTT-3.1.4-1: CONNACK")]) => self.close(number),
            Phase::Greeted => self.reject(number, code, why, &[]),
            _ if !self.keeps(&[V311("MQTT-4.8.0-1"), V5("MQTT-4.13.1-1")]) => {}
            _ => {
                self.forget_will(number, &[V311("MQTT-3.1.2-8: violation"), V5("MQTT-3.1.2-8: violation")]);
                self.dismiss(number, code, why);
            }
        }
    }

    /// A client of a later version reads CONNACK as MQTT 5 has it, an earlier one as 3.1.1 has it.
    fn refuse_version(&mut self, number: u64, level: u8) {
        let version = if level > 5 { Version::V5 } else { Version::V311 };
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.version = version;
        }
        self.reject(number, reason::UNSUPPORTED_VERSION, "an unknown protocol level", &[]);
    }

    /// Ends all connections: the model stops.
    pub(super) fn stop(&mut self) {
        for connection in self.connections.values_mut() {
            connection.abort();
        }
    }
}
