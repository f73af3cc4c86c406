//! Every `select!` is `biased;`, with a comment on its order: which branch comes first when several are ready
//! is decided and not drawn by lot.

use super::scan::{line_of, scan};
use super::{Finding, Repository};

/// Lines around the macro's opening in which the comment stands: above it, or before its first branch.
const BEFORE: usize = 4;
const AFTER: usize = 3;

/// Looks at every Rust file.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.with_extension(&["rs"]) {
        let scanned = scan(&file.text);
        let comments: Vec<&str> = scanned.comments.lines().collect();
        for (at, _) in scanned.code.match_indices("select! {") {
            let line = line_of(&scanned.code, at);
            let inside = scanned.code.get(at..).and_then(|rest| rest.split_once('{')).unwrap_or_default().1;
            if !inside.trim_start().starts_with("biased;") {
                let what =
                    "`select!` without `biased;` takes branches by lot; add it, and say why in this order";
                findings.push(Finding::at(&file.path, line, what));
            } else if !has_comment(&comments, line) {
                let what = "`select!` without a comment on the order of its branches";
                findings.push(Finding::at(&file.path, line, what));
            }
        }
    }
    findings
}

/// Whether a comment stands near `line`, counted from 1.
fn has_comment(comments: &[&str], line: usize) -> bool {
    let near = comments.iter().skip(line.saturating_sub(BEFORE + 1)).take(BEFORE + 1 + AFTER);
    near.into_iter().any(|comment| comment.contains("//"))
}

#[cfg(test)]
mod tests {
    use super::{Repository, check};

    fn findings(code: &str) -> Vec<String> {
        let found = check(&Repository::of(&[("a.rs", code)]));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_biased_select_with_a_reason_is_good() {
        let above = "// The end first.\ntokio::select! {\n    biased;\n    () = end => {}\n}\n";
        let inside = "select! {\n    // The end first.\n    biased;\n    () = end => {}\n}\n";
        for good in [above, inside, "// select! {\nlet s = \"select! {\";\n"] {
            assert_eq!(findings(good), [""; 0], "{good}");
        }
    }

    #[test]
    fn one_by_lot_or_without_a_reason_is_found() {
        let found = findings("\nselect! {\n    () = end => {}\n}\n");
        assert!(found.len() == 1 && found[0].starts_with("a.rs:2: `select!` without `biased;`"), "{found:?}");
        let found = findings("fn f() {}\n\n\n\n\nselect! {\n    biased;\n    () = end => {}\n}\n");
        assert!(found.len() == 1 && found[0].contains("comment"), "{found:?}");
    }
}
