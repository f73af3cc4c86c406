//! Turns of a conversation: each kind of packet, the order of answers, and what has to wait for the
//! Broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod scripted_wire;

use aldis_packet::{
    AckKind, Connack, Connect, ConnectProperties, Disconnect, Packet, ProtocolVersion, Publish,
    PublishProperties, QoS, ReasonCode, Suback, Subscribe, SubscriptionOptions, Unsubscribe, encode_ack,
    encode_pingreq,
};
use aldis_session::{
    Act, Agreed, ClientTerms, Conversation, DropReason, Ending, Group, Held, Identity, Input, Limits, Next,
    Offered, RefuseReason, Request, RetainedLimit, Rights, Route, Router, Session, Subscription, Target,
    Turned, Verdict, Workbench,
};
use scripted_wire::{Peer, Seen, bench, connected, identity, packet_id, publish, subscription, terms};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const V5: ProtocolVersion = ProtocolVersion::V5;
const V311: ProtocolVersion = ProtocolVersion::V311;
const OK: ReasonCode = ReasonCode::Success;
const NOBODY: ReasonCode = ReasonCode::NoMatchingSubscribers;

/// Routes of a handful of subscriptions.
#[derive(Default)]
struct Few(Vec<Arc<Subscription>>);

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

fn agreed(version: ProtocolVersion) -> Agreed {
    Agreed { version, maximum_packet_size: u32::MAX, expiry_may_change: true }
}

/// Forbids to publish below `no/`.
struct NotThere;

impl Rights for NotThere {
    fn allows(&self, _: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        Verdict::from(!(act != Act::Receive && topic.starts_with("no/")))
    }
}

/// A publisher, and a subscriber to `sub/#` to look at.
struct Stage {
    bench: Workbench,
    conversation: Conversation,
    peer: Peer,
    subscriber: Peer,
    routes: Few,
}

impl Stage {
    fn new(version: ProtocolVersion, limits: Limits) -> Stage {
        let mut bench = bench();
        let terms = ClientTerms { version, ..terms() };
        let (session, peer, connection) = connected(1, "p", terms, &limits, &mut bench);
        let (other, subscriber, _) = connected(2, "s", scripted_wire::terms(), &limits, &mut bench);
        let identity = Identity { rights: Some(Arc::new(NotThere)), ..identity("p") };
        let limits = Arc::new(limits);
        let conversation = Conversation::new(session, connection, identity, limits, agreed(version));
        let routes = Few(vec![subscription(&other, "sub/#", QoS::ExactlyOnce)]);
        Stage { bench, conversation, peer, subscriber, routes }
    }

    fn turn(&mut self, bytes: &[u8]) -> Turned {
        let turned = self.conversation.turn(Input::Borrowed(bytes), &self.routes, &mut self.bench);
        self.bench.finish();
        turned
    }

    /// A turn over whole packets that brings the end.
    fn ends(&mut self, bytes: &[u8]) -> ReasonCode {
        match self.turn(bytes).next {
            Next::End(Ending::Closed(farewell)) => farewell.reason,
            other => panic!("{other:?}"),
        }
    }

    /// A turn over whole packets after which the client is read on.
    fn reads(&mut self, bytes: &[u8]) -> Vec<Seen> {
        let turned = self.turn(bytes);
        assert!(matches!(turned.next, Next::Read), "{:?}", turned.next);
        assert_eq!(turned.consumed, bytes.len());
        self.peer.read()
    }

    /// A turn that stops to have publications stored; answers how far it came.
    fn holds(&mut self, bytes: &[u8]) -> (Vec<Held>, usize) {
        let turned = self.turn(bytes);
        match turned.next {
            Next::Ask(Request::Retain(held)) => (held, turned.consumed),
            other => panic!("{other:?}"),
        }
    }

    fn release(&mut self, held: Vec<Held>, refused: &[usize]) -> Vec<Seen> {
        let refused: Vec<_> = refused.iter().map(|at| (*at, RetainedLimit::Messages(1))).collect();
        let mut held = held.into_iter().enumerate();
        while !self.conversation.release(&mut held, &refused, &self.routes, &mut self.bench) {}
        self.bench.finish();
        self.peer.read()
    }

    fn refused(&self, reason: RefuseReason) -> u64 {
        self.bench.counters().refused[reason as usize].load(Relaxed)
    }
}

