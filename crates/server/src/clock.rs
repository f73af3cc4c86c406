//! The server's clock: Tokio's, so that tests can pause it and let it jump.

use std::time::Instant;

/// Milliseconds since the server started, and the same as an instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { start: now() }
    }

    /// Milliseconds from the start to `at`.
    pub(crate) fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

/// The time now.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
