//! Shrinking: the same failure with less in it.
//!
//! A failing seed is run again with a client, a feature or steps taken away, for as long as the same checker
//! finds something wrong. What is taken away changes who comes when; so each cut is tried with a few schedules
//! before it is given up.

use crate::plan::{Cut, Feature, Plan};
use crate::run::{Outcome, run};

/// Schedules that each cut is tried with.
const SCHEDULES: u64 = 6;
/// And what is left at the end.
const LAST_SCHEDULES: u64 = 100;
/// Rounds over everything that can be taken away, at the most.
const ROUNDS: usize = 6;

/// A failure with as little in it as was found.
pub struct Shrunk {
    pub cut: Cut,
    pub outcome: Outcome,
    /// Runs that it took.
    pub runs: usize,
}

/// Takes away from a failing run what it does not need, and then looks for the order of what is left that is told in
/// the fewest words. If nothing is shorter than the whole, which happens, that is what comes back.
pub fn shrink(seed: u64, cut: Cut, outcome: Outcome) -> Shrunk {
    let whole = cut.clone();
    let mut shrunk = Shrunk { cut, outcome, runs: 0 };
    for _ in 0..ROUNDS {
        if !round(seed, &mut shrunk) {
            break;
        }
    }
    let orders = (0..LAST_SCHEDULES).map(|schedule| Cut { schedule, ..shrunk.cut.clone() });
    let told = std::iter::once(whole).chain(orders).map(|cut| {
        let outcome = run(seed, &cut, true);
        (cut, outcome)
    });
    let same = told.filter(|(_, outcome)| checker(outcome) == checker(&shrunk.outcome));
    if let Some((cut, outcome)) = same.min_by_key(|(_, outcome)| outcome.story.len()) {
        shrunk = Shrunk { cut, outcome, runs: shrunk.runs + 1 + LAST_SCHEDULES as usize };
    }
    shrunk
}

fn checker(outcome: &Outcome) -> Option<&'static str> {
    outcome.failure.as_ref().map(|failure| failure.checker)
}

fn step(outcome: &Outcome) -> usize {
    outcome.failure.as_ref().map_or(0, |failure| failure.step)
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
        let now = shrunk.cut.steps.unwrap_or(usize::MAX).min(step(&shrunk.outcome));
        is_smaller |= attempt(seed, shrunk, |cut| cut.steps = Some(now - now / part));
    }
    is_smaller
}

fn attempt(seed: u64, shrunk: &mut Shrunk, change: impl FnOnce(&mut Cut)) -> bool {
    let mut cut = shrunk.cut.clone();
    change(&mut cut);
    let mut best: Option<(Cut, Outcome)> = None;
    for schedule in 0..SCHEDULES {
        let cut = Cut { schedule, ..cut.clone() };
        shrunk.runs += 1;
        let outcome = run(seed, &cut, false);
        let is_better = best.as_ref().is_none_or(|(_, best)| step(&outcome) < step(best));
        if checker(&outcome) == checker(&shrunk.outcome) && is_better {
            let is_sooner = step(&outcome) <= step(&shrunk.outcome);
            best = Some((cut, outcome));
            if is_sooner {
                break;
            }
        }
    }
    let found = best.is_some();
    if let Some((cut, outcome)) = best {
        (shrunk.cut, shrunk.outcome) = (cut, outcome);
    }
    found
}
