//! The normative statements of MQTT 3.1.1 and 5.0, by identifier.
//!
//! The two tables under `normative/` hold one line a statement: its identifier, whom it binds,
//! a paraphrase, and whether it can be observed from outside. A third one says of each that cannot
//! be, why.

use crate::wire::Version;

/// One normative statement of a standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Identifier as the standard prints it, for example `MQTT-3.3.1-2`.
    pub id: &'static str,
    /// `server`, `client` or `both`: who is bound by it.
    pub who: &'static str,
    /// What it demands, in our own words.
    pub paraphrase: &'static str,
    /// Whether a peer on the wire can tell that it is broken.
    pub testable_from_outside: bool,
}

/// The statements of one standard, in its order. MQTT 3.1 has none: its text numbers nothing.
pub fn statements(version: Version) -> impl Iterator<Item = Statement> {
    parse(match version {
        Version::V31 => "",
        Version::V311 => include_str!("../normative/normative-311.tsv"),
        Version::V5 => include_str!("../normative/normative-5.tsv"),
    })
}

/// The statement of that name.
pub fn statement(version: Version, id: &str) -> Option<Statement> {
    statements(version).find(|statement| statement.id == id)
}

/// Why nobody can tell from outside whether the statement is kept; none for one that can be tested.
pub fn why_not_testable(version: Version, id: &str) -> Option<&'static str> {
    include_str!("../normative/not-testable.tsv").lines().skip(1).find_map(|line| {
        let mut columns = line.split('\t');
        (columns.next()? == version.name() && columns.next()? == id).then(|| columns.next()).flatten()
    })
}

fn parse(table: &'static str) -> impl Iterator<Item = Statement> {
    table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split('\t');
        Some(Statement {
            id: columns.next()?,
            who: columns.next()?,
            paraphrase: columns.next()?,
            testable_from_outside: columns.next()? == "yes",
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_both_tables_is_a_statement() {
        assert_eq!(statements(Version::V311).count(), 141);
        assert_eq!(statements(Version::V5).count(), 251);
        for statement in statements(Version::V311).chain(statements(Version::V5)) {
            assert!(statement.id.starts_with("MQTT-"), "{statement:?}");
            assert!(matches!(statement.who, "server" | "client" | "both"), "{statement:?}");
        }
    }

    #[test]
    fn what_cannot_be_tested_has_its_reason_and_nothing_else_has() {
        for version in [Version::V311, Version::V5] {
            for statement in statements(version) {
                let reason = why_not_testable(version, statement.id);
                assert_eq!(reason.is_none(), statement.testable_from_outside, "{version} {statement:?}");
            }
        }
        let lines = include_str!("../normative/not-testable.tsv").lines().count() - 1;
        let untestable = |version| statements(version).filter(|one| !one.testable_from_outside).count();
        assert_eq!(lines, untestable(Version::V311) + untestable(Version::V5));
    }
}
