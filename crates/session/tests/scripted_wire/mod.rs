//! A connection made of memory that does what a test tells it: it takes all bytes, so many of them,
//! none, or breaks; and what it took can be read as the packets that a client would see.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use aldis_packet::{
    AckKind, Connack, DecodeLimits, Framed, Packet, ProtocolVersion, QoS, ReasonCode, decode,
    forwarded_properties, next_frame,
};
use aldis_session::{
    ClientTerms, Counters, Identity, Limits, Memory, NoObserver, Offering, Outbound, Publication, Session,
    Stamp, Subscription, Wire, Workbench,
};
use aldis_topic::TopicFilter;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What one write call does.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Takes at most so many bytes.
    Take(usize),
    /// Takes nothing now.
    Block,
    /// The connection is broken.
    Fail,
    /// A signal came first.
    Interrupt,
}

#[derive(Default)]
struct Script {
    steps: VecDeque<Step>,
    written: Vec<u8>,
    read: usize,
    wakes: usize,
}

/// A [`Wire`] that follows a script and, when it is at its end, takes everything.
#[derive(Default)]
pub struct ScriptedWire(Mutex<Script>);

impl ScriptedWire {
    pub fn new() -> Arc<ScriptedWire> {
        Arc::default()
    }

    pub fn will(&self, steps: impl IntoIterator<Item = Step>) {
        self.0.lock().unwrap().steps.extend(steps);
    }

    /// Whether the next write takes everything.
    pub fn is_at_end(&self) -> bool {
        self.0.lock().unwrap().steps.is_empty()
    }

    pub fn wakes(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().wakes)
    }

    /// All bytes that were ever taken.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().written.clone()
    }

    /// The bytes taken since the last call that are whole packets.
    pub fn new_frames(&self) -> Vec<Vec<u8>> {
        let mut script = self.0.lock().unwrap();
        let mut frames = Vec::new();
        while let Framed::Whole { size, .. } = next_frame(&script.written[script.read..], 1 << 28).unwrap() {
            frames.push(script.written[script.read..script.read + size].to_vec());
            script.read += size;
        }
        frames
    }

    /// Whether every byte taken so far belongs to a whole packet that was read.
    pub fn ends_whole(&self) -> bool {
        let script = self.0.lock().unwrap();
        script.read == script.written.len()
    }
}

impl Wire for ScriptedWire {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut script = self.0.lock().unwrap();
        let mut room = match script.steps.pop_front() {
            None => usize::MAX,
            Some(Step::Take(count)) => count,
            Some(Step::Block) => return Err(io::ErrorKind::WouldBlock.into()),
            Some(Step::Fail) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Step::Interrupt) => return Err(io::ErrorKind::Interrupted.into()),
        };
        let mut count = 0;
        for slice in slices {
            let part = slice.len().min(room);
            script.written.extend_from_slice(&slice[..part]);
            count += part;
            room -= part;
        }
        Ok(count)
    }

    fn wake(&self) {
        self.0.lock().unwrap().wakes += 1;
    }
}

/// A packet as the client sees it, topic aliases resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Connack(bool, ReasonCode),
    Publish(SeenPublish),
    Ack(AckKind, u16, ReasonCode),
    Suback(u16, Vec<u8>),
    Unsuback(u16, Vec<u8>),
    Pingresp,
    Disconnect(ReasonCode),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPublish {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub id: u16,
    pub dup: bool,
    pub retain: bool,
    pub expiry: Option<u32>,
    pub ids: Vec<u32>,
    pub alias: Option<u16>,
    pub size: usize,
}

/// The client at the other end of a [`ScriptedWire`].
pub struct Peer {
    pub wire: Arc<ScriptedWire>,
    pub version: ProtocolVersion,
    aliases: HashMap<u16, String>,
}

impl Peer {
    pub fn new(version: ProtocolVersion) -> Peer {
        Peer { wire: ScriptedWire::new(), version, aliases: HashMap::new() }
    }

    /// The packets that came since the last call.
    pub fn read(&mut self) -> Vec<Seen> {
        let frames = self.wire.new_frames();
        frames.iter().map(|bytes| self.see(bytes)).collect()
    }

    /// The same, when nothing but PUBLISH is expected.
    pub fn publishes(&mut self) -> Vec<SeenPublish> {
        let publish = |seen| match seen {
            Seen::Publish(publish) => publish,
            other => panic!("not a PUBLISH: {other:?}"),
        };
        self.read().into_iter().map(publish).collect()
    }

    /// Payloads of the PUBLISH packets, as text.
    pub fn payloads(&mut self) -> Vec<String> {
        let text = |payload| String::from_utf8(payload).unwrap();
        self.publishes().into_iter().map(|seen| text(seen.payload)).collect()
    }