/// A PUBLISH; the identifier is 0 at QoS 0.
fn a_publish<'a>(topic: &'a str, payload: &'a str, qos: u8, id: u16) -> Publish<'a> {
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

fn encoded(publish: &Publish<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut bytes = Vec::new();
    publish.encode(version, &mut bytes);
    bytes
}

fn pub5(topic: &str, payload: &str, qos: u8, id: u16) -> Vec<u8> {
    encoded(&a_publish(topic, payload, qos, id), V5)
}

fn retained5(topic: &str, payload: &str, qos: u8, id: u16) -> Vec<u8> {
    encoded(&Publish { retain: true, ..a_publish(topic, payload, qos, id) }, V5)
}

fn ack(kind: AckKind, id: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_ack(kind, packet_id(id), OK, V5, &mut bytes);
    bytes
}

fn ping() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_pingreq(&mut bytes);
    bytes
}

fn subscribe(filter: &str) -> Vec<u8> {
    let filters = vec![(filter.to_owned(), SubscriptionOptions::new(QoS::AtLeastOnce))];
    let subscribe =
        Subscribe { packet_id: packet_id(5), filters, subscription_id: None, user_properties: vec![] };
    let mut bytes = Vec::new();
    subscribe.encode(V5, &mut bytes);
    bytes
}

fn disconnect(reason: ReasonCode, session_expiry: Option<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    Disconnect { session_expiry, ..Disconnect::new(reason) }.encode(V5, u32::MAX, &mut bytes);
    bytes
}

fn puback(id: u16, reason: ReasonCode) -> Seen {
    Seen::Ack(AckKind::Puback, id, reason)
}

fn pubrec(id: u16, reason: ReasonCode) -> Seen {
    Seen::Ack(AckKind::Pubrec, id, reason)
}

#[test]
fn every_packet_of_a_buffer_is_answered_in_order() {
    for version in [V311, V5] {
        let mut stage = Stage::new(version, Limits::default());
        let quiet = if version == V5 { NOBODY } else { OK };
        let mut bytes = Vec::new();
        for (topic, qos, id) in
            [("sub/a", 0, 0), ("sub/a", 1, 1), ("else", 1, 2), ("sub/b", 2, 3), ("else", 2, 4)]
        {
            bytes.extend(encoded(&a_publish(topic, "m", qos, id), version));
        }
        bytes.extend([ping(), ack(AckKind::Pubrel, 3)].concat());
        let expected = [
            puback(1, OK),
            puback(2, quiet),
            pubrec(3, OK),
            pubrec(4, quiet),
            Seen::Pingresp,
            Seen::Ack(AckKind::Pubcomp, 3, OK),
        ];
        assert_eq!(stage.reads(&bytes), expected, "{version:?}");
        let seen: Vec<_> =
            stage.subscriber.publishes().iter().map(|seen| (seen.topic.clone(), seen.qos)).collect();
        assert_eq!(seen, [("sub/a".into(), 0), ("sub/a".into(), 1), ("sub/b".into(), 2)]);
    }
}

#[test]
fn mqtt_4_3_3_10_a_repeated_qos_2_publish_is_answered_and_not_routed() {
    let mut stage = Stage::new(V5, Limits::default());
    let first = pub5("sub/a", "m", 2, 7);
    let mut again = first.clone();
    again[0] |= 8;
    assert_eq!(stage.reads(&[first.clone(), again.clone()].concat()), [pubrec(7, OK), pubrec(7, OK)]);
    assert_eq!(stage.reads(&again), [pubrec(7, OK)]);
    assert_eq!(stage.refused(RefuseReason::Repeated), 2);
    let done = Seen::Ack(AckKind::Pubcomp, 7, OK);
    let unknown = Seen::Ack(AckKind::Pubcomp, 7, ReasonCode::PacketIdentifierNotFound);
    // [MQTT-4.3.3-12]: after PUBREL the same identifier is a new message.
    let bytes = [ack(AckKind::Pubrel, 7), ack(AckKind::Pubrel, 7), first].concat();
    assert_eq!(stage.reads(&bytes), [done, unknown, pubrec(7, OK)]);
    assert_eq!(stage.subscriber.publishes().len(), 2);
}

#[test]
fn what_is_not_whole_is_left_for_the_next_turn() {
    let mut stage = Stage::new(V5, Limits::default());
    let (first, second) = (pub5("sub/a", "m", 1, 1), pub5("sub/a", &"x".repeat(200), 1, 2));
    let whole = [first.clone(), second.clone()].concat();
    for cut in 0..whole.len() {
        let turned = stage.turn(&whole[..cut]);
        let done = if cut < first.len() { 0 } else { first.len() };
        assert_eq!(turned.consumed, done, "cut at {cut}");
        assert!(matches!(turned.next, Next::Read));
        let expects = match cut - done {
            0 | 1 => None,
            2 if done > 0 => None,
            _ if done > 0 => Some(second.len()),
            _ => Some(first.len()),
        };
        assert_eq!(turned.expects, expects, "cut at {cut}");
    }
}

