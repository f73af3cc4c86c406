//! The simulator runs the machines of the pure crates and has none of its own, and what is released has none of
//! the faults that are planted to prove it.
//!
//! A machine written twice would be tested instead of the one that ships.

use super::scan::{line_of, scan};
use super::{Finding, Repository};
use std::process::Command;

const SIMULATOR: &str = "crates/sim/";
/// The types that may exist once only, in the pure crates.
const MACHINES: [&str; 9] =
    ["Outbox", "Outbound", "Inbound", "Session", "Conversation", "Broker", "Group", "Log", "Routes"];
const FEATURE: &str = "planted-faults";

/// Looks at the simulator's sources, and asks cargo for the features of the binary.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = machines(repository);
    if repository.has(SIMULATOR) {
        let mut cargo = Command::new("cargo");
        cargo.args(["tree", "-p", "aldis", "-e", "normal,features", "--prefix", "none"]);
        let what = match cargo.current_dir(&repository.root).output() {
            Err(error) => Some(format!("cannot run cargo tree: {error}")),
            Ok(output) if !output.status.success() => {
                let why = String::from_utf8_lossy(&output.stderr);
                Some(format!("cargo tree -p aldis: {}", why.lines().next().unwrap_or_default()))
            }
            Ok(output) => planted(&String::from_utf8_lossy(&output.stdout)),
        };
        findings.extend(what.map(|what| Finding::at("crates/aldis/Cargo.toml", 1, what)));
    }
    findings
}

fn machines(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    let files = repository.files.iter().filter(|file| file.path.starts_with(SIMULATOR) && file.is(&["rs"]));
    for file in files {
        let code = scan(&file.text).code;
        for kind in ["struct ", "enum ", "type "] {
            for (at, _) in code.match_indices(kind) {
                let rest = code.get(at + kind.len()..).unwrap_or_default();
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let name = rest.get(..end).unwrap_or_default();
                if MACHINES.contains(&name) {
                    let what =
                        format!("the simulator defines `{name}`; it is to run the one of the pure crates");
                    findings.push(Finding::at(&file.path, line_of(&code, at), what));
                }
            }
        }
    }
    findings
}

/// What is wrong with the features of the binary.
fn planted(tree: &str) -> Option<String> {
    let line = tree.lines().find(|line| line.contains(FEATURE))?;
    Some(format!("the binary is built with `{FEATURE}` ({line}); only the simulator's own tests may be"))
}

#[cfg(test)]
mod tests {
    use super::{Repository, machines, planted};

    #[test]
    fn a_machine_of_its_own_is_found() {
        let bad = "\npub struct Outbox { a: u8 }\n";
        let good = "/// struct Outbox\nuse aldis_session::Outbox;\nstruct OutboxView;\n";
        let of = |path, text| machines(&Repository::of(&[(path, text)]));
        assert_eq!(of("crates/sim/src/a.rs", good), []);
        assert_eq!(of("crates/session/src/outbox.rs", bad), []);
        let found = of("crates/sim/src/a.rs", bad);
        assert!(found[0].to_string().starts_with("crates/sim/src/a.rs:2:"), "{}", found[0]);
    }

    #[test]
    fn a_binary_with_planted_faults_is_found() {
        assert_eq!(planted("aldis v0.1.0\naldis-session feature \"default\"\n"), None);
        assert!(planted("aldis-session feature \"planted-faults\"\n").is_some());
    }
}
