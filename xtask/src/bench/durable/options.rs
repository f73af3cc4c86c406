//! The options of `cargo xtask bench --durable`.

use crate::arguments::Arguments;
use std::path::PathBuf;

pub(super) const HELP: &str = "cargo xtask bench --durable [--rounds N] [--only PART] [--aldis PATH] [--mosquitto PATH] [--folder DIR] [--secs S] [--quick]

Measures what it costs that acknowledged messages are on disk: with the release binary, on a real disk, beside a
loop that does nothing but write and sync. Writes its tables to docs/durability.md, between its markers. Nothing else
should use disk or processors meanwhile: a sync that is over waits for a core, which on a busy machine takes longer
than the sync. Where that cannot be had, root can run it as `chrt -r 1 cargo xtask bench --durable`.

--rounds N         rounds over all parts; medians over them (default 3)
--only PART        this part alone (repeatable): publish, life, latency, restart. Writes no document.
--aldis PATH       measure this binary (default: build target/release/aldis and measure that)
--mosquitto PATH   Mosquitto's broker, measured beside Aldis in publish and latency (default: the one that is
                   installed, if one is; `apt-get download mosquitto && dpkg-deb -x mosquitto_*.deb DIR` unpacks it
                   without starting it)
--folder DIR       where the data lies, on the disk that is to be measured (default: target/bench/durable)
--secs S           measured seconds of a run (default 5; a life takes four times as long)
--quick            one round of short runs, to see that everything works. Writes no document.";

/// What is measured together, with a broker of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A queue that grows, and the bare disk with batches of the same size.
    Publish,
    /// Messages that are published, delivered and acknowledged.
    Life,
    /// The time until PUBACK when little happens.
    Latency,
    /// A start with much in the store.
    Restart,
}

impl Part {
    pub(super) const ALL: [Part; 4] = [Part::Publish, Part::Life, Part::Latency, Part::Restart];

    pub(super) fn name(self) -> &'static str {
        match self {
            Part::Publish => "publish",
            Part::Life => "life",
            Part::Latency => "latency",
            Part::Restart => "restart",
        }
    }
}

/// What was asked for.
pub(super) struct Options {
    pub(super) rounds: u32,
    /// Measured seconds of each run.
    pub(super) seconds: f64,
    /// Messages in the queue that a restart finds, and retained ones.
    pub(super) queued: u64,
    pub(super) retained: u64,
    /// The binary under test; none if ours is to be built.
    pub(super) aldis: Option<String>,
    pub(super) mosquitto: Option<String>,
    pub(super) folder: Option<PathBuf>,
    only: Vec<String>,
    is_quick: bool,
}

impl Options {
    /// None when only the help was asked for.
    pub(super) fn read(given: Vec<String>) -> Result<Option<Self>, String> {
        let mut given = Arguments::new(given);
        if given.flag("--help") || given.flag("-h") {
            return Ok(None);
        }
        let is_quick = given.flag("--quick");
        let rounds = number(&mut given, "--rounds", if is_quick { 1.0 } else { 3.0 })? as u32;
        let seconds = number(&mut given, "--secs", if is_quick { 1.0 } else { 5.0 })?;
        let only = given.values("--only")?;
        let aldis = given.value("--aldis")?;
        let mosquitto = given.value("--mosquitto")?;
        let folder = given.value("--folder")?.map(PathBuf::from);
        given.finish()?;
        if rounds == 0 || seconds <= 0.0 {
            return Err("no rounds, or none that last, measure nothing".to_owned());
        }
        if let Some(unknown) = only.iter().find(|name| !Part::ALL.iter().any(|part| part.name() == **name)) {
            return Err(format!("there is no part `{unknown}`; --help lists them"));
        }
        let (queued, retained) = if is_quick { (50_000, 5_000) } else { (1_000_000, 100_000) };
        Ok(Some(Self { rounds, seconds, queued, retained, aldis, mosquitto, folder, only, is_quick }))
    }

    pub(super) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == part.name())
    }

    /// The document is written from whole measurements alone.
    pub(super) fn writes_document(&self) -> bool {
        !self.is_quick && self.only.is_empty()
    }
}

fn number(given: &mut Arguments, name: &str, default: f64) -> Result<f64, String> {
    let Some(text) = given.value(name)? else { return Ok(default) };
    text.parse().map_err(|_| format!("{name} {text}: not a number"))
}

#[cfg(test)]
mod tests {
    use super::{Options, Part};

    fn read(given: &[&str]) -> Result<Options, String> {
        Options::read(given.iter().map(|text| (*text).to_owned()).collect()).map(Option::unwrap)
    }

    #[test]
    fn only_a_whole_measurement_is_written_down() {
        let whole = read(&["--rounds=2"]).unwrap();
        assert!(whole.writes_document() && whole.rounds == 2 && whole.queued == 1_000_000);
        for partial in [&["--quick"][..], &["--only", "life"]] {
            assert!(!read(partial).unwrap().writes_document(), "{partial:?}");
        }
        let one = read(&["--only", "life"]).unwrap();
        assert!(one.wants(Part::Life) && !one.wants(Part::Restart));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for bad in
            [&["--rounds", "0"][..], &["--secs", "0"], &["--only", "live"], &["--secs", "x"], &["--slow"]]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