#[test]
fn what_ends_a_connection() {
    let ends =
        |reason: ReasonCode, bytes: &[u8]| assert_eq!(Stage::new(V5, Limits::default()).ends(bytes), reason);
    let connect = Connect {
        version: V5,
        clean_start: true,
        keep_alive: 0,
        client_id: "p".into(),
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    };
    let mut bytes = Vec::new();
    connect.encode(&mut bytes);
    ends(ReasonCode::ProtocolError, &bytes);
    // Whatever is wrong with it, it is a second one [MQTT-3.1.0-2].
    bytes[8] = 9;
    ends(ReasonCode::ProtocolError, &bytes);
    let mut connack = Vec::new();
    Connack::new(false, OK).encode(V5, u32::MAX, &mut connack);
    ends(ReasonCode::ProtocolError, &connack);
    let mut suback = Vec::new();
    Suback::new(packet_id(1), vec![0]).encode(V5, u32::MAX, &mut suback);
    ends(ReasonCode::ProtocolError, &suback);
    ends(ReasonCode::ProtocolError, &[0xd0, 0]); // PINGRESP
    ends(ReasonCode::ProtocolError, &[0xf0, 0]); // AUTH
    ends(ReasonCode::MalformedPacket, &[0x00, 0]);
    ends(ReasonCode::MalformedPacket, &[0xc0, 0x80, 0x80, 0x80, 0x80]);
    let limits = Limits { packet_size: 20, ..Limits::default() };
    assert_eq!(
        Stage::new(V5, limits).ends(&pub5("sub/a", &"x".repeat(20), 0, 0)),
        ReasonCode::PacketTooLarge
    );
    let limits = Limits { topic_levels: 3, topic_bytes: 9, ..Limits::default() };
    for topic in ["a/b/c/d", "0123456789"] {
        assert_eq!(Stage::new(V5, limits.clone()).ends(&pub5(topic, "", 0, 0)), ReasonCode::TopicNameInvalid);
    }
    // [MQTT-3.3.4-6]
    let mut publish = a_publish("sub/a", "m", 0, 0);
    publish.properties.subscription_ids = vec![1];
    ends(ReasonCode::ProtocolError, &encoded(&publish, V5));
    ends(ReasonCode::MalformedPacket, &subscribe("a/#/b"));
    // What came before the offence is routed and answered.
    let mut stage = Stage::new(V5, Limits::default());
    assert_eq!(stage.ends(&[pub5("sub/a", "m", 1, 1), vec![0xf0, 0]].concat()), ReasonCode::ProtocolError);
    assert_eq!((stage.peer.read(), stage.subscriber.publishes().len()), (vec![puback(1, OK)], 1));
}

#[test]
fn mqtt_3_14_4_3_disconnect_says_what_happens_to_the_will_and_the_session() {
    let cases = [
        (disconnect(OK, None), false, None, OK),
        (disconnect(ReasonCode::DisconnectWithWill, None), true, None, ReasonCode::DisconnectWithWill),
        (disconnect(ReasonCode::UnspecifiedError, None), true, None, ReasonCode::UnspecifiedError),
        (disconnect(OK, Some(7)), false, Some(7), OK),
        (disconnect(OK, Some(0)), false, Some(0), OK),
    ];
    for (bytes, will, session_expiry, reason) in cases {
        let next = Stage::new(V5, Limits::default()).turn(&bytes).next;
        let Next::End(ending) = next else { panic!("{next:?}") };
        assert_eq!(ending, Ending::Disconnected { will, session_expiry, reason });
    }
    // A session expiry interval cannot be given to a session that had 0.
    for (expiry, allowed) in [(Some(1), false), (Some(0), true), (None, true)] {
        let mut stage = Stage::new(V5, Limits::default());
        let session = Arc::clone(&stage.conversation.session);
        let limits = Arc::new(Limits::default());
        let agreed = Agreed { expiry_may_change: false, ..agreed(V5) };
        stage.conversation = Conversation::new(session, 1, identity("p"), limits, agreed);
        let next = stage.turn(&disconnect(OK, expiry)).next;
        assert_eq!(matches!(next, Next::End(Ending::Disconnected { .. })), allowed, "{next:?}");
    }
}

