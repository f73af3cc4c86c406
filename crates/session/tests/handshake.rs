//! From the first byte to an accepted CONNECT: who is refused and how, and what is granted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::type_complexity,
    missing_docs
)]

use aldis_packet::{
    Connect, ConnectProperties, DecodeLimits, Framed, Packet, ProtocolVersion, QoS, ReasonCode, Will, decode,
    next_frame,
};
use aldis_session::{ClientTerms, First, Limits, Negotiated, Refusal, first_packet};
use bytes::Bytes;

const V31: ProtocolVersion = ProtocolVersion::V31;
const V311: ProtocolVersion = ProtocolVersion::V311;
const V5: ProtocolVersion = ProtocolVersion::V5;

fn connect(version: ProtocolVersion) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: "c".into(),
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn encoded(connect: &Connect) -> Vec<u8> {
    let mut bytes = Vec::new();
    connect.encode(&mut bytes);
    bytes
}

fn negotiate(connect: Connect, limits: &Limits) -> Result<Negotiated, Refusal> {
    Negotiated::new(connect, limits, || "assigned".into())
}

#[test]
fn a_connect_that_arrives_in_pieces_costs_nothing_but_its_bytes() {
    for version in [V31, V311, V5] {
        let bytes = encoded(&connect(version));
        for cut in 0..bytes.len() {
            let First::Partial(size) = first_packet(&bytes[..cut], &Limits::default()).unwrap() else {
                panic!("cut at {cut}");
            };
            assert_eq!(size, (cut > 1).then_some(bytes.len()));
        }
        let more = [bytes.clone(), vec![0xc0, 0]].concat();
        let First::Connect(read, size) = first_packet(&more, &Limits::default()).unwrap() else { panic!() };
        assert_eq!((*read, size), (connect(version), bytes.len()));
    }
}

/// The bytes of a first packet, and the answer: none, or its bytes from the second or (5.0) third on, up
/// to the properties.
#[test]
fn first_packets_that_are_refused() {
    let mut reserved = encoded(&connect(V311));
    reserved[9] |= 1;
    let mut reserved5 = encoded(&connect(V5));
    reserved5[9] |= 1;
    let mut level6 = encoded(&connect(V5));
    level6[8] = 6;
    let mut level2 = encoded(&connect(V311));
    level2[8] = 2;
    let mut name = encoded(&connect(V311));
    name[7] = b'X';
    let large = |version| encoded(&Connect { client_id: "x".repeat(300), ..connect(version) });
    let level = |byte| {
        let mut bytes = encoded(&connect(V311));
        bytes[8] = byte;
        bytes
    };
    let cases: [(&str, Vec<u8>, Option<&[u8]>); 12] = [
        ("PINGREQ [MQTT-3.1.0-1]", vec![0xc0, 0], None),
        ("GET / HTTP/1.1", b"GET / HTTP/1.1\r\n\r\n".to_vec(), None),
        ("TLS", vec![22, 3, 1, 0, 200], None),
        ("a remaining length without an end", vec![0x10, 0x80, 0x80, 0x80, 0x80], None),
        ("reserved flag, 3.1.1 [MQTT-3.1.2-3]", reserved, None),
        ("reserved flag, 5.0", reserved5, Some(&[0, 0x81])),
        ("level 6", level6, Some(&[0, 0x84])),
        ("level 2 of 3.1.1 [MQTT-3.1.2-2]", level2, Some(&[0, 1])),
        // They try this first, and then without the bit.
        ("a bridge of Mosquitto, 3.1.1", level(0x84), Some(&[0, 1])),
        ("a bridge of Mosquitto, 3.1", level(0x83), Some(&[0, 1])),
        ("too large, 3.1.1", large(V311), None),
        ("too large, 5.0", large(V5), Some(&[0, 0x95])),
    ];
    let limits = Limits { first_packet_size: 100, ..Limits::default() };
    for (what, bytes, answer) in cases {
        let refusal = first_packet(&bytes, &limits).unwrap_err();
        match answer {
            None => assert!(refusal.answer.is_empty(), "{what}: {:?}", refusal.answer),
            Some(codes) => {
                assert_eq!(refusal.answer[0], 0x20, "{what}");
                assert_eq!(usize::from(refusal.answer[1]), refusal.answer.len() - 2, "{what}");
                assert_eq!(&refusal.answer[2..4], codes, "{what}: {:x?}", refusal.answer);
                // 5.0 says why in words, too.
                assert_eq!(refusal.answer.len() > 4, codes[1] >= 0x80, "{what}");
            }
        }
    }
    // The name of the protocol is wrong: closed, with or without an answer [MQTT-3.1.2-1].
    assert!(first_packet(&name, &limits).is_err());
}

