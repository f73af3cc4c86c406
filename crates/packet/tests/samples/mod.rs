//! What the tests of this crate share: a notation for packets' bytes, and a valid packet of every kind.
#![allow(dead_code, reason = "each test file uses a part")]

use aldis_packet::*;

pub(crate) const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];
pub(crate) const NO_LIMIT: usize = usize::MAX;

/// A packet's bytes: the first byte, the Remaining Length, then `body` in this notation: hexadecimal digits;
/// `"abc"` for a string with its two bytes of length; `'abc'` for the bare bytes; `( … )` for a property block
/// with its length in front.
pub(crate) fn packet(first: u8, body: &str) -> Vec<u8> {
    let body = bytes(body);
    let mut packet = vec![first];
    put_length(body.len(), &mut packet);
    packet.extend(body);
    packet
}

pub(crate) fn bytes(notation: &str) -> Vec<u8> {
    let mut blocks = vec![Vec::new()];
    let mut rest = notation;
    while let Some(sign) = rest.chars().next() {
        let after = &rest[sign.len_utf8()..];
        rest = match sign {
            '"' | '\'' => {
                let (text, after) = after.split_once(sign).expect("a closing quote");
                if sign == '"' {
                    blocks.last_mut().unwrap().extend((text.len() as u16).to_be_bytes());
                }
                blocks.last_mut().unwrap().extend(text.as_bytes());
                after
            }
            '(' => {
                blocks.push(Vec::new());
                after
            }
            ')' => {
                let block = blocks.pop().unwrap();
                put_length(block.len(), blocks.last_mut().expect("an opening parenthesis"));
                blocks.last_mut().unwrap().extend(block);
                after
            }
            ' ' | '\n' => after,
            _ => {
                let byte = u8::from_str_radix(&rest[..2], 16).expect("two hexadecimal digits");
                blocks.last_mut().unwrap().push(byte);
                &rest[2..]
            }
        };
    }
    assert_eq!(blocks.len(), 1, "a block is not closed in {notation}");
    blocks.pop().unwrap()
}

pub(crate) fn put_length(mut length: usize, out: &mut Vec<u8>) {
    while length >= 0x80 {
        out.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

/// The one frame that `bytes` hold.
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    match next_frame(bytes, NO_LIMIT) {
        Ok(Framed::Whole { frame, size }) if size == bytes.len() => frame,
        other => panic!("not exactly one packet: {other:?}"),
    }
}

pub(crate) fn read(version: ProtocolVersion, bytes: &[u8]) -> Result<Packet<'_>, DecodeError> {
    decode(&frame(bytes), version, &DecodeLimits::default())
}

pub(crate) fn encoded(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out);
    out
}

/// A row of a table of malformed packets.
pub(crate) type Malformed<'a> = (ProtocolVersion, u8, &'a str, ReasonCode, &'static str, &'static str);

/// Every row is refused with its reason code, its clause and its words.
pub(crate) fn all_are_refused(rows: &[Malformed<'_>]) {
    for &(version, first, body, reason, clause, what) in rows {
        let bytes = packet(first, body);
        let expected = DecodeError { reason, clause, what };
        assert_eq!(read(version, &bytes), Err(expected), "MQTT {version}, first byte {first:02x}: {body}");
    }
}

pub(crate) fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) fn forwarded() -> bytes::Bytes {
    encode_forwarded([
        Property::UserProperty("first", "1"),
        Property::ResponseTopic("answers/to/me"),
        Property::PayloadFormatIndicator(1),
        Property::UserProperty("second", "2"),
        Property::ContentType("text/plain"),
        Property::CorrelationData(&[0, 0xFF, 7]),
    ])
}

/// Valid packets of a version, one or more of each type, with everything that version knows.
pub(crate) fn all(version: ProtocolVersion) -> Vec<Packet<'static>> {
    let mut packets = vec![Packet::Pingreq, Packet::Pingresp];
    packets.extend(connects(version));
    packets.extend(connacks(version));
    packets.extend(publishes(version));
    packets.extend(acknowledgements(version));
    packets.extend(subscriptions(version));
    packets.extend(endings(version));
    packets
}