#[test]
fn mqtt_3_3_4_7_a_client_beyond_the_receive_maximum_is_ended_with_0x93() {
    let limits = Limits { receive_maximum: 3, ..Limits::default() };
    let publishes = |qos, ids: std::ops::RangeInclusive<u16>| -> Vec<u8> {
        ids.flat_map(|id| pub5("sub/a", "m", qos, id)).collect()
    };
    let mut stage = Stage::new(V5, limits.clone());
    assert_eq!(stage.reads(&publishes(2, 1..=3)).len(), 3);
    // A repeat is no new message; one released makes room for one.
    assert_eq!(stage.reads(&publishes(2, 2..=2)), [pubrec(2, OK)]);
    assert_eq!(stage.reads(&[ack(AckKind::Pubrel, 1), publishes(2, 4..=4)].concat()).len(), 2);
    assert!(stage.reads(&pub5("sub/a", "m", 0, 0)).is_empty());
    assert_eq!(stage.ends(&publishes(1, 9..=9)), ReasonCode::ReceiveMaximumExceeded);
    assert_eq!(Stage::new(V5, limits.clone()).ends(&publishes(1, 1..=4)), ReasonCode::ReceiveMaximumExceeded);
    assert_eq!(Stage::new(V5, limits.clone()).reads(&publishes(1, 1..=3)).len(), 3);
    // 3.1.1 knows no receive maximum.
    let mut stage = Stage::new(V311, limits);
    let bytes: Vec<u8> = (1..=9).flat_map(|id| encoded(&a_publish("sub/a", "m", 2, id), V311)).collect();
    assert_eq!(stage.reads(&bytes).len(), 9);
}

#[test]
fn topic_aliases_of_a_client() {
    let with = |alias, topic| {
        let mut publish = a_publish(topic, "m", 0, 0);
        publish.properties.topic_alias = Some(alias);
        encoded(&publish, V5)
    };
    let limits = Limits { topic_alias_maximum: 4, ..Limits::default() };
    let mut stage = Stage::new(V5, limits.clone());
    let bytes = [with(4, "sub/a"), with(1, "sub/b"), with(4, ""), with(1, ""), with(4, "sub/c"), with(4, "")]
        .concat();
    assert!(stage.reads(&bytes).is_empty());
    let topics: Vec<_> = stage.subscriber.publishes().iter().map(|seen| seen.topic.clone()).collect();
    assert_eq!(topics, ["sub/a", "sub/b", "sub/a", "sub/b", "sub/c", "sub/c"]);
    for (bytes, reason) in [
        (with(5, "sub/a"), ReasonCode::TopicAliasInvalid),
        (with(5, ""), ReasonCode::TopicAliasInvalid),
        (with(3, ""), ReasonCode::ProtocolError),
    ] {
        assert_eq!(Stage::new(V5, limits.clone()).ends(&bytes), reason);
    }
    let mut zero = a_publish("sub/a", "m", 0, 0);
    zero.properties.topic_alias = Some(0);
    let reason = Stage::new(V5, limits).ends(&encoded(&zero, V5));
    assert!(matches!(reason, ReasonCode::TopicAliasInvalid | ReasonCode::ProtocolError), "{reason:?}");
}

#[test]
fn mqtt_3_3_5_2_what_may_not_be_published_is_answered_and_not_routed() {
    let no = ReasonCode::NotAuthorized;
    let mut stage = Stage::new(V5, Limits::default());
    let bytes = [
        pub5("no/a", "m", 0, 0),
        pub5("no/a", "m", 1, 1),
        pub5("no/a", "m", 2, 2),
        pub5("$SYS/a", "m", 1, 3),
    ];
    assert_eq!(stage.reads(&bytes.concat()), [puback(1, no), pubrec(2, no), puback(3, no)]);
    assert_eq!(stage.refused(RefuseReason::NotAuthorized), 4);
    // 0x87 ends the QoS 2 exchange: the identifier is free at once.
    assert_eq!(stage.reads(&pub5("sub/a", "m", 2, 2)), [pubrec(2, OK)]);
    let mut stage = Stage::new(V311, Limits::default());
    let bytes: Vec<u8> =
        (1..=2).flat_map(|qos| encoded(&a_publish("no/a", "m", qos, qos.into()), V311)).collect();
    assert_eq!(stage.reads(&bytes), [puback(1, OK), pubrec(2, OK)]);
    assert_eq!(stage.reads(&ack(AckKind::Pubrel, 2)), [Seen::Ack(AckKind::Pubcomp, 2, OK)]);
}

