//! Opening and ending a connection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod broker;

use aldis_client::{Client, ClientError, Options, Outgoing, Received};
use aldis_packet::*;
use broker::{Broker, connack, connected};
use std::time::Duration;
use tokio::io::AsyncReadExt;

const VERSIONS: [ProtocolVersion; 3] = [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];

#[tokio::test]
async fn connect_sends_the_options_and_gives_the_connack() {
    for version in VERSIONS {
        let will = Outgoing::new("gone", "x").qos(QoS::AtLeastOnce).retain();
        let options =
            Options::new("me").version(version).resume().keep_alive(7).login("anna", b"secret").will(will);
        let (mut broker, stream) = Broker::new(version);
        let script = async {
            let expected = Connect {
                version,
                clean_start: false,
                keep_alive: 7,
                client_id: "me".to_owned(),
                will: Some(Will {
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    topic: "gone".to_owned(),
                    payload: "x".into(),
                    delay: 0,
                    message_expiry: None,
                    forwarded: "".into(),
                }),
                user_name: Some("anna".to_owned()),
                password: Some("secret".into()),
                properties: ConnectProperties::default(),
            };
            broker.expect(&Packet::Connect(Box::new(expected))).await;
            let session_present = version != ProtocolVersion::V31;
            broker.send(&Packet::Connack(Box::new(Connack::new(session_present, ReasonCode::Success)))).await;
        };
        let ((), outcome) = tokio::join!(script, Client::connect(stream, options));
        let (_, connack) = outcome.unwrap();
        assert_eq!(connack.reason, ReasonCode::Success);
        assert_eq!(connack.session_present, version != ProtocolVersion::V31);
    }
}

#[tokio::test]
async fn properties_of_connect_are_sent() {
    let options = Options::new("me")
        .session_expiry(60)
        .receive_maximum(3)
        .maximum_packet_size(1000)
        .topic_alias_maximum(5);
    let (_broker, _client) = connected(options).await;
}

#[tokio::test]
async fn a_refused_connection_is_an_error_with_the_connack() {
    for version in VERSIONS {
        let (mut broker, stream) = Broker::new(version);
        broker.send(&connack(ReasonCode::NotAuthorized)).await;
        match Client::connect(stream, Options::new("me").version(version)).await {
            Err(ClientError::Refused(connack)) => assert_eq!(connack.reason, ReasonCode::NotAuthorized),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn another_packet_before_connack_is_unexpected() {
    let (mut broker, stream) = Broker::new(ProtocolVersion::V5);
    broker.send(&Packet::Pingresp).await;
    match Client::connect(stream, Options::new("me")).await {
        Err(ClientError::Unexpected(packet)) => assert_eq!(*packet, Received::Pingresp),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broker_that_closes_instead_of_answering_is_closed() {
    let (broker, stream) = Broker::new(ProtocolVersion::V5);
    drop(broker);
    let error = Client::connect(stream, Options::new("me")).await.unwrap_err();
    assert!(matches!(error, ClientError::Closed), "{error}");
}

#[tokio::test]
async fn a_raw_client_sends_what_it_is_told_and_adopts_a_connect() {
    let (mut broker, stream) = Broker::new(ProtocolVersion::V311);
    let mut client = Client::raw(stream, ProtocolVersion::V5);
    client.send_bytes(&[0xF0, 0x00]).await.unwrap();
    let connect = Options::new("me").version(ProtocolVersion::V311).into_connect();
    client.send(&Packet::Connect(Box::new(connect.clone()))).await.unwrap();
    let mut bytes = [0; 2];
    broker.stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, [0xF0, 0x00]);
    broker.expect(&Packet::Connect(Box::new(connect))).await;
    // A CONNACK of 3.1.1 would be malformed in MQTT 5.
    broker.send(&connack(ReasonCode::Success)).await;
    assert!(matches!(client.receive().await.unwrap(), Received::Connack(_)));
}

#[tokio::test(start_paused = true)]
async fn disconnect_sends_disconnect_and_waits_for_the_broker_to_close() {
    let (mut broker, client) = connected(Options::new("me")).await;
    // Something unread on the way in must not keep the client from a clean end.
    broker.publish(&Outgoing::new("t", vec![0; 5000])).await;
    let script = async {
        broker.expect(&Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success)))).await;
        assert_eq!(broker.stream.read(&mut [0; 1]).await.unwrap(), 0, "the client's side is closed");
        drop(broker);
    };
    let before = tokio::time::Instant::now();
    let ((), outcome) = tokio::join!(script, client.disconnect());
    outcome.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO, "neither side waited for a time to pass");
}

#[tokio::test(start_paused = true)]
async fn disconnect_does_not_wait_for_ever() {
    let (mut broker, client) = connected(Options::new("me")).await;
    let before = tokio::time::Instant::now();
    let disconnect = Disconnect::new(ReasonCode::DisconnectWithWill);
    client.disconnect_with(disconnect.clone()).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(1));
    broker.expect(&Packet::Disconnect(Box::new(disconnect))).await;
}

#[tokio::test]
async fn tcp_connects_over_a_socket() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = async {
        use tokio::io::AsyncWriteExt;
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap();
        socket
    };
    let (socket, outcome) = tokio::join!(script, Client::tcp(address, Options::new("me")));
    let (mut client, _) = outcome.unwrap();
    // The CONNECT in the socket is unread: the system answers with a reset, which is a closed connection too.
    drop(socket);
    assert!(client.receive().await.unwrap_err().is_closed());
}

#[test]
fn options_do_not_show_the_password() {
    let shown = format!("{:?}", Options::new("me").login("anna", "hunter2"));
    assert!(shown.contains("anna") && !shown.contains("hunter2"), "{shown}");
}
