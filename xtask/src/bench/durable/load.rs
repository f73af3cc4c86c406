//! Runs of the load generator `durable`, and the figures in the line that it prints.

use crate::process::{output_within, shell};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Filling a large queue takes a while on a slow disk: this is for a run that hangs.
const LONGEST_RUN: Duration = Duration::from_secs(20 * 60);

/// The figures of one run.
pub(super) struct Figures(Value);

impl Figures {
    /// One that has to be there.
    pub(super) fn get(&self, name: &str) -> Result<f64, String> {
        self.0.get(name).and_then(Value::as_f64).ok_or_else(|| format!("`{name}` is missing in {}", self.0))
    }
}

/// The generator.
pub(super) struct Load {
    root: PathBuf,
}

impl Load {
    pub(super) fn new(root: &Path) -> Load {
        Load { root: root.to_owned() }
    }

    /// Runs it with these arguments.
    pub(super) fn run(&self, arguments: &str) -> Result<Figures, String> {
        let line = format!("exec target/mqload/release/durable {arguments}");
        let output = output_within(&mut shell(&line, &self.root), LONGEST_RUN)?;
        let told = |error| format!("durable {arguments}: {error}: {output}");
        serde_json::from_str(output.trim()).map(Figures).map_err(told)
    }
}
