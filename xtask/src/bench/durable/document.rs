//! The tables, and their place in docs/durability.md: between two markers; what people write around them stays.

use super::super::document::{measured_on, shown};
use super::broker::Kind;
use super::options::Options;
use super::parts::{BATCHES, LOW_RATE, PAYLOAD, SAME, SLOW, WINDOW, disk_row, latency_row};
use super::rows::Rows;
use crate::markers::Markers;
use std::path::Path;

const DOCUMENT: &str = "docs/durability.md";

/// Added latency beyond one sync, in µs, that is allowed.
const ADDED: f64 = 200.0;

/// A goal: what it is about, what it says, and the figure that it is about.
struct Goal {
    what: &'static str,
    wanted: &'static str,
    found: Option<f64>,
    is_met: bool,
}

impl Goal {
    fn at_most(what: &'static str, wanted: &'static str, found: Option<f64>, most: f64) -> Goal {
        Goal { what, wanted, found, is_met: found.is_some_and(|found| found <= most) }
    }
}

/// All tables in Markdown.
pub(super) fn tables(rows: &Rows, options: &Options, has_mosquitto: bool) -> String {
    let mut text = goals(rows, options);
    text.push_str(&publishing(rows, has_mosquitto));
    text.push_str(&disk(rows));
    text.push_str(&latency(rows, has_mosquitto));
    text.push_str(&life(rows));
    text.push_str(&restart(rows, options));
    text
}

fn goals(rows: &Rows, options: &Options) -> String {
    let aldis = Kind::Aldis.name();
    let of = |figure| rows.median(aldis, figure);
    let sync = rows.median(SLOW, "p50, µs");
    let (durable, memory) = (latency_row(Kind::Aldis, false), latency_row(Kind::AldisInMemory, false));
    let added = rows.difference("p50, µs", &durable, &memory).map(|spread| spread.median);
    let beyond = added.zip(sync).map(|(added, sync)| added - sync);
    let share = of("of the disk, same batches");
    let whole = options.queued >= 1_000_000;
    let of_restart = |figure| rows.median("restart", figure).filter(|_| whole);
    let goals = [
        Goal {
            what: "a growing queue, as a share of what the bare disk does with batches of the same size",
            wanted: "≥ 0.5",
            found: share,
            is_met: share.is_some_and(|share| share >= 0.5),
        },
        Goal::at_most("processor time of a durable message, µs", "≤ 10", of("processor, µs a message"), 10.0),
        Goal::at_most(
            "bytes of the log for a byte of topic and payload, only publishing",
            "≤ 1.5",
            of("log"),
            1.5,
        ),
        Goal::at_most(
            "bytes written for a byte of topic and payload, over a whole life",
            "≤ 2.2",
            rows.median("life", "written by the process"),
            2.2,
        ),
        Goal::at_most("latency beyond memory and one sync, µs", "≤ 200", beyond, ADDED),
        Goal::at_most(
            "memory of 1,000,000 queued messages, MB",
            "≤ 200",
            of_restart("memory of the queue, MB"),
            200.0,
        ),
        Goal::at_most(
            "a start with these and 100,000 retained, after a clean stop, s",
            "≤ 3",
            of_restart("after a clean stop, s"),
            3.0,
        ),
        Goal::at_most("the same after SIGKILL, s", "≤ 8", of_restart("after SIGKILL, s"), 8.0),
    ];
    let mut text = "| goal | wanted | measured | met |\n|---|---|---|---|\n".to_owned();
    for Goal { what, wanted, found, is_met } in goals {
        let Some(found) = found else { continue };
        let met = if is_met { "yes" } else { "no" };
        text.push_str(&format!("| {what} | {wanted} | {found:.2} | {met} |\n"));
    }
    text
}

fn publishing(rows: &Rows, has_mosquitto: bool) -> String {
    let aldis = Kind::Aldis.name();
    if rows.median(aldis, "messages a second").is_none() {
        return String::new();
    }
    let mut text = format!(
        "\nOne publisher with {WINDOW} messages of {PAYLOAD} B in flight at QoS 1, and a session that is away. Bytes are for each byte of topic and payload.\n\n| | messages/s | processor µs | messages a sync | log | zeros | checkpoints | written in all | by the device |\n|---|---|---|---|---|---|---|---|---|\n"
    );
    for kind in [Kind::Aldis, Kind::AldisInMemory, Kind::Mosquitto] {
        if kind == Kind::Mosquitto && !has_mosquitto {
            continue;
        }
        let of = |figure, digits| shown(rows.spread(kind.name(), figure), digits);
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            kind.name(),
            of("messages a second", 0),
            of("processor, µs a message", 2),
            of("messages a sync", 0),
            of("log", 2),
            of("zeros", 2),
            of("checkpoints", 2),
            of("written by the process", 2),
            of("written by the device", 2)
        ));
    }
    let same = shown(rows.spread(aldis, "of the disk, same batches"), 2);
    let thousand = shown(rows.spread(aldis, "of the disk, batches of 1000"), 2);
    text.push_str(&format!("\nAldis reaches {same} of what the bare disk does with batches as large as its own, and {thousand} of what it does with batches of 1,000 messages.\n"));
    text
}

