//! The tables, and their place in docs/performance.md: between two markers; what people write around
//! them stays.

use super::ALDIS;
use super::figures::{Idle, Series, Spread};
use super::options::Options;
use super::workloads::{IDLE_BAR, IDLE_CONNECTIONS, IDLE_GOAL};
use crate::markers::Markers;
use std::path::Path;
use std::process::Command;

const DOCUMENT: &str = "docs/performance.md";

const NEW: &str = "# What a message costs\n\nBroker CPU time for each delivered message, measured by `cargo xtask bench` beside a bare TCP relay that runs\nin turn with the broker on the same core. The ratio is what counts: absolute figures depend on the machine.\n";

fn markers() -> Markers {
    Markers::new(DOCUMENT, "cargo xtask bench")
}

/// Both tables in Markdown.
pub(super) fn tables(series: &[Series], idle: &[(String, Idle)], options: &Options) -> String {
    let mut text = String::new();
    if !series.is_empty() {
        text.push_str(&messages(series, options));
    }
    if !idle.is_empty() {
        text.push_str(&format!("\n{}", connections(idle)));
    }
    text
}

fn messages(series: &[Series], options: &Options) -> String {
    let mut head = "| workload | relay µs | Aldis µs | Aldis / relay | bar | within 2 × bar | within bar | Aldis msgs/s | lost / gaps / reordered |".to_owned();
    head.extend(options.also.iter().map(|(name, _)| format!(" {name} µs | {name} / relay |")));
    let columns = head.matches('|').count() - 1;
    let mut text = format!("{head}\n|{}\n", "---|".repeat(columns));
    for row in series {
        let [lost, gaps, reorders] = row.wrong;
        let (now, later) =
            row.is_within().map_or(("–", "–"), |(now, later)| (yes_or_no(now), yes_or_no(later)));
        let bar = row.bar.map_or("–".to_owned(), |bar| format!("{bar}"));
        let costs =
            format!("{} | {} | {}", shown(row.relay, 3), shown(Some(row.aldis), 3), shown(row.ratio, 2));
        let rate = row.rate;
        text.push_str(&format!(
            "| {} | {costs} | {bar} | {now} | {later} | {rate:.0} | {lost} / {gaps} / {reorders} |",
            row.workload
        ));
        for (_, cost, ratio) in &row.others {
            text.push_str(&format!(" {} | {} |", shown(*cost, 3), shown(*ratio, 2)));
        }
        text.push('\n');
    }
    text
}

fn connections(idle: &[(String, Idle)]) -> String {
    let mut text = format!(
        "| idle, {IDLE_CONNECTIONS} connections | bytes each, subscribed | once used | at most | within | goal |\n|---|---|---|---|---|---|\n"
    );
    let bytes = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.0}"));
    for (name, Idle { fresh, used, .. }) in idle {
        let within = fresh.map_or("–", |fresh| yes_or_no(fresh <= IDLE_BAR));
        let within = if name == ALDIS { within } else { "–" };
        text.push_str(&format!(
            "| {name} | {} | {} | {IDLE_BAR} | {within} | {IDLE_GOAL} |\n",
            bytes(*fresh),
            bytes(*used)
        ));
    }
    text
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// `median (least–most)`.
pub(super) fn shown(spread: Option<Spread>, digits: usize) -> String {
    let Some(Spread { median, least, most }) = spread else { return "–".to_owned() };
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

/// When and where figures are measured, as the beginning of a sentence.
pub(super) fn measured_on(root: &Path) -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    let unknown = || "unknown".to_owned();
    let date = said("date", &["-I"]).unwrap_or_else(unknown);
    let kernel = said("uname", &["-sr"]).unwrap_or_else(unknown);
    let commit =
        said("git", &["describe", "--always", "--dirty"]).unwrap_or_else(|| "not committed".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("Measured {date}, commit {commit}, {kernel}, {cores} cores")
}

/// Puts the tables into the document, with when and where they were measured.
pub(super) fn write(root: &Path, tables: &str, options: &Options) -> Result<(), String> {
    let (rounds, seconds) = (options.rounds, options.seconds);
    let measured_on = measured_on(root);
    let where_and_when = format!(
        "{measured_on} (broker on one, load on another): medians of {rounds} rounds of\n{seconds} s, in brackets the least and the most; 64-byte payloads, saturated."
    );
    let path = root.join(DOCUMENT);
    let old = std::fs::read_to_string(&path).unwrap_or_else(|_| NEW.to_owned());
    let new = markers().placed(&old, &format!("{where_and_when}\n\n{tables}"))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    std::fs::write(&path, new).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    println!("written to {DOCUMENT}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::tables;
    use crate::bench::figures::{Idle, Series, Spread};
    use crate::bench::options::Options;

    #[test]
    fn every_row_has_the_columns_of_its_head() {
        let spread = Spread { median: 0.2, least: 0.1, most: 0.3 };
        let others = vec![("m".to_owned(), Some(spread), None)];
        let row = Series {
            workload: "pairs-q0",
            bar: Some(1.5),
            relay: Some(spread),
            aldis: spread,
            ratio: Some(spread),
            rate: 1e6,
            wrong: [0, 0, 1],
            others,
        };
        let idle = Idle { fresh: Some(3000.0), used: None, error: None };
        let options = Options::read(vec!["--also=m=x {port}".to_owned()]).unwrap().unwrap();
        let text = tables(&[row], &[("aldis".to_owned(), idle)], &options);
        let columns: Vec<usize> = text.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [12, 12, 12, 0, 7, 7, 7], "{text}");
        assert!(text.contains("0.20 (0.10–0.30) | 1.5 | yes | yes | 1000000 | 0 / 0 / 1"), "{text}");
    }
}
