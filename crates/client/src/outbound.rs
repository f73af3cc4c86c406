//! The way out: packets become bytes, bytes go to the stream. Not here: what is awaited in answer.

use crate::error::ClientError;
use crate::outgoing::Outgoing;
use crate::packet_ids::PacketIds;
use aldis_packet::{Packet, PacketId, ProtocolVersion, QoS, Subscribe, SubscriptionOptions, Unsubscribe};
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// A buffer that grew beyond this for a large packet is given back after it, in bytes.
const BUFFER_WORTH_KEEPING: usize = 64 << 10;

/// What has to be written, and which identifiers are in use.
///
/// A packet is in the buffer as a whole before its first byte is written. If the caller drops the future of a
/// `send` half way, the rest of that packet goes out in front of the next one: the stream stays well formed.
/// At most one packet is in the buffer, because the next is encoded only when the last is out.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) version: ProtocolVersion,
    pub(crate) ids: PacketIds,
    unsent: Vec<u8>,
    written: usize,
}

impl Outbound {
    pub(crate) fn new(version: ProtocolVersion) -> Outbound {
        Outbound { version, ids: PacketIds::default(), unsent: Vec::new(), written: 0 }
    }

    /// Writes what is left of the last packet, if its sending was broken off.
    pub(crate) async fn flush<W: AsyncWrite + Unpin>(&mut self, stream: &mut W) -> Result<(), ClientError> {
        while let Some(rest) = self.unsent.get(self.written..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest).await? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                written => self.written += written,
            }
        }
        self.written = 0;
        self.unsent.clear();
        self.unsent.shrink_to(BUFFER_WORTH_KEEPING);
        stream.flush().await?;
        Ok(())
    }

    pub(crate) async fn send<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        packet: &Packet<'_>,
    ) -> Result<(), ClientError> {
        self.flush(stream).await?;
        packet.encode(self.version, &mut self.unsent);
        self.flush(stream).await
    }

    pub(crate) async fn send_bytes<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        bytes: &[u8],
    ) -> Result<(), ClientError> {
        self.flush(stream).await?;
        self.unsent.extend_from_slice(bytes);
        self.flush(stream).await
    }

    pub(crate) async fn publish<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        message: &Outgoing,
    ) -> Result<Option<PacketId>, ClientError> {
        self.flush(stream).await?;
        let packet_id = match (message.qos, message.packet_id) {
            (QoS::AtMostOnce, _) => None,
            (_, Some(chosen)) => {
                self.ids.reserve(chosen);
                Some(chosen)
            }
            (_, None) => Some(self.take_packet_id()?),
        };
        message.to_packet(packet_id).encode(self.version, &mut self.unsent);
        self.flush(stream).await?;
        Ok(packet_id)
    }

    pub(crate) async fn subscribe<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        filters: &[(&str, SubscriptionOptions)],
        subscription_id: Option<u32>,
    ) -> Result<PacketId, ClientError> {
        self.flush(stream).await?;
        let packet_id = self.take_packet_id()?;
        let filters = filters.iter().map(|&(filter, options)| (filter.to_owned(), options)).collect();
        let subscribe = Subscribe { packet_id, filters, subscription_id, user_properties: Vec::new() };
        self.send(stream, &Packet::Subscribe(subscribe)).await?;
        Ok(packet_id)
    }

    pub(crate) async fn unsubscribe<W: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut W,
        filters: &[&str],
    ) -> Result<PacketId, ClientError> {
        self.flush(stream).await?;
        let packet_id = self.take_packet_id()?;
        let filters = filters.iter().map(|&filter| filter.to_owned()).collect();
        let unsubscribe = Unsubscribe { packet_id, filters, user_properties: Vec::new() };
        self.send(stream, &Packet::Unsubscribe(unsubscribe)).await?;
        Ok(packet_id)
    }

    pub(crate) fn take_packet_id(&self) -> Result<PacketId, ClientError> {
        self.ids.take().ok_or(ClientError::NoPacketIdLeft)
    }
}
