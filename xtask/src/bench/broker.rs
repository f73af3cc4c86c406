//! One measurement: a fresh broker on one core, `mqload` on another.
//!
//! Every run has a broker of its own: the relay answers one workload for each start, and a broker that
//! has served others keeps memory that hides growth.

use super::figures::{Idle, Measured};
use super::options::Options;
use super::workloads::{IDLE, IDLE_CONNECTIONS, Workload};
use crate::process::{Background, exists, free_port, output_within, shell, tail};
use std::path::{Path, PathBuf};
use std::time::Duration;

const START: Duration = Duration::from_secs(15);
/// Connecting takes a second or two, `mqload` gives up on a broker that stalls: this is for one that hangs.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// A broker to be measured.
pub(super) struct Broker {
    pub(super) name: String,
    /// Starts it in the foreground; holds `{port}`.
    pub(super) command_line: String,
}

/// Where and how long measurements are made.
pub(super) struct Bench {
    root: PathBuf,
    log: PathBuf,
    seconds: f64,
    /// The core for the load; the broker has core 0.
    load_core: usize,
}

impl Bench {
    /// An error when the machine lacks what pins processes to cores.
    pub(super) fn new(root: &Path, options: &Options) -> Result<Self, String> {
        if !exists("taskset") {
            return Err("taskset is missing, which pins broker and load to their cores; install util-linux"
                .to_owned());
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if cores < 2 {
            println!("one core alone: broker and load share it, and the figures scatter");
        }
        let folder = root.join("target/bench");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let log = folder.join("broker.log");
        Ok(Self { root: root.to_owned(), log, seconds: options.seconds, load_core: usize::from(cores > 1) })
    }

    /// Messages through a fresh broker. A run that fails is a result too: its error is in it.
    pub(super) fn messages(&self, broker: &Broker, workload: &Workload) -> Result<Measured, String> {
        if broker.name == super::RELAY && !workload.suits_relay() {
            return Ok(Measured::default());
        }
        let seconds = self.seconds;
        let load =
            format!("--mode sat --payload 64 --qos {} --secs {seconds} {}", workload.qos, workload.load);
        self.run(broker, &load).map(|line| Measured::read(&line))
    }

    /// Connections without messages on a fresh broker.
    pub(super) fn idle(&self, broker: &Broker) -> Result<Idle, String> {
        self.run(broker, &format!("--conns {IDLE_CONNECTIONS} {IDLE}")).map(|line| Idle::read(&line))
    }

    /// The line that `mqload` printed.
    fn run(&self, broker: &Broker, load: &str) -> Result<String, String> {
        let port = free_port()?;
        let command_line =
            format!("taskset -c 0 {}", broker.command_line.replace("{port}", &port.to_string()));
        let mut running = Background::start(&command_line, &self.root, &self.log)?;
        let told = |why: String| format!("`{command_line}`: {why}; it wrote:\n{}", tail(&self.log));
        running.wait_for_port(port, START).map_err(told)?;
        let core = self.load_core;
        let load = format!(
            "exec taskset -c {core} target/mqload/release/mqload --port {port} --pid {} --label {} {load}",
            running.id(),
            broker.name
        );
        // A failing load is the broker's fault or the machine's; the round goes on, and the error is kept.
        let line = output_within(&mut shell(&load, &self.root), LONGEST_RUN).unwrap_or_else(|why| why);
        if let Err(why) = running.still_runs() {
            return Ok(format!("the broker: {why}; it wrote: {}", tail(&self.log)));
        }
        Ok(line)
    }
}
