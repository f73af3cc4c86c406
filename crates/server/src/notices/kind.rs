//! What a rate-limited log line is about: the closed list.

use aldis_packet::{PacketType, ReasonCode};
use aldis_session::{FilterReason, RefuseReason};
use std::fmt;

/// Lines of one kind hold each other back, and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// No place of `limits.connections` was free.
    NoPlace,
    /// The system gives no further connection to accept.
    Accept,
    /// The same on the listener for metrics.
    AcceptMetrics,
    /// No whole CONNECT within `limits.first_packet_timeout`.
    FirstPacketTimeout,
    /// Wrong user name or password.
    WrongPassword,
    /// No user name where one is needed.
    Anonymous,
    /// A will that its client may not publish.
    ForbiddenWill,
    /// A CONNECT, or what came instead of one, that was refused for another reason.
    Refused(ReasonCode),
    /// A connection that the broker ended.
    Ended(ReasonCode),
    /// A PUBLISH.
    Publish(RefusedAs),
    /// A filter of a SUBSCRIBE.
    Subscribe(FilterReason),
    /// A filter of an UNSUBSCRIBE.
    Unsubscribe(FilterReason),
    /// A will that was due.
    WillNotPublished,
}

/// Why a PUBLISH was refused, as far as lines are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RefusedAs {
    /// The client may not.
    NotAuthorized,
    /// The retained store is at a limit.
    RetainedFull,
    /// The store takes nothing.
    StoreRefuses,
}

impl Kind {
    /// The kind of a PUBLISH that was refused; `None` for a repeat, which nobody need hear of.
    pub(crate) fn publish(reason: RefuseReason) -> Option<Kind> {
        match reason {
            RefuseReason::NotAuthorized => Some(Kind::Publish(RefusedAs::NotAuthorized)),
            RefuseReason::RetainedFull => Some(Kind::Publish(RefusedAs::RetainedFull)),
            RefuseReason::StoreRefuses => Some(Kind::Publish(RefusedAs::StoreRefuses)),
            RefuseReason::Repeated => None,
        }
    }

    /// The kind of a filter that was refused.
    pub(crate) fn filter(packet: PacketType, reason: FilterReason) -> Kind {
        match packet {
            PacketType::Unsubscribe => Kind::Unsubscribe(reason),
            _ => Kind::Subscribe(reason),
        }
    }
}

/// The beginning of a sum.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::NoPlace => f.write_str("refused: connections beyond limits.connections"),
            Kind::Accept => f.write_str("attempts to accept a connection that failed"),
            Kind::AcceptMetrics => f.write_str("attempts to accept a connection for metrics that failed"),
            Kind::FirstPacketTimeout => {
                f.write_str("refused: connections without a CONNECT within limits.first_packet_timeout")
            }
            Kind::WrongPassword => f.write_str("refused: connections with a wrong user name or password"),
            Kind::Anonymous => f.write_str("refused: connections without a user name"),
            Kind::ForbiddenWill => f.write_str("refused: connections with a will that they may not publish"),
            Kind::Refused(reason) => write!(f, "refused: connections ({reason})"),
            Kind::Ended(reason) => write!(f, "connections ended by the broker ({reason})"),
            Kind::Publish(RefusedAs::NotAuthorized) => {
                f.write_str("refused: PUBLISH to topics that their client may not publish to")
            }
            Kind::Publish(RefusedAs::RetainedFull) => {
                f.write_str("refused: retained messages beyond a limit of the retained store")
            }
            Kind::Publish(RefusedAs::StoreRefuses) => {
                f.write_str("refused: messages that the store does not take")
            }
            Kind::Subscribe(reason) => write!(f, "refused: filters of SUBSCRIBE ({})", reason.name()),
            Kind::Unsubscribe(reason) => write!(f, "refused: filters of UNSUBSCRIBE ({})", reason.name()),
            Kind::WillNotPublished => f.write_str("refused: wills that were due"),
        }
    }
}
