//! Long seeded runs over one Outbox: thousands of operations, and after each of them the account of the
//! subscriber adds up (law 10). What is checked is in `long_run`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

mod long_run;

use long_run::Run;
use long_run::scripted_wire::{Random, end};

#[test]
fn law_10_the_account_of_an_honest_client_adds_up() {
    let (mut repeats, mut completed) = (0, 0);
    for seed in 0..150 {
        let mut run = Run::new(Random::new(seed), true);
        for step in 0..3_000 {
            run.operate();
            run.check(format_args!("seed {seed}, step {step}"));
        }
        run.drain();
        let account = run.account();
        assert!(account.completed >= run.client.completed, "seed {seed}");
        repeats += run.client.repeats;
        completed += run.client.completed;
        assert_eq!(run.session.outbox.lock().outbound.queued(), 0);
        end(&run.session, &mut run.bench);
        run.offer();
        run.check(format_args!("seed {seed}, ended"));
    }
    // The runs are not empty: they come to what they are for.
    assert!(repeats > 1_000 && completed > 10_000, "{repeats} repeats, {completed} completed");
}

#[test]
fn law_10_the_account_of_a_hostile_client_adds_up() {
    for seed in 1_000..1_150 {
        let mut run = Run::new(Random::new(seed), false);
        for step in 0..3_000 {
            run.operate();
            run.check(format_args!("seed {seed}, step {step}"));
            if run.random.below(2_000) == 0 {
                run.start_over();
            }
        }
    }
}
