//! The options of `cargo xtask bench`.

use super::workloads::{IDLE, WORKLOADS, Workload};
use crate::arguments::Arguments;
use crate::process::DATA;

pub(super) const HELP: &str = "cargo xtask bench [--rounds N] [--only WORKLOAD] [--aldis PATH] [--quick] [--yardstick] [--also NAME='CMD']
cargo xtask bench --durable [--help]

Measures the CPU time the broker spends on each delivered message of 64 bytes, and the memory of an idle
connection, and compares with a bare TCP relay that runs in turn with it. Broker on core 0, load on core 1.
Writes the tables to docs/performance.md, between its markers. Fails when the broker loses, repeats out of
order or stalls, and when it costs more than twice its bar; a bar that is missed is shown in the table.
--durable measures what is kept on disk instead, and writes to docs/durability.md.

--rounds N         rounds over all workloads; medians over them (default 5)
--only WORKLOAD    this workload alone (repeatable): one2one-q0, fanout-q0, fanin-q0, pairs-q0,
                   telemetry-q0, the same with -q1, or idle; without -q0 or -q1, both. Writes no document.
--aldis PATH       measure this binary (default: build target/dist/aldis and measure that)
--quick            one round of one second each, to see that everything works. Writes no document.
--yardstick        the relay in Aldis' place: how far the figures scatter when nothing differs. Writes no document.
--also NAME='CMD'  another broker beside them, for orientation (repeatable); CMD holds {port}, may hold
                   {data} (a folder of its own), stays in the foreground, and is one process, e.g. --also mosquitto='target/mosquitto/usr/sbin/mosquitto -p {port}'";

/// What was asked for.
pub(super) struct Options {
    pub(super) rounds: u32,
    /// Measured seconds of each run.
    pub(super) seconds: f64,
    pub(super) only: Vec<String>,
    /// How to start the broker under test; holds `{port}`.
    pub(super) command_line: String,
    /// Whether that is ours and has to be built first.
    pub(super) builds_aldis: bool,
    /// Other brokers by name.
    pub(super) also: Vec<(String, String)>,
    is_partial: bool,
    is_yardstick: bool,
}

impl Options {
    /// None when only the help was asked for.
    pub(super) fn read(given: Vec<String>) -> Result<Option<Self>, String> {
        let mut given = Arguments::new(given);
        if given.flag("--help") || given.flag("-h") {
            return Ok(None);
        }
        let is_quick = given.flag("--quick");
        let is_yardstick = given.flag("--yardstick");
        let rounds = given
            .value("--rounds")?
            .map(|text| text.parse::<u32>().map_err(|_| format!("--rounds {text}: not a number")));
        let rounds = rounds.transpose()?.unwrap_or(if is_quick { 1 } else { 5 });
        let only = given.values("--only")?;
        let aldis = given.value("--aldis")?;
        // Not in the help: starts something else in Aldis' place, to test this program.
        let command = given.value("--aldis-cmd")?;
        let also = given.values("--also")?.iter().map(|text| named(text)).collect::<Result<Vec<_>, _>>()?;
        given.finish()?;
        if rounds == 0 {
            return Err("--rounds 0 measures nothing; 5 is usual".to_owned());
        }
        if let Some(unknown) = only.iter().find(|name| !is_workload(name)) {
            return Err(format!("there is no workload `{unknown}`; --help lists them"));
        }
        let is_other = is_yardstick || command.is_some();
        let command_line = match (command, &aldis) {
            (Some(command), _) => command,
            _ if is_yardstick => "target/mqload/release/relay --port {port}".to_owned(),
            (None, path) => format!(
                "{} --listen tcp://127.0.0.1:{{port}} --data-dir {DATA}",
                path.as_deref().unwrap_or("target/dist/aldis")
            ),
        };
        if !command_line.contains("{port}") {
            return Err("--aldis-cmd must hold {port}".to_owned());
        }
        let is_partial = is_quick || is_other || !only.is_empty();
        let builds_aldis = !is_other && aldis.is_none();
        let seconds = if is_quick { 1.0 } else { 3.0 };
        Ok(Some(Self { rounds, seconds, only, command_line, builds_aldis, also, is_partial, is_yardstick }))
    }

    /// Whether a workload with messages is measured: the yardstick needs one that the relay can serve.
    pub(super) fn wants_messages(&self, workload: &Workload) -> bool {
        self.wants(workload.name) && (!self.is_yardstick || workload.suits_relay())
    }

    /// Whether `--only` lets this workload through.
    pub(super) fn wants(&self, workload: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| matches(only, workload))
    }

    /// The document is written from whole measurements of Aldis alone.
    pub(super) fn writes_document(&self) -> bool {
        !self.is_partial
    }
}

fn matches(only: &str, workload: &str) -> bool {
    workload == only || workload.strip_prefix(only).is_some_and(|rest| rest == "-q0" || rest == "-q1")
}

fn is_workload(name: &str) -> bool {
    name == IDLE || WORKLOADS.iter().any(|workload| matches(name, workload.name))
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, command)) if !name.is_empty() && command.contains("{port}") => {
            Ok((name.to_owned(), command.to_owned()))
        }
        _ => Err(format!("--also {text}: write NAME='command with {{port}}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn read(given: &[&str]) -> Result<Options, String> {
        Options::read(given.iter().map(|text| (*text).to_owned()).collect()).map(Option::unwrap)
    }

    #[test]
    fn a_whole_measurement_of_our_own_build_is_written_down() {
        let options = read(&[]).unwrap();
        assert!(options.builds_aldis && options.writes_document() && options.rounds == 5);
        assert_eq!(
            options.command_line,
            "target/dist/aldis --listen tcp://127.0.0.1:{port} --data-dir {data}"
        );
        for partial in [&["--quick"][..], &["--only", "idle"], &["--yardstick"], &["--aldis-cmd", "x {port}"]]
        {
            assert!(!read(partial).unwrap().writes_document(), "{partial:?}");
        }
    }

    #[test]
    fn workloads_are_chosen_with_and_without_their_quality() {
        let options = read(&["--only", "pairs", "--only=fanin-q0"]).unwrap();
        assert!(options.wants("pairs-q0") && options.wants("pairs-q1") && options.wants("fanin-q0"));
        assert!(!options.wants("fanin-q1") && !options.wants("idle"));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for bad in [
            &["--only", "pair"][..],
            &["--rounds", "0"],
            &["--rounds", "x"],
            &["--also", "m=cmd"],
            &["--slow"],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
