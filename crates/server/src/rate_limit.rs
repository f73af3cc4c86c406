//! Log lines that an attacker could cause by the thousand: the first at once, then a sum every ten
//! seconds.

use crate::clock;
use parking_lot::Mutex;
use std::fmt;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: Option<Instant>,
    held_back: u64,
}

/// How many lines like this one were not written; printed as the end of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeldBack(pub(crate) u64);

impl fmt::Display for HeldBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " (and {count} more like this since the last line)"),
        }
    }
}

impl RateLimit {
    /// Whether a line may be written now, with the count of those that were not.
    pub(crate) fn allow(&self) -> Option<HeldBack> {
        let now = clock::now();
        let mut state = self.state.lock();
        if state.next.is_some_and(|next| now < next) {
            state.held_back += 1;
            return None;
        }
        state.next = now.checked_add(EVERY);
        Some(HeldBack(std::mem::take(&mut state.held_back)))
    }
}
