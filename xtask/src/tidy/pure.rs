//! The pure crates do not reach Tokio, by no path: `cargo tree` is asked.
//!
//! Clocks and random sources are clippy's business (`clippy.toml`).

use super::{Finding, Repository};
use std::process::Command;

/// The crates that know no socket, no clock and no task.
const PURE: [&str; 7] = ["packet", "topic", "session", "store", "broker", "conformance", "sim"];

/// Asks cargo what each pure crate depends on, directly or not.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in PURE {
        let manifest = format!("crates/{name}/Cargo.toml");
        let package = format!("aldis-{name}");
        let mut cargo = Command::new("cargo");
        cargo
            .args(["tree", "-p", &package, "-e", "normal", "--prefix", "none"])
            .current_dir(&repository.root);
        let what = match cargo.output() {
            Err(error) => Some(format!("cannot run cargo tree: {error}")),
            Ok(output) if !output.status.success() => {
                let why = String::from_utf8_lossy(&output.stderr);
                Some(format!("cargo tree -p {package}: {}", why.lines().next().unwrap_or_default()))
            }
            Ok(output) => reaches(&String::from_utf8_lossy(&output.stdout)),
        };
        findings.extend(what.map(|what| Finding::at(&manifest, 1, what)));
    }
    findings
}

/// What is wrong with a list of `name version` lines.
fn reaches(tree: &str) -> Option<String> {
    let runtime = |name: &&str| *name == "tokio" || name.starts_with("tokio-") || *name == "mio";
    let found = tree.lines().filter_map(|line| line.split_whitespace().next()).find(runtime)?;
    Some(format!(
        "this crate reaches {found} (cargo tree -i {found}); a pure crate takes time and bytes as arguments"
    ))
}

#[cfg(test)]
mod tests {
    use super::reaches;

    #[test]
    fn a_crate_that_reaches_tokio_is_found() {
        assert_eq!(reaches("aldis-packet v0.1.0 (/a/tokio)\nbytes v1.0.0\n"), None);
        assert!(
            reaches("aldis-store v0.1.0\nfoo v1.0.0\ntokio v1.0.0 (*)\n").unwrap().contains("reaches tokio")
        );
        assert!(reaches("a v1\ntokio-util v0.7.0\n").is_some());
    }
}
