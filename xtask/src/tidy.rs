//! `cargo xtask tidy`: the rules of style that a machine can check, each in a module of its own.
//!
//! Checks read; they change nothing. What rustfmt and clippy check is theirs (`cargo xtask test`).

mod attributes;
mod clauses;
mod dead_files;
mod functions;
mod identifiers;
mod invariants;
mod licences;
mod markdown;
mod paths;
mod private;
mod pure;
mod scan;
mod selects;
mod simulator;
mod sizes;
mod unfinished;

use crate::arguments::Arguments;
use crate::repository::Repository;
use std::fmt;

const HELP: &str = "cargo xtask tidy [--only CHECK] [--list]

Checks the rules of style that a machine can check, prints each finding as `path:line: what is wrong, and
what would be right`, and fails when there is one.

--only CHECK   this check alone (repeatable)
--list         the checks, with what each holds

Words that documents cite and that are in no source file (MQTT's own, other programs') belong in
xtask/tidy-words.txt, one a line.";

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    /// `line` counts from 1; `what` says what is wrong and what would be right.
    pub(crate) fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// One rule: its name, what it holds, and the check.
struct Check {
    name: &'static str,
    holds: &'static str,
    check: fn(&Repository) -> Vec<Finding>,
}

const CHECKS: [Check; 14] = [
    Check { name: "pure", holds: "pure crates do not reach Tokio", check: pure::check },
    Check {
        name: "sizes",
        holds: "files of at most 600 lines, with names that say something",
        check: sizes::check,
    },
    Check { name: "functions", holds: "functions of at most 70 lines", check: functions::check },
    Check { name: "unfinished", holds: "nothing unfinished without a word why", check: unfinished::check },
    Check { name: "dead-files", holds: "every source file belongs to a module", check: dead_files::check },
    Check {
        name: "paths",
        holds: "paths, links and headings that documents cite exist",
        check: paths::check,
    },
    Check { name: "identifiers", holds: "identifiers that documents cite exist", check: identifiers::check },
    Check { name: "clauses", holds: "cited statements of MQTT exist", check: clauses::check },
    Check {
        name: "private",
        holds: "nothing refers to places outside of the repository",
        check: private::check,
    },
    Check { name: "selects", holds: "every select! has an order, and its reason", check: selects::check },
    Check { name: "attributes", holds: "every allowed lint has its reason", check: attributes::check },
    Check {
        name: "invariants",
        holds: "every invariant names the test that holds it",
        check: invariants::check,
    },
    Check {
        name: "simulator",
        holds: "the simulator runs the broker's own types, and the broker has no planted faults",
        check: simulator::check,
    },
    Check {
        name: "licences",
        holds: "dependencies are licensed as deny.toml allows",
        check: licences::check,
    },
];

/// Runs the subcommand; true when nothing was found.
pub(crate) fn main(given: Vec<String>) -> Result<bool, String> {
    let mut given = Arguments::new(given);
    if given.flag("--help") || given.flag("-h") {
        println!("{HELP}");
        return Ok(true);
    }
    let mut checks = Vec::from(CHECKS);
    if given.flag("--list") {
        checks.iter().for_each(|check| println!("{:12} {}", check.name, check.holds));
        return Ok(true);
    }
    let only = given.values("--only")?;
    given.finish()?;
    if let Some(unknown) = only.iter().find(|name| !checks.iter().any(|check| check.name == **name)) {
        return Err(format!("there is no check `{unknown}`; --list names them"));
    }
    checks.retain(|check| only.is_empty() || only.iter().any(|name| name == check.name));

    let repository = Repository::read()?;
    let mut count = 0;
    for check in &checks {
        let mut findings = (check.check)(&repository);
        findings.sort();
        findings.dedup();
        for finding in &findings {
            println!("{finding}");
        }
        count += findings.len();
    }
    let files = repository.files.len();
    println!("tidy: {} checks on {files} files, {count} findings", checks.len());
    Ok(count == 0)
}

#[cfg(test)]
mod tests {
    use super::{Finding, main};

    #[test]
    fn a_finding_is_one_line_that_an_editor_can_jump_to() {
        assert_eq!(Finding::at("a/b.rs", 7, "why").to_string(), "a/b.rs:7: why");
    }

    #[test]
    fn an_unknown_check_is_refused_by_name() {
        let error = main(vec!["--only".to_owned(), "sises".to_owned()]).unwrap_err();
        assert!(error.contains("`sises`"), "{error}");
    }
}
