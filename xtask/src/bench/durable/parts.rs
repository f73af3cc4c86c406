//! The parts of the measurement.

use super::broker::{Brokers, Kind, Running};
use super::cost::size;
use super::load::{Figures, Load};
use super::options::Options;
use super::rows::Rows;
use crate::process::is_in_path;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Bytes of each payload.
pub(super) const PAYLOAD: u32 = 200;
/// Messages in flight.
pub(super) const WINDOW: u32 = 1000;
/// Messages a second where little happens.
pub(super) const LOW_RATE: u32 = 100;
/// Messages in a batch of the bare disk, besides the size that the broker has reached.
pub(super) const BATCHES: [u32; 4] = [1, 64, 250, 1000];
/// The row of the bare disk with batches as large as the broker's.
pub(super) const SAME: &str = "disk, batches as Aldis";
/// The row of the bare disk at a low rate.
pub(super) const SLOW: &str = "disk, a few a second";

/// How often a folder is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The row of the bare disk with batches of so many messages.
pub(super) fn disk_row(batch: u32) -> String {
    format!("disk, batches of {batch}")
}

/// The row of a broker in the part about latency.
pub(super) fn latency_row(kind: Kind, is_online: bool) -> String {
    format!("{}, {}", kind.name(), if is_online { "online" } else { "offline" })
}

/// Everything that measurements need.
pub(super) struct Bench {
    brokers: Brokers,
    load: Load,
    seconds: f64,
    queued: u64,
    retained: u64,
}

impl Bench {
    pub(super) fn new(root: &Path, options: &Options) -> Result<Self, String> {
        let folder = options.folder.clone().unwrap_or_else(|| root.join("target/bench/durable"));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut installed = ["mosquitto", "/usr/sbin/mosquitto"].into_iter();
        let found = installed.find(|path| is_in_path(path) || Path::new(path).is_file());
        let mosquitto = options.mosquitto.clone().or(found.map(str::to_owned));
        if mosquitto.is_none() {
            println!("Mosquitto's broker is not here, so Aldis is measured alone; --help says how to get it");
        }
        let aldis = options.aldis.clone().unwrap_or_else(|| "target/release/aldis".to_owned());
        Ok(Self {
            brokers: Brokers { root: root.to_owned(), folder, aldis, mosquitto },
            load: Load::new(root),
            seconds: options.seconds,
            queued: options.queued,
            retained: options.retained,
        })
    }

    pub(super) fn has_mosquitto(&self) -> bool {
        self.brokers.mosquitto.is_some()
    }

    fn others(&self) -> impl Iterator<Item = Kind> {
        [Kind::AldisInMemory, Kind::Mosquitto]
            .into_iter()
            .filter(|kind| *kind != Kind::Mosquitto || self.has_mosquitto())
    }

    /// A queue that grows, of a session that is away; then the bare disk with what that has written at once.
    pub(super) fn publish(&self, rows: &mut Rows) -> Result<(), String> {
        for kind in self.others() {
            self.publish_to(kind, rows)?;
        }
        let (per_message, batch, rate) = self.publish_to(Kind::Aldis, rows)?;
        let same = self.disk(SAME, per_message * batch, batch, rows)?;
        rows.add(Kind::Aldis.name(), "of the disk, same batches", rate / same);
        for batch in BATCHES {
            let messages =
                self.disk(&disk_row(batch), per_message * f64::from(batch), f64::from(batch), rows)?;
            if batch == WINDOW {
                rows.add(Kind::Aldis.name(), "of the disk, batches of 1000", rate / messages);
            }
        }
        Ok(())
    }