#[test]
fn subscribe_and_unsubscribe_are_asked_and_the_rest_waits() {
    let mut stage = Stage::new(V5, Limits::default());
    let first = [pub5("sub/a", "m", 1, 1), subscribe("a/+")].concat();
    let turned = stage.turn(&[first.clone(), ping()].concat());
    assert_eq!(turned.consumed, first.len());
    let Next::Ask(Request::Subscribe(subscribing)) = turned.next else { panic!("{:?}", turned.next) };
    assert_eq!(subscribing.packet_id.get(), 5);
    assert_eq!(subscribing.filters[0].0.as_ref().unwrap().as_str(), "a/+");
    assert_eq!(stage.peer.read(), [puback(1, OK)]);
    let Next::Ask(Request::Subscribe(subscribing)) = stage.turn(&subscribe("no/a")).next else { panic!() };
    assert_eq!(subscribing.filters[0].0, Err(ReasonCode::NotAuthorized));
    let deep = vec!["a"; 200].join("/");
    let Next::Ask(Request::Subscribe(subscribing)) = stage.turn(&subscribe(&deep)).next else { panic!() };
    assert_eq!(subscribing.filters[0].0, Err(ReasonCode::TopicFilterInvalid));
    let unsubscribe =
        Unsubscribe { packet_id: packet_id(6), filters: vec!["a/+".into()], user_properties: vec![] };
    let mut bytes = Vec::new();
    unsubscribe.encode(V5, &mut bytes);
    let Next::Ask(Request::Unsubscribe(unsubscribing)) = stage.turn(&bytes).next else { panic!() };
    assert_eq!((unsubscribing.packet_id.get(), unsubscribing.filters.len()), (6, 1));
}

#[test]
fn finding_16_from_the_first_retained_publication_on_a_batch_waits_in_order() {
    let mut stage = Stage::new(V5, Limits::default());
    let passes = [
        pub5("sub/a", "1", 1, 1),
        retained5("sub/a", "2", 1, 2),
        pub5("sub/a", "3", 2, 3),
        ping(),
        pub5("sub/a", "4", 2, 3),
        pub5("sub/b", "5", 0, 0),
    ];
    let stops = [ack(AckKind::Pubrel, 3), ping()].concat();
    let (held, consumed) = stage.holds(&[passes.concat(), stops.clone()].concat());
    assert_eq!(consumed, passes.concat().len());
    assert_eq!(held.iter().filter(|held| held.publication.as_ref().is_some_and(|one| one.retain)).count(), 1);
    assert_eq!(stage.peer.read(), [puback(1, OK), Seen::Pingresp]);
    assert_eq!(stage.subscriber.payloads(), ["1"]);
    assert_eq!(stage.release(held, &[]), [puback(2, OK), pubrec(3, OK), pubrec(3, OK)]);
    let seen = stage.subscriber.publishes();
    let text: Vec<_> = seen.iter().map(|seen| String::from_utf8_lossy(&seen.payload)).collect();
    assert_eq!(text, ["2", "3", "5"]);
    assert!(seen.iter().all(|seen| !seen.retain));
    assert_eq!(stage.reads(&stops), [Seen::Ack(AckKind::Pubcomp, 3, OK), Seen::Pingresp]);
}

#[test]
fn finding_19_a_refused_publication_is_not_answered_before_those_that_wait() {
    let mut stage = Stage::new(V5, Limits::default());
    let batch = [
        retained5("sub/a", "1", 1, 1),
        pub5("no/a", "2", 1, 2),
        retained5("no/a", "3", 2, 3),
        pub5("sub/a", "4", 1, 4),
    ];
    let (held, _) = stage.holds(&batch.concat());
    assert!(stage.peer.read().is_empty());
    let no = ReasonCode::NotAuthorized;
    assert_eq!(stage.release(held, &[]), [puback(1, OK), puback(2, no), pubrec(3, no), puback(4, OK)]);
    assert_eq!(stage.subscriber.payloads(), ["1", "4"]);
    // As before: 0x87 ended the exchange.
    assert_eq!(stage.reads(&pub5("sub/a", "m", 2, 3)), [pubrec(3, OK)]);
}

