//! The repository stands alone: no text refers to a place outside of it.

use super::{Finding, Repository};

/// Places that are on some machine and not in the repository, taken apart so that this file holds none.
const PLACES: [&str; 2] = [concat!("..", "/shared"), concat!("/wo", "rk/")];

/// Looks at every line of every text file.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &repository.files {
        for (line, text) in (1..).zip(file.text.lines()) {
            for place in PLACES.into_iter().filter(|place| text.contains(place)) {
                let what = format!(
                    "`{place}` is outside of the repository; say it here, or name a file that is in it"
                );
                findings.push(Finding::at(&file.path, line, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{PLACES, Repository, check};

    #[test]
    fn places_outside_are_found_in_any_text() {
        assert_eq!(check(&Repository::of(&[("a.md", "shared/x, workers/x")])), []);
        let [first, second] = PLACES;
        let bad = format!("see\n{first}/A.md\n{second}x");
        let findings = check(&Repository::of(&[("a.toml", &bad)]));
        assert_eq!(findings.len(), 2);
        assert!(findings[0].to_string().starts_with("a.toml:2:"), "{}", findings[0]);
    }
}