#[test]
fn connects_that_are_refused() {
    let empty = |version, clean_start| Connect { client_id: String::new(), clean_start, ..connect(version) };
    let mut method = connect(V5);
    method.properties.authentication_method = Some("SCRAM".into());
    let will = Will {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: vec!["a"; 200].join("/"),
        payload: Bytes::new(),
        delay: 0,
        message_expiry: None,
        forwarded: Bytes::new(),
    };
    let cases = [
        (empty(V31, true), ReasonCode::ClientIdentifierNotValid),
        (empty(V31, false), ReasonCode::ClientIdentifierNotValid),
        (empty(V311, false), ReasonCode::ClientIdentifierNotValid), // [MQTT-3.1.3-8]
        (method, ReasonCode::BadAuthenticationMethod),
        (Connect { will: Some(will.clone()), ..connect(V5) }, ReasonCode::TopicNameInvalid),
        (
            Connect { will: Some(Will { topic: "x".repeat(60_000), ..will }), ..connect(V311) },
            ReasonCode::TopicNameInvalid,
        ),
    ];
    let limits = Limits { topic_bytes: 50_000, ..Limits::default() };
    for (connect, reason) in cases {
        let version = connect.version;
        let refusal = negotiate(connect, &limits).unwrap_err();
        assert_eq!(refusal.why.reason, reason);
        let Ok(Framed::Whole { frame, size }) = next_frame(&refusal.answer, 1_000) else { panic!() };
        assert_eq!(size, refusal.answer.len());
        let Ok(Packet::Connack(connack)) = decode(&frame, version, &DecodeLimits::default()) else {
            panic!()
        };
        assert!(!connack.session_present && connack.reason != ReasonCode::Success);
    }
}

#[test]
fn an_empty_client_id_gets_one_and_mqtt_5_is_told() {
    for (version, clean_start) in [(V311, true), (V5, true), (V5, false)] {
        let asked = Connect { client_id: String::new(), clean_start, ..connect(version) };
        let negotiated = negotiate(asked, &Limits::default()).unwrap();
        assert_eq!(&*negotiated.client_id, "assigned");
        let mut bytes = Vec::new();
        negotiated.connack(false).encode(version, u32::MAX, &mut bytes);
        let told = bytes.windows(8).any(|window| window == b"assigned");
        assert_eq!(told, version == V5, "[MQTT-3.2.2-16]");
    }
}

#[test]
fn session_expiry_that_is_granted() {
    const DAY: u32 = 86_400;
    let limits =
        Limits { session_expiry_default: 30 * DAY, session_expiry_max: 60 * DAY, ..Limits::default() };
    let low = Limits { session_expiry_default: 30 * DAY, session_expiry_max: 5, ..Limits::default() };
    let none = Limits { session_expiry_max: 0, ..Limits::default() };
    // Version, clean, asked, limits, granted, told in CONNACK.
    let cases = [
        (V31, true, None, &limits, 0, None),
        (V311, true, None, &limits, 0, None),
        (V31, false, None, &limits, 30 * DAY, None),
        (V311, false, None, &limits, 30 * DAY, None),
        (V311, false, None, &low, 5, None),
        (V5, false, None, &limits, 0, None),
        (V5, true, Some(DAY), &limits, DAY, None),
        (V5, false, Some(DAY), &limits, DAY, None),
        (V5, false, Some(u32::MAX), &limits, 60 * DAY, Some(60 * DAY)),
        (V5, false, Some(u32::MAX), &Limits::default(), u32::MAX, None),
        (V5, false, Some(9), &low, 5, Some(5)),
        (V5, false, Some(9), &none, 0, Some(0)),
        (V5, true, Some(0), &low, 0, None),
    ];
    for (version, clean_start, asked, limits, granted, told) in cases {
        let mut asks = Connect { clean_start, ..connect(version) };
        asks.properties.session_expiry = asked;
        let negotiated = negotiate(asks, limits).unwrap();
        assert_eq!(negotiated.session_expiry, granted, "{version:?} {clean_start} {asked:?}");
        assert_eq!(negotiated.terms.lasting, granted > 0);
        assert_eq!(negotiated.clean_start, clean_start);
        if version == V5 {
            assert_eq!(negotiated.connack(false).properties.session_expiry, told, "{asked:?}");
        }
    }
}

