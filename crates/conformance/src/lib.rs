//! The normative statements of MQTT 3.1.1 and 5.0, by identifier.
//!
//! The two tables under `normative/` hold one line a statement: its identifier, whom it binds,
//! a paraphrase, and whether it can be observed from outside. This crate only reads them.

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

/// The statements of MQTT 3.1.1, in the order of the standard.
pub fn statements_of_3_1_1() -> impl Iterator<Item = Statement> {
    parse(include_str!("../normative/normative-311.tsv"))
}

/// The statements of MQTT 5.0, in the order of the standard.
pub fn statements_of_5() -> impl Iterator<Item = Statement> {
    parse(include_str!("../normative/normative-5.tsv"))
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
        assert_eq!(statements_of_3_1_1().count(), 141);
        assert_eq!(statements_of_5().count(), 251);
        for statement in statements_of_3_1_1().chain(statements_of_5()) {
            assert!(statement.id.starts_with("MQTT-"), "{statement:?}");
            assert!(matches!(statement.who, "server" | "client" | "both"), "{statement:?}");
        }
    }
}
