//! A connection to a broker: opening it, sending, receiving, ending it. Not here: whole exchanges of packets
//! (`exchange`), and the two halves of a connection (`halves`).

use crate::error::ClientError;
use crate::halves::{Receiver, Sender};
use crate::inbound::Inbound;
use crate::message::Message;
use crate::options::Options;
use crate::outbound::Outbound;
use crate::outgoing::Outgoing;
use crate::received::Received;
use aldis_packet::{
    Ack, AckKind, Connack, Disconnect, Packet, PacketId, ProtocolVersion, ReasonCode, SubscriptionOptions,
};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;

/// How long [`Client::disconnect`] waits for the broker to close its side.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection to a broker over any stream. See the [crate](crate) for how it is used.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    pub(crate) stream: S,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
}

impl Client {
    /// Opens a TCP connection, without delay for small packets, and connects over it.
    ///
    /// # Errors
    /// [`ClientError::Io`] if there is no TCP connection, otherwise as [`Client::connect`].
    pub async fn tcp(
        address: impl ToSocketAddrs,
        options: Options,
    ) -> Result<(Client<TcpStream>, Connack), ClientError> {
        let stream = TcpStream::connect(address).await.map_err(ClientError::Io)?;
        stream.set_nodelay(true)?;
        Client::connect(stream, options).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Sends CONNECT and waits for CONNACK, however long that takes.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the CONNACK if its reason is an error; [`ClientError::Unexpected`] if
    /// another packet comes first [MQTT-3.2.0-1]; otherwise as [`Client::receive`].
    pub async fn connect(stream: S, options: Options) -> Result<(Client<S>, Connack), ClientError> {
        let mut client = Client::raw(stream, options.version);
        client.send(&Packet::Connect(Box::new(options.into_connect()))).await?;
        match client.receive().await? {
            Received::Connack(connack) if connack.reason.is_error() => Err(ClientError::Refused(connack)),
            Received::Connack(connack) => Ok((client, *connack)),
            other => Err(ClientError::Unexpected(Box::new(other))),
        }
    }

    /// A client that has sent nothing yet: everything else, CONNECT too, is up to the caller. What a CONNECT
    /// given to [`Client::send`] says about version, topic aliases and packet size is adopted; bytes given to
    /// [`Client::send_bytes`] are not looked at.
    pub fn raw(stream: S, version: ProtocolVersion) -> Client<S> {
        let outbound = Outbound::new(version);
        let inbound = Inbound::new(version, outbound.ids.clone());
        Client { stream, inbound, outbound }
    }

    /// Sends a packet, right or wrong; no packet identifier in it is checked or marked as in use.
    ///
    /// If the future is dropped before its end, the packet is sent not at all, or its rest goes out in front of
    /// whatever is sent next. This holds for everything that sends.
    ///
    /// # Errors
    /// [`ClientError::Closed`] or [`ClientError::Io`]. What the broker sent before it closed can still be
    /// received.
    pub async fn send(&mut self, packet: &Packet<'_>) -> Result<(), ClientError> {
        if let Packet::Connect(connect) = packet {
            self.outbound.version = connect.version;
            self.inbound.expect_answers_to(connect);
        }
        self.outbound.send(&mut self.stream, packet).await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.outbound.send_bytes(&mut self.stream, bytes).await
    }

    /// Sends an acknowledgement without properties.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_ack(
        &mut self,
        kind: AckKind,
        packet_id: PacketId,
        reason: ReasonCode,
    ) -> Result<(), ClientError> {
        self.send(&Packet::Ack(Ack::new(kind, packet_id, reason))).await
    }

    /// Sends a PUBLISH and waits for nothing; gives the packet identifier at QoS 1 and 2. The acknowledgements
    /// come from [`Client::receive`], and PUBREC is answered by hand.
    ///
    /// # Errors
    /// [`ClientError::NoPacketIdLeft`], otherwise as [`Client::send`].
    pub async fn publish(&mut self, message: Outgoing) -> Result<Option<PacketId>, ClientError> {
        self.outbound.publish(&mut self.stream, &message).await
    }

