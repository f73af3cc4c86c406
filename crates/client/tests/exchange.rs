//! Whole exchanges, with other packets in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod broker;

use aldis_client::{ClientError, Options, Outgoing, Received};
use aldis_packet::*;
use broker::{ack, connected, id, message};

fn exactly_once(topic: &str) -> Outgoing {
    Outgoing::new(topic, "x").qos(QoS::ExactlyOnce)
}

#[tokio::test]
async fn a_qos_2_exchange_keeps_what_comes_in_between_in_order() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let script = async {
        broker.expect(&Packet::Publish(exactly_once("out").to_packet(Some(id(1))))).await;
        broker.publish(&Outgoing::new("first", "")).await;
        // Acknowledgements of another packet are not taken for this one's.
        broker.send(&ack(AckKind::Pubrec, 2, ReasonCode::Success)).await;
        broker.send(&ack(AckKind::Pubrec, 1, ReasonCode::NoMatchingSubscribers)).await;
        broker.expect(&ack(AckKind::Pubrel, 1, ReasonCode::Success)).await;
        broker.publish(&exactly_once("second").packet_id(id(1))).await;
        broker.send(&Packet::Pingresp).await;
        broker.publish(&Outgoing::new("third", "")).await;
        broker.send(&ack(AckKind::Pubcomp, 1, ReasonCode::Success)).await;
        broker.publish(&Outgoing::new("fourth", "")).await;
    };
    let ((), reason) = tokio::join!(script, client.publish_and_wait(exactly_once("out")));
    assert_eq!(reason.unwrap(), ReasonCode::NoMatchingSubscribers);

    assert_eq!(message(client.receive().await.unwrap()).topic, "first");
    // A message may be taken out of its turn among the others; the rest stays in order.
    assert_eq!(client.next_message().await.unwrap().topic, "second");
    let pubrec = Ack::new(AckKind::Pubrec, id(2), ReasonCode::Success);
    assert_eq!(client.receive().await.unwrap(), Received::Ack(pubrec));
    assert_eq!(client.receive().await.unwrap(), Received::Pingresp);
    assert_eq!(message(client.receive().await.unwrap()).topic, "third");
    assert_eq!(message(client.receive().await.unwrap()).topic, "fourth");
}

#[tokio::test]
async fn publish_and_wait_gives_the_reason_of_whichever_acknowledgement_refuses() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    assert_eq!(client.publish_and_wait(Outgoing::new("t", "")).await.unwrap(), ReasonCode::Success);

    broker.send(&ack(AckKind::Puback, 1, ReasonCode::QuotaExceeded)).await;
    let reason = client.publish_and_wait(Outgoing::new("t", "").qos(QoS::AtLeastOnce)).await.unwrap();
    assert_eq!(reason, ReasonCode::QuotaExceeded);

    broker.send(&ack(AckKind::Pubrec, 2, ReasonCode::NotAuthorized)).await;
    assert_eq!(client.publish_and_wait(exactly_once("t")).await.unwrap(), ReasonCode::NotAuthorized);

    broker.send(&ack(AckKind::Pubrec, 3, ReasonCode::Success)).await;
    broker.send(&ack(AckKind::Pubcomp, 3, ReasonCode::PacketIdentifierNotFound)).await;
    let reason = client.publish_and_wait(exactly_once("t")).await.unwrap();
    assert_eq!(reason, ReasonCode::PacketIdentifierNotFound);
}

