//! A lint that is switched off in shipped code says why: `#[allow(…, reason = "…")]`.
//!
//! Tests may switch lints off without a word. Clippy's own lint for this knows no such difference.

use super::scan::{line_of, scan};
use super::{Finding, Repository};

/// Looks at every attribute in the sources that are shipped.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.files.iter().filter(|file| file.is_rust_source()) {
        let code = scan(&file.text).code;
        for opening in ["#[allow(", "#![allow("] {
            for (at, _) in code.match_indices(opening) {
                let attribute = code.get(at..).and_then(|rest| rest.split(']').next()).unwrap_or_default();
                if !attribute.contains("reason") {
                    let what =
                        format!("`{opening}` without a reason; add `reason = \"…\"`, or obey the lint");
                    findings.push(Finding::at(&file.path, line_of(&code, at), what));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Repository, check};

    #[test]
    fn an_allowed_lint_needs_its_reason_in_shipped_code() {
        let good = "#![allow(\n  clippy::panic,\n  reason = \"why\"\n)]\n#[expect(dead_code)]\n";
        let bad = "\n#[allow(dead_code)]\nfn f() {}\n#![allow(unused)] // reason\n";
        let files = [("crates/a/src/lib.rs", good), ("crates/a/tests/a.rs", bad)];
        assert_eq!(check(&Repository::of(&files)), []);
        let findings = check(&Repository::of(&[("crates/a/src/lib.rs", bad)]));
        assert_eq!(findings.len(), 2);
        assert!(findings[0].to_string().starts_with("crates/a/src/lib.rs:2:"), "{}", findings[0]);
    }
}
