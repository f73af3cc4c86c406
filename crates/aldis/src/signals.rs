//! The signals that the broker knows, and what each one means.
//!
//! What is done about them is decided in `run.rs`. Signals that other brokers do something on (USR1,
//! USR2) are taken too: left alone they would end the process. PIPE is ignored by Rust's runtime.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// TERM, INT: stop cleanly, or at once if it is the second.
    Stop(&'static str),
    /// HUP: read the configuration again.
    Reload,
    /// USR1: write out what is buffered.
    Flush,
    /// USR2, ALRM: nothing.
    Nothing(&'static str),
}

/// The handlers. From the moment they are installed no default action ends the process.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user_1: Signal,
    user_2: Signal,
    alarm: Signal,
}

impl Signals {
    /// To be called on a Tokio runtime.
    pub(crate) fn install() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
            alarm: signal(SignalKind::alarm())?,
        })
    }

    /// The next one. Can be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> Meaning {
        tokio::select! {
            // Stopping comes before everything else that came meanwhile.
            biased;
            _ = self.terminate.recv() => Meaning::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Meaning::Stop("SIGINT"),
            _ = self.hangup.recv() => Meaning::Reload,
            _ = self.user_1.recv() => Meaning::Flush,
            _ = self.user_2.recv() => Meaning::Nothing("SIGUSR2"),
            _ = self.alarm.recv() => Meaning::Nothing("SIGALRM"),
        }
    }

    /// The name of the next one that stops the broker; the others come too late to mean anything.
    pub(crate) async fn next_stop(&mut self) -> &'static str {
        loop {
            if let Meaning::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
