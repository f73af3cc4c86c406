//! A file has at most 600 lines, and a name that says what is in it.
//!
//! Long documents and tables of data are not measured.

use super::{Finding, Repository};

const MOST_LINES: usize = 600;

/// Names that fit any content, so they say nothing about it.
const EMPTY_NAMES: [&str; 6] = ["utils", "common", "types", "manager", "context", "helpers"];

/// Looks at every source file's length and name.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.with_extension(&["rs", "py", "js", "mjs", "sh"]) {
        let lines = file.text.lines().count();
        if lines > MOST_LINES {
            let what = format!(
                "the file has {lines} lines; at most {MOST_LINES}: split it by what its parts are for"
            );
            findings.push(Finding::at(&file.path, MOST_LINES + 1, what));
        }
        let named = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        for empty in named.filter(|part| EMPTY_NAMES.contains(part)).filter(|_| file.is(&["rs"])) {
            let what = format!("`{empty}` names nothing; name the file after the type or the task it holds");
            findings.push(Finding::at(&file.path, 1, what));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Repository, check};

    #[test]
    fn six_hundred_lines_pass_and_one_more_does_not() {
        assert_eq!(check(&Repository::of(&[("a.py", &"x\n".repeat(600)), ("a.md", &"x\n".repeat(900))])), []);
        let findings = check(&Repository::of(&[("a.py", &"x\n".repeat(601))]));
        assert!(findings[0].to_string().contains("601 lines"), "{}", findings[0]);
    }

    #[test]
    fn names_that_say_nothing_are_found_as_file_and_as_folder() {
        assert_eq!(check(&Repository::of(&[("src/outbox.rs", ""), ("src/common_cold.rs", "")])), []);
        let bad = Repository::of(&[("src/utils.rs", ""), ("tests/common/mod.rs", "")]);
        assert_eq!(check(&bad).len(), 2);
    }
}