    /// Bytes of the log for a message, messages a sync, and messages a second.
    fn publish_to(&self, kind: Kind, rows: &mut Rows) -> Result<(f64, f64, f64), String> {
        let broker = self.brokers.fresh(kind)?;
        self.load.run(&format!("subscribe --port {}", broker.port))?;
        let before = broker.cost()?;
        let work = format!("publish --payload {PAYLOAD} --window {WINDOW} --secs {}", self.seconds);
        let done = self.load.run(&format!("{work} --port {}", broker.port))?;
        let cost = broker.cost()?.since(before);
        let (messages, rate) = (done.get("messages")?, done.get("msgs_per_s")?);
        let (row, content) = (kind.name(), messages * done.get("content_each")?);
        rows.add(row, "messages a second", rate);
        rows.add(row, "processor, µs a message", cost.cpu_us / messages);
        rows.fault(done.get("disordered")? > 0.0, || format!("{row}: PUBACKs out of order"));
        if kind != Kind::AldisInMemory {
            rows.add(row, "written by the process", cost.written / content);
            rows.add(row, "written by the device", cost.device / content);
        }
        if kind == Kind::Aldis {
            rows.add(row, "messages a sync", messages / cost.syncs);
            rows.add(row, "log", cost.log / content);
            rows.add(row, "zeros", cost.zeros / content);
            rows.add(row, "checkpoints", cost.checkpoints / content);
        }
        Ok((cost.log / messages, messages / cost.syncs, rate))
    }

    /// The bare disk with batches of so many bytes, which stand for so many messages; messages a second.
    fn disk(&self, row: &str, bytes: f64, messages: f64, rows: &mut Rows) -> Result<f64, String> {
        let folder = self.brokers.folder.display();
        let seconds = self.seconds / 2.0;
        let done = self.load.run(&format!("disk --folder '{folder}' --bytes {bytes:.0} --secs {seconds}"))?;
        let rate = done.get("syncs_per_s")? * messages;
        rows.add(row, "bytes a sync", bytes);
        rows.add(row, "syncs a second", done.get("syncs_per_s")?);
        rows.add(row, "bytes a second", done.get("bytes_per_s")?);
        rows.add(row, "messages a second", rate);
        sync_times(row, &done, rows)?;
        Ok(rate)
    }

    /// Messages that are published, delivered and acknowledged, several segments of them; and how large the folder
    /// is meanwhile.
    pub(super) fn life(&self, rows: &mut Rows) -> Result<(), String> {
        let broker = self.brokers.fresh(Kind::Aldis)?;
        let before = broker.cost()?;
        let seconds = 4.0 * self.seconds;
        let work =
            format!("life --payload {PAYLOAD} --window {WINDOW} --secs {seconds} --port {}", broker.port);
        let (done, sizes) = self.beside(&broker, || self.load.run(&work))?;
        let cost = broker.cost()?.since(before);
        let (messages, row) = (done.get("messages")?, "life");
        // Topic and payload, as they are counted in the other part.
        let content = messages * (f64::from(PAYLOAD) + "plant/line/sensor".len() as f64);
        rows.add(row, "messages a second", done.get("msgs_per_s")?);
        rows.add(row, "processor, µs a message", cost.cpu_us / messages);
        rows.add(row, "messages a sync", messages / cost.syncs);
        rows.add(row, "log", cost.log / content);
        rows.add(row, "zeros", cost.zeros / content);
        rows.add(row, "checkpoints", cost.checkpoints / content);
        rows.add(row, "written by the process", cost.written / content);
        rows.add(row, "written by the device", cost.device / content);
        rows.add(row, "content, MB", content / 1e6);
        let (early, late) = sizes.split_at(sizes.len() / 2);
        for (figure, half) in [("folder, MB, first half", early), ("folder, MB, second half", late)] {
            rows.add(row, figure, half.iter().copied().fold(0.0, f64::max) / 1e6);
        }
        let wrong = done.get("missing")? + done.get("repeated")?;
        rows.fault(wrong > 0.0, || format!("life: {wrong} messages missing or repeated"));
        Ok(())
    }

