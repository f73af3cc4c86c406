//! What the service manager (systemd, with `Type=notify` or `notify-reload`) is told.
//!
//! Without `NOTIFY_SOCKET` in the environment every message goes nowhere, and no watchdog is due.

use std::convert::Infallible;
use std::future;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

/// The service manager that started this process, if one did.
pub(crate) struct ServiceManager {
    watchdog: Option<Interval>,
}

impl ServiceManager {
    /// Asks the environment. To be called on a Tokio runtime.
    pub(crate) fn from_environment() -> ServiceManager {
        let watchdog = sd_notify::watchdog_enabled().map(|period| {
            // Twice in each period, as sd_watchdog_enabled(3) advises. An interval may not be zero.
            let mut watchdog = interval((period / 2).max(Duration::from_millis(1)));
            watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
            watchdog
        });
        ServiceManager { watchdog }
    }

    /// The broker takes connections (after a start or a reload).
    pub(crate) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// A reload has begun; `ready` follows whatever comes of it.
    pub(crate) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// A clean stop has begun.
    pub(crate) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Tells the watchdog that the process is alive whenever that is due, for ever. May be dropped
    /// and called again at any time: the interval keeps its place.
    pub(crate) async fn keep_alive(&mut self) -> Infallible {
        let Some(watchdog) = &mut self.watchdog else { return future::pending().await };
        loop {
            watchdog.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(
            "the service manager cannot be told ({error}); NOTIFY_SOCKET names a socket that does not answer"
        );
    }
}
