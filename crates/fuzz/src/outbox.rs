//! One session's Outbox and the client behind it, under operations of any order: offered, attached, written in
//! parts, blocked, broken, acknowledged, detached. What is checked after each of them is in the tests of the
//! crate `session` (`long_run`), which a seed drives there and bytes drive here.

use crate::choices::Choices;

#[path = "../../session/tests/long_run/mod.rs"]
#[allow(missing_docs, reason = "it is documented as a part of tests is")]
mod long_run;

pub use long_run::scripted_wire::{Seen, SeenPublish};
use long_run::{Choose, Run};

impl Choose for Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        Choices::below(self, bound)
    }
}

/// The target: [`check`] of packets as they are.
pub fn outbox(data: &[u8]) {
    check(data, |seen| seen);
}

/// Does what `data` says to a session; what its client gets goes through `spoil` first.
///
/// # Panics
/// The account does not add up, or the client sees what it must not.
pub fn check(data: &[u8], spoil: fn(Vec<Seen>) -> Vec<Seen>) {
    let mut choices = Choices::new(data);
    let honest = choices.below(3) > 0;
    let mut run = Run::new(choices, honest);
    run.spoil = spoil;
    while !run.random.is_empty() {
        run.operate();
        run.check("an operation");
        if !honest && run.random.below(100) == 99 {
            run.start_over();
        }
    }
    if honest {
        run.drain();
        let account = run.account();
        assert!(account.completed >= run.client.completed, "{account:?}");
        assert_eq!(run.session.outbox.lock().outbound.queued(), 0);
    }
    long_run::scripted_wire::end(&run.session, &mut run.bench);
    run.offer();
    run.check("after the end");
}
