//! Every dependency is licensed as `deny.toml` allows and comes from the crates registry.
//!
//! The same as `cargo deny check licenses sources`, for machines without cargo-deny; known
//! vulnerabilities are left to that tool.

use super::{Finding, Repository};
use serde_json::Value;
use std::process::Command;

const RULES: &str = "deny.toml";
const LOCK: &str = "Cargo.lock";

/// Asks cargo for all packages and compares their licences with those of `deny.toml`.
pub(crate) fn check(repository: &Repository) -> Vec<Finding> {
    let rules = repository.file(RULES).map(|file| file.text.as_str()).unwrap_or_default();
    let allowed = allowed(rules);
    if allowed.is_empty() {
        return vec![Finding::at(
            RULES,
            1,
            "no licences are allowed here; [licenses] needs `allow = [\"MIT\", …]`",
        )];
    }
    // Without the network first: what is built here is here already.
    let metadata = metadata(repository, &["--offline"]).or_else(|_| metadata(repository, &[]));
    match metadata {
        Err(why) => vec![Finding::at(LOCK, 1, why)],
        Ok(metadata) => {
            judge(&metadata, &allowed).into_iter().map(|what| Finding::at(LOCK, 1, what)).collect()
        }
    }
}

fn metadata(repository: &Repository, more: &[&str]) -> Result<Value, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = cargo.args(more).current_dir(&repository.root).output();
    let output = output.map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ")
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// The licences of `allow = [ … ]` in the `[licenses]` table.
fn allowed(rules: &str) -> Vec<String> {
    let table = rules.split("[licenses]").nth(1).unwrap_or_default();
    let list = table.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
    let uncommented: String = list.lines().filter_map(|line| line.split('#').next()).collect();
    uncommented.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What is wrong with the packages of `cargo metadata`.
fn judge(metadata: &Value, allowed: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    let text =
        |package: &Value, key: &str| package.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    for package in metadata.get("packages").and_then(Value::as_array).into_iter().flatten() {
        let name = format!("{} {}", text(package, "name"), text(package, "version"));
        let licence = text(package, "license");
        if !is_allowed(&licence, allowed) {
            wrong.push(format!("{name} is licensed `{licence}`; {RULES} allows {}", allowed.join(", ")));
        }
        let source = text(package, "source");
        if !source.is_empty() && !source.starts_with("registry+") {
            wrong.push(format!("{name} comes from `{source}`; take a release from the crates registry"));
        }
    }
    wrong
}

/// Whether an SPDX expression can be met with the allowed licences alone. Brackets are worked out from
/// the inside: each becomes a licence that is allowed (`+`) or not (`-`).
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let mut rest = expression.to_owned();
    while let Some((before, inside)) = rest.rsplit_once('(') {
        let Some((inside, after)) = inside.split_once(')') else { return false };
        rest = format!("{before}{}{after}", if is_flat_allowed(inside, allowed) { "+" } else { "-" });
    }
    is_flat_allowed(&rest, allowed)
}

/// The same without brackets: `AND` binds stronger than `OR`; `/` is an old way to write `OR`.
fn is_flat_allowed(expression: &str, allowed: &[String]) -> bool {
    let either = expression.replace('/', " OR ");
    let is_one_allowed = |licence: &str| licence == "+" || allowed.iter().any(|known| known == licence);
    either.split(" OR ").any(|all| all.split(" AND ").all(|licence| is_one_allowed(licence.trim())))
}

#[cfg(test)]
mod tests {
    use super::{allowed, is_allowed, judge};
    use serde_json::json;

    const RULES: &str = "[licenses]\nallow = [\n  \"MIT\", # as we are\n  \"Apache-2.0\",\n  \"Unicode-3.0\",\n]\n[bans]\nallow = [\"x\"]\n";

    #[test]
    fn expressions_are_met_with_allowed_licences_alone() {
        let allowed = allowed(RULES);
        assert_eq!(allowed, ["MIT", "Apache-2.0", "Unicode-3.0"]);
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "GPL-2.0 OR (MIT AND (Apache-2.0))",
        ] {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR BSL-1.0) AND MIT", "MIT WITH x", "(MIT"] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn packages_with_another_licence_or_source_are_found() {
        let package = |licence: &str, source: Option<&str>| json!({"name": "a", "version": "1.0.0", "license": licence, "source": source});
        let good = json!({"packages": [package("MIT", None), package("MIT", Some("registry+x"))]});
        assert_eq!(judge(&good, &allowed(RULES)), [""; 0]);
        let bad = json!({"packages": [package("GPL-3.0", None), package("MIT", Some("git+x"))]});
        let wrong = judge(&bad, &allowed(RULES));
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].starts_with("a 1.0.0 is licensed `GPL-3.0`"), "{wrong:?}");
    }
}