fn v5<T: Default>(version: ProtocolVersion, value: T) -> T {
    if version == ProtocolVersion::V5 { value } else { T::default() }
}

fn connects(version: ProtocolVersion) -> Vec<Packet<'static>> {
    let plain = Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: "plain".to_owned(),
        will: None,
        user_name: None,
        password: None,
        properties: ConnectProperties::default(),
    };
    let full = Connect {
        version,
        clean_start: false,
        keep_alive: u16::MAX,
        client_id: "größe €\u{FEFF}".to_owned(),
        will: Some(Will {
            qos: QoS::ExactlyOnce,
            retain: true,
            topic: "clients/full/gone".to_owned(),
            payload: "farewell".into(),
            delay: v5(version, 30),
            message_expiry: v5(version, Some(3600)),
            forwarded: v5(version, forwarded()),
        }),
        user_name: text("user"),
        password: Some(bytes::Bytes::from_static(b"\0secret\xFF")),
        properties: v5(
            version,
            ConnectProperties {
                session_expiry: Some(u32::MAX),
                receive_maximum: Some(1),
                maximum_packet_size: Some(1 << 20),
                topic_alias_maximum: Some(0),
                request_response_information: Some(true),
                request_problem_information: Some(false),
                authentication_method: text("SCRAM-SHA-256"),
                authentication_data: Some("client-first".into()),
                user_properties: pairs(&[("k", "1"), ("k", "2"), ("", "")]),
            },
        ),
    };
    vec![Packet::Connect(Box::new(plain)), Packet::Connect(Box::new(full))]
}

fn connacks(version: ProtocolVersion) -> Vec<Packet<'static>> {
    let mut full = Connack::new(version != ProtocolVersion::V31, ReasonCode::Success);
    if version == ProtocolVersion::V5 {
        full.properties = ConnackProperties {
            session_expiry: Some(7200),
            receive_maximum: Some(10),
            maximum_qos: Some(QoS::AtLeastOnce),
            retain_available: Some(true),
            maximum_packet_size: Some(65_536),
            assigned_client_id: text("made-up"),
            topic_alias_maximum: Some(16),
            reason_string: text("welcome"),
            user_properties: pairs(&[("a", "b"), ("a", "b")]),
            wildcard_subscription_available: Some(true),
            subscription_ids_available: Some(false),
            shared_subscription_available: Some(true),
            server_keep_alive: Some(30),
            response_information: text("answers/made-up"),
            server_reference: text("other:1883"),
            authentication_method: text("SCRAM-SHA-256"),
            authentication_data: Some("server-final".into()),
        };
    }
    let refused = [
        ReasonCode::UnsupportedProtocolVersion,
        ReasonCode::ClientIdentifierNotValid,
        ReasonCode::ServerUnavailable,
        ReasonCode::BadUserNameOrPassword,
        ReasonCode::NotAuthorized,
    ];
    let mut packets = vec![Packet::Connack(Box::new(full))];
    packets.extend(refused.map(|reason| Packet::Connack(Box::new(Connack::new(false, reason)))));
    packets
}

fn publishes(version: ProtocolVersion) -> Vec<Packet<'static>> {
    let plain = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "a/b",
        packet_id: None,
        properties: PublishProperties::default(),
        payload: b"hello",
    };
    let full = Publish {
        dup: true,
        qos: QoS::ExactlyOnce,
        retain: true,
        topic: "/räume//\u{1F321}",
        packet_id: Some(id(u16::MAX)),
        properties: v5(
            version,
            PublishProperties {
                message_expiry: Some(0),
                topic_alias: Some(u16::MAX),
                subscription_ids: vec![1, 127, 128, 268_435_455],
                forwarded: forwarded().to_vec().into(),
            },
        ),
        payload: &[0; 200],
    };
    let empty = Publish { qos: QoS::AtLeastOnce, packet_id: Some(id(1)), payload: b"", ..plain.clone() };
    let mut packets = vec![Packet::Publish(plain.clone()), Packet::Publish(full), Packet::Publish(empty)];
    if version == ProtocolVersion::V5 {
        let properties = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
        packets.push(Packet::Publish(Publish { topic: "", properties, ..plain }));
    }
    packets
}

