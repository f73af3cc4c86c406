//! Nothing is left unfinished without a word why: no marker without an explanation, no placeholder
//! macro, no ignored test.
//!
//! Documents are not searched: they may speak of the markers.

use super::scan::{line_of, scan};
use super::{Finding, Repository};

/// The markers, taken apart so that this file holds none.
const MARKERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// What an explanation needs at least, in characters after the colon.
const SHORTEST_EXPLANATION: usize = 20;

/// Code that stands in for code to come, or for a test that is not run.
const PLACEHOLDERS: [(&str, &str); 4] = [
    ("unimplemented!", "write the code, or return a typed error"),
    ("todo!", "write the code, or return a typed error"),
    ("dbg!", "remove it, or trace with `tracing`"),
    ("#[ignore", "make the test run, under ALDIS_LONG=1 if it is slow, or remove it"),
];

/// Looks at the comments and the code of every source file.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.with_extension(&["rs", "py", "js", "mjs", "sh", "toml", "yml"]) {
        let scanned = file.is(&["rs"]).then(|| scan(&file.text));
        let commented = scanned.as_ref().map_or(file.text.as_str(), |scanned| &scanned.comments);
        for (line, text) in (1..).zip(commented.lines()) {
            for marker in MARKERS.into_iter().filter(|marker| unexplained(text, marker)) {
                let what = format!(
                    "{marker} without an explanation; write `{marker}: ` and what is missing and why"
                );
                findings.push(Finding::at(&file.path, line, what));
            }
        }
        let code = scanned.map(|scanned| scanned.code).unwrap_or_default();
        for (placeholder, instead) in PLACEHOLDERS {
            for (at, _) in code.match_indices(placeholder) {
                findings.push(Finding::at(
                    &file.path,
                    line_of(&code, at),
                    format!("`{placeholder}`; {instead}"),
                ));
            }
        }
    }
    findings
}

fn unexplained(text: &str, marker: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(marker).any(|(at, _)| {
        let (before, rest) = text.split_at(at);
        let after = rest.strip_prefix(marker).unwrap_or_default();
        if before.ends_with(is_word) || after.starts_with(is_word) {
            return false;
        }
        let explanation = after.strip_prefix(':').unwrap_or_default().trim();
        explanation.chars().count() < SHORTEST_EXPLANATION
    })
}

#[cfg(test)]
mod tests {
    use super::{MARKERS, Repository, check};

    #[test]
    fn a_marker_needs_an_explanation() {
        let [marker, other, _] = MARKERS;
        let good = format!(
            "// {marker}: the log does not yet recycle segments\nlet s = \"{marker}\"; // {marker}S\n"
        );
        assert_eq!(check(&Repository::of(&[("a.rs", &good), ("a.md", marker)])), []);
        let bad = format!("// {marker}\n// {other}: later\n");
        assert_eq!(check(&Repository::of(&[("a.rs", &bad), ("a.py", &bad.replace("//", "#"))])).len(), 4);
    }

    #[test]
    fn placeholders_are_found_in_code_alone() {
        let good = "// todo!() would be wrong\nlet s = \"dbg!\";\n";
        assert_eq!(check(&Repository::of(&[("a.rs", good)])), []);
        let bad = "fn f() { todo!() }\n#[ignore]\nfn g() { unimplemented!() }\n";
        let findings: Vec<String> =
            check(&Repository::of(&[("a.rs", bad)])).iter().map(ToString::to_string).collect();
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings.iter().any(|finding| finding.starts_with("a.rs:2: `#[ignore`")), "{findings:?}");
    }
}