#[test]
fn a_retained_publication_beyond_the_limits_is_refused_where_it_can_be_told() {
    let full = ReasonCode::QuotaExceeded;
    let mut stage = Stage::new(V5, Limits::default());
    let batch = [retained5("sub/a", "1", 1, 1), retained5("sub/a", "2", 2, 2), retained5("sub/a", "3", 0, 0)];
    let (held, _) = stage.holds(&batch.concat());
    assert_eq!(stage.release(held, &[0, 1, 2]), [puback(1, full), pubrec(2, full)]);
    assert_eq!(stage.subscriber.payloads(), ["3"]);
    // Who cannot be told has its message delivered: routed, and not refused.
    assert_eq!(stage.refused(RefuseReason::RetainedFull), 2);
    assert_eq!(stage.bench.counters().not_retained.load(Relaxed), 1);
    // Another exchange with the same identifier is not touched.
    stage.reads(&pub5("sub/a", "m", 2, 8));
    let (held, _) = stage.holds(&retained5("sub/a", "4", 1, 8));
    assert_eq!(stage.release(held, &[0]), [puback(8, full)]);
    assert_eq!(stage.reads(&ack(AckKind::Pubrel, 8)), [Seen::Ack(AckKind::Pubcomp, 8, OK)]);
    let mut stage = Stage::new(V311, Limits::default());
    let message = Publish { retain: true, ..a_publish("sub/a", "1", 2, 1) };
    let (held, _) = stage.holds(&encoded(&message, V311));
    assert_eq!(stage.release(held, &[0]), [pubrec(1, OK)]);
    assert_eq!(stage.reads(&ack(AckKind::Pubrel, 1)), [Seen::Ack(AckKind::Pubcomp, 1, OK)]);
}

/// What the client may not send ends its connection, and what it sent before is done first: a valid
/// retained message is neither lost nor left unanswered because of what stands behind it.
#[test]
fn an_offence_behind_held_publications_comes_after_them() {
    let auth = vec![0xf0, 0];
    for offence in [auth, ack(AckKind::Puback, 1), ack(AckKind::Pubcomp, 1)] {
        let mut stage = Stage::new(V5, Limits::default());
        publish(&stage.conversation.session, "to p", QoS::ExactlyOnce, &mut stage.bench);
        stage.peer.read();
        let behind = pub5("sub/b", "behind", 1, 9);
        let (held, _) = stage.holds(&[retained5("sub/a", "m", 2, 7), offence.clone(), behind].concat());
        assert_eq!(stage.release(held, &[]), [pubrec(7, OK)]);
        assert_eq!(stage.subscriber.payloads(), ["m"], "and nothing of what follows the offence");
        // What is not of a kind that may pass what is held comes in the next turn.
        match stage.conversation.ends_after_release() {
            Some(Ending::Closed(farewell)) => assert_eq!(farewell.reason, ReasonCode::ProtocolError),
            None => assert_eq!(stage.ends(&offence), ReasonCode::ProtocolError),
            other => panic!("{other:?}"),
        }
        assert!(stage.conversation.ends_after_release().is_none(), "once");
    }
}

#[test]
fn nothing_behind_a_forbidden_acknowledgement_takes_effect() {
    let mut stage = Stage::new(V5, Limits::default());
    publish(&stage.conversation.session, "to p", QoS::ExactlyOnce, &mut stage.bench);
    stage.peer.read();
    for behind in [pub5("sub/a", "m", 1, 2), subscribe("a"), retained5("sub/a", "m", 0, 0), ping()] {
        let bytes = [ack(AckKind::Puback, 1), behind].concat();
        assert_eq!(stage.ends(&bytes), ReasonCode::ProtocolError);
        assert!(stage.peer.read().is_empty() && stage.subscriber.read().is_empty());
    }
}

#[test]
fn a_turn_that_has_done_enough_leaves_the_rest_for_the_next() {
    let mut stage = Stage::new(V5, Limits::default());
    let many: Vec<Arc<Subscription>> = (0..2_000)
        .map(|number| {
            let (session, ..) =
                connected(100 + number, "many", terms(), &Limits::default(), &mut stage.bench);
            subscription(&session, "sub/#", QoS::AtMostOnce)
        })
        .collect();
    stage.routes.0.extend(many);
    let message = pub5("sub/a", "m", 1, 1);
    let count = 100;
    let bytes: Vec<u8> = (0..count).flat_map(|_| message.clone()).collect();
    let (mut done, mut turns) = (0, 0);
    while done < bytes.len() {
        let turned = stage.turn(&bytes[done..]);
        assert!(turned.consumed > 0 && turned.consumed <= 9 * message.len(), "{}", turned.consumed);
        let is_last = done + turned.consumed == bytes.len();
        assert_eq!(matches!(turned.next, Next::Yield), !is_last, "{:?}", turned.next);
        done += turned.consumed;
        turns += 1;
    }
    assert!(turns >= 11, "{turns}");
    assert_eq!(stage.peer.read().len(), count, "each is answered, in whatever turn");
    // Held ones are released in parts, too.
    let held: Vec<u8> = (0..count).flat_map(|_| retained5("sub/a", "m", 0, 0)).collect();
    let (held, _) = stage.holds(&held);
    let mut held = held.into_iter().enumerate();
    let mut parts = 1;
    while !stage.conversation.release(&mut held, &[], &stage.routes, &mut stage.bench) {
        stage.bench.finish();
        parts += 1;
    }
    assert!(parts >= 11, "{parts}");
}

