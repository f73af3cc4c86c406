//! A model client, and what it does next.

use crate::agenda::{MILLI, SECOND, Time};
use crate::plan::{Feature, Persona};
use crate::random::Random;
use crate::wire::Link;
use crate::world::World;
use aldis_packet::{Ack, AckKind, Disconnect, Packet, PacketId, ProtocolVersion, ReasonCode};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// A message of QoS 1 or 2 that its client has not seen the end of.
#[derive(Debug, Clone)]
pub struct Unfinished {
    pub id: u16,
    pub message: usize,
    pub expiry: Option<u32>,
    /// PUBREC has come: only PUBREL is sent from here on.
    pub is_released: bool,
}

/// What a client keeps over its connections.
#[derive(Debug, Default)]
pub struct Kept {
    /// In the order in which they were sent first.
    pub unfinished: Vec<Unfinished>,
    /// Identifiers of QoS 2 messages that came and are not released.
    pub received: BTreeSet<u16>,
    pub ids: u16,
    /// It may be there when the client comes back.
    pub lasts: bool,
    /// The life of the session that this belongs to; `None` if it belongs to none.
    pub life: Option<usize>,
}

/// A connection, from the client's side.
#[derive(Debug)]
pub struct Connection {
    pub link: Arc<Link>,
    pub is_open: bool,
    pub inbox: Vec<u8>,
    /// Bytes that are encoded and not on their way yet.
    pub unsent: VecDeque<u8>,
    pub owed: VecDeque<(AckKind, u16)>,
    pub aliases_in: BTreeMap<u16, String>,
    pub aliases_out: BTreeMap<String, u16>,
    pub alias_maximum: u16,
    pub receive_maximum: u16,
    /// Identifiers of SUBSCRIBE and UNSUBSCRIBE packets without an answer.
    pub asked: BTreeSet<u16>,
    pub life: usize,
    pub clean: bool,
    pub expiry: u32,
}

/// One model client.
pub struct Client {
    pub number: usize,
    pub persona: Persona,
    pub random: Random,
    pub connection: Option<Connection>,
    /// Connections that it has forgotten and not closed.
    pub forgotten: Vec<Arc<Link>>,
    pub kept: Kept,
    /// It has to begin anew.
    pub starts_clean: bool,
    /// Filters that it has asked for and not given up.
    pub filters: BTreeSet<String>,
}

impl Client {
    /// A client that was never there.
    pub fn new(number: usize, persona: Persona, seed: u64) -> Client {
        let random = Random::new(seed, 1_000 + number as u64);
        Client {
            number,
            persona,
            random,
            connection: None,
            forgotten: Vec::new(),
            kept: Kept::default(),
            starts_clean: false,
            filters: BTreeSet::new(),
        }
    }

    /// Whether it speaks MQTT 5.
    pub fn is_v5(&self) -> bool {
        self.persona.version == ProtocolVersion::V5
    }

    /// Takes one step; answers when the next one is, or `None` if somebody else has to do something first.
    pub fn step(&mut self, world: &World) -> Option<Time> {
        if world.is_draining() {
            return self.drain(world);
        }
        let now = world.now();
        match &self.connection {
            None => self.connect(world),
            Some(connection) if connection.link.is_over() && connection.inbox.is_empty() => self.over(world),
            Some(_) => self.converse(world),
        }
        let pause = match self.random.below(40) {
            0 => self.random.between(5 * MILLI, 40 * MILLI),
            1 if self.random.one_in(4) => self.random.between(200 * MILLI, 2 * SECOND),
            _ => self.random.between(30, 400),
        };
        Some(now + pause)
    }

    /// One of the things that a connected client does.
    fn converse(&mut self, world: &World) {
        self.send_some(world);
        let unread = self.connection.as_ref().map_or(0, |connection| connection.link.unread());
        let reads_in = if self.persona.is_slow { 12 } else { 2 };
        if unread > 0 && self.random.one_in(reads_in) {
            let most = if self.persona.is_slow { 40 } else { 4_000 };
            let count = if self.random.one_in(4) { 1 + self.random.below(60) } else { most };
            self.read(count, world);
            self.settle(3, world);
            self.send_some(world);
            return;
        }
        if !self.connection.as_ref().is_some_and(|connection| connection.is_open) {
            if self.random.one_in(self.persona.lost_in.saturating_mul(2)) {
                self.lose(world);
            }
            return;
        }
        if self.random.one_in(self.persona.lost_in) {
            return self.lose(world);
        }
        let most = 1 + self.random.below(4);
        self.settle(most, world);
        match self.random.below(10) {
            choice if choice < self.persona.publishes => self.publish(world),
            choice if choice < 7 => self.change_filters(world),
            7 if self.random.one_in(3) => self.ping(world),
            8 if self.random.one_in(6) => self.say_goodbye(world),
            9 if world.plan.has(Feature::TakeOvers) && self.random.one_in(12) => self.come_again(world),
            _ => {}
        }
        self.send_some(world);
    }

