//! Runs tests side by side, most of which wait more than they work.

use crate::outcome::{Fault, Outcome};
use crate::stage::{Doors, Stage};
use crate::wire::Version;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many tests run at a time. They wait most of the time; each has a few connections.
const SIDE_BY_SIDE: usize = 24;

/// One test of one statement.
#[derive(Clone, Copy)]
pub struct Case {
    /// The version whose statement it tests, and that it speaks.
    pub version: Version,
    /// The statement's identifier.
    pub id: &'static str,
    /// What the test shows, in a few words: the name of its function.
    pub name: &'static str,
    /// The test.
    pub run: fn(&Stage<'_>) -> Outcome,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.version, self.id, self.name)
    }
}

/// How one test went.
#[derive(Debug, Clone)]
pub struct Played {
    /// Which.
    pub case: Case,
    /// How.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Duration,
}

/// Runs all of them, several at a time; the results come in the order of the cases.
///
/// Names that tests use begin with `run`, a few letters and digits, so that two runs against one broker do
/// not meet each other's sessions.
pub fn play(cases: &[Case], doors: &Doors, run: &str, each: impl Fn(&Played) + Sync) -> Vec<Played> {
    let next = AtomicUsize::new(0);
    let played = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(cases.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { return };
                    let one = play_one(*case, doors, &format!("{run}{index}"));
                    each(&one);
                    if let Ok(mut played) = played.lock() {
                        played.push((index, one));
                    }
                }
            });
        }
    });
    let mut played = played.into_inner().unwrap_or_default();
    played.sort_by_key(|(index, _)| *index);
    played.into_iter().map(|(_, one)| one).collect()
}

fn play_one(case: Case, doors: &Doors, name: &str) -> Played {
    let start = Instant::now();
    let stage = Stage::new(case.version, doors, name.to_owned());
    let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(&stage)))
        .unwrap_or_else(|_| Err(Fault::Failed("the test itself panicked".to_owned())));
    let after = stage.leave();
    let outcome = match (outcome, after) {
        (Err(Fault::Failed(why)), _) => Err(Fault::Failed(why)),
        (_, Err(Fault::Failed(why))) => Err(Fault::Failed(format!("after the test: {why}"))),
        (outcome, _) => outcome,
    };
    Played { case, outcome, took: start.elapsed() }
}
