//! The log as its reader sees it: every line that the server writes on this thread, with its level. Tests
//! that use it run on one thread.

use std::fmt::{Debug, Write};
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// The lines so far. Capturing ends when it is dropped.
pub(crate) struct Log {
    lines: Arc<parking_lot::Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Log {
    /// Captures lines of `level` and above, as `WARN text`.
    pub(crate) fn capture(level: Level) -> Log {
        let lines = Arc::default();
        let _guard = set_default(Capture { level, lines: Arc::clone(&lines) });
        Log { lines, _guard }
    }

    /// Takes out what was written since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock())
    }

    /// As [`Log::take`], the lines alone that hold `part`.
    pub(crate) fn take_with(&self, part: &str) -> Vec<String> {
        let mut lines = self.take();
        lines.retain(|line| line.contains(part));
        lines
    }
}

struct Capture {
    level: Level,
    lines: Arc<parking_lot::Mutex<Vec<String>>>,
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "aldis" && *metadata.level() <= self.level
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        self.lines.lock().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").unwrap();
        }
    }
}