    /// Encodes a packet. Its bytes leave in one piece or in several.
    pub fn encode(&mut self, packet: &Packet<'_>) {
        let version = self.persona.version;
        let Some(connection) = &mut self.connection else { return };
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes);
        connection.unsent.extend(bytes);
    }

    /// Sends what is encoded, or the beginning of it.
    pub fn send_some(&mut self, world: &World) {
        let Some(connection) = &mut self.connection else { return };
        if connection.unsent.is_empty() {
            return;
        }
        let mut count = connection.unsent.len();
        if !world.is_draining() && self.random.one_in(6) {
            count = 1 + self.random.below(count);
        }
        let bytes: Vec<u8> = connection.unsent.drain(..count).collect();
        connection.link.send(&bytes);
        world.nudge(connection.link.number);
    }

    /// Sends up to so many of the acknowledgements that it owes.
    pub fn settle(&mut self, most: usize, world: &World) {
        for _ in 0..most {
            let Some(connection) = &mut self.connection else { return };
            let Some((kind, id)) = connection.owed.pop_front() else { return };
            let mut reason = ReasonCode::Success;
            let refuses = world.plan.has(Feature::Refusals) && !world.is_draining();
            if kind == AckKind::Puback && self.is_v5() && refuses && self.random.one_in(60) {
                reason = ReasonCode::ImplementationSpecificError;
            }
            let Some(id) = PacketId::new(id) else { return };
            self.encode(&Packet::Ack(Ack::new(kind, id, reason)));
        }
    }

    fn ping(&mut self, _: &World) {
        self.encode(&Packet::Pingreq);
    }

    /// Disconnects by the rules, with or without its will, or with another expiry.
    fn say_goodbye(&mut self, world: &World) {
        let mut disconnect = Disconnect::new(ReasonCode::Success);
        let Some(connection) = &mut self.connection else { return };
        if self.persona.version == ProtocolVersion::V5 {
            if self.random.one_in(3) {
                disconnect.reason = ReasonCode::DisconnectWithWill;
            }
            if connection.expiry > 0 && self.random.one_in(3) {
                let expiry = self.random.pick(&self.persona.expiries);
                disconnect.session_expiry = Some(expiry);
                connection.expiry = expiry;
            }
        }
        self.kept.lasts = connection.expiry > 0;
        self.encode(&Packet::Disconnect(Box::new(disconnect)));
        self.send_all(world);
        let Some(connection) = self.connection.take() else { return };
        connection.link.close();
        world.nudge(connection.link.number);
        world.count("a client disconnected");
    }

    fn send_all(&mut self, world: &World) {
        while self.connection.as_ref().is_some_and(|connection| !connection.unsent.is_empty()) {
            self.send_some(world);
        }
    }

    /// The connection is lost, perhaps in the middle of a frame.
    fn lose(&mut self, world: &World) {
        if self.random.one_in(3) {
            self.encode(&Packet::Pingreq);
            world.count("half a frame lost");
            if let Some(connection) = &mut self.connection {
                let count = 1 + self.random.below(connection.unsent.len() - 1);
                let bytes: Vec<u8> = connection.unsent.drain(..count).collect();
                connection.link.send(&bytes);
            }
        }
        let Some(connection) = self.connection.take() else { return };
        world
            .tell(|| format!("the connection #{} of client {} is lost", connection.link.number, self.number));
        world.count("a connection was lost");
        if self.random.one_in(2) {
            connection.link.lose();
        } else {
            connection.link.close();
        }
        world.nudge(connection.link.number);
    }

    /// Connects anew beside its own connection: the broker ends the old one.
    fn come_again(&mut self, world: &World) {
        // It hears nothing more of the old one.
        let old = self.connection.take();
        self.connect(world);
        let Some(old) = old else { return };
        self.forgotten.push(old.link);
        if self.random.one_in(3) {
            self.close_forgotten(world);
        }
    }

    fn close_forgotten(&mut self, world: &World) {
        for link in self.forgotten.drain(..) {
            link.close();
            world.nudge(link.number);
        }
    }

    /// The broker has closed the connection.
    pub fn over(&mut self, world: &World) {
        if let Some(connection) = self.connection.take() {
            connection.link.close();
            world.nudge(connection.link.number);
        }
    }

    /// The end of a run: comes back if it has a session, reads and acknowledges everything, begins nothing.
    fn drain(&mut self, world: &World) -> Option<Time> {
        self.close_forgotten(world);
        let is_over = |connection: &Connection| connection.link.is_over() && connection.inbox.is_empty();
        if self.connection.as_ref().is_some_and(is_over) {
            self.over(world);
        }
        if self.connection.is_none() {
            if !self.kept.lasts || world.is_ending() {
                return None;
            }
            self.connect(world);
        }
        if let Some(connection) = &self.connection {
            connection.link.widen();
            world.nudge(connection.link.number);
        }
        self.read(usize::MAX, world);
        self.settle(usize::MAX, world);
        self.send_all(world);
        let unread = self.connection.as_ref().is_some_and(|connection| connection.link.unread() > 0);
        unread.then(|| world.now() + 50)
    }

    /// Ends its connection and its session.
    pub fn leave(&mut self, world: &World) {
        let Some(connection) = &mut self.connection else { return };
        let mut disconnect = Disconnect::new(ReasonCode::Success);
        if self.persona.version == ProtocolVersion::V5 && connection.expiry > 0 {
            disconnect.session_expiry = Some(0);
        }
        self.encode(&Packet::Disconnect(Box::new(disconnect)));
        self.send_all(world);
        if let Some(connection) = self.connection.take() {
            connection.link.close();
            world.nudge(connection.link.number);
        }
    }

    /// The next packet identifier that is not in use.
    pub fn next_id(&mut self) -> PacketId {
        loop {
            self.kept.ids = self.kept.ids % 60 + 1;
            let id = self.kept.ids;
            let in_use = self.kept.unfinished.iter().any(|unfinished| unfinished.id == id)
                || self.connection.as_ref().is_some_and(|connection| connection.asked.contains(&id));
            if let (false, Some(id)) = (in_use, PacketId::new(id)) {
                return id;
            }
        }
    }
}
