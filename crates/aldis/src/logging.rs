//! The log: one line an event on standard error, at three levels that can change while it runs.
//!
//! The convention for the whole broker: `error!`, `warn!` and `info!` are always logged (start,
//! stop, listeners, refusals, drops, limits), `debug!` with `-v` (connects, subscribes,
//! disconnects), `trace!` with `-vv` (every packet). Lines of other crates only from `warn!` on.
//! Nothing is written to files: a service manager keeps standard error better.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

/// The running log, to change its level.
#[derive(Debug)]
pub struct Log {
    filter: reload::Handle<Targets, Registry>,
}

impl Log {
    /// Starts to log for the whole process. If something else logs already (in a test), that goes on.
    ///
    /// Colours only go to a terminal, and not where `NO_COLOR` is set. Times are UTC.
    #[must_use]
    pub fn start(verbosity: u8) -> Log {
        let (filter, handle) = reload::Layer::new(levels(verbosity));
        let colours =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let lines = fmt::layer().compact().with_target(false).with_ansi(colours).with_writer(io::stderr);
        // The error is "there is one already".
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
        Log { filter: handle }
    }

    /// Changes what is logged from now on.
    pub fn set_verbosity(&self, verbosity: u8) {
        // The error is "the subscriber is gone", and then there is no log to change.
        let _ = self.filter.reload(levels(verbosity));
    }
}

/// What is logged at a verbosity. Targets are compared by their beginning, so `aldis` stands for
/// every crate of the broker.
fn levels(verbosity: u8) -> Targets {
    let level = match verbosity {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    Targets::new().with_default(LevelFilter::WARN).with_target("aldis", level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn each_verbosity_adds_a_level_of_the_brokers_own_events() {
        for (verbosity, logged, not_logged) in [
            (0, Level::INFO, Some(Level::DEBUG)),
            (1, Level::DEBUG, Some(Level::TRACE)),
            (2, Level::TRACE, None),
            (9, Level::TRACE, None),
        ] {
            let levels = levels(verbosity);
            for target in ["aldis", "aldis::run", "aldis_server", "aldis_server::client"] {
                assert!(levels.would_enable(target, &logged), "{verbosity} {target}");
                assert!(
                    not_logged.is_none_or(|level| !levels.would_enable(target, &level)),
                    "{verbosity} {target}"
                );
            }
            assert!(levels.would_enable("mio", &Level::WARN));
            assert!(!levels.would_enable("mio", &Level::INFO));
        }
    }
}
