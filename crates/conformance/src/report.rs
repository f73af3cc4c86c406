//! From tests to statements: a row for each, with its verdict, for people and for machines.

use crate::outcome::{Fault, Outcome, Verdict};
use crate::runner::Played;
use crate::statement::{Statement, statements, why_not_testable};
use crate::wire::Version;
use serde_json::{Value, json};
use std::fmt::Write;

/// One statement and what its tests found.
#[derive(Debug, Clone)]
pub struct Row {
    /// The standard it belongs to.
    pub version: Version,
    /// What it demands.
    pub statement: Statement,
    /// From all its tests.
    pub verdict: Verdict,
    /// The tests, in the order they are written.
    pub tests: Vec<Played>,
}

/// A row for each statement of these versions, in the order of the standards.
#[must_use]
pub fn rows(played: &[Played], versions: &[Version]) -> Vec<Row> {
    let row = |version: Version, statement: Statement| {
        let tests: Vec<Played> = played
            .iter()
            .filter(|one| one.case.version == version && one.case.id == statement.id)
            .cloned()
            .collect();
        let verdict = match why_not_testable(version, statement.id) {
            Some(why) if tests.is_empty() => Verdict::NotTestable(why),
            _ => Verdict::of(tests.iter().map(named)),
        };
        Row { version, statement, verdict, tests }
    };
    versions
        .iter()
        .flat_map(|version| statements(*version).map(move |statement| (*version, statement)))
        .map(|(version, statement)| row(version, statement))
        .collect()
}

/// What a test found; a failure says which test it was.
fn named(one: &Played) -> Outcome {
    one.outcome.clone().map_err(|fault| fault.about(one.case.name))
}

/// The tests whose statement is in none of the tables: a slip of the pen in the suite itself.
#[must_use]
pub fn strays(played: &[Played]) -> Vec<&Played> {
    let is_known = |one: &&Played| statements(one.case.version).any(|statement| statement.id == one.case.id);
    played.iter().filter(|one| !is_known(one)).collect()
}

/// What did not pass, one line each, and the counts by verdict.
#[must_use]
pub fn summary(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| !matches!(row.verdict, Verdict::Passed)) {
        let (version, id, word) = (row.version.name(), row.statement.id, row.verdict.word());
        let _ = writeln!(text, "{version:5} {id:15} {word}: {}", one_line(&row.verdict.why()));
    }
    for version in [Version::V311, Version::V5] {
        let of_version: Vec<&Row> = rows.iter().filter(|row| row.version == version).collect();
        if of_version.is_empty() {
            continue;
        }
        let counts: Vec<String> = ["passed", "FAILED", "not shown", "not offered", "not testable", "NO TEST"]
            .iter()
            .map(|word| {
                let count = of_version.iter().filter(|row| row.verdict.word() == *word).count();
                format!("{count} {word}")
            })
            .collect();
        let _ = writeln!(text, "MQTT {version}: {} statements: {}", of_version.len(), counts.join(", "));
    }
    text
}

/// Everything, for a program.
#[must_use]
pub fn json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let tests: Vec<Value> = row.tests.iter().map(test).collect();
        json!({
            "version": row.version.name(),
            "id": row.statement.id,
            "binds": row.statement.who,
            "demands": row.statement.paraphrase,
            "verdict": row.verdict.word().to_lowercase(),
            "why": row.verdict.why(),
            "tests": tests,
        })
    };
    json!({ "statements": rows.iter().map(row).collect::<Vec<_>>() })
}

fn test(one: &Played) -> Value {
    let (word, why) = match &one.outcome {
        Ok(()) => ("passed", String::new()),
        Err(Fault::Failed(why)) => ("failed", why.clone()),
        Err(Fault::NotShown(why)) => ("not shown", why.clone()),
        Err(Fault::NotOffered(feature)) => ("not offered", feature.name().to_owned()),
    };
    json!({ "name": one.case.name, "outcome": word, "why": why, "seconds": one.took.as_secs_f64() })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{rows, strays};
    use crate::cases;
    use crate::outcome::Verdict;
    use crate::runner::Played;
    use crate::wire::Version;
    use std::time::Duration;

    fn all_played() -> Vec<Played> {
        let took = Duration::ZERO;
        cases::all().into_iter().map(|case| Played { case, outcome: Ok(()), took }).collect()
    }

    #[test]
    fn every_test_names_a_statement() {
        let played = all_played();
        assert!(strays(&played).is_empty(), "{:?}", strays(&played));
    }

    #[test]
    fn a_statement_without_a_test_is_missing_and_not_passed() {
        let rows = rows(&[], &[Version::V5]);
        let verdict = |id: &str| &rows.iter().find(|row| row.statement.id == id).unwrap().verdict;
        assert_eq!(*verdict("MQTT-3.12.4-1"), Verdict::Missing);
        assert!(matches!(verdict("MQTT-3.1.2-20"), Verdict::NotTestable(_)));
    }
}
