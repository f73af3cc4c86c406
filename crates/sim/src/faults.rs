//! The proof of the prover: rules that are broken on purpose, each with the checker that is there for it.

use crate::plan::Cut;
use crate::run::run;
use aldis_session::planted::{Fault, plant};
use std::collections::BTreeSet;

/// Every fault that can be planted, and the checker that has to notice it.
pub const FAULTS: [(Fault, &str); 26] = [
    (Fault::NoDup, "repeats"),
    (Fault::IdentifierInUse, "identifiers"),
    (Fault::AcknowledgedBeforeRouted, "answers"),
    (Fault::StaleRetained, "retained"),
    (Fault::LostWhileAway, "nothing-lost"),
    (Fault::DropCountedTwice, "ledger"),
    (Fault::NoReceiveMaximum, "receive-maximum"),
    (Fault::WillAfterReturn, "wills"),
    (Fault::RepeatRouted, "exactly-once"),
    (Fault::UnsubscribedGoesOn, "unsubscribed"),
    (Fault::OldRouteUsed, "unsubscribed"),
    (Fault::SharedForgotten, "shared"),
    (Fault::OrderBrokenOnResume, "order"),
    (Fault::NoMaximumPacketSize, "conduct"),
    (Fault::MemoryLeaked, "leaks"),
    (Fault::RightsNotAsked, "rights"),
    (Fault::QueueWithoutEnd, "bounds"),
    (Fault::TwoOwners, "ownership"),
    (Fault::BeforeConnack, "conduct"),
    (Fault::ReplayForgotten, "replays"),
    (Fault::BellForgotten, "leaks"),
    (Fault::GroupForgotten, "leaks"),
    (Fault::AcknowledgedBeforeCommit, "nothing-lost"),
    (Fault::InboundForgotten, "exactly-once"),
    (Fault::DeliveredBeforeCommit, "exactly-once"),
    (Fault::PubrelBeforeCommit, "exactly-once"),
];

/// What a planted fault came to.
#[derive(Debug, Default)]
pub struct Noticed {
    /// The first seed in which the checker meant for it noticed it, and what it said.
    pub by_its_own: Option<(u64, String)>,
    /// Checkers that noticed something in seeds before.
    pub before: BTreeSet<&'static str>,
}

/// Plants a fault and runs up to `count` seeds, until the checker meant for it notices.
pub fn notice(fault: Fault, meant: &str, count: u64) -> Noticed {
    plant(Some(fault));
    let mut noticed = Noticed::default();
    for seed in 0..count {
        let Some(failure) = run(seed, &Cut::default(), false).failure else { continue };
        if failure.checker == meant {
            noticed.by_its_own = Some((seed, failure.what));
            break;
        }
        noticed.before.insert(failure.checker);
    }
    plant(None);
    noticed
}
