//! The simulator runs the broker's own types, and nothing of what it plants is in the broker.
//!
//! Two halves: `crates/sim` defines no type that stands in for one of the pure crates, and cargo does not switch
//! planted faults on, neither for the binary alone nor when the whole workspace is built at once.

use super::scan::{line_of, scan, words};
use super::{Finding, Repository};
use std::process::Command;

/// Types that exist once: a simulator with its own would prove something about itself.
const ITS_OWN_NEVER: [&str; 8] =
    ["Outbox", "Outbound", "Inbound", "Session", "Conversation", "Broker", "Group", "Log"];

/// What the names of all features begin with that break rules.
const FEATURE: &str = "planted-";

/// Looks through the simulator's sources, and asks cargo.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = repository.files.iter().filter(|file| file.path.starts_with("crates/sim/"));
    for file in sources.filter(|file| file.is(&["rs"])) {
        let defined = definitions(&file.text);
        findings.extend(defined.into_iter().map(|(line, name)| {
            let what = format!("the simulator has its own `{name}`; it is to run that of the pure crates");
            Finding::at(&file.path, line, what)
        }));
    }
    for scope in [["--package", "aldis"].as_slice(), ["--workspace"].as_slice()] {
        let mut cargo = Command::new("cargo");
        cargo.args(["tree", "--edges", "features,normal,build", "--prefix", "none"]).args(scope);
        let what = match cargo.current_dir(&repository.root).output() {
            Err(error) => Some(format!("cannot run cargo tree: {error}")),
            Ok(output) => plants(&String::from_utf8_lossy(&output.stdout)),
        };
        findings.extend(what.map(|what| Finding::at("crates/aldis/Cargo.toml", 1, what)));
    }
    findings
}

/// Types among [`ITS_OWN_NEVER`] that a source defines, with their lines.
fn definitions(source: &str) -> Vec<(usize, String)> {
    let code = scan(source).code;
    let mut found = Vec::new();
    let mut before = "";
    for (at, word) in words(&code) {
        let defines = matches!(before, "struct" | "enum" | "trait" | "type" | "union");
        if defines && ITS_OWN_NEVER.contains(&word) {
            found.push((line_of(&code, at), word.to_owned()));
        }
        before = word;
    }
    found
}

/// What is wrong with the features that cargo lists.
fn plants(tree: &str) -> Option<String> {
    if !tree.lines().any(|line| line.starts_with("aldis-session ")) {
        return Some(
            "cargo tree does not show aldis-session, so nothing is known of its features".to_owned(),
        );
    }
    let planted = tree.lines().find(|line| line.contains(FEATURE))?;
    Some(format!(
        "faults can be planted in what is built: `{planted}`; {FEATURE}… is for the proof that tests notice"
    ))
}

#[cfg(test)]
mod tests {
    use super::{definitions, plants};

    #[test]
    fn a_type_of_its_own_is_found() {
        assert_eq!(definitions("use x::Session;\npub struct Sessions;\n// struct Broker\n"), []);
        assert_eq!(definitions("struct A;\nenum Group {}"), [(2, "Group".to_owned())]);
    }

    #[test]
    fn a_planted_feature_is_found_and_an_empty_list_is_no_proof() {
        assert_eq!(plants("aldis v0.1.0\naldis-session v0.1.0\n"), None);
        assert!(plants("aldis-session v0.1.0\naldis-session feature \"planted-faults\"\n").is_some());
        assert!(plants("aldis-session v0.1.0\naldis-store feature \"planted-no-sync\"\n").is_some());
        assert!(plants("aldis v0.1.0\n").unwrap().contains("does not show"));
    }
}