    /// Sends a SUBSCRIBE and waits for nothing; gives its packet identifier.
    ///
    /// # Errors
    /// As [`Client::publish`].
    pub async fn send_subscribe(
        &mut self,
        filters: &[(&str, SubscriptionOptions)],
        subscription_id: Option<u32>,
    ) -> Result<PacketId, ClientError> {
        self.outbound.subscribe(&mut self.stream, filters, subscription_id).await
    }

    /// Sends an UNSUBSCRIBE and waits for nothing; gives its packet identifier.
    ///
    /// # Errors
    /// As [`Client::publish`].
    pub async fn send_unsubscribe(&mut self, filters: &[&str]) -> Result<PacketId, ClientError> {
        self.outbound.unsubscribe(&mut self.stream, filters).await
    }

    /// The next free packet identifier [MQTT-2.2.1-3], in use from now on until it is finally acknowledged: for
    /// a packet that the caller makes.
    ///
    /// # Errors
    /// [`ClientError::NoPacketIdLeft`].
    pub fn take_packet_id(&mut self) -> Result<PacketId, ClientError> {
        self.outbound.take_packet_id()
    }

    /// Marks a packet identifier as in use: one from an earlier connection of a session that goes on.
    pub fn reserve_packet_id(&mut self, packet_id: PacketId) {
        self.outbound.ids.reserve(packet_id);
    }

    /// The next packet, in the order of arrival, and nothing is answered to it.
    ///
    /// Cancel-safe: if the future is dropped before its end, no byte and no packet is lost.
    ///
    /// # Errors
    /// [`ClientError::Closed`] or [`ClientError::Truncated`] at the end of the stream, [`ClientError::Decode`]
    /// for what a broker may not send, [`ClientError::Io`].
    pub async fn receive(&mut self) -> Result<Received, ClientError> {
        self.inbound.receive(&mut self.stream).await
    }

    /// As [`Client::receive`]; `None` if no packet is complete within this time. With [`Duration::ZERO`] it
    /// gives what is there already. Cancel-safe.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub async fn receive_within(&mut self, time: Duration) -> Result<Option<Received>, ClientError> {
        timeout(time, self.receive()).await.ok().transpose()
    }

    /// The next PUBLISH, to be acknowledged by hand. Other packets stay for [`Client::receive`]. Cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Disconnected`] if the broker sends DISCONNECT, [`ClientError::TooMuchKept`], otherwise as
    /// [`Client::receive`].
    pub async fn next_message(&mut self) -> Result<Message, ClientError> {
        self.inbound.next_message(&mut self.stream).await
    }

    /// Sends DISCONNECT with Normal disconnection, then as [`Client::disconnect_with`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn disconnect(self) -> Result<(), ClientError> {
        self.disconnect_with(Disconnect::new(ReasonCode::Success)).await
    }

    /// Sends this DISCONNECT, closes the way out [MQTT-3.14.4-1], and reads until the broker has closed too, for
    /// at most one second. The reading matters: TCP answers what arrives after the end with a reset, which
    /// could reach the broker before it has read the DISCONNECT. To end without DISCONNECT, drop the client.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn disconnect_with(mut self, disconnect: Disconnect) -> Result<(), ClientError> {
        self.send(&Packet::Disconnect(Box::new(disconnect))).await?;
        self.stream.shutdown().await?;
        let until_closed = async {
            let mut ignored = [0; 1024];
            while self.stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
        };
        // A broker that does not close in time is left behind; DISCONNECT has been handed over.
        let _left_behind = timeout(FAREWELL, until_closed).await;
        Ok(())
    }

    /// The stream. What was read and not yet received is lost.
    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Two halves that two tasks can use, so that a full way out does not keep the client from reading.
    pub fn split(self) -> (Sender<WriteHalf<S>>, Receiver<ReadHalf<S>>) {
        let (reading, writing) = tokio::io::split(self.stream);
        (Sender::new(writing, self.outbound), Receiver::new(reading, self.inbound))
    }
}
