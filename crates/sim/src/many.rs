//! Many seeds, on all cores: each seed is a run of its own, so they need nothing of each other.

use crate::census::Census;
use crate::plan::Cut;
use crate::run::{Outcome, run};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Seeds that a thread takes at once.
const PART: u64 = 100;

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Sum {
    pub census: Census,
    pub steps: u64,
    /// The fewest steps that a run took, and the fewest and most clients.
    pub least_steps: usize,
    pub clients: (usize, usize),
    pub failures: BTreeMap<u64, Outcome>,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.census.merge(&outcome.census);
        self.steps += outcome.steps as u64;
        if self.clients.1 == 0 {
            (self.least_steps, self.clients) = (outcome.steps, (outcome.clients, outcome.clients));
        }
        self.least_steps = self.least_steps.min(outcome.steps);
        let (fewest, most) = self.clients;
        self.clients = (fewest.min(outcome.clients), most.max(outcome.clients));
        if outcome.failure.is_some() {
            self.failures.insert(seed, outcome);
        }
    }
}

/// Runs seeds from `first` on, on so many threads; `progress` hears how many are done.
pub fn run_many(first: u64, count: u64, threads: usize, cut: &Cut, progress: &(dyn Fn(u64) + Sync)) -> Sum {
    let (taken, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let from = taken.fetch_add(PART, Relaxed);
                    if from >= count {
                        return;
                    }
                    let to = count.min(from + PART);
                    for seed in first + from..first + to {
                        let outcome = run(seed, cut, false);
                        sum.lock().unwrap_or_else(PoisonError::into_inner).add(seed, outcome);
                    }
                    progress(done.fetch_add(to - from, Relaxed) + to - from);
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}
