//! The way in: the stream becomes bytes, bytes become packets, topic aliases become topics. Not here: what is
//! done about a packet.

use crate::error::ClientError;
use crate::kept::Kept;
use crate::message::Message;
use crate::packet_ids::PacketIds;
use crate::received::Received;
use aldis_packet::{
    Connect, DecodeError, DecodeLimits, Framed, Packet, ProtocolVersion, Publish, ReasonCode, decode,
    next_frame,
};
use bytes::{Bytes, BytesMut};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What MQTT can express, in bytes with the fixed header. The buffer grows as bytes arrive, not before, so a
/// broker that only announces such a packet costs nothing.
const MAXIMUM_PACKET_SIZE: usize = 268_435_455 + 5;
/// A read gets more room when it has less than this, in bytes.
const LEAST_READ: usize = 512;
/// The room that is made at first, in bytes: an idle client costs no more.
const FIRST_READ: usize = 4 << 10;
/// The room that is made when reads have filled it again and again, in bytes: with more, a system call is no
/// longer what reading costs.
const LARGEST_READ: usize = 64 << 10;
/// User properties in one packet. Each may take ten times the memory that it took on the way.
const USER_PROPERTIES: usize = 10_000;

/// A reading buffer and what it takes to understand its contents.
#[derive(Debug)]
pub(crate) struct Inbound {
    version: ProtocolVersion,
    maximum_packet_size: usize,
    topic_alias_maximum: u16,
    topic_aliases: HashMap<u16, String>,
    ids: PacketIds,
    /// Bytes that were read and not yet understood. Packets are split off its front and keep sharing its
    /// memory, so that a payload is never copied.
    buffer: BytesMut,
    /// How much room is made next, in bytes.
    room: usize,
    /// Why nothing more can be understood.
    failed: Option<DecodeError>,
    pub(crate) kept: Kept,
}

impl Inbound {
    pub(crate) fn new(version: ProtocolVersion, ids: PacketIds) -> Inbound {
        Inbound {
            version,
            maximum_packet_size: MAXIMUM_PACKET_SIZE,
            topic_alias_maximum: 0,
            topic_aliases: HashMap::new(),
            ids,
            buffer: BytesMut::new(),
            room: FIRST_READ,
            failed: None,
            kept: Kept::default(),
        }
    }

    /// Holds the broker to what this CONNECT says.
    pub(crate) fn expect_answers_to(&mut self, connect: &Connect) {
        self.version = connect.version;
        if connect.version == ProtocolVersion::V5 {
            self.topic_alias_maximum = connect.properties.topic_alias_maximum.unwrap_or(0);
            let size = connect.properties.maximum_packet_size.and_then(|size| usize::try_from(size).ok());
            self.maximum_packet_size = size.unwrap_or(MAXIMUM_PACKET_SIZE);
        }
    }

