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

mod talk;

use aldis_packet::{
    AckKind, Connack, Connect, ConnectProperties, DecodeLimits, Framed, Packet, ReasonCode, Suback,
    Unsubscribe, decode, next_frame,
};
use aldis_session::{Agreed, Conversation, Ending, Limits, Next, RefuseReason, Request};
use std::sync::Arc;
use talk::scripted_wire::{Seen, identity, packet_id};

use talk::*;

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
fn mqtt_3_4_2_2_a_refusal_says_why_to_whom_wants_to_know_and_has_room() {
    let words = |agreed: Agreed, topic: &str, qos: u8| {
        let mut stage = Stage::with(agreed, Limits::default());
        stage.turn(&pub5(topic, "m", qos, 7));
        let frames = stage.peer.wire.new_frames();
        let Framed::Whole { frame, .. } = next_frame(&frames[0], usize::MAX).unwrap() else { panic!() };
        let Ok(Packet::Ack(ack)) = decode(&frame, V5, &DecodeLimits::default()) else { panic!() };
        assert_eq!(ack.reason, ReasonCode::NotAuthorized);
        ack.reason_string
    };
    let sys = Some("only the broker publishes under $SYS".to_owned());
    assert_eq!(words(agreed(V5), "$SYS/a", 1), sys);
    assert_eq!(words(agreed(V5), "$SYS/a", 2), sys);
    assert_eq!(words(agreed(V5), "no/a", 1).unwrap(), "not authorized by the policy of this broker");
    assert_eq!(words(Agreed { problem_information: false, ..agreed(V5) }, "$SYS/a", 1), None);
    let size = 2 + 3 + 1 + 3 + sys.as_ref().map_or(0, String::len) as u32;
    assert_eq!(words(Agreed { maximum_packet_size: size, ..agreed(V5) }, "$SYS/a", 1), sys);
    assert_eq!(words(Agreed { maximum_packet_size: size - 1, ..agreed(V5) }, "$SYS/a", 1), None);
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
    let words = "filter 1: it has 200 levels, and limits.topic_levels is 128";
    assert_eq!(subscribing.refusal.as_deref(), Some(words));
    let unsubscribe =
        Unsubscribe { packet_id: packet_id(6), filters: vec!["a/+".into(), deep], user_properties: vec![] };
    let mut bytes = Vec::new();
    unsubscribe.encode(V5, &mut bytes);
    let Next::Ask(Request::Unsubscribe(unsubscribing)) = stage.turn(&bytes).next else { panic!() };
    assert_eq!((unsubscribing.packet_id.get(), unsubscribing.filters.len()), (6, 2));
    let words = "filter 2: it has 200 levels, and limits.topic_levels is 128";
    assert_eq!(unsubscribing.refusal.as_deref(), Some(words));
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
