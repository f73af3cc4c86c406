//! Runs targets: the corpus first, then inputs made of it, until there were enough or one is a finding.
#![allow(clippy::disallowed_methods, reason = "a long run ends by the clock")]

use crate::random::Random;
use crate::{Target, corpus, mutate};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    /// So many inputs beside the corpus: the same ones each time.
    Inputs(u64),
    /// As many as fit.
    Time(Duration),
}

/// A run that found nothing.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// Entries of the corpus.
    pub corpus: usize,
    /// Inputs made of them.
    pub inputs: u64,
}

/// An input on which a target panics.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Name of the target.
    pub target: &'static str,
    /// The input, as short as it could be made.
    pub input: Vec<u8>,
    /// What the target said.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { target, input, what } = self;
        write!(f, "target {target}: {what}\non {} bytes: ", input.len())?;
        input.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Runs one target.
///
/// # Errors
/// It found something.
pub fn run(target: &Target, seed: u64, length: Length) -> Result<Ran, Finding> {
    let entries = corpus::entries(target.name).unwrap_or_default();
    let entries: Vec<Vec<u8>> = entries.into_iter().map(|(_, input)| input).collect();
    for input in &entries {
        attempt(target, input).map_err(|what| finding(target, input, what))?;
    }
    let mut random = Random::new(seed);
    let begin = Instant::now();
    let mut inputs = 0;
    let goes_on = |inputs: u64| match length {
        Length::Inputs(most) => inputs < most,
        // The clock is slower than most inputs.
        Length::Time(time) => !inputs.is_multiple_of(64) || begin.elapsed() < time,
    };
    while goes_on(inputs) {
        let input = mutate::next(&mut random, &entries);
        attempt(target, &input).map_err(|what| finding(target, &input, what))?;
        inputs += 1;
    }
    Ok(Ran { corpus: entries.len(), inputs })
}

/// Runs a target on one input; the error is what it said.
///
/// # Errors
/// It panicked.
pub fn attempt(target: &Target, input: &[u8]) -> Result<(), String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(keep_quiet);
    OURS.with(|ours| ours.set(true));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    OURS.with(|ours| ours.set(false));
    outcome.map_err(|_| LAST.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

thread_local! {
    /// Whether this thread is inside a target.
    static OURS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// What the last panic said, and where.
static LAST: Mutex<String> = Mutex::new(String::new());

/// A panic inside of a target is kept and not printed: shortening a finding brings hundreds of them.
fn keep_quiet() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if OURS.with(std::cell::Cell::get) {
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        } else {
            usual(info);
        }
    }));
}

/// Makes the input as short as leaving parts out can make it, while the target still panics at the same place.
fn finding(target: &Target, input: &[u8], what: String) -> Finding {
    let (mut input, mut what) = (input.to_vec(), what);
    let mut part = input.len() / 2;
    while part > 0 {
        let mut at = 0;
        while at < input.len() {
            let end = (at + part).min(input.len());
            let shorter = [&input[..at], &input[end..]].concat();
            match attempt(target, &shorter) {
                Err(again) if place(&again) == place(&what) => (input, what) = (shorter, again),
                _ => at += part,
            }
        }
        part /= 2;
    }
    Finding { target: target.name, input, what }
}

/// The first line of what a panic says: the place in the source.
fn place(what: &str) -> Option<&str> {
    what.lines().next()
}
