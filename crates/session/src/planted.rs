//! Faults planted on purpose: each breaks one rule at the place where it is obeyed, so that the simulator can
//! prove that its checkers notice.
//!
//! All of this exists with the feature `planted-faults` only, which nothing but the simulator's own test asks
//! for, and even then no fault is planted unless a thread chooses one. The released broker has none of it:
//! `cargo xtask tidy` looks.

use std::cell::Cell;

/// A rule that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What is sent again has no DUP.
    NoDup,
    /// A packet identifier is given out while it is in use.
    IdentifierInUse,
    /// PUBACK and PUBREC leave before the message is routed.
    AcknowledgedBeforeRouted,
    /// A replay sends the value that a topic had before.
    StaleRetained,
    /// A message that is offered while nobody is connected is forgotten.
    LostWhileAway,
    /// A drop is counted twice.
    DropCountedTwice,
    /// The receive maximum of a client is not heeded.
    NoReceiveMaximum,
    /// A delayed will is sent although its client came back.
    WillAfterReturn,
    /// A QoS 2 PUBLISH that is repeated is routed again.
    RepeatRouted,
    /// A subscription that was ended stays in the routes.
    UnsubscribedGoesOn,
    /// A subscription that was ended goes on for whoever has an old route.
    OldRouteUsed,
    /// What an ended member of a shared subscription had not acknowledged is forgotten.
    SharedForgotten,
    /// What waits in a queue overtakes what is sent again.
    OrderBrokenOnResume,
    /// The maximum packet size of a client is not heeded.
    NoMaximumPacketSize,
    /// What a session that ended had in flight is never given up.
    MemoryLeaked,
    /// A client's rights to receive are not asked.
    RightsNotAsked,
    /// The queue of a client has no end.
    QueueWithoutEnd,
    /// A newcomer gets the session before the old connection has let go of it.
    TwoOwners,
    /// A new connection is written to before its CONNACK.
    BeforeConnack,
    /// What of a replay was not sent when its client goes is forgotten.
    ReplayForgotten,
    /// Nobody is told of bytes that are handed over.
    BellForgotten,
    /// Members of a shared subscription are not told that messages wait.
    GroupForgotten,
    /// PUBACK, PUBREC and PUBCOMP leave before their records are committed (gates a and c).
    AcknowledgedBeforeCommit,
    /// The packet identifier of a publisher is not recorded with its message (gate a).
    InboundForgotten,
    /// A QoS 2 message is delivered before it and its packet identifier are committed (gates b and d).
    DeliveredBeforeCommit,
    /// PUBREL leaves before PUBREC is committed (gate e).
    PubrelBeforeCommit,
}

thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Plants a fault on this thread, or takes it away.
pub fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}

/// Whether this fault is planted on this thread.
#[must_use]
pub fn is_planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}