fn acknowledgements(version: ProtocolVersion) -> Vec<Packet<'static>> {
    let mut packets = Vec::new();
    for kind in [AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp] {
        let short = Ack::new(kind, id(258), ReasonCode::Success);
        packets.push(Packet::Ack(short.clone()));
        if version == ProtocolVersion::V5 {
            let reason = match kind {
                AckKind::Puback | AckKind::Pubrec => ReasonCode::NoMatchingSubscribers,
                AckKind::Pubrel | AckKind::Pubcomp => ReasonCode::PacketIdentifierNotFound,
            };
            packets.push(Packet::Ack(Ack { reason, ..short.clone() }));
            let (reason_string, user_properties) = (text("because"), pairs(&[("x", "y"), ("x", "z")]));
            packets.push(Packet::Ack(Ack { reason_string, user_properties, ..short }));
        }
    }
    packets
}

fn subscriptions(version: ProtocolVersion) -> Vec<Packet<'static>> {
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: v5(version, true),
        retain_as_published: v5(version, true),
        retain_handling: v5(version, RetainHandling::DoNotSend),
    };
    let shared = SubscriptionOptions { no_local: false, ..options };
    let user_properties = v5(version, pairs(&[("why", "because"), ("why", "not")]));
    let reason_string = v5(version, text("as asked"));
    let failure = if version == ProtocolVersion::V5 { 0x9E } else { 0x80 };
    vec![
        Packet::Subscribe(Subscribe {
            packet_id: id(1),
            filters: vec![
                ("#".to_owned(), options),
                ("$share/g/+/x".to_owned(), shared),
                ("plain".to_owned(), SubscriptionOptions::new(QoS::AtLeastOnce)),
            ],
            subscription_id: v5(version, Some(268_435_455)),
            user_properties: user_properties.clone(),
        }),
        Packet::Suback(Suback {
            packet_id: id(1),
            reasons: vec![0, 1, 2, failure],
            reason_string: reason_string.clone(),
            user_properties: user_properties.clone(),
        }),
        Packet::Unsubscribe(Unsubscribe {
            packet_id: id(2),
            filters: vec!["#".to_owned(), "a/+".to_owned()],
            user_properties: user_properties.clone(),
        }),
        Packet::Unsuback(Unsuback {
            packet_id: id(2),
            reasons: v5(version, vec![0, 0x11, 0x87]),
            reason_string,
            user_properties,
        }),
    ]
}

fn endings(version: ProtocolVersion) -> Vec<Packet<'static>> {
    let mut packets = vec![Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success)))];
    if version != ProtocolVersion::V5 {
        return packets;
    }
    packets.push(Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::DisconnectWithWill))));
    packets.push(Packet::Disconnect(Box::new(Disconnect {
        reason: ReasonCode::UseAnotherServer,
        session_expiry: Some(0),
        reason_string: text("moving"),
        server_reference: text("other:1883"),
        user_properties: pairs(&[("until", "tomorrow")]),
    })));
    packets.push(Packet::Auth(Box::new(Auth::new(ReasonCode::Success))));
    packets.push(Packet::Auth(Box::new(Auth {
        reason: ReasonCode::ContinueAuthentication,
        authentication_method: text("SCRAM-SHA-256"),
        authentication_data: Some("client-final".into()),
        reason_string: text("go on"),
        user_properties: pairs(&[("a", ""), ("", "b")]),
    })));
    packets
}
