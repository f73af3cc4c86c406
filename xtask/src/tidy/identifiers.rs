//! The types and functions that documents cite between backticks exist as a word in some source file.
//!
//! Comments of Rust sources do not count: a name that lives on in one is gone. Words of MQTT and of other
//! programs are listed in `xtask/tidy-words.txt`.

use super::scan::{scan, words};
use super::{Finding, Repository, markdown};
use std::collections::HashSet;

const ALLOWED: &str = "xtask/tidy-words.txt";

/// Looks at every document.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut known: HashSet<String> = HashSet::new();
    for file in repository.with_extension(&["rs", "py", "toml", "js", "mjs"]) {
        let text = if file.is(&["rs"]) { without_comments(&file.text) } else { file.text.clone() };
        known.extend(words(&text).map(|(_, word)| word.to_owned()));
    }
    let allowed = repository.file(ALLOWED).map(|file| file.text.as_str()).unwrap_or_default();
    known.extend(allowed.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned()));

    let mut findings = Vec::new();
    for file in repository.with_extension(&["md"]) {
        for (line, span) in markdown::read(&file.text).spans {
            for word in identifiers(span).into_iter().filter(|word| !known.contains(*word)) {
                let what = format!(
                    "`{word}` is in no source file; cite what it is called now (or, if it is not ours, list it in {ALLOWED})"
                );
                findings.push(Finding::at(&file.path, line, what));
            }
        }
    }
    findings
}

fn without_comments(source: &str) -> String {
    let comments = scan(source).comments;
    let keep = |(at, character): (usize, char)| {
        let is_comment = comments.as_bytes().get(at).is_some_and(|byte| !byte.is_ascii_whitespace());
        if is_comment { ' ' } else { character }
    };
    source.char_indices().map(keep).collect()
}

/// The identifiers in a code span that looks like Rust: `Type`, `Type<Other>`, `function()`, `a::b`,
/// `Variant { field, .. }`, `trait Name`. None when it looks like something else.
fn identifiers(span: &str) -> Vec<&str> {
    let keywords = ["pub ", "async ", "fn ", "trait ", "struct ", "enum ", "impl ", "mod ", "const ", "dyn "];
    let mut rest = span.trim_start_matches(['&', '.']);
    let mut is_item = false;
    while let Some(after) = keywords.iter().find_map(|keyword| rest.strip_prefix(keyword)) {
        (rest, is_item) = (after, true);
    }
    let end = rest.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || b"_:".contains(&byte)));
    let (path, after) = rest.split_at(end.unwrap_or(rest.len()));
    let is_call = after.starts_with('(') && after.ends_with(')');
    let is_generic = after.starts_with('<') && after.ends_with('>');
    let is_fields = after.starts_with(" {") && after.ends_with('}');
    let path = path.strip_suffix("::").unwrap_or(path);
    if !(after.is_empty() || is_call || is_generic || is_fields) || path.is_empty() {
        return Vec::new();
    }
    let parts: Vec<&str> = path.split("::").collect();
    let is_path = parts.len() > 1 && !path.contains(":::");
    let is_well_formed =
        parts.iter().all(|part| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'));
    if path.replace("::", "").contains(':') || !is_well_formed {
        return Vec::new();
    }
    let mut found = if is_item || is_path || is_call || is_type(path) { parts } else { Vec::new() };
    if is_generic {
        found.extend(words(after).map(|(_, word)| word).filter(|word| is_type(word)));
    }
    found
}

/// `CamelCase`: a capital first, a small letter somewhere, no underscore, at least three letters.
fn is_type(word: &str) -> bool {
    let begins = word.starts_with(|first: char| first.is_ascii_uppercase());
    begins && word.len() > 2 && !word.contains('_') && word.bytes().any(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{ALLOWED, Repository, check, identifiers};

    const NONE: [&str; 0] = [];

    #[test]
    fn spans_that_look_like_rust_give_their_identifiers() {
        assert_eq!(identifiers("Broker"), ["Broker"]);
        assert_eq!(identifiers("Arc<Route>"), ["Arc", "Route"]);
        assert_eq!(identifiers("Outbox::offer(delivery)"), ["Outbox", "offer"]);
        assert_eq!(identifiers("trait Log"), ["Log"]);
        assert_eq!(identifiers("fn run"), ["run"]);
        assert_eq!(identifiers("poll_effect()"), ["poll_effect"]);
        assert_eq!(identifiers("ProtocolViolation { clause, reason }"), ["ProtocolViolation"]);
    }

    #[test]
    fn other_spans_give_none() {
        for span in [
            "some_field",
            "MQTT",
            "cargo xtask test",
            "--listen",
            "[::1]:1883",
            "Type=notify",
            "a/b",
            "0x8E",
            "clients_connected",
            "",
        ] {
            assert_eq!(identifiers(span), NONE, "{span}");
        }
    }

    #[test]
    fn a_name_must_be_in_code_or_in_the_list() {
        let code = ("a.rs", "struct Outbox; // Mailbox was here\nfn offer() { log(\"Accepted\") }");
        let list = (ALLOWED, "Mosquitto   # another broker\n");
        let good = ("a.md", "`Outbox` `Outbox::offer()` `Accepted` `Mosquitto` `plain`");
        assert_eq!(check(&Repository::of(&[code, list, good])), []);
        let bad = ("a.md", "\n`Mailbox` and `Outbox::refuse()`");
        let findings = check(&Repository::of(&[code, list, bad]));
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(
            findings[0].to_string().starts_with("a.md:2: `Mailbox` is in no source file"),
            "{}",
            findings[0]
        );
    }
}
