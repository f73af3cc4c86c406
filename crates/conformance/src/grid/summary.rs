//! The grid's results in a few lines.

use super::form::Form;
use super::play::Played;
use crate::wire::Version;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// A line for each version and packet, and one for all: how many cases, how many failed.
#[must_use]
pub fn summary(played: &[Played<'_>], took: Duration) -> String {
    let mut counts: BTreeMap<(Version, Form), (usize, usize)> = BTreeMap::new();
    for one in played {
        let (cases, failed) = counts.entry((one.case.version, one.case.form)).or_default();
        *cases += 1;
        *failed += usize::from(one.outcome.is_err());
    }
    let mut lines = String::new();
    for ((version, form), (cases, failed)) in &counts {
        let _ = writeln!(lines, "{:5} {:13} {cases:5} cases, {failed} failed", version.name(), form.name());
    }
    let failed: usize = counts.values().map(|(_, failed)| failed).sum();
    let _ = write!(lines, "grid: {} cases, {failed} failed, {:.1} s", played.len(), took.as_secs_f64());
    lines
}
