//! What acknowledgements from a subscriber do to its in-flight window.

use crate::counters::DropReason;
use crate::outbound::Outbound;
use crate::remains::{Discarded, Remains};
use crate::segments::Segments;
use crate::violation::Violation;
use crate::window::Slot;
use crate::workbench::Workbench;
use aldis_packet::{Ack, AckKind, PacketId, PacketType, QoS, ReasonCode, encode_ack};
use aldis_store::Sequence;

impl Outbound {
    /// Handles PUBACK, PUBREC or PUBCOMP; a PUBREL in answer goes to `bytes`.
    ///
    /// An identifier that is not in use is no error: the exchange may have ended with an earlier
    /// connection. PUBREC is then answered by PUBREL with 0x92, so that the client can let go.
    ///
    /// # Errors
    /// An acknowledgement that does not belong to the state of its exchange: PUBACK for QoS 2,
    /// PUBREC for QoS 1, PUBCOMP before PUBREC.
    pub fn acknowledge(
        &mut self,
        kind: AckKind,
        id: PacketId,
        reason: ReasonCode,
        bytes: &mut Segments,
        bench: &mut Workbench,
    ) -> Result<(), Violation> {
        let wrong = |what| Err(Violation::new(ReasonCode::ProtocolError, "", what));
        let Some(slot) = self.window_mut().by_id(id) else {
            if kind == AckKind::Pubrec && !reason.is_error() {
                let open = bytes.open(&mut bench.spare);
                self.encode_pubrel_with(id, ReasonCode::PacketIdentifierNotFound, open, bench);
            }
            return Ok(());
        };
        let qos = match slot {
            Slot::Published(published) => Some(published.qos),
            _ => None,
        };
        match (kind, slot, qos) {
            (AckKind::Puback, _, Some(QoS::AtLeastOnce)) => self.complete(id, reason, bench),
            (AckKind::Pubrec, _, Some(QoS::ExactlyOnce)) if reason.is_error() => {
                self.complete(id, reason, bench);
            }
            (AckKind::Pubrec, slot, Some(QoS::ExactlyOnce)) => {
                // From here on only the PUBREL is ever sent again [MQTT-4.3.3-6].
                let number = slot.number();
                let published = std::mem::replace(slot, Slot::Released { number, after: 0 });
                self.let_go_of(published, bench);
                let after = self.record_received(number, bench);
                if let Some(slot) = self.window_mut().by_id(id) {
                    *slot = Slot::Released { number, after };
                }
                self.answer_pubrec(id, after, bytes, bench);
            }
            (AckKind::Pubrec, Slot::Released { after, .. }, _) => {
                let after = *after;
                self.answer_pubrec(id, after, bytes, bench);
            }
            (AckKind::Pubcomp, Slot::Released { .. }, _) => self.complete(id, ReasonCode::Success, bench),
            (AckKind::Puback, ..) => return wrong("PUBACK for a message that was not sent at QoS 1"),
            (AckKind::Pubrec, ..) => return wrong("PUBREC for a message that was not sent at QoS 2"),
            (AckKind::Pubcomp, ..) => return wrong("PUBCOMP without a PUBREL before it"),
            (AckKind::Pubrel, ..) => {}
        }
        Ok(())
    }

    /// Ends an exchange; a reason of 0x80 or more discards the message [MQTT-4.4.0-2], for a whole
    /// shared subscription too [MQTT-4.8.2-6].
    fn complete(&mut self, id: PacketId, reason: ReasonCode, bench: &mut Workbench) {
        self.acknowledged(id);
        self.free(id, bench);
        if reason.is_error() {
            self.drop_one(DropReason::RefusedByClient, bench);
        } else {
            self.ledger.completed += 1;
            bench.tally.completed += 1;
        }
    }

    /// PUBREL, when PUBREC is durable (gate e).
    fn answer_pubrec(&mut self, id: PacketId, after: Sequence, bytes: &mut Segments, bench: &mut Workbench) {
        if after <= bench.journal.committed() {
            return self.encode_pubrel(id, bytes, bench);
        }
        let mut pubrel = Vec::new();
        self.encode_pubrel_with(id, ReasonCode::Success, &mut pubrel, bench);
        self.park(after, &pubrel, bench);
    }

    pub(crate) fn encode_pubrel(&mut self, id: PacketId, bytes: &mut Segments, bench: &mut Workbench) {
        let open = bytes.open(&mut bench.spare);
        self.encode_pubrel_with(id, ReasonCode::Success, open, bench);
    }

    fn encode_pubrel_with(
        &self,
        id: PacketId,
        reason: ReasonCode,
        open: &mut Vec<u8>,
        bench: &mut Workbench,
    ) {
        let before = open.len();
        encode_ack(AckKind::Pubrel, id, reason, self.terms.version, open);
        bench.tally.sent(PacketType::Pubrel as u8, open.len() - before);
        if bench.traces {
            let shown = aldis_packet::Packet::Ack(Ack::new(AckKind::Pubrel, id, reason));
            bench.observer.sent(&self.identity.client_id, &shown);
        }
    }

    /// Counts `count` QoS 0 messages that were appended and now are written.
    pub(crate) fn qos0_written(&mut self, count: u32, bench: &mut Workbench) {
        self.ledger.completed += u64::from(count);
        bench.tally.completed += u64::from(count);
        bench.tally.waiting -= i64::from(count);
    }

    /// Counts `count` QoS 0 messages that were appended and never will be written.
    pub(crate) fn qos0_lost(&mut self, count: u32, bench: &mut Workbench) {
        self.ledger.drop_delivery(DropReason::ConnectionClosed, count, &mut bench.tally);
        bench.tally.waiting -= i64::from(count);
    }

    /// The connection of a lasting session is gone: QoS 0 messages in the queue go with it, unless
    /// the settings keep them.
    pub(crate) fn go_offline(&mut self, bench: &mut Workbench) -> Discarded {
        if self.limits.queue_qos0 {
            return Discarded::default();
        }
        let qos0 = self.queue_mut().take_qos0();
        let count = u32::try_from(qos0.len()).unwrap_or(u32::MAX);
        self.ledger.drop_delivery(DropReason::Offline, count, &mut bench.tally);
        bench.tally.waiting -= i64::from(count);
        bench.tally.queued_bytes -= qos0.bytes() as i64;
        bench.tally.held_bytes -= qos0.own_bytes() as i64;
        Discarded::of_client(qos0)
    }

    /// The session ends: everything in flight and queued is left to whoever ends it.
    pub(crate) fn end(&mut self) -> Remains {
        Remains::new(self.window_mut().take_all(), std::mem::take(self.queue_mut()))
    }
}
