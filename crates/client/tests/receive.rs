//! Receiving: frames in pieces, aliases, what a broker may not send, the end of the stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod broker;

use aldis_client::{ClientError, Options, Outgoing, Received};
use aldis_packet::*;
use broker::{Broker, ack, connected, id, message};
use std::time::Duration;

const A_SECOND: Duration = Duration::from_secs(1);

fn bytes_of(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}

#[tokio::test]
async fn a_packet_in_single_bytes_arrives_whole_and_nothing_is_lost_by_giving_up() {
    for version in [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5] {
        let (mut broker, mut client) = connected(Options::new("me").version(version)).await;
        let payload = vec![b'x'; 200];
        let outgoing = Outgoing::new("a/b", &payload).qos(QoS::AtLeastOnce);
        let bytes = bytes_of(&Packet::Publish(outgoing.to_packet(Some(id(9)))), version);
        let (last, first) = bytes.split_last().unwrap();
        for &byte in first {
            broker.send_bytes(&[byte]).await;
            // The future is dropped each time: this is what cancel-safe means.
            assert_eq!(client.receive_within(Duration::ZERO).await.unwrap(), None);
        }
        broker.send_bytes(&[*last]).await;
        let received = message(client.receive().await.unwrap());
        assert_eq!((received.topic.as_str(), &received.payload[..]), ("a/b", &payload[..]));
        assert_eq!((received.qos, received.packet_id), (QoS::AtLeastOnce, Some(id(9))));
    }
}

#[tokio::test]
async fn many_packets_in_one_read_arrive_in_order() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let mut bytes = Vec::new();
    for number in 0..1000_u32 {
        let outgoing = Outgoing::new("t", number.to_be_bytes());
        Packet::Publish(outgoing.to_packet(None)).encode(ProtocolVersion::V5, &mut bytes);
    }
    let (_, received) = tokio::join!(broker.send_bytes(&bytes), async {
        let mut received = Vec::new();
        for _ in 0..1000 {
            received.push(client.next_message().await.unwrap());
        }
        received
    });
    for (number, message) in received.iter().enumerate() {
        assert_eq!(message.payload[..], (number as u32).to_be_bytes());
    }
}

#[tokio::test]
async fn a_large_packet_arrives_through_a_narrow_stream() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let payload: Vec<u8> = (0..8 << 20).map(|position: u32| (position / 251) as u8).collect();
    let outgoing = Outgoing::new("large", &payload);
    let ((), ()) = tokio::join!(broker.publish(&outgoing), async {
        let received = client.next_message().await.unwrap();
        assert!(received.payload == payload);
    });
    broker.publish(&Outgoing::new("small", "x")).await;
    assert_eq!(client.next_message().await.unwrap().topic, "small");
}

#[tokio::test]
async fn messages_of_small_reads_share_memory() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let outgoing = Outgoing::new("t", [b'x'; 10]);
    let mut messages = Vec::new();
    for _ in 0..1000 {
        broker.publish(&outgoing).await;
        messages.push(client.next_message().await.unwrap());
    }
    let size = bytes_of(&Packet::Publish(outgoing.to_packet(None)), ProtocolVersion::V5).len();
    let next_to_each_other = messages
        .windows(2)
        .filter(|pair| pair[0].payload.as_ptr().wrapping_add(size) == pair[1].payload.as_ptr())
        .count();
    assert!(next_to_each_other > 980, "{next_to_each_other} of 999");
}

#[tokio::test]
async fn every_field_of_a_publish_is_given() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let outgoing = Outgoing::new("t", "payload")
        .qos(QoS::ExactlyOnce)
        .retain()
        .repeated(id(77))
        .expiry(30)
        .user_property("one", "1")
        .properties([
            Property::ContentType("text/plain"),
            Property::ResponseTopic("answers"),
            Property::CorrelationData(b"42"),
            Property::PayloadFormatIndicator(1),
        ])
        .user_property("two", "2");
    let mut publish = outgoing.to_packet(Some(id(77)));
    publish.properties.subscription_ids = vec![3, 200_000];
    broker.send(&Packet::Publish(publish)).await;
    let received = client.next_message().await.unwrap();
    assert_eq!(received.payload, "payload");
    assert_eq!((received.qos, received.retain, received.dup), (QoS::ExactlyOnce, true, true));
    assert_eq!((received.packet_id, received.message_expiry), (Some(id(77)), Some(30)));
    assert_eq!((received.topic_alias, received.topic_omitted), (None, false));
    assert_eq!(received.subscription_ids, [3, 200_000]);
    assert_eq!(received.user_properties(), [("one", "1"), ("two", "2")]);
    assert_eq!(received.content_type(), Some("text/plain"));
    assert_eq!(received.response_topic(), Some("answers"));
    assert_eq!(received.correlation_data(), Some(&b"42"[..]));
    assert_eq!(received.payload_format(), Some(1));
    assert_eq!(received.properties, outgoing.properties);
}

#[tokio::test]
async fn topic_aliases_are_resolved_and_can_be_given_anew() {
    let (mut broker, mut client) = connected(Options::new("me").topic_alias_maximum(2)).await;
    for (topic, alias) in [("a", 1), ("b", 2), ("", 1), ("c", 1), ("", 1), ("", 2)] {
        broker.publish(&Outgoing::new(topic, "").alias(alias)).await;
    }
    let mut seen = Vec::new();
    for _ in 0..6 {
        let message = client.next_message().await.unwrap();
        seen.push((message.topic, message.topic_alias.unwrap(), message.topic_omitted));
    }
    let expected =
        [("a", 1, false), ("b", 2, false), ("a", 1, true), ("c", 1, false), ("c", 1, true), ("b", 2, true)];
    assert_eq!(seen, expected.map(|(topic, alias, omitted)| (topic.to_owned(), alias, omitted)));
}