    /// The next packet: one that was kept, otherwise one from the stream. Cancel-safe.
    pub(crate) async fn receive<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
    ) -> Result<Received, ClientError> {
        match self.kept.take() {
            Some(packet) => Ok(packet),
            None => self.receive_new(stream).await,
        }
    }

    /// The next message, kept or from the stream; other packets are kept. Cancel-safe.
    pub(crate) async fn next_message<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
    ) -> Result<Message, ClientError> {
        if let Some(message) = self.kept.take_message() {
            return Ok(message);
        }
        self.wait_for(stream, |packet| match packet {
            Received::Publish(message) => ControlFlow::Break(message),
            other => ControlFlow::Continue(other),
        })
        .await
    }

    /// Receives from the stream until `wanted` breaks with what it was after; what it continues with is kept.
    /// Cancel-safe. Fails if the broker sends DISCONNECT.
    pub(crate) async fn wait_for<R: AsyncRead + Unpin, T>(
        &mut self,
        stream: &mut R,
        mut wanted: impl FnMut(Received) -> ControlFlow<T, Received>,
    ) -> Result<T, ClientError> {
        loop {
            match wanted(self.receive_new(stream).await?) {
                ControlFlow::Break(found) => return Ok(found),
                ControlFlow::Continue(Received::Disconnect(disconnect)) => {
                    return Err(ClientError::Disconnected(disconnect));
                }
                ControlFlow::Continue(other) => self.kept.put(other)?,
            }
        }
    }

    /// The next packet from the stream. Cancel-safe: the only await is a read into the buffer, which has
    /// either happened or not.
    pub(crate) async fn receive_new<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
    ) -> Result<Received, ClientError> {
        loop {
            let missing = match self.next_in_buffer()? {
                Progress::Packet(packet) => return Ok(packet),
                Progress::Missing(bytes) => bytes,
            };
            self.make_room(missing);
            let room = self.spare();
            let read = stream.read_buf(&mut self.buffer).await?;
            if read == 0 {
                return Err(if self.buffer.is_empty() {
                    ClientError::Closed
                } else {
                    ClientError::Truncated
                });
            }
            if read == room {
                self.room = LARGEST_READ.min(self.room * 2);
            }
        }
    }

    /// Makes room for a read when there is too little. New memory is taken only then: the messages of many small
    /// reads share one piece, and whoever keeps one of them does not keep a whole piece for it.
    ///
    /// A large packet gets room as it arrives, each time as much as is there already: in all it is copied at most
    /// twice, and nobody can make the client allocate what was only announced.
    fn make_room(&mut self, missing: usize) {
        let least = missing.min(self.buffer.len()).max(LEAST_READ);
        if self.spare() < least {
            self.buffer.reserve(least.max(self.room));
        }
    }

    fn spare(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Takes the first packet out of the buffer.
    fn next_in_buffer(&mut self) -> Result<Progress, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let progress = self.split_packet().and_then(|split| match split {
            Split::Whole(bytes) => self.read_packet(&bytes).map(Progress::Packet),
            Split::Missing(bytes) => Ok(Progress::Missing(bytes)),
        });
        match &progress {
            Ok(Progress::Packet(packet)) => {
                if let Some(id) = packet.frees() {
                    self.ids.free(id);
                }
            }
            Ok(Progress::Missing(_)) => {}
            Err(error) => self.failed = Some(*error),
        }
        progress
    }

    fn split_packet(&mut self) -> Result<Split, DecodeError> {
        match next_frame(&self.buffer, self.maximum_packet_size)? {
            Framed::Whole { size, .. } => Ok(Split::Whole(self.buffer.split_to(size).freeze())),
            Framed::Partial { size } => {
                Ok(Split::Missing(size.unwrap_or(0).saturating_sub(self.buffer.len())))
            }
        }
    }

    /// Reads the one packet that `bytes` are.
    fn read_packet(&mut self, bytes: &Bytes) -> Result<Received, DecodeError> {
        let Framed::Whole { frame, .. } = next_frame(bytes, self.maximum_packet_size)? else {
            return Err(protocol_error("", "the packet is incomplete"));
        };
        let limits = DecodeLimits { user_properties: USER_PROPERTIES };
        match decode(&frame, self.version, &limits)? {
            Packet::Publish(publish) => self.read_message(publish, bytes).map(Received::Publish),
            Packet::Ack(ack) => Ok(Received::Ack(ack)),
            Packet::Suback(suback) => Ok(Received::Suback(suback)),
            Packet::Unsuback(unsuback) => Ok(Received::Unsuback(unsuback)),
            Packet::Connack(connack) => Ok(Received::Connack(connack)),
            Packet::Pingresp => Ok(Received::Pingresp),
            Packet::Disconnect(disconnect) if self.version == ProtocolVersion::V5 => {
                Ok(Received::Disconnect(disconnect))
            }
            Packet::Auth(auth) => Ok(Received::Auth(auth)),
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq
            | Packet::Disconnect(_) => Err(protocol_error("", "a broker may not send this packet")),
        }
    }

    fn read_message(&mut self, publish: Publish<'_>, bytes: &Bytes) -> Result<Message, DecodeError> {
        let topic = self.resolve_topic(&publish)?;
        Ok(Message {
            topic,
            payload: bytes.slice_ref(publish.payload),
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            packet_id: publish.packet_id,
            message_expiry: publish.properties.message_expiry,
            topic_alias: publish.properties.topic_alias,
            topic_omitted: publish.topic.is_empty(),
            subscription_ids: publish.properties.subscription_ids,
            properties: match publish.properties.forwarded {
                Cow::Borrowed(block) => bytes.slice_ref(block),
                Cow::Owned(block) => Bytes::from(block),
            },
        })
    }

    /// The topic that the packet names or its alias stands for (3.3.2.3.4 of MQTT 5). The client accepts every
    /// alias up to the maximum it gave [MQTT-3.3.2-10], and no other [MQTT-3.1.2-26], [MQTT-3.1.2-27].
    fn resolve_topic(&mut self, publish: &Publish<'_>) -> Result<String, DecodeError> {
        let Some(alias) = publish.properties.topic_alias else {
            return Ok(publish.topic.to_owned());
        };
        if alias > self.topic_alias_maximum {
            let clause = if self.topic_alias_maximum == 0 { "MQTT-3.1.2-27" } else { "MQTT-3.1.2-26" };
            let what = "the topic alias is higher than the client allows";
            return Err(DecodeError { reason: ReasonCode::TopicAliasInvalid, clause, what });
        }
        if !publish.topic.is_empty() {
            self.topic_aliases.insert(alias, publish.topic.to_owned());
            return Ok(publish.topic.to_owned());
        }
        self.topic_aliases
            .get(&alias)
            .cloned()
            .ok_or(protocol_error("", "the topic alias stands for no topic"))
    }
}

/// What the buffer gives.
enum Progress {
    Packet(Received),
    /// A packet that lacks so many bytes; 0 if that is not known yet.
    Missing(usize),
}

enum Split {
    Whole(Bytes),
    Missing(usize),
}

fn protocol_error(clause: &'static str, what: &'static str) -> DecodeError {
    DecodeError { reason: ReasonCode::ProtocolError, clause, what }
}