fn disk(rows: &Rows) -> String {
    if rows.median(SAME, "bytes a sync").is_none() {
        return String::new();
    }
    let mut text = "\nThe bare disk: a loop that writes into a file that was written before, and syncs each batch.\n\n| | bytes a sync | syncs/s | MB/s | as messages/s | sync p50 µs | p99 µs |\n|---|---|---|---|---|---|---|\n".to_owned();
    let rows_of_disk = BATCHES.into_iter().map(disk_row).chain([SAME.to_owned()]);
    for row in rows_of_disk {
        let of = |figure, digits| shown(rows.spread(&row, figure), digits);
        let megabytes = rows.spread(&row, "bytes a second").map(|spread| spread.scaled(1e-6));
        text.push_str(&format!(
            "| {row} | {:.0} | {} | {} | {} | {} | {} |\n",
            rows.median(&row, "bytes a sync").unwrap_or_default(),
            of("syncs a second", 0),
            shown(megabytes, 1),
            of("messages a second", 0),
            of("p50, µs", 0),
            of("p99, µs", 0)
        ));
    }
    text
}

fn latency(rows: &Rows, has_mosquitto: bool) -> String {
    if rows.median(SLOW, "p50, µs").is_none() {
        return String::new();
    }
    let mut text = format!(
        "\nFrom PUBLISH to PUBACK, {LOW_RATE} messages a second, one after the other, for a session that is away or there.\n\n| | p50 µs | p99 µs |\n|---|---|---|\n"
    );
    let kinds = [Kind::Aldis, Kind::AldisInMemory, Kind::Mosquitto];
    let kinds = kinds.into_iter().filter(|kind| *kind != Kind::Mosquitto || has_mosquitto);
    let brokers = kinds.flat_map(|kind| [latency_row(kind, false), latency_row(kind, true)]);
    for row in [SLOW.to_owned()].into_iter().chain(brokers) {
        let of = |figure| shown(rows.spread(&row, figure), 0);
        text.push_str(&format!("| {row} | {} | {} |\n", of("p50, µs"), of("p99, µs")));
    }
    text
}

fn life(rows: &Rows) -> String {
    if rows.median("life", "messages a second").is_none() {
        return String::new();
    }
    let mut text = format!(
        "\nA whole life: the same publisher, and a lasting session that takes and acknowledges everything meanwhile, at most 20,000 messages behind.\n\n| messages/s | processor µs | messages a sync | log | zeros | checkpoints | written in all | by the device | topics and payloads MB | folder MB at most, first half | second half |\n|{}\n",
        "---|".repeat(11)
    );
    let figures = [
        ("messages a second", 0),
        ("processor, µs a message", 2),
        ("messages a sync", 0),
        ("log", 2),
        ("zeros", 2),
        ("checkpoints", 2),
        ("written by the process", 2),
        ("written by the device", 2),
        ("content, MB", 0),
        ("folder, MB, first half", 1),
        ("folder, MB, second half", 1),
    ];
    let cells = figures.map(|(figure, digits)| shown(rows.spread("life", figure), digits));
    text.push_str(&format!("| {} |\n", cells.join(" | ")));
    text
}

fn restart(rows: &Rows, options: &Options) -> String {
    let figures = [
        ("memory of the queue, MB", 0),
        ("folder, MB", 0),
        ("after SIGKILL, s", 2),
        ("a clean stop, s", 2),
        ("after a clean stop, s", 2),
        ("memory after a start, MB", 0),
        ("read, messages a second", 0),
    ];
    if rows.median("restart", "folder, MB").is_none() {
        return String::new();
    }
    let (queued, retained) = (options.queued, options.retained);
    let names = figures.map(|(figure, _)| figure).join(" | ");
    let cells = figures.map(|(figure, digits)| shown(rows.spread("restart", figure), digits)).join(" | ");
    format!(
        "\n{queued} messages of {PAYLOAD} B in the queue of one session, and {retained} retained ones.\n\n| {names} |\n|{}\n| {cells} |\n",
        "---|".repeat(figures.len())
    )
}

/// Puts the tables into the document, with when and where they were measured.
pub(super) fn write(root: &Path, tables: &str, options: &Options, load: f64) -> Result<(), String> {
    let (rounds, seconds) = (options.rounds, options.seconds);
    let head = format!(
        "{}, load average {load:.1} before: medians of {rounds} rounds of {seconds} s, in brackets the least and the most.",
        measured_on(root)
    );
    let path = root.join(DOCUMENT);
    let old = std::fs::read_to_string(&path).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    let markers = Markers::new(DOCUMENT, "cargo xtask bench --durable");
    let new = markers.placed(&old, &format!("{head}\n\n{tables}"))?;
    std::fs::write(&path, new).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    println!("written to {DOCUMENT}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::tables;
    use crate::bench::durable::options::Options;
    use crate::bench::durable::parts::{SAME, SLOW};
    use crate::bench::durable::rows::Rows;

    #[test]
    fn every_row_has_the_columns_of_its_head() {
        let mut rows = Rows::default();
        rows.add("Aldis", "messages a second", 1e5);
        rows.add("Aldis", "of the disk, same batches", 0.4);
        rows.add(SAME, "bytes a sync", 1e5);
        rows.add(SLOW, "p50, µs", 300.0);
        rows.add("Aldis, offline", "p50, µs", 600.0);
        rows.add("Aldis in memory, offline", "p50, µs", 50.0);
        rows.add("life", "messages a second", 1e5);
        rows.add("restart", "folder, MB", 300.0);
        let options = Options::read(Vec::new()).unwrap().unwrap();
        let text = tables(&rows, &options, true);
        let mut columns = None;
        for line in text.lines() {
            let count = line.matches('|').count();
            assert!(count == 0 || *columns.get_or_insert(count) == count, "{line}\n{text}");
            columns = columns.filter(|_| count > 0);
        }
        assert!(text.contains("| ≥ 0.5 | 0.40 | no |"), "{text}");
        assert!(text.contains("| ≤ 200 | 250.00 | no |"), "{text}");
    }

    #[test]
    fn what_was_not_measured_has_no_table() {
        let options = Options::read(Vec::new()).unwrap().unwrap();
        let text = tables(&Rows::default(), &options, true);
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
