//! Shrinking: the same failure with less in it.
//!
//! A failing seed is run again with a client, a feature or steps taken away, for as long as the same checker
//! finds something wrong. What is taken away changes who comes when; so each cut is tried with a few schedules
//! before it is given up.

use crate::plan::{Cut, Feature, Plan};
use crate::run::{Outcome, run};

/// Schedules that each cut is tried with.
const SCHEDULES: u64 = 6;
/// Rounds over everything that can be taken away, at the most.
const ROUNDS: usize = 6;

/// A failure with as little in it as was found.
pub struct Shrunk {
    pub cut: Cut,
    pub outcome: Outcome,
    /// Runs that it took.
    pub runs: usize,
}

/// Takes away from a failing run what it does not need.
pub fn shrink(seed: u64, cut: Cut, outcome: Outcome) -> Shrunk {
    let mut shrunk = Shrunk { cut, outcome, runs: 0 };
    for _ in 0..ROUNDS {
        if !round(seed, &mut shrunk) {
            break;
        }
    }
    shrunk
}

/// Tries everything once; whether anything could be taken away.
fn round(seed: u64, shrunk: &mut Shrunk) -> bool {
    let mut is_smaller = false;
    let count = Plan::new(seed, Cut::default()).personas.len();
    for client in 0..count {
        if !shrunk.cut.clients.contains(&client) {
            is_smaller |= attempt(seed, shrunk, |cut| cut.clients.push(client));
        }
    }
    for (feature, _) in Feature::ALL {
        if !shrunk.cut.features.contains(&feature) {
            is_smaller |= attempt(seed, shrunk, |cut| cut.features.push(feature));
        }
    }
    for part in [2, 4, 8] {
        let step = shrunk.outcome.failure.as_ref().map_or(0, |failure| failure.step);
        let now = shrunk.cut.steps.unwrap_or(usize::MAX).min(step);
        is_smaller |= attempt(seed, shrunk, |cut| cut.steps = Some(now - now / part));
    }
    is_smaller
}

fn attempt(seed: u64, shrunk: &mut Shrunk, change: impl FnOnce(&mut Cut)) -> bool {
    let mut cut = shrunk.cut.clone();
    change(&mut cut);
    let Some(wanted) = shrunk.outcome.failure.as_ref().map(|failure| failure.checker) else { return false };
    for schedule in 0..SCHEDULES {
        let cut = Cut { schedule, ..cut.clone() };
        shrunk.runs += 1;
        let outcome = run(seed, &cut, false);
        if outcome.failure.as_ref().is_some_and(|failure| failure.checker == wanted) {
            (shrunk.cut, shrunk.outcome) = (cut, outcome);
            return true;
        }
    }
    false
}
