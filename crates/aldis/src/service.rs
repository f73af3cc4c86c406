//! What the service manager (systemd, with `Type=notify` or `notify-reload`) is told.
//!
//! The protocol is that of sd_notify(3): one datagram of `NAME=value` lines for each message, to the
//! socket that `NOTIFY_SOCKET` names. Without that variable every message goes nowhere, and no
//! watchdog is due. Addresses of virtual machines (`vsock:`) are not there: a broker is started by
//! the manager of its own machine.

use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

/// How long a message may wait for a service manager whose socket is full. It is sent by the task
/// that waits for signals, which nothing else depends on.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager that started this process, if one did.
pub(crate) struct ServiceManager {
    /// `NOTIFY_SOCKET`, as it is written there.
    name: Option<OsString>,
    watchdog: Option<Interval>,
}

impl ServiceManager {
    /// Asks the environment. To be called on a Tokio runtime.
    pub(crate) fn from_environment() -> ServiceManager {
        let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let watchdog = watchdog_period().map(|period| {
            // Twice in each period, as sd_watchdog_enabled(3) advises. An interval may not be zero.
            let mut watchdog = interval((period / 2).max(Duration::from_millis(1)));
            watchdog.set_missed_tick_behavior(MissedTickBehavior::Delay);
            watchdog
        });
        ServiceManager { name, watchdog }
    }

    /// Whether a service manager started this process, even one that cannot be reached.
    pub(crate) fn is_there(&self) -> bool {
        self.name.is_some()
    }

    /// The broker takes connections (after a start or a reload).
    pub(crate) fn ready(&self) {
        self.tell("READY=1\n");
    }

    /// A reload has begun; `ready` follows whatever comes of it.
    pub(crate) fn reloading(&self) {
        // `Type=notify-reload` tells this reload from an earlier one by the time.
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}\n"));
    }

    /// A clean stop has begun.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    /// Tells the watchdog that the process is alive whenever that is due, for ever. May be dropped
    /// and called again at any time: the interval keeps its place.
    pub(crate) async fn keep_alive(&mut self) -> Infallible {
        loop {
            match &mut self.watchdog {
                Some(watchdog) => watchdog.tick().await,
                None => future::pending().await,
            };
            self.tell("WATCHDOG=1\n");
        }
    }

    fn tell(&self, message: &str) {
        let Some(name) = &self.name else { return };
        if let Err(error) = send(message, name) {
            let what = message.lines().next().unwrap_or_default();
            warn!("the service manager cannot be told {what}: NOTIFY_SOCKET is {name:?}: {error}");
        }
    }
}

/// Sends one message, through a socket of its own: the manager may have started anew since the last.
fn send(message: &str, name: &OsStr) -> io::Result<()> {
    let address = address(name)?;
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(message.as_bytes(), &address).map(|_| ())
}

/// A path, or a name in Linux's abstract namespace, which is written with `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "only /PATH and @NAME are known")),
    }
}

/// `WatchdogSec=` of the service, unless it is meant for another process.
fn watchdog_period() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
    number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros)
}