#[test]
fn mqtt_3_1_2_24_a_packet_whose_answer_the_client_does_not_take_is_not_acted_on() {
    let mut stage = Stage::new(V5, Limits::default());
    stage.conversation = {
        let (session, connection) = (Arc::clone(&stage.conversation.session), stage.conversation.connection);
        let agreed = Agreed { maximum_packet_size: 20, ..agreed(V5) };
        Conversation::new(session, connection, identity("p"), Arc::new(Limits::default()), agreed)
    };
    let many = |count: usize| {
        let mut bytes = Vec::new();
        let filters =
            (0..count).map(|_| ("a".to_owned(), SubscriptionOptions::new(QoS::AtMostOnce))).collect();
        let packet =
            Subscribe { packet_id: packet_id(5), filters, subscription_id: None, user_properties: vec![] };
        packet.encode(V5, &mut bytes);
        bytes
    };
    // Two of fixed header, two of identifier, one of properties.
    assert!(matches!(stage.turn(&many(15)).next, Next::Ask(Request::Subscribe(_))));
    assert_eq!(stage.ends(&many(16)), ReasonCode::PacketTooLarge);
}

#[test]
fn what_only_a_server_may_say_in_disconnect_is_an_offence() {
    for reason in [ReasonCode::SessionTakenOver, ReasonCode::ServerShuttingDown, ReasonCode::KeepAliveTimeout]
    {
        assert_eq!(
            Stage::new(V5, Limits::default()).ends(&disconnect(reason, None)),
            ReasonCode::ProtocolError
        );
    }
}

#[test]
fn mqtt_4_9_0_1_what_an_earlier_connection_left_unreleased_takes_nothing_from_the_receive_maximum() {
    let limits = Limits { receive_maximum: 2, ..Limits::default() };
    let mut stage = Stage::new(V5, limits);
    let publishes = |ids: [u16; 2]| ids.map(|id| pub5("sub/a", "m", 2, id)).concat();
    assert_eq!(stage.reads(&publishes([1, 2])).len(), 2);
    stage.conversation.session.inbound.lock().connection_begins();
    assert_eq!(stage.reads(&publishes([3, 4])), [pubrec(3, OK), pubrec(4, OK)]);
    // A repeat of an earlier one is known, and takes nothing either.
    assert_eq!(stage.reads(&pub5("sub/a", "m", 2, 1)), [pubrec(1, OK)]);
    assert_eq!(stage.reads(&ack(AckKind::Pubrel, 1)).len(), 1);
    assert_eq!(stage.ends(&pub5("sub/a", "m", 2, 5)), ReasonCode::ReceiveMaximumExceeded);
}

#[test]
fn acknowledgements_of_a_batch_are_handled_and_make_room() {
    let mut stage = Stage::new(V5, Limits { in_flight: 2, ..Limits::default() });
    let session: Arc<Session> = Arc::clone(&stage.conversation.session);
    for payload in ["1", "2", "3", "4"] {
        publish(&session, payload, QoS::ExactlyOnce, &mut stage.bench);
    }
    assert_eq!(stage.peer.payloads(), ["1", "2"]);
    let bytes = [ack(AckKind::Pubrec, 1), ack(AckKind::Pubrec, 2), ping(), ack(AckKind::Pubcomp, 1)].concat();
    let seen = stage.reads(&bytes);
    // Acknowledgements take effect before what stands behind them.
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[..2], [1, 2].map(|id| Seen::Ack(AckKind::Pubrel, id, OK)));
    assert_eq!(seen[2], Seen::Pingresp);
    assert!(matches!(&seen[3], Seen::Publish(next) if next.payload == *b"3"));
}

