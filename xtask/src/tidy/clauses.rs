//! A statement of the standards that is cited by its identifier exists in
//! `crates/conformance/normative/*.tsv`.
//!
//! Whether the code obeys it is the conformance tests' business.

use super::{Finding, Repository};
use std::collections::HashSet;

const TABLES: &str = "crates/conformance/normative/";

/// Looks at every identifier in sources and documents.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let tables = repository.with_extension(&["tsv"]).filter(|file| file.path.starts_with(TABLES));
    let known: HashSet<&str> =
        tables.flat_map(|table| table.text.lines()).filter_map(|line| line.split('\t').next()).collect();
    let mut findings = Vec::new();
    if known.is_empty() {
        findings.push(Finding::at(
            TABLES,
            1,
            "there are no tables of normative statements; *.tsv, identifier first",
        ));
        return findings;
    }
    for file in repository.with_extension(&["rs", "md", "py", "js", "mjs"]) {
        for (line, text) in (1..).zip(file.text.lines()) {
            for cited in cited(text).into_iter().filter(|cited| !known.contains(cited)) {
                let what = format!("{cited} is no statement of MQTT 3.1.1 or 5.0; {TABLES}*.tsv has them");
                findings.push(Finding::at(&file.path, line, what));
            }
        }
    }
    findings
}

/// The identifiers in a line: `MQTT-`, numbers joined by dots, `-`, a number.
fn cited(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, prefix) in text.match_indices("MQTT-") {
        let rest = text.get(at + prefix.len()..).unwrap_or_default();
        let section = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let Some(after) = rest.get(section..).and_then(|after| after.strip_prefix('-')) else { continue };
        let number = after.bytes().take_while(u8::is_ascii_digit).count();
        let numbered = rest.get(..section).is_some_and(|section| section.contains('.')) && number > 0;
        if numbered {
            found.extend(text.get(at..at + prefix.len() + section + 1 + number));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Repository, TABLES, check, cited};

    /// An identifier put together, so that this file cites none that does not exist.
    fn identifier(section: &str) -> String {
        format!("MQTT{}{section}", "-")
    }

    #[test]
    fn identifiers_are_read_whole() {
        let text = format!("[{}], {} and -6; MQTT-SN, MQTT-5", identifier("3.3.1-12"), identifier("4.2-1"));
        assert_eq!(cited(&text), [identifier("3.3.1-12"), identifier("4.2-1")]);
    }

    #[test]
    fn a_statement_that_is_in_no_table_is_found() {
        let table = (format!("{TABLES}five.tsv"), format!("id\twho\n{}\tserver\n", identifier("9.9-1")));
        let good = identifier("9.9-1");
        let bad = identifier("9.9-11");
        let check_with = |text: &str| check(&Repository::of(&[(&table.0, &table.1), ("a.rs", text)]));
        assert_eq!(check_with(&good), []);
        assert_eq!(check_with(&bad).len(), 1);
        assert_eq!(check(&Repository::of(&[("a.rs", &good)])).len(), 1, "no tables is a finding too");
    }
}
