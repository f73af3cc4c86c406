//! Figures as they come, round by round.

use super::Spread;
use std::collections::BTreeMap;

/// All figures: of what, which, and one value for each round.
#[derive(Default)]
pub(super) struct Rows {
    values: BTreeMap<(String, &'static str), Vec<f64>>,
    /// What a correct broker never does.
    pub(super) faults: Vec<String>,
}

impl Rows {
    pub(super) fn add(&mut self, row: &str, figure: &'static str, value: f64) {
        println!("    {row:24} {figure:28} {value:.3}");
        self.values.entry((row.to_owned(), figure)).or_default().push(value);
    }

    pub(super) fn fault(&mut self, is_one: bool, what: impl FnOnce() -> String) {
        if is_one {
            self.faults.push(what());
        }
    }

    /// None if it was not measured.
    pub(super) fn spread(&self, row: &str, figure: &'static str) -> Option<Spread> {
        Spread::of(self.values.get(&(row.to_owned(), figure))?.clone())
    }

    pub(super) fn median(&self, row: &str, figure: &'static str) -> Option<f64> {
        self.spread(row, figure).map(|spread| spread.median)
    }

    /// A value for each round: of one figure less another.
    pub(super) fn difference(&self, figure: &'static str, row: &str, less: &str) -> Option<Spread> {
        let of = |row: &str| self.values.get(&(row.to_owned(), figure));
        Spread::of(of(row)?.iter().zip(of(less)?).map(|(value, less)| value - less).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{Rows, Spread};

    #[test]
    fn differences_are_taken_within_a_round() {
        let mut rows = Rows::default();
        for (with, without) in [(5.0, 1.0), (7.0, 1.0), (20.0, 15.0)] {
            rows.add("with", "ms", with);
            rows.add("without", "ms", without);
        }
        let difference = rows.difference("ms", "with", "without");
        assert_eq!(difference, Some(Spread { median: 5.0, least: 4.0, most: 6.0 }));
        assert_eq!((rows.median("with", "ms"), rows.median("with", "s")), (Some(7.0), None));
    }
}
