//! The grid's results in a few lines.

use super::form::Form;
use super::play::Played;
use crate::outcome::Fault;
use crate::wire::Version;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// A line for each version and packet, and one for all: how many cases, how many failed, and how many could not be
/// shown because the broker did not grant what they need.
#[must_use]
pub fn summary(played: &[Played<'_>], took: Duration) -> String {
    let mut counts: BTreeMap<(Version, Form), (usize, usize)> = BTreeMap::new();
    for one in played {
        let (cases, failed) = counts.entry((one.case.version, one.case.form)).or_default();
        *cases += 1;
        *failed += usize::from(matches!(one.outcome, Err(Fault::Failed(_))));
    }
    let mut lines = String::new();
    for ((version, form), (cases, failed)) in &counts {
        let _ = writeln!(lines, "{:5} {:13} {cases:5} cases, {failed} failed", version.name(), form.name());
    }
    let failed: usize = counts.values().map(|(_, failed)| failed).sum();
    let shown = played.iter().filter(|one| matches!(one.outcome, Ok(()) | Err(Fault::Failed(_)))).count();
    let unseen = played.len() - shown;
    let _ = write!(lines, "grid: {} cases, {failed} failed, ", played.len());
    if unseen > 0 {
        let _ = write!(lines, "{unseen} not shown, ");
    }
    let _ = write!(lines, "{:.1} s", took.as_secs_f64());
    lines
}
