//! What the system says about this process, from `/proc`. On systems without it there is nothing to
//! say, and the figures are left out.
//!
//! The files of `/proc` are made up by the kernel as they are read, in microseconds and without
//! waiting for a disk: reading them does not hold up a worker thread.

/// Ticks a second of the times in `/proc/self/stat`: `USER_HZ`, which is 100 on every architecture
/// that Linux exports it for.
const TICKS_A_SECOND: f64 = 100.0;

/// Figures of this process. `None` is "not known here".
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Process {
    /// Bytes in RAM, with what is shared or mapped from files.
    pub(crate) resident_bytes: Option<u64>,
    /// Bytes in RAM that the process itself has written: heap and stacks.
    pub(crate) anonymous_bytes: Option<u64>,
    /// CPU time used, user and system.
    pub(crate) cpu_seconds: Option<f64>,
    /// When the process started, in seconds since 1970.
    pub(crate) started_at: Option<f64>,
}

impl Process {
    /// Asks the system.
    pub(crate) fn look() -> Process {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        parse(&read("/proc/self/status"), &read("/proc/self/stat"), &read("/proc/stat"))
    }
}

/// How many files this process may have open. To be asked before it has that many: `/proc` is read, which
/// takes one.
pub(crate) fn open_files_limit() -> Option<u64> {
    parse_limits(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn parse_limits(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn parse(status: &str, stat: &str, system: &str) -> Process {
    let ticks = |field| after_name(stat)?.nth(field)?.parse::<f64>().ok();
    Process {
        resident_bytes: kilobytes(status, "VmRSS:"),
        anonymous_bytes: kilobytes(status, "RssAnon:"),
        // Counted from the state, which is the first field after the name: 3 in proc(5).
        cpu_seconds: ticks(11).zip(ticks(12)).map(|(user, kernel)| (user + kernel) / TICKS_A_SECOND),
        started_at: ticks(19).zip(boot_time(system)).map(|(ticks, boot)| boot + ticks / TICKS_A_SECOND),
    }
}

/// `VmRSS:     1234 kB`, in bytes.
fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The fields after the program's name, which stands in brackets and may hold anything.
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

fn boot_time(system: &str) -> Option<f64> {
    system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Process, parse, parse_limits};

    #[test]
    fn the_files_are_understood() {
        let status = "Name:\taldis\nVmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\nRssAnon:\t    4096 kB\n";
        let stat = "42 (al) dis (x) S 1 42 42 0 -1 4194560 500 0 0 0 150 50 0 0 20 0 3 0 12345 1000 2000";
        let system = "cpu  1 2 3\nbtime 1700000000\nprocesses 5\n";
        let expected = Process {
            resident_bytes: Some(8192 * 1024),
            anonymous_bytes: Some(4096 * 1024),
            cpu_seconds: Some(2.0),
            started_at: Some(1_700_000_123.45),
        };
        assert_eq!(parse(status, stat, system), expected);
    }

    #[test]
    fn the_limit_of_open_files_is_the_one_in_force() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             1                    2                    processes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(parse_limits(limits), Some(1024));
        assert_eq!(parse_limits("Max open files unlimited unlimited files"), None);
    }

    #[test]
    fn nothing_is_made_up() {
        assert_eq!(parse("", "", ""), Process::default());
        assert_eq!(parse("VmRSS: many kB\nRssAnon: 1 MB", "42 (aldis", "btime soon"), Process::default());
    }
}
