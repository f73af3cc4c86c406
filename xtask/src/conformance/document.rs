//! The tables in docs/conformance.md: what each statement demands, what Aldis and Mosquitto do, and whether the
//! suite was seen to notice when a broker breaks it.
//!
//! Aldis's column comes from the run at hand. Mosquitto's comes from a file that `--document` writes, so that
//! the page can be checked without fetching Mosquitto.

use super::RESULTS;
use crate::markers::Markers;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

pub(super) const DOCUMENT: &str = "docs/conformance.md";
/// Version, identifier and verdict, under a line with what was measured.
const MOSQUITTO: &str = "crates/conformance/mosquitto/verdicts.tsv";
/// Version, identifier, and why the test is right although Mosquitto fails it.
const DISPUTES: &str = "crates/conformance/mosquitto/disputes.tsv";
/// Version, identifier, and why no broker was made that breaks it.
const UNPROVEN: &str = "crates/conformance/unproven.tsv";

/// A statement's standard and identifier.
type Key = (String, String);

/// What the suite wrote.
pub(super) fn read(root: &Path, file: &str) -> Result<Value, String> {
    let path = root.join(RESULTS).join(file);
    let told = |error: String| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|error| told(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| told(error.to_string()))
}

/// Keeps what Mosquitto did, for the column of the page.
pub(super) fn keep_mosquitto(root: &Path, version: &str, results: &Value) -> Result<(), String> {
    let date = Command::new("date").arg("-I").output().map(|output| output.stdout).unwrap_or_default();
    let mut text = format!("{version}\t{}\n", String::from_utf8_lossy(&date).trim());
    for row in statements(results) {
        text.push_str(&format!("{}\t{}\t{}\n", row.version, row.id, row.verdict));
    }
    std::fs::write(root.join(MOSQUITTO), text).map_err(|error| format!("{MOSQUITTO}: {error}"))
}

/// The part of the page that is generated.
pub(super) fn generated(root: &Path, results: &Value) -> Result<String, String> {
    let table =
        |path: &str| std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"));
    let mosquitto = table(MOSQUITTO)?;
    let measured: Vec<&str> = mosquitto.lines().next().unwrap_or_default().split('\t').collect();
    let [version, date] = measured[..] else {
        return Err(format!("{MOSQUITTO} does not begin with a version and a date"));
    };
    let columns = Columns {
        mosquitto: by_key(&mosquitto),
        disputes: by_key(&table(DISPUTES)?),
        unproven: by_key(&table(UNPROVEN)?).into_keys().collect(),
    };
    page(&statements(results), &columns, version, date)
}

/// The page with this part between its markers.
pub(super) fn placed(text: &str, part: &str) -> Result<String, String> {
    Markers::new(DOCUMENT, "cargo xtask conformance --document").placed(text, part)
}

/// Puts the part into the page.
pub(super) fn write(root: &Path, part: &str) -> Result<(), String> {
    let path = root.join(DOCUMENT);
    let told = |error: std::io::Error| format!("{DOCUMENT}: {error}");
    let text = std::fs::read_to_string(&path).map_err(told)?;
    std::fs::write(&path, placed(&text, part)?).map_err(told)?;
    println!("written to {DOCUMENT}");
    Ok(())
}

/// `301 passed, 12 not shown, …`.
pub(super) fn counts(results: &Value) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let rows = statements(results);
    rows.iter().for_each(|row| *counts.entry(row.verdict).or_default() += 1);
    let mut counts: Vec<(usize, &str)> = counts.into_iter().map(|(word, count)| (count, word)).collect();
    counts.sort_by(|one, other| other.cmp(one));
    counts.iter().map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// One statement of a run.
struct Row<'a> {
    version: &'a str,
    id: &'a str,
    demands: &'a str,
    verdict: &'a str,
    why: &'a str,
}

impl Row<'_> {
    fn key(&self) -> Key {
        (self.version.to_owned(), self.id.to_owned())
    }
}

struct Columns {
    mosquitto: BTreeMap<Key, String>,
    disputes: BTreeMap<Key, String>,
    unproven: BTreeSet<Key>,
}

fn statements(results: &Value) -> Vec<Row<'_>> {
    let list = results.get("statements").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|row| {
            let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
            Row {
                version: text("version"),
                id: text("id"),
                demands: text("demands"),
                verdict: text("verdict"),
                why: text("why"),
            }
        })
        .collect()
}