    fn see(&mut self, bytes: &[u8]) -> Seen {
        let Framed::Whole { frame, size } = next_frame(bytes, 1 << 28).unwrap() else { panic!("partial") };
        match decode(&frame, self.version, &DecodeLimits::default()).unwrap() {
            Packet::Connack(connack) => Seen::Connack(connack.session_present, connack.reason),
            Packet::Ack(ack) => Seen::Ack(ack.kind, ack.packet_id.get(), ack.reason),
            Packet::Suback(suback) => Seen::Suback(suback.packet_id.get(), suback.reasons),
            Packet::Unsuback(unsuback) => Seen::Unsuback(unsuback.packet_id.get(), unsuback.reasons),
            Packet::Pingresp => Seen::Pingresp,
            Packet::Disconnect(disconnect) => Seen::Disconnect(disconnect.reason),
            Packet::Publish(publish) => {
                let alias = publish.properties.topic_alias;
                if let (Some(alias), false) = (alias, publish.topic.is_empty()) {
                    self.aliases.insert(alias, publish.topic.to_owned());
                }
                let topic = match alias {
                    Some(alias) => self.aliases.get(&alias).expect("an alias that was introduced").clone(),
                    None => publish.topic.to_owned(),
                };
                let _ = forwarded_properties(&publish.properties.forwarded).count();
                Seen::Publish(SeenPublish {
                    topic,
                    payload: publish.payload.to_vec(),
                    qos: publish.qos as u8,
                    id: publish.packet_id.map_or(0, |id| id.get()),
                    dup: publish.dup,
                    retain: publish.retain,
                    expiry: publish.properties.message_expiry,
                    ids: publish.properties.subscription_ids.clone(),
                    alias,
                    size,
                })
            }
            other => panic!("a server does not send {other:?}"),
        }
    }
}

// ---- what tests put together ----

pub fn bench() -> Workbench {
    Workbench::new(Arc::new(Counters::default()), Arc::new(NoObserver), Instant::now())
}

pub fn identity(client_id: &str) -> Identity {
    Identity { client_id: Arc::from(client_id), user_name: None, rights: None }
}

/// MQTT 5, lasting, without limits of its own.
pub fn terms() -> ClientTerms {
    ClientTerms {
        version: ProtocolVersion::V5,
        receive_maximum: u16::MAX,
        maximum_packet_size: u32::MAX,
        topic_alias_maximum: 0,
        problem_information: true,
        lasting: true,
    }
}

pub fn session(number: u64, client_id: &str, limits: &Limits) -> Arc<Session> {
    let outbound = Outbound::new(identity(client_id), terms(), Arc::new(limits.clone()));
    Session::new(number, outbound)
}

pub fn subscription(session: &Arc<Session>, filter: &str, qos: QoS) -> Arc<Subscription> {
    let filter = TopicFilter::parse(filter, 128).unwrap();
    let options = aldis_packet::SubscriptionOptions::new(qos);
    Arc::new(Subscription::new(Arc::clone(session), filter, options, None))
}

pub fn publication(topic: &str, payload: impl Into<Bytes>, qos: QoS) -> Publication {
    Publication {
        topic: Arc::from(topic),
        payload: payload.into(),
        properties: Bytes::new(),
        qos,
        retain: false,
        expires_at: None,
        publisher: None,
        memory: Memory::default(),
        stamp: Stamp::default(),
    }
}

/// Attaches a connection and lets its CONNACK out; the peer has read it. Answers the number of the
/// connection.
pub fn connect(session: &Arc<Session>, peer: &mut Peer, terms: ClientTerms, bench: &mut Workbench) -> u32 {
    let wire = Arc::clone(&peer.wire) as Arc<dyn Wire>;
    let mut outbox = session.outbox.lock();
    let identity = outbox.outbound.identity.clone();
    let connection = outbox.attach(wire, identity, terms);
    drop(outbox);
    let mut connack = Vec::new();
    Connack::new(false, ReasonCode::Success).encode(terms.version, u32::MAX, &mut connack);
    session.begin(connection, &connack, bench);
    bench.finish();
    connection
}

/// Ends a session, and sees to what is left of it in steps, as the Broker does; answers what goes back to
/// groups, each with its place.
pub fn end(session: &Arc<Session>, bench: &mut Workbench) -> Vec<(u64, Arc<Publication>)> {
    let mut remains = session.outbox.lock().end(bench);
    let mut given = Vec::new();
    while !remains.is_empty() {
        let step = remains.settle(3, &mut session.outbox.lock().outbound.ledger, bench);
        given.extend(step.into_iter().map(|given| (given.share.number, given.publication)));
    }
    given
}

/// A session with a connection whose peer has read CONNACK.
pub fn connected(
    number: u64,
    client_id: &str,
    terms: ClientTerms,
    limits: &Limits,
    bench: &mut Workbench,
) -> (Arc<Session>, Peer, u32) {
    let session = session(number, client_id, limits);
    let mut peer = Peer::new(terms.version);
    let connection = connect(&session, &mut peer, terms, bench);
    assert_eq!(peer.read(), [Seen::Connack(false, ReasonCode::Success)], "[MQTT-3.2.0-1]");
    (session, peer, connection)
}

/// Offers a message at `qos` through a subscription that grants QoS 2, and writes it.
pub fn publish(
    session: &Arc<Session>,
    payload: &str,
    qos: QoS,
    bench: &mut Workbench,
) -> aldis_session::Offered {
    let message = Arc::new(publication("topic/name", payload.to_owned(), qos));
    let subscription = subscription(session, "#", QoS::ExactlyOnce);
    let offered = session.offer(&[subscription], &Offering::of(&message), bench);
    bench.finish();
    offered
}

pub fn packet_id(value: u16) -> aldis_packet::PacketId {
    aldis_packet::PacketId::new(value).unwrap()
}

/// Acknowledges as the client, and writes what follows.
pub fn acknowledge(
    session: &Arc<Session>,
    connection: u32,
    kind: AckKind,
    id: u16,
    reason: ReasonCode,
    bench: &mut Workbench,
) -> Result<(), aldis_session::Violation> {
    let acks = [(kind, packet_id(id), reason)];
    let done = session.outbox.lock().acknowledge(connection, &acks, bench).map(|dirty| {
        if dirty {
            bench.owe(session);
        }
    });
    bench.finish();
    done
}

/// A small deterministic generator (xorshift): the same seed gives the same test.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random((2 * seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}
