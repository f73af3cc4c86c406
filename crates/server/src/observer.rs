//! What the broker writes to its log about packets, subscriptions and refusals.
//!
//! It decides nothing and counts nothing. How often a line may come is up to [`Notices`]; lines about
//! whole connections are written where these begin and end, those about dropped messages by `drop_log`.

use crate::notices::{Kind, Notices};
use aldis_packet::{PacketType, QoS, Quoted, ReasonCode};
use aldis_session::{FilterRefusal, Observer, RefuseReason};
use std::fmt::Display;
use std::sync::Arc;

/// Packets at the level `trace`, subscriptions at `debug`, refusals at the default level.
#[derive(Debug)]
pub(crate) struct Log {
    notices: Arc<Notices>,
}

impl Log {
    pub(crate) fn new(notices: Arc<Notices>) -> Log {
        Log { notices }
    }
}

impl Observer for Log {
    fn traces(&self) -> bool {
        tracing::enabled!(target: "aldis", tracing::Level::TRACE)
    }

    fn received(&self, client_id: &str, packet: &dyn Display) {
        tracing::trace!(target: "aldis", "{} -> {packet}", Quoted(client_id));
    }

    fn sent(&self, client_id: &str, packet: &dyn Display) {
        tracing::trace!(target: "aldis", "{} <- {packet}", Quoted(client_id));
    }

    fn refused(&self, client_id: &str, topic: &str, reason: RefuseReason, why: &dyn Display) {
        if let Some(kind) = Kind::publish(reason) {
            let (client_id, topic) = (Quoted(client_id), Quoted(topic));
            self.notices.warn(kind, format_args!("refused: client {client_id}, PUBLISH to {topic}: {why}"));
        }
    }

    fn refused_filter(&self, client_id: &str, packet: PacketType, filter: &str, why: &FilterRefusal) {
        let (kind, code) = (Kind::filter(packet, why.reason()), why.code());
        let (name, to) = match packet {
            PacketType::Unsubscribe => ("UNSUBSCRIBE", "from"),
            _ => ("SUBSCRIBE", "to"),
        };
        let (client_id, filter, code) = (Quoted(client_id), Quoted(filter), code.value());
        let what = format_args!("{name} {to} {filter}: {why} (0x{code:02X})");
        self.notices.warn(kind, format_args!("refused: client {client_id}, {what}"));
    }

    fn subscribed(&self, client_id: &str, filter: &str, granted: QoS) {
        let (client_id, filter) = (Quoted(client_id), Quoted(filter));
        tracing::debug!(target: "aldis", "{client_id} subscribes to {filter}: granted QoS {}", granted as u8);
    }

    fn unsubscribed(&self, client_id: &str, filter: &str, reason: ReasonCode) {
        let outcome = if reason == ReasonCode::Success { "done" } else { "it had no such subscription" };
        let (client_id, filter) = (Quoted(client_id), Quoted(filter));
        tracing::debug!(target: "aldis", "{client_id} unsubscribes from {filter}: {outcome}");
    }
}