/// The third column of a table, by the first two.
fn by_key(table: &str) -> BTreeMap<Key, String> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut columns = line.splitn(3, '\t').map(str::to_owned);
            Some(((columns.next()?, columns.next()?), columns.next().unwrap_or_default()))
        })
        .collect()
}

fn page(rows: &[Row<'_>], columns: &Columns, version: &str, date: &str) -> Result<String, String> {
    let mut text = format!(
        "Mosquitto is {version} of Debian, tested {date}. *Caught* says whether the suite was seen to notice a \
         broker that breaks the statement: `crates/conformance/tests` holds one for each.\n"
    );
    for (standard, title) in [("3.1.1", "MQTT 3.1.1"), ("5", "MQTT 5.0")] {
        text.push_str(&format!(
            "\n### {title}\n\n| statement | demands | Aldis | Mosquitto | caught |\n|---|---|---|---|---|\n"
        ));
        for row in rows.iter().filter(|row| row.version == standard) {
            let other = columns.mosquitto.get(&row.key()).map_or("–", String::as_str);
            let caught = match row.verdict {
                "not testable" => "–",
                _ if columns.unproven.contains(&row.key()) => "no",
                _ => "yes",
            };
            text.push_str(&format!(
                "| {} | {} | {} | {} | {caught} |\n",
                row.id,
                row.demands.replace('|', "\\|"),
                marked(row.verdict),
                marked(other)
            ));
        }
    }
    text.push_str(&reasons(rows));
    text.push_str(&disputes(rows, columns)?);
    Ok(text)
}

/// Why a statement has no verdict.
fn reasons(rows: &[Row<'_>]) -> String {
    let mut text = "\n### Why a statement was not shown, offered or tested\n\n".to_owned();
    for row in rows.iter().filter(|row| matches!(row.verdict, "not shown" | "not offered" | "not testable")) {
        text.push_str(&format!("- {} {}, {}: {}\n", row.version, row.id, row.verdict, row.why));
    }
    text
}

/// What Mosquitto fails, and why the test is right; an error for a failure without a word on it.
fn disputes(rows: &[Row<'_>], columns: &Columns) -> Result<String, String> {
    let mut text = "\n### What Mosquitto does otherwise, and why the test is right\n\n".to_owned();
    for row in rows {
        let failed = columns.mosquitto.get(&row.key()).is_some_and(|verdict| verdict == "failed");
        match (failed, columns.disputes.get(&row.key())) {
            (true, Some(why)) => text.push_str(&format!("- {} {}: {why}\n", row.version, row.id)),
            (true, None) => {
                return Err(format!(
                    "Mosquitto fails {} {}; {DISPUTES} has to say why the test is right",
                    row.version, row.id
                ));
            }
            (false, Some(_)) => {
                return Err(format!(
                    "{DISPUTES} speaks of {} {}, which Mosquitto passes; take the line out",
                    row.version, row.id
                ));
            }
            (false, None) => {}
        }
    }
    Ok(text)
}

/// What is wrong stands out.
fn marked(verdict: &str) -> String {
    if verdict == "failed" { "**failed**".to_owned() } else { verdict.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{Columns, by_key, counts, page, statements};
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn a_failure_of_mosquitto_needs_a_word_and_a_word_needs_a_failure() {
        let results = json!({ "statements": [{ "version": "5", "id": "MQTT-1", "demands": "a", "verdict": "passed" }] });
        let of = |mosquitto: &str, disputes: &str| {
            let columns = Columns {
                mosquitto: by_key(mosquitto),
                disputes: by_key(disputes),
                unproven: BTreeSet::new(),
            };
            page(&statements(&results), &columns, "2", "today")
        };
        let (failed, passed) = ("head\n5\tMQTT-1\tfailed\n", "head\n5\tMQTT-1\tpassed\n");
        let word = "head\n5\tMQTT-1\tbecause\n";
        assert!(of(failed, "head\n").unwrap_err().contains("MQTT-1"));
        assert!(of(passed, word).unwrap_err().contains("take the line out"));
        let page = of(failed, word).unwrap();
        assert!(page.contains("| MQTT-1 | a | passed | **failed** | yes |"), "{page}");
        assert!(page.contains("- 5 MQTT-1: because"), "{page}");
        assert_eq!(counts(&results), "1 passed");
    }
}
