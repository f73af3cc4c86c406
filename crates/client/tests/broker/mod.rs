//! A broker that follows a script: it expects packets and sends packets, in the order the test says.
#![allow(dead_code, reason = "each test file uses a part")]

use aldis_client::{Client, Message, Options, Outgoing, Received};
use aldis_packet::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Room between the two sides, in bytes: most scripts fit into it, and need no second task then.
const ROOM: usize = 64 << 10;

pub(crate) struct Broker {
    pub(crate) stream: DuplexStream,
    pub(crate) version: ProtocolVersion,
}

impl Broker {
    /// A script and the stream of a client.
    pub(crate) fn new(version: ProtocolVersion) -> (Broker, DuplexStream) {
        let (stream, client) = duplex(ROOM);
        (Broker { stream, version }, client)
    }

    /// Reads as many bytes as the expected packet has, and compares.
    pub(crate) async fn expect(&mut self, packet: &Packet<'_>) {
        let mut expected = Vec::new();
        packet.encode(self.version, &mut expected);
        let mut found = vec![0; expected.len()];
        self.stream.read_exact(&mut found).await.unwrap();
        assert_eq!(found, expected, "expected {packet}");
    }

    pub(crate) async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn publish(&mut self, message: &Outgoing) {
        self.send(&Packet::Publish(message.to_packet(message.packet_id))).await;
    }
}

/// A client that is connected with these options, and has the CONNECT behind it.
pub(crate) async fn connected(options: Options) -> (Broker, Client<DuplexStream>) {
    let (mut broker, stream) = Broker::new(options.version);
    broker.send(&connack(ReasonCode::Success)).await;
    let (client, _) = Client::connect(stream, options.clone()).await.unwrap();
    broker.expect(&Packet::Connect(Box::new(options.into_connect()))).await;
    (broker, client)
}

pub(crate) fn connack(reason: ReasonCode) -> Packet<'static> {
    Packet::Connack(Box::new(Connack::new(false, reason)))
}

pub(crate) fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

pub(crate) fn ack(kind: AckKind, packet_id: u16, reason: ReasonCode) -> Packet<'static> {
    Packet::Ack(Ack::new(kind, id(packet_id), reason))
}

pub(crate) fn message(received: Received) -> Message {
    received.into_message().expect("a PUBLISH")
}
