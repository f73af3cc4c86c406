//! What the broker writes to its log about packets and refusals.

use aldis_packet::ReasonCode;
use aldis_session::{Observer, RefuseReason};
use std::fmt::Display;

/// Packets at the level `trace`, refusals at the default level.
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

    fn refused(&self, client_id: &str, topic: &str, reason: RefuseReason) {
        let why = match reason {
            RefuseReason::NotAuthorized => "it may not publish there",
            RefuseReason::RetainedFull => {
                "the retained store is at limits.retained_messages, limits.retained_bytes or limits.memory_watermark"
            }
            RefuseReason::Repeated => return,
        };
        if let Some(since) = self.refusals.allow() {
            tracing::warn!(target: "aldis", "refused: client {client_id:?}, PUBLISH to {topic:?}: {why}{since}");
        }
    }

    fn refused_filter(&self, client_id: &str, filter: &str, reason: ReasonCode) {
        let why = match reason {
            ReasonCode::NotAuthorized => "it may not subscribe to that",
            ReasonCode::QuotaExceeded => "it has limits.subscriptions already",
            _ => "the filter is longer than limits.topic_bytes or limits.topic_levels allow",
        };
        if let Some(more) = self.refusals.allow() {
            tracing::warn!(target: "aldis", "refused: client {client_id:?}, SUBSCRIBE to {filter:?}: {why}{more}");
        }
    }
}