    /// Runs `work`, and looks at the size of the broker's folder meanwhile.
    fn beside(
        &self,
        broker: &Running,
        work: impl FnOnce() -> Result<Figures, String>,
    ) -> Result<(Figures, Vec<f64>), String> {
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut sizes = Vec::new();
                while !is_done.load(Relaxed) {
                    sizes.push(size(&broker.data));
                    std::thread::sleep(LOOK);
                }
                sizes
            });
            let done = work();
            is_done.store(true, Relaxed);
            let sizes = looks.join().map_err(|_| "whoever looked at the folder panicked".to_owned())?;
            done.map(|done| (done, sizes))
        })
    }

    /// The time until PUBACK, one message after the other, for a session that is away and for one that is there.
    pub(super) fn latency(&self, rows: &mut Rows) -> Result<(), String> {
        let (folder, seconds) = (self.brokers.folder.display(), self.seconds);
        let bytes = PAYLOAD + 100;
        let work = format!("disk --folder '{folder}' --rate {LOW_RATE} --bytes {bytes} --secs {seconds}");
        sync_times(SLOW, &self.load.run(&work)?, rows)?;
        for kind in self.others().chain([Kind::Aldis]) {
            for is_online in [false, true] {
                let broker = self.brokers.fresh(kind)?;
                let port = broker.port;
                self.load.run(&format!("subscribe --port {port}"))?;
                let online = if is_online { " --online" } else { "" };
                let work = format!(
                    "pace --payload {PAYLOAD} --rate {LOW_RATE} --secs {seconds}{online} --port {port}"
                );
                sync_times(&latency_row(kind, is_online), &self.load.run(&work)?, rows)?;
            }
        }
        Ok(())
    }

    /// A queue of a million messages and many retained ones: memory, and how long a start takes.
    pub(super) fn restart(&self, rows: &mut Rows) -> Result<(), String> {
        let row = "restart";
        let broker = self.brokers.fresh(Kind::Aldis)?;
        self.load.run(&format!("subscribe --port {}", broker.port))?;
        let idle = broker.memory();
        let queue = format!("publish --payload {PAYLOAD} --window {WINDOW} --count {}", self.queued);
        self.load.run(&format!("{queue} --port {}", broker.port))?;
        rows.add(row, "memory of the queue, MB", (broker.memory() - idle) / 1e6);
        let topics = format!("--topic state --topics {0} --count {0}", self.retained);
        let retain = format!("publish --payload {PAYLOAD} --window {WINDOW} {topics}");
        self.load.run(&format!("{retain} --port {}", broker.port))?;
        rows.add(row, "folder, MB", size(&broker.data) / 1e6);
        broker.kill();
        let broker = self.brokers.start(Kind::Aldis)?;
        self.started(&broker, "after SIGKILL, s", rows);
        rows.add(row, "a clean stop, s", broker.stop()?.as_secs_f64());
        let broker = self.brokers.start(Kind::Aldis)?;
        self.started(&broker, "after a clean stop, s", rows);
        rows.add(row, "memory after a start, MB", broker.memory() / 1e6);
        let consume = format!("consume --count {} --port {}", self.queued, broker.port);
        let done = self.load.run(&consume)?;
        let wrong = done.get("missing")? + done.get("repeated")?;
        rows.fault(wrong > 0.0, || format!("restart: {wrong} messages missing or repeated"));
        rows.add(row, "read, messages a second", done.get("msgs_per_s")?);
        Ok(())
    }

    fn started(&self, broker: &Running, figure: &'static str, rows: &mut Rows) {
        let seconds = broker.started_in.as_secs_f64();
        rows.add("restart", figure, seconds);
        let is_silent = !broker.has_said("reading the store");
        rows.fault(seconds > 1.5 && is_silent, || format!("{figure}: {seconds:.1} and no line of progress"));
    }
}

fn sync_times(row: &str, done: &Figures, rows: &mut Rows) -> Result<(), String> {
    rows.add(row, "p50, µs", done.get("p50_us")?);
    rows.add(row, "p99, µs", done.get("p99_us")?);
    Ok(())
}
