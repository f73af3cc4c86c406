//! What the broker writes to its log about packets and refusals.

use aldis_packet::{PacketType, QoS, ReasonCode};
use aldis_session::{FilterRefusal, Observer, RefuseReason};
use std::fmt::Display;

/// Packets at the level `trace`, subscriptions at `debug`, refusals at the default level.
#[derive(Debug, Default)]
pub(crate) struct Log {
    refusals: crate::rate_limit::RateLimit,
}

impl Observer for Log {
    fn traces(&self) -> bool {
        tracing::enabled!(target: "aldis", tracing::Level::TRACE)
    }

    fn received(&self, client_id: &str, packet: &dyn Display) {
        tracing::trace!(target: "aldis", "{client_id:?} -> {packet}");
    }

    fn sent(&self, client_id: &str, packet: &dyn Display) {
        tracing::trace!(target: "aldis", "{client_id:?} <- {packet}");
    }

    fn refused(&self, client_id: &str, topic: &str, reason: RefuseReason, why: &dyn Display) {
        if reason == RefuseReason::Repeated {
            return;
        }
        if let Some(since) = self.refusals.allow() {
            tracing::warn!(target: "aldis", "refused: client {client_id:?}, PUBLISH to {topic:?}: {why}{since}");
        }
    }

    fn refused_filter(&self, client_id: &str, packet: PacketType, filter: &str, why: &FilterRefusal) {
        let (name, to) = match packet {
            PacketType::Unsubscribe => ("UNSUBSCRIBE", "from"),
            _ => ("SUBSCRIBE", "to"),
        };
        if let Some(more) = self.refusals.allow() {
            tracing::warn!(target: "aldis", "refused: client {client_id:?}, {name} {to} {filter:?}: {why}{more}");
        }
    }

    fn subscribed(&self, client_id: &str, filter: &str, granted: QoS) {
        tracing::debug!(target: "aldis", "{client_id:?} subscribes to {filter:?}: granted QoS {}", granted as u8);
    }

    fn unsubscribed(&self, client_id: &str, filter: &str, reason: ReasonCode) {
        let outcome = if reason == ReasonCode::Success { "done" } else { "it had no such subscription" };
        tracing::debug!(target: "aldis", "{client_id:?} unsubscribes from {filter:?}: {outcome}");
    }
}
