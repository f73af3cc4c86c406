//! A conversation to test: a publisher, a subscriber to look at, and the packets that are sent to it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

#[path = "../scripted_wire/mod.rs"]
pub mod scripted_wire;

use aldis_packet::{
    AckKind, Disconnect, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode, Subscribe,
    SubscriptionOptions, encode_ack, encode_pingreq,
};
use aldis_session::{
    Act, Agreed, ClientTerms, Conversation, Ending, Held, Identity, Input, Limits, Next, RefuseReason,
    Request, RetainedLimit, Rights, Route, Router, Subscription, Target, Turned, Verdict, Workbench,
};
use scripted_wire::{Peer, Seen, bench, connected, identity, packet_id, subscription, terms};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub const V5: ProtocolVersion = ProtocolVersion::V5;
pub const V311: ProtocolVersion = ProtocolVersion::V311;
pub const OK: ReasonCode = ReasonCode::Success;
pub const NOBODY: ReasonCode = ReasonCode::NoMatchingSubscribers;

/// Routes of a handful of subscriptions.
#[derive(Default)]
pub struct Few(pub Vec<Arc<Subscription>>);

impl Router for Few {
    fn generation(&self) -> u64 {
        1
    }
    fn resolve(&self, topic: &str) -> Arc<Route> {
        let matching = self.0.iter().filter(|one| one.filter.matches(topic));
        let targets = matching.map(|one| Target::One(Arc::clone(one))).collect();
        Arc::new(Route { targets, steps: 1 })
    }
}

pub fn agreed(version: ProtocolVersion) -> Agreed {
    Agreed { version, maximum_packet_size: u32::MAX, problem_information: true, expiry_may_change: true }
}

/// Forbids to publish below `no/`.
pub struct NotThere;

impl Rights for NotThere {
    fn allows(&self, _: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        Verdict::from(!(act != Act::Receive && topic.starts_with("no/")))
    }
}

/// A publisher, and a subscriber to `sub/#` to look at.
pub struct Stage {
    pub bench: Workbench,
    pub conversation: Conversation,
    pub peer: Peer,
    pub subscriber: Peer,
    pub routes: Few,
}

impl Stage {
    pub fn new(version: ProtocolVersion, limits: Limits) -> Stage {
        Stage::with(agreed(version), limits)
    }

    pub fn with(agreed: Agreed, limits: Limits) -> Stage {
        let version = agreed.version;
        let mut bench = bench();
        let terms = ClientTerms { version, ..terms() };
        let (session, peer, connection) = connected(1, "p", terms, &limits, &mut bench);
        let (other, subscriber, _) = connected(2, "s", scripted_wire::terms(), &limits, &mut bench);
        let identity = Identity { rights: Some(Arc::new(NotThere)), ..identity("p") };
        let limits = Arc::new(limits);
        let conversation = Conversation::new(session, connection, identity, limits, agreed);
        let routes = Few(vec![subscription(&other, "sub/#", QoS::ExactlyOnce)]);
        Stage { bench, conversation, peer, subscriber, routes }
    }

    pub fn turn(&mut self, bytes: &[u8]) -> Turned {
        let turned = self.conversation.turn(Input::Borrowed(bytes), &self.routes, &mut self.bench);
        self.bench.finish();
        turned
    }

    /// A turn over whole packets that brings the end.
    pub fn ends(&mut self, bytes: &[u8]) -> ReasonCode {
        match self.turn(bytes).next {
            Next::End(Ending::Closed(farewell)) => farewell.reason,
            other => panic!("{other:?}"),
        }
    }

    /// A turn over whole packets after which the client is read on.
    pub fn reads(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let turned = self.turn(bytes);
        assert!(matches!(turned.next, Next::Read), "{:?}", turned.next);
        assert_eq!(turned.consumed, bytes.len());
        self.peer.read()
    }

    /// A turn that stops to have publications stored; answers how far it came.
    pub fn holds(&mut self, bytes: &[u8]) -> (Vec<Held>, usize) {
        let turned = self.turn(bytes);
        match turned.next {
            Next::Ask(Request::Retain(held)) => (held, turned.consumed),
            other => panic!("{other:?}"),
        }
    }

    pub fn release(&mut self, held: Vec<Held>, refused: &[usize]) -> Vec<Seen> {
        let refused: Vec<_> = refused.iter().map(|at| (*at, RetainedLimit::Messages(1))).collect();
        let mut held = held.into_iter().enumerate();
        while !self.conversation.release(&mut held, &refused, &self.routes, &mut self.bench) {}
        self.bench.finish();
        self.peer.read()
    }

    pub fn refused(&self, reason: RefuseReason) -> u64 {
        self.bench.counters().refused[reason as usize].load(Relaxed)
    }
}

/// A PUBLISH; the identifier is 0 at QoS 0.
pub fn a_publish<'a>(topic: &'a str, payload: &'a str, qos: u8, id: u16) -> Publish<'a> {
    Publish {
        dup: false,
        qos: QoS::from_u8(qos).unwrap(),
        retain: false,
        topic,
        packet_id: (qos > 0).then(|| packet_id(id)),
        properties: PublishProperties::default(),
        payload: payload.as_bytes(),
    }
}

pub fn encoded(publish: &Publish<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut bytes = Vec::new();
    publish.encode(version, &mut bytes);
    bytes
}

pub fn pub5(topic: &str, payload: &str, qos: u8, id: u16) -> Vec<u8> {
    encoded(&a_publish(topic, payload, qos, id), V5)
}

pub fn retained5(topic: &str, payload: &str, qos: u8, id: u16) -> Vec<u8> {
    encoded(&Publish { retain: true, ..a_publish(topic, payload, qos, id) }, V5)
}

pub fn ack(kind: AckKind, id: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_ack(kind, packet_id(id), OK, V5, &mut bytes);
    bytes
}

pub fn ping() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_pingreq(&mut bytes);
    bytes
}

pub fn subscribe(filter: &str) -> Vec<u8> {
    let filters = vec![(filter.to_owned(), SubscriptionOptions::new(QoS::AtLeastOnce))];
    let subscribe =
        Subscribe { packet_id: packet_id(5), filters, subscription_id: None, user_properties: vec![] };
    let mut bytes = Vec::new();
    subscribe.encode(V5, &mut bytes);
    bytes
}

pub fn disconnect(reason: ReasonCode, session_expiry: Option<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Disconnect { session_expiry, ..Disconnect::new(reason) }.encode(V5, u32::MAX, &mut bytes);
    bytes
}

pub fn puback(id: u16, reason: ReasonCode) -> Seen {
    Seen::Ack(AckKind::Puback, id, reason)
}

pub fn pubrec(id: u16, reason: ReasonCode) -> Seen {
    Seen::Ack(AckKind::Pubrec, id, reason)
}