#[test]
fn mqtt_3_1_2_21_keep_alive_that_is_granted() {
    // Cap, asked, granted.
    for (cap, asked, granted) in
        [(0, 0, 0), (0, 65_535, 65_535), (60, 0, 60), (60, 61, 60), (60, 60, 60), (60, 5, 5)]
    {
        let limits = Limits { keep_alive_max: cap, ..Limits::default() };
        let negotiated = negotiate(Connect { keep_alive: asked, ..connect(V5) }, &limits).unwrap();
        assert_eq!(negotiated.keep_alive, granted);
        let told = negotiated.connack(true).properties.server_keep_alive;
        assert_eq!(told, (granted != asked).then_some(granted), "cap {cap}, asked {asked}");
    }
}

#[test]
fn the_terms_of_a_client_and_those_of_the_broker() {
    let limits =
        Limits { receive_maximum: 77, packet_size: 5_000, topic_alias_maximum: 0, ..Limits::default() };
    let mut asks = connect(V5);
    asks.properties.receive_maximum = Some(3);
    asks.properties.maximum_packet_size = Some(1_000);
    asks.properties.topic_alias_maximum = Some(9);
    asks.properties.request_problem_information = Some(false);
    asks.properties.request_response_information = Some(true);
    asks.user_name = Some("user".into());
    let negotiated = negotiate(asks, &limits).unwrap();
    let expected = ClientTerms {
        version: V5,
        receive_maximum: 3,
        maximum_packet_size: 1_000,
        topic_alias_maximum: 9,
        problem_information: false,
        lasting: false,
    };
    assert_eq!((negotiated.terms, negotiated.user_name.as_deref()), (expected, Some("user")));
    let connack = negotiated.connack(true);
    assert!(connack.session_present);
    assert_eq!(connack.properties.receive_maximum, Some(77));
    assert_eq!(connack.properties.maximum_packet_size, Some(5_000));
    assert_eq!(connack.properties.topic_alias_maximum, None);
    assert!(connack.properties.response_information.is_some());
    for version in [V31, V311, V5] {
        let negotiated = negotiate(connect(version), &Limits::default()).unwrap();
        let expected = ClientTerms {
            version,
            receive_maximum: u16::MAX,
            maximum_packet_size: u32::MAX,
            topic_alias_maximum: 0,
            problem_information: true,
            lasting: false,
        };
        assert_eq!(negotiated.terms, expected);
        assert_eq!(negotiated.connack(false).properties.response_information, None);
    }
}

/// No CONNACK is larger than the client takes: what is only a proposal is left out first, then the connection
/// is refused, then closed without a word.
#[test]
fn mqtt_3_1_2_24_a_connack_fits_the_client() {
    let asks = |maximum| {
        let properties = ConnectProperties {
            maximum_packet_size: Some(maximum),
            request_response_information: Some(true),
            ..ConnectProperties::default()
        };
        Connect { client_id: "c".repeat(30), properties, ..connect(V5) }
    };
    let size = |negotiated: &Negotiated| {
        let mut bytes = Vec::new();
        negotiated.connack(true).encode(V5, negotiated.terms.maximum_packet_size, &mut bytes);
        (bytes.len(), negotiated.connack(true).properties.response_information.is_some())
    };
    let (whole, proposes) = size(&negotiate(asks(1_000), &Limits::default()).unwrap());
    assert!(proposes && whole < 100);
    let maximum = u32::try_from(whole).unwrap();
    assert_eq!(size(&negotiate(asks(maximum), &Limits::default()).unwrap()), (whole, true));
    let (less, proposes) = size(&negotiate(asks(maximum - 1), &Limits::default()).unwrap());
    assert!(!proposes && less < whole);
    for (maximum, answer) in [(less as u32 - 1, true), (5, true), (4, false), (1, false)] {
        let refusal = negotiate(asks(maximum), &Limits::default()).unwrap_err();
        assert_eq!(refusal.why.reason, ReasonCode::PacketTooLarge, "{maximum}");
        assert!(refusal.answer.len() <= maximum as usize);
        assert_eq!(!refusal.answer.is_empty(), answer, "{maximum}");
    }
    // A client id that would make no topic name is not built into one.
    let connect = Connect { client_id: "a/#".into(), ..asks(1_000) };
    let (_, proposes) = size(&negotiate(connect, &Limits::default()).unwrap());
    assert!(!proposes);
}
