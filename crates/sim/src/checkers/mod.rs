//! The checkers: each knows one rule, and the standard where it comes from.
//!
//! They are told what happened in one order and hold what is known of the run ([`Ground`]) against it. None of
//! them looks into a session to learn what should have happened; only those that check the broker's own books
//! look at the books.

mod answers;
mod bounds;
mod conduct;
mod exactly_once;
mod identifiers;
mod leaks;
mod ledger;
mod nothing_lost;
mod order;
mod ownership;
mod receive_maximum;
mod repeats;
mod replays;
mod retained;
mod rights;
mod shared;
mod unsubscribed;
mod wills;

use crate::census::Census;
use crate::ground::Ground;
use crate::watch::Fact;

/// What a checker says: what is wrong, in words.
pub type Verdict = Result<(), String>;

/// One rule.
pub trait Checker {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Looks at a fact.
    ///
    /// # Errors
    /// What is wrong, in words.
    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict;
}

/// All of them. The ones with the sharpest eye for their rule stand first.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(conduct::Conduct::default()),
        Box::new(ownership::Ownership),
        Box::new(identifiers::Identifiers::default()),
        Box::new(repeats::Repeats::default()),
        Box::new(receive_maximum::ReceiveMaximum::default()),
        Box::new(answers::Answers::default()),
        Box::new(order::Order::default()),
        Box::new(unsubscribed::Unsubscribed),
        Box::new(retained::Retained::default()),
        Box::new(rights::Rights),
        Box::new(exactly_once::ExactlyOnce::default()),
        Box::new(nothing_lost::NothingLost::default()),
        Box::new(replays::Replays::default()),
        Box::new(shared::Shared::default()),
        Box::new(wills::Wills::default()),
        Box::new(ledger::Ledger),
        Box::new(bounds::Bounds),
        Box::new(leaks::Leaks),
    ]
}
