//! The proof of the prover: rules that are broken on purpose, each with the checker that is there for it.

use crate::plan::Cut;
use crate::run::{Outcome, run};
use aldis_session::planted::{Fault, plant};

/// Every fault that can be planted, and the checker that has to notice it.
pub const FAULTS: [(Fault, &str); 18] = [
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
    (Fault::SharedForgotten, "shared"),
    (Fault::OrderBrokenOnResume, "order"),
    (Fault::NoMaximumPacketSize, "conduct"),
    (Fault::MemoryLeaked, "leaks"),
    (Fault::RightsNotAsked, "rights"),
    (Fault::QueueWithoutEnd, "bounds"),
    (Fault::TwoOwners, "ownership"),
    (Fault::BeforeConnack, "conduct"),
];

/// Plants a fault and runs seeds from `first` on until one fails, at most `count`; the seed and what came of it.
pub fn first_failure(fault: Option<Fault>, first: u64, count: u64) -> Option<(u64, Outcome)> {
    plant(fault);
    let found = (first..first + count).find_map(|seed| {
        let outcome = run(seed, &Cut::default(), false);
        outcome.failure.is_some().then_some((seed, outcome))
    });
    plant(None);
    found
}
