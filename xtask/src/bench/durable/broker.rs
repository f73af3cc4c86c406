//! Brokers on a folder that they leave behind, so that they can be started again on it.

use super::cost::{self, Cost};
use crate::process::{Background, free_ports, tail};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A start that reads a large store may take some seconds: this is for one that hangs.
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(120);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Everything acknowledged is synced.
    Aldis,
    /// Nothing is kept.
    AldisInMemory,
    /// Its database is written after every change.
    Mosquitto,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Aldis => "Aldis",
            Kind::AldisInMemory => "Aldis in memory",
            Kind::Mosquitto => "Mosquitto",
        }
    }
}

/// Programs and the folder for all that they write.
pub(super) struct Brokers {
    pub(super) root: PathBuf,
    pub(super) folder: PathBuf,
    pub(super) aldis: String,
    pub(super) mosquitto: Option<String>,
}

/// A broker that runs; killed when dropped.
pub(super) struct Running {
    background: Background,
    pub(super) port: u16,
    metrics: Option<u16>,
    pub(super) data: PathBuf,
    log: PathBuf,
    /// From its start until it listened.
    pub(super) started_in: Duration,
}

impl Brokers {
    /// Starts one on an empty folder.
    pub(super) fn fresh(&self, kind: Kind) -> Result<Running, String> {
        let data = self.data();
        if data.exists() {
            std::fs::remove_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        }
        self.start(kind)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts one on what the last one has left.
    pub(super) fn start(&self, kind: Kind) -> Result<Running, String> {
        let [port, metrics] = free_ports()?;
        let (data, log) = (self.data(), self.folder.join("broker.log"));
        let metrics = (kind != Kind::Mosquitto).then_some(metrics);
        let line = match (kind, metrics) {
            (Kind::Mosquitto, _) | (_, None) => self.mosquitto_line(port, &data)?,
            (_, Some(metrics)) => self.aldis_line(kind, port, metrics, &data),
        };
        let start = Instant::now();
        let mut background = Background::start(&line, &self.root, &log)?;
        background.wait_for_port(port, START).map_err(|why| format!("`{line}`: {why}\n{}", tail(&log)))?;
        Ok(Running { background, port, metrics, data, log, started_in: start.elapsed() })
    }

    /// With room for a queue of millions.
    fn aldis_line(&self, kind: Kind, port: u16, metrics: u16, data: &Path) -> String {
        let durability = if kind == Kind::AldisInMemory { "memory" } else { "fsync" };
        let limits = ["queue_messages=10000000", "queue_bytes=16GiB", "memory_watermark=64GiB"];
        let sets: String = limits.iter().map(|limit| format!(" --set limits.{limit}")).collect();
        format!(
            "{} --listen tcp://127.0.0.1:{port} --metrics 127.0.0.1:{metrics} --data-dir '{}' --durability {durability}{sets}",
            self.aldis,
            data.display()
        )
    }

    /// The database is written whenever one thing has changed, which is the most that it can be asked for.
    fn mosquitto_line(&self, port: u16, data: &Path) -> Result<String, String> {
        let told = |error: std::io::Error| format!("{}: {error}", data.display());
        std::fs::create_dir_all(data).map_err(told)?;
        let file = self.folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {}/\nautosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\nmax_inflight_messages 0\nlog_type error\n",
            data.display()
        );
        std::fs::write(&file, text).map_err(told)?;
        let program = self.mosquitto.as_deref().unwrap_or("mosquitto");
        Ok(format!("{program} -c '{}'", file.display()))
    }
}

impl Running {
    pub(super) fn cost(&self) -> Result<Cost, String> {
        Cost::read(self.background.id(), self.metrics, &self.data)
    }

    pub(super) fn memory(&self) -> f64 {
        cost::memory(self.background.id())
    }

    /// Whether a line of its log holds `words`.
    pub(super) fn has_said(&self, words: &str) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|text| text.contains(words))
    }

    /// Ends it with SIGTERM; how long that took.
    pub(super) fn stop(self) -> Result<Duration, String> {
        let start = Instant::now();
        self.background.stop(STOP)?;
        Ok(start.elapsed())
    }

    /// Ends it with SIGKILL.
    pub(super) fn kill(self) {
        drop(self.background);
    }
}
