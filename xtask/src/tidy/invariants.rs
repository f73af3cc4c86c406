//! Every invariant in ARCHITECTURE.md names the test that holds it, and that test exists.
//!
//! Whether the test tests it is for a reader to judge.

use super::functions::functions;
use super::markdown::{self, Row};
use super::{Finding, Repository};
use std::collections::HashSet;

const DOCUMENT: &str = "ARCHITECTURE.md";

/// Looks at the table whose head is `| invariant | held by |`.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let Some(file) = repository.file(DOCUMENT) else {
        let what = "the file is missing; it holds the map and the table `| invariant | held by |`";
        return vec![Finding::at(DOCUMENT, 1, what)];
    };
    let known: HashSet<String> =
        repository.with_extension(&["rs"]).flat_map(|file| tests(&file.text)).collect();
    let mut findings = Vec::new();
    let (mut count, mut inside) = (0, false);
    for Row { line, is_head, cells } in markdown::read(&file.text).rows {
        let [invariant, .., held_by] = cells.as_slice() else { continue };
        if is_head {
            inside = invariant.eq_ignore_ascii_case("invariant") && held_by.eq_ignore_ascii_case("held by");
        } else if inside {
            count += 1;
            findings.extend(wrong(repository, &known, held_by).map(|what| Finding::at(DOCUMENT, line, what)));
        }
    }
    if count == 0 {
        findings.push(Finding::at(DOCUMENT, 1, "there is no table `| invariant | held by |` with a row"));
    }
    findings
}

/// The names of the functions that have a test's attribute on one of the lines above them.
fn tests(source: &str) -> Vec<String> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_test = |line: usize| {
        let above = lines.iter().take(line.saturating_sub(1)).rev();
        let mut attributes = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    };
    functions(source).into_iter().filter(|function| is_test(function.line)).map(|test| test.name).collect()
}

/// Whether a path names something that tests: a file or folder of tests, or a check of this program.
fn is_place_of_tests(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.starts_with("xtask/src/tidy/")
}

/// What is wrong with the second cell of a row.
fn wrong(repository: &Repository, known: &HashSet<String>, cell: &str) -> Option<String> {
    let mut cited: Vec<&str> = markdown::spans_of(cell).into_iter().chain(markdown::links_of(cell)).collect();
    // A command may stand beside the test that it runs.
    cited.retain(|cited| !cited.contains(' '));
    if cited.is_empty() {
        return Some(
            "the invariant names no test; add the test's function or its file in backticks".to_owned(),
        );
    }
    let exists = |cited: &&str| {
        let name = cited.rsplit("::").next().unwrap_or(cited).trim_end_matches("()");
        (repository.has(cited) && is_place_of_tests(cited)) || known.contains(name)
    };
    let missing = cited.iter().find(|cited| !exists(cited))?;
    Some(format!("`{missing}` is no test: neither a function with #[test] nor a path from the root to tests"))
}

#[cfg(test)]
mod tests {
    use super::{DOCUMENT, Repository, check};

    fn findings(rows: &str) -> Vec<String> {
        let text = format!(
            "# Map\n\n| crate | holds |\n|---|---|\n| a | b |\n\n| Invariant | held by |\n|---|---|\n{rows}"
        );
        let code = ("crates/a/tests/order.rs", "#[test]\nfn order_is_kept() {}\nfn helps() {}");
        let repository = Repository::of(&[(DOCUMENT, &text), code, ("crates/a/src/order.rs", "")]);
        check(&repository).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_test_is_named_by_its_function_or_its_file() {
        let rows = "| a | `order_is_kept` |\n| b | `crates/a/tests/order.rs` |\n| c | `cargo xtask tidy`, `order::order_is_kept`, [all](crates/a/tests/order.rs) |\n";
        assert_eq!(findings(rows), [""; 0]);
    }

    #[test]
    fn an_invariant_without_a_test_that_exists_is_found() {
        let found = findings(
            "| a | review `cargo test` |\n| b | `order_is_lost` |\n| c | `helps` |\n| d | `crates/a/src/order.rs` |\n",
        );
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[1].starts_with("ARCHITECTURE.md:10: `order_is_lost` is no test"), "{found:?}");
    }

    #[test]
    fn a_missing_table_or_document_is_found() {
        assert_eq!(findings("").len(), 1);
        assert_eq!(check(&Repository::of(&[])).len(), 1);
    }
}
