//! What a broker has cost so far, read from outside: processor, memory, disk; and from its own metrics.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Counts since the start of the process or, of the device, since that of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// Microseconds of processor time of all threads.
    pub(super) cpu_us: f64,
    /// Bytes that were written to files.
    pub(super) written: f64,
    /// Bytes that the device of the folder has written for the whole machine.
    pub(super) device: f64,
    /// Aldis alone: syncs of the log; bytes of the log, of zeros, of checkpoints.
    pub(super) syncs: f64,
    pub(super) log: f64,
    pub(super) zeros: f64,
    pub(super) checkpoints: f64,
}

impl Cost {
    /// What was added since `before`.
    pub(super) fn since(self, before: Cost) -> Cost {
        Cost {
            cpu_us: self.cpu_us - before.cpu_us,
            written: self.written - before.written,
            device: self.device - before.device,
            syncs: self.syncs - before.syncs,
            log: self.log - before.log,
            zeros: self.zeros - before.zeros,
            checkpoints: self.checkpoints - before.checkpoints,
        }
    }

    /// Reads everything that there is; what cannot be read is 0.
    pub(super) fn read(id: u32, metrics: Option<u16>, folder: &Path) -> Result<Cost, String> {
        let page = metrics.map(page).transpose()?.unwrap_or_default();
        let of =
            |purpose| sample(&page, &format!("aldis_store_written_bytes_total{{purpose=\"{purpose}\"}}"));
        Ok(Cost {
            cpu_us: processor_time(id),
            written: field(&format!("/proc/{id}/io"), "wchar:"),
            device: device_bytes(folder),
            syncs: sample(&page, "aldis_store_syncs_total"),
            log: of("log"),
            zeros: of("zeros"),
            checkpoints: of("checkpoints"),
        })
    }
}

/// How many threads wanted a core in the last minute: near 0 on a machine that does nothing else.
pub(super) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// Resident memory in bytes.
pub(super) fn memory(id: u32) -> f64 {
    field(&format!("/proc/{id}/status"), "VmRSS:") * 1024.0
}

/// Bytes of all files of a folder. It has no folders in it.
pub(super) fn size(folder: &Path) -> f64 {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len() as f64)).sum()
}

fn processor_time(id: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten();
    let times = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    times.filter_map(|line| line.split(' ').next()?.parse::<f64>().ok()).sum::<f64>() / 1e3
}

/// The number behind a name in a file of /proc.
fn field(path: &str, name: &str) -> f64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// The seventh field of the device's `stat` counts sectors of 512 bytes.
fn device_bytes(folder: &Path) -> f64 {
    let Ok(of) = fs::metadata(folder) else { return 0.0 };
    let device = of.dev();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    let text = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap_or_default();
    text.split_whitespace().nth(6).and_then(|sectors| sectors.parse::<f64>().ok()).unwrap_or(0.0) * 512.0
}

/// The page of the metrics.
fn page(port: u16) -> Result<String, String> {
    let told = |error: std::io::Error| format!("the metrics of the broker: {error}");
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map_err(told)?;
    socket.set_read_timeout(Some(Duration::from_secs(10))).map_err(told)?;
    socket
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .map_err(told)?;
    let mut text = String::new();
    socket.read_to_string(&mut text).map_err(told)?;
    Ok(text)
}

fn sample(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::{Cost, memory, processor_time, sample};

    #[test]
    fn samples_are_found_by_their_whole_name() {
        let page = "aldis_store_syncs_total_of_old 3\naldis_store_syncs_total 17\na{purpose=\"log\"} 5\n";
        assert_eq!(sample(page, "aldis_store_syncs_total"), 17.0);
        assert_eq!(sample(page, "a{purpose=\"log\"}"), 5.0);
        assert_eq!(sample(page, "b"), 0.0);
    }

    #[test]
    fn this_process_has_cost_something() {
        let id = std::process::id();
        assert!(memory(id) > 100_000.0 && processor_time(id) > 0.0);
        let before = Cost::read(id, None, &std::env::temp_dir()).unwrap();
        assert_eq!(before.since(before), Cost::default());
    }
}