#[test]
fn mqtt_3_14_4_1_nothing_follows_disconnect() {
    let mut stage = Stage::new(V5, Limits { in_flight: 1, ..Limits::default() });
    let session = Arc::clone(&stage.conversation.session);
    publish(&session, "1", QoS::AtLeastOnce, &mut stage.bench);
    publish(&session, "2", QoS::AtLeastOnce, &mut stage.bench);
    let farewell = aldis_session::Farewell::new(ReasonCode::ProtocolError, "what it did");
    stage.conversation.say_farewell(farewell, &mut stage.bench);
    // Before it is even written, and after.
    let all = subscription(&session, "#", QoS::AtLeastOnce);
    let message = Arc::new(scripted_wire::publication("topic/name", "3", QoS::AtMostOnce));
    let offered = session.offer(&[all], &aldis_session::Offering::of(&message), &mut stage.bench);
    assert_eq!(offered, Offered::Dropped(DropReason::Offline));
    stage.bench.finish();
    assert_eq!(publish(&session, "4", QoS::AtLeastOnce, &mut stage.bench), Offered::Queued);
    let seen = stage.peer.read();
    assert_eq!(seen.last(), Some(&Seen::Disconnect(ReasonCode::ProtocolError)), "{seen:?}");
}

#[test]
fn a_client_that_never_reads_its_answers_is_ended() {
    let limits = Limits { outbox_bytes: 100, answers_bytes: 100, packet_size: 100, ..Limits::default() };
    let mut stage = Stage::new(V5, limits);
    stage.peer.wire.will([scripted_wire::Step::Block]);
    let pings: Vec<u8> = (0..100).flat_map(|_| ping()).collect();
    assert!(matches!(stage.turn(&pings).next, Next::Read));
    assert_eq!(stage.ends(&pings), ReasonCode::QuotaExceeded);
}

#[test]
fn finding_3_a_conversation_that_was_taken_over_answers_nothing_into_the_new_connection() {
    let mut stage = Stage::new(V5, Limits::default());
    let session = Arc::clone(&stage.conversation.session);
    session.outbox.lock().detach(stage.conversation.connection, &mut stage.bench);
    let mut new = Peer::new(V5);
    scripted_wire::connect(&session, &mut new, terms(), &mut stage.bench);
    assert_eq!(new.read().len(), 1);
    stage.turn(&[pub5("sub/a", "m", 1, 1), ping(), ack(AckKind::Pubrec, 1)].concat());
    let suback = Suback::new(packet_id(1), vec![0]);
    stage.conversation.append(&Packet::Suback(suback), &mut stage.bench);
    stage.bench.finish();
    assert!(new.wire.new_frames().is_empty() && stage.peer.read().is_empty());
}

#[test]
fn mqtt_3_3_2_18_the_message_is_passed_on_as_it_came() {
    let properties = [0x01, 1, 0x03, 0, 1, b'x', 0x26, 0, 1, b'k', 0, 1, b'v'];
    let mut message = a_publish("sub/a", "m", 1, 1);
    message.properties.forwarded = properties.as_slice().into();
    message.properties.message_expiry = Some(9);
    let mut stage = Stage::new(V5, Limits::default());
    stage.reads(&encoded(&message, V5));
    let frame = stage.subscriber.wire.new_frames().pop().unwrap();
    assert!(frame.windows(properties.len()).any(|window| window == properties));
    assert!(frame.windows(5).any(|window| window == [0x02, 0, 0, 0, 9]));
}

/// A shared subscription of which nobody can take anything is work, too.
#[test]
fn offering_to_groups_is_work_for_a_turn() {
    struct Groups(Vec<Arc<Group>>);
    impl Router for Groups {
        fn generation(&self) -> u64 {
            1
        }
        fn resolve(&self, _: &str) -> Arc<Route> {
            Arc::new(Route { targets: self.0.iter().cloned().map(Target::Group).collect(), steps: 1 })
        }
    }
    let mut stage = Stage::new(V5, Limits::default());
    let session = scripted_wire::session(9, "away", &Limits::default());
    let groups = (0..2_000).map(|number| {
        let group = Arc::new(Group::new(number, Arc::from("$share/g/sub"), Arc::new(Limits::default())));
        group.join(&subscription(&session, "$share/g/sub", QoS::AtLeastOnce));
        group.offline(9);
        group
    });
    let groups = Groups(groups.collect());
    let bytes = pub5("sub", "m", 1, 1).repeat(100);
    let turned = stage.conversation.turn(Input::Borrowed(&bytes), &groups, &mut stage.bench);
    assert!(matches!(turned.next, Next::Yield));
    assert!(turned.consumed <= 10 * bytes.len() / 100, "{}", turned.consumed);
}