#[tokio::test]
async fn subscribe_unsubscribe_and_ping_wait_for_their_answers() {
    for version in [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5] {
        let (mut broker, mut client) = connected(Options::new("me").version(version)).await;
        let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(QoS::ExactlyOnce) };
        let script = async {
            let filters = vec![("a/#".to_owned(), options), ("b".to_owned(), SubscriptionOptions::default())];
            let subscription_id = Some(5);
            let user_properties = Vec::new();
            let subscribe = Subscribe { packet_id: id(1), filters, subscription_id, user_properties };
            broker.expect(&Packet::Subscribe(subscribe)).await;
            broker.publish(&Outgoing::new("a/retained", "").retain()).await;
            broker.send(&Packet::Suback(Suback::new(id(1), vec![2, 0x80]))).await;
            let filters = vec!["a/#".to_owned(), "b".to_owned()];
            let unsubscribe = Unsubscribe { packet_id: id(2), filters, user_properties: Vec::new() };
            broker.expect(&Packet::Unsubscribe(unsubscribe)).await;
            broker.send(&Packet::Unsuback(Unsuback::new(id(2), vec![0, 0x11]))).await;
            broker.expect(&Packet::Pingreq).await;
            broker.send(&Packet::Pingresp).await;
        };
        let requests = async {
            let filters = [("a/#", options), ("b", SubscriptionOptions::default())];
            let suback = client.subscribe(&filters, Some(5)).await.unwrap();
            assert_eq!(suback.reasons, [2, 0x80]);
            let unsuback = client.unsubscribe(&["a/#", "b"]).await.unwrap();
            let expected: &[u8] = if version == ProtocolVersion::V5 { &[0, 0x11] } else { &[] };
            assert_eq!(unsuback.reasons, expected);
            client.ping().await.unwrap();
            assert!(client.next_message().await.unwrap().retain);
        };
        tokio::join!(script, requests);
    }
}

#[tokio::test]
async fn acknowledge_does_what_the_qos_wants() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let script = async {
        broker.publish(&Outgoing::new("zero", "")).await;
        broker.publish(&Outgoing::new("one", "").qos(QoS::AtLeastOnce).packet_id(id(10))).await;
        broker.publish(&exactly_once("two").packet_id(id(20))).await;
        broker.expect(&ack(AckKind::Puback, 10, ReasonCode::Success)).await;
        broker.expect(&ack(AckKind::Pubrec, 20, ReasonCode::Success)).await;
        broker.publish(&Outgoing::new("between", "")).await;
        broker.send(&ack(AckKind::Pubrel, 20, ReasonCode::Success)).await;
        broker.expect(&ack(AckKind::Pubcomp, 20, ReasonCode::Success)).await;
    };
    let requests = async {
        for topic in ["zero", "one", "two"] {
            let message = client.next_message().await.unwrap();
            assert_eq!(message.topic, topic);
            client.acknowledge(&message).await.unwrap();
        }
        assert_eq!(client.next_message().await.unwrap().topic, "between");
    };
    tokio::join!(script, requests);
}

#[tokio::test]
async fn a_disconnect_instead_of_an_answer_is_an_error_that_holds_it() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    let disconnect = Disconnect::new(ReasonCode::TopicFilterInvalid);
    broker.publish(&Outgoing::new("before", "")).await;
    broker.send(&Packet::Disconnect(Box::new(disconnect.clone()))).await;
    match client.subscribe(&[("a#", SubscriptionOptions::default())], None).await {
        Err(ClientError::Disconnected(found)) => assert_eq!(*found, disconnect),
        other => panic!("{other:?}"),
    }
    drop(broker);
    assert_eq!(message(client.receive().await.unwrap()).topic, "before");
    assert!(matches!(client.receive().await, Err(ClientError::Closed)));
}

#[tokio::test]
async fn an_exchange_that_is_broken_off_loses_no_packet() {
    let (mut broker, mut client) = connected(Options::new("me")).await;
    broker.publish(&Outgoing::new("kept", "")).await;
    let wait = client.publish_and_wait(Outgoing::new("t", "").qos(QoS::AtLeastOnce));
    assert!(tokio::time::timeout(std::time::Duration::ZERO, wait).await.is_err());
    broker.send(&ack(AckKind::Puback, 1, ReasonCode::Success)).await;
    assert_eq!(message(client.receive().await.unwrap()).topic, "kept");
    assert!(matches!(client.receive().await.unwrap(), Received::Ack(_)));
}
