//! What the machine offers: memory, open files, and a user to run as.
//!
//! Only questions and the one limit that a program may raise for itself; what follows from the
//! answers is decided where they are asked for.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Memory that this process may use, in bytes: the machine's, or less where a control group
/// (a container, a systemd unit with `MemoryMax=`) allows less. `None` where neither can be read.
#[must_use]
pub fn memory() -> Option<u64> {
    memory_below(Path::new("/"))
}

/// Files that this process may have open at most, if it raises its limit as far as it may; `None` is
/// "no limit".
#[must_use]
pub fn open_files_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Whether this process may do everything.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Connections that a limit of open files has room for.
#[must_use]
pub fn room_for_connections(open_files: u64) -> u64 {
    // Listeners, the log, timers and what the runtime needs for itself.
    const OWN_FILES: u64 = 64;
    open_files.saturating_sub(OWN_FILES)
}

/// Raises the limit of open files to the highest that the system lets this process have, and
/// returns it (`None` is "no limit").
///
/// Every connection is an open file, and the usual soft limit of 1,024 is there for programs that
/// use `select`, which this one does not.
///
/// # Errors
/// The system refuses. The old limit holds then.
pub fn raise_open_files() -> io::Result<Option<u64>> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(getrlimit(Resource::Nofile).current)
}

/// [`memory`] of a file system whose root is `root`, so that tests can bring their own.
fn memory_below(root: &Path) -> Option<u64> {
    let total = fs::read_to_string(root.join("proc/meminfo")).ok().and_then(|text| parse_meminfo(&text));
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| group_limit(root, line));
    total.into_iter().chain(limits).min()
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest limit on the way from the group of one line of `/proc/self/cgroup` to the root:
/// a limit of a parent holds for its children. Lines are `0::/path` (version 2) and
/// `5:memory:/path` (version 1).
fn group_limit(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (mount, file) = if controllers.is_empty() {
        ("sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let mount = root.join(mount);
    let group = mount.join(path.trim_start_matches('/'));
    let on_the_way = group.ancestors().take_while(|folder| folder.starts_with(&mount));
    // "max" (version 2) does not parse, and version 1 says a number near 2^63 for "no limit".
    on_the_way.filter_map(|folder| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file system with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        8000000 kB\nMemFree: 1 kB\n");
    const MACHINE: u64 = 8_000_000 * 1024;

    #[test]
    fn the_machines_memory_counts_where_no_group_limits_it() {
        assert_eq!(memory_below(root(&[MEMINFO]).path()), Some(MACHINE));
        let unlimited = root(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/a.slice/b\n"),
            ("sys/fs/cgroup/a.slice/b/memory.max", "max\n"),
        ]);
        assert_eq!(memory_below(unlimited.path()), Some(MACHINE));
    }

    #[test]
    fn the_smallest_limit_up_to_the_root_counts() {
        let version_2 = root(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/a.slice/b\n"),
            ("sys/fs/cgroup/a.slice/b/memory.max", "900000000\n"),
            ("sys/fs/cgroup/a.slice/memory.max", "500000000\n"),
        ]);
        assert_eq!(memory_below(version_2.path()), Some(500_000_000));
        let version_1 = root(&[
            MEMINFO,
            ("proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/docker/c\n0::/\n"),
            ("sys/fs/cgroup/memory/docker/c/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "700000000\n"),
        ]);
        assert_eq!(memory_below(version_1.path()), Some(700_000_000));
    }

    #[test]
    fn a_machine_without_proc_has_unknown_memory() {
        assert_eq!(memory_below(root(&[("etc/hosts", "")]).path()), None);
    }

    #[test]
    fn open_files_are_raised_to_the_hard_limit() {
        let raised = raise_open_files().unwrap();
        assert_eq!(raised, open_files_limit());
    }
}