#[tokio::test]
async fn aliases_that_were_not_allowed_or_never_given_are_errors_of_the_broker() {
    for (maximum, topic, alias, reason, clause) in [
        (None, "a", 1, ReasonCode::TopicAliasInvalid, "MQTT-3.1.2-27"),
        (Some(2), "a", 3, ReasonCode::TopicAliasInvalid, "MQTT-3.1.2-26"),
        (Some(2), "", 2, ReasonCode::ProtocolError, ""),
    ] {
        let mut options = Options::new("me");
        options.properties.topic_alias_maximum = maximum;
        let (mut broker, mut client) = connected(options).await;
        broker.publish(&Outgoing::new(topic, "").alias(alias)).await;
        match client.receive().await {
            Err(ClientError::Decode(error)) => assert_eq!((error.reason, error.clause), (reason, clause)),
            other => panic!("{other:?}"),
        }
    }
}

async fn received_from(
    version: ProtocolVersion,
    bytes: &[u8],
) -> (Broker, Vec<Result<Received, ClientError>>) {
    let (mut broker, mut client) =
        connected(Options::new("me").version(version).maximum_packet_size(100)).await;
    broker.send_bytes(bytes).await;
    let results = vec![
        client.receive_within(A_SECOND).await.map(|packet| packet.expect("a packet")),
        client.receive_within(A_SECOND).await.map(|packet| packet.expect("a packet")),
    ];
    (broker, results)
}

#[tokio::test(start_paused = true)]
async fn malformed_and_forbidden_bytes_are_decode_errors_for_good() {
    use ProtocolVersion::{V5, V311};
    let cases: [(ProtocolVersion, &[u8], ReasonCode); 8] = [
        (V5, &[0x00, 0x00], ReasonCode::MalformedPacket),
        (V5, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF], ReasonCode::MalformedPacket),
        (V5, &[0x36, 0x05, 0, 1, b'a', 0, 1], ReasonCode::MalformedPacket),
        (V5, &[0x30, 101], ReasonCode::PacketTooLarge),
        (V5, &[0xC0, 0x00], ReasonCode::ProtocolError),
        (V311, &[0xE0, 0x00], ReasonCode::ProtocolError),
        (V311, &[0xF0, 0x00], ReasonCode::MalformedPacket),
        (V5, &[0x82, 0x07, 0, 1, 0, 0, 1, b'a', 0], ReasonCode::ProtocolError),
    ];
    for (version, bytes, reason) in cases {
        let (_broker, results) = received_from(version, bytes).await;
        for result in results {
            match result {
                Err(ClientError::Decode(error)) => assert_eq!(error.reason, reason, "{bytes:?}"),
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_before_malformed_bytes_is_received_first() {
    let (_broker, mut results) = received_from(ProtocolVersion::V5, &[0xD0, 0x00, 0x00, 0x00]).await;
    assert!(matches!(results.pop(), Some(Err(ClientError::Decode(_)))));
    assert!(matches!(results.pop(), Some(Ok(Received::Pingresp))));
}

#[tokio::test]
async fn the_end_of_the_stream_tells_whether_a_packet_was_cut() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    broker.send(&Packet::Pingresp).await;
    drop(broker);
    assert_eq!(client.receive().await.unwrap(), Received::Pingresp);
    assert!(matches!(client.receive().await, Err(ClientError::Closed)));
    assert!(matches!(client.receive().await, Err(ClientError::Closed)));

    let (mut broker, mut client) = connected(Options::new("me")).await;
    broker.send_bytes(&[0x30, 5, 0]).await;
    drop(broker);
    assert!(matches!(client.receive().await, Err(ClientError::Truncated)));
}

#[tokio::test(start_paused = true)]
async fn receive_within_waits_so_long_and_no_longer() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let before = tokio::time::Instant::now();
    assert_eq!(client.receive_within(Duration::from_secs(3)).await.unwrap(), None);
    assert_eq!(before.elapsed(), Duration::from_secs(3));
    let later = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        broker.send(&Packet::Pingresp).await;
    };
    let ((), received) = tokio::join!(later, client.receive_within(Duration::from_secs(3)));
    assert_eq!(received.unwrap(), Some(Received::Pingresp));
}

#[tokio::test]
async fn every_packet_of_a_broker_is_received() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let mut disconnect = Disconnect::new(ReasonCode::SessionTakenOver);
    disconnect.reason_string = Some("elsewhere".to_owned());
    let mut auth = Auth::new(ReasonCode::ContinueAuthentication);
    auth.authentication_method = Some("method".to_owned());
    let packets = [
        ack(AckKind::Pubrel, 4, ReasonCode::PacketIdentifierNotFound),
        Packet::Suback(Suback::new(id(1), vec![0, 0x87])),
        Packet::Unsuback(Unsuback::new(id(2), vec![0x11])),
        Packet::Auth(Box::new(auth.clone())),
        Packet::Disconnect(Box::new(disconnect.clone())),
    ];
    for packet in &packets {
        broker.send(packet).await;
    }
    let mut received = Vec::new();
    for _ in &packets {
        received.push(client.receive().await.unwrap());
    }
    let expected = [
        Received::Ack(Ack::new(AckKind::Pubrel, id(4), ReasonCode::PacketIdentifierNotFound)),
        Received::Suback(Suback::new(id(1), vec![0, 0x87])),
        Received::Unsuback(Unsuback::new(id(2), vec![0x11])),
        Received::Auth(Box::new(auth)),
        Received::Disconnect(Box::new(disconnect)),
    ];
    assert_eq!(received, expected);
    let types: Vec<_> = received.iter().map(Received::packet_type).collect();
    assert_eq!(types, packets.map(|packet| packet.packet_type()));
}
