//! The kinds of things that have to happen in a run of many seeds, and those that cannot.
//!
//! Both lists are closed: what is counted and stands in neither is a mistake, and so is a kind that never
//! happened.

use crate::census::Census;

/// What has to happen, among all seeds.
pub const KINDS: [&str; 70] = [
    "a Client died",
    "a CONNECT was refused",
    "a checkpoint was written",
    "a clean start over a session",
    "a client closed for a session that it has not",
    "a client disconnected",
    "a client sent a PUBLISH again",
    "a client subscribed",
    "a client unsubscribed",
    "a client used a topic alias",
    "a client was paused",
    "a command waited for a place",
    "a connection was lost",
    "a crash during recovery",
    "a crash in the middle of a commit",
    "a delayed will was cancelled by coming back",
    "a delayed will was published",
    "a delivery was repeated with DUP",
    "a flush handed over",
    "a message expired",
    "a message that was owed has come",
    "a message was taken exactly once",
    "a part of a write was taken",
    "a publication was refused with a reason",
    "a replay that was owed has come",
    "a retained message expired",
    "a retained message was delivered and not kept",
    "a retained message was sent to a new subscription",
    "a retained message was set during a replay",
    "a session expired",
    "a session was resumed",
    "a shared member ended with messages in flight",
    "a shared message has come",
    "a socket was full",
    "a step in the middle of another",
    "a sync failed",
    "a sweep for expired messages",
    "a take-over",
    "a will was cancelled by DISCONNECT",
    "a will was published",
    "a write failed",
    "DISCONNECT: taken over",
    "dropped: connection_closed",
    "dropped: memory_watermark",
    "dropped: no_member",
    "dropped: not_authorized",
    "dropped: offline",
    "dropped: queue_full",
    "dropped: refused_by_client",
    "dropped: session_ended",
    "dropped: session_ended_qos0",
    "dropped: too_large",
    "filter refused: not_authorized",
    "filter refused: subscriptions",
    "filter refused: shared_subscriptions",
    "half a frame lost",
    "half a frame read",
    "half a frame written",
    "keep alive ended a connection",
    "limit: connections",
    "limit: in flight",
    "limit: memory watermark",
    "limit: receive maximum of a client",
    "limit: sessions",
    "no CONNECT in time",
    "the broker crashed",
    "the broker sent DISCONNECT",
    "the end of a log was cut",
    "what waited on disk was read",
    "writes were given away",
];

/// Refusals that happen, too.
pub const REFUSALS: [&str; 4] =
    ["refused: not_authorized", "refused: repeated", "refused: retained_full", "refused: store_refuses"];

/// What cannot happen here, and why.
pub const NEVER: [(&str, &str); 5] = [
    (
        "dropped: store_damaged",
        "the disk of a run loses what was not synced, and damages nothing while the broker runs",
    ),
    (
        "filter refused: memory_watermark",
        "a session has sixteen subscriptions in any case, and no client wants more",
    ),
    ("filter refused: share", "the clients write shared subscriptions as the standard has them"),
    (
        "filter refused: topic_bytes",
        "the clients have no filter that is too long; `tests/blackbox/limits.py` has",
    ),
    (
        "filter refused: topic_levels",
        "the clients have no filter that is too deep; `tests/blackbox/limits.py` has",
    ),
];

/// Kinds that never happened, and kinds that are in no list, in words.
pub fn gaps(census: &Census) -> Vec<String> {
    let known = || KINDS.iter().chain(&REFUSALS).copied();
    let missing = known().filter(|kind| !census.0.contains_key(kind));
    let mut gaps: Vec<String> = missing.map(|kind| format!("never happened: {kind}")).collect();
    for kind in census.0.keys() {
        if NEVER.iter().any(|(never, _)| never == kind) {
            gaps.push(format!("happened, and stands in the list of what cannot: {kind}"));
        } else if known().all(|known| known != *kind) {
            gaps.push(format!("happened, and stands in no list of kinds: {kind}"));
        }
    }
    gaps
}
