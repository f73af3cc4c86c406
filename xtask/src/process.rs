//! Child processes: run to the end, or kept in the background and killed when dropped.
//!
//! Every child is ours: it is ended by its own handle, never looked up by name.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a port or a child is looked at while waiting.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a child may take that is no server: cargo compiles for minutes on a small machine, and the longest
/// script runs for some. What takes longer hangs.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Runs a command with this terminal's output and no input. An error says how it ended, or that it did not.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    run_within(command, LIMIT)
}

fn run_within(command: &mut Command, limit: Duration) -> Result<(), String> {
    let name = shown(command);
    let end = Instant::now() + limit;
    let child = command.stdin(Stdio::null()).spawn();
    let mut child = child.map_err(|error| format!("cannot run `{name}`: {error}"))?;
    let status = wait_until(&mut child, end).ok_or_else(|| hangs(&name, &mut child, limit))?;
    if status.success() { Ok(()) } else { Err(format!("`{name}` ended with {status}")) }
}

/// Like `run`, and returns the last line the command wrote to its standard output that is not empty.
pub(crate) fn run_for_last_line(command: &mut Command) -> Result<String, String> {
    last_line_within(command, LIMIT)
}

fn last_line_within(command: &mut Command, limit: Duration) -> Result<String, String> {
    let name = shown(command);
    let end = Instant::now() + limit;
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cannot run `{name}`: {error}"))?;
    let mut last = String::new();
    if let Some(output) = child.stdout.take() {
        let lines = read_beside(output);
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let line = line.map_err(|error| format!("`{name}` wrote what is not text: {error}"))?;
                    println!("{line}");
                    if !line.trim().is_empty() {
                        last = line.trim().to_owned();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return Err(hangs(&name, &mut child, limit)),
            }
        }
    }
    let status = wait_until(&mut child, end).ok_or_else(|| hangs(&name, &mut child, limit))?;
    match (status.success(), last.is_empty()) {
        (true, _) => Ok(last),
        (false, false) => Err(last),
        (false, true) => Err("failed without a word".to_owned()),
    }
}

/// The lines of a pipe, read by a thread: the one who waits for them can stop waiting. The thread ends with the
/// pipe; it is not joined, because something that we do not know may hold the pipe's other end.
fn read_beside(output: ChildStdout) -> Receiver<std::io::Result<String>> {
    // Bounded: a child that writes faster than the terminal shows waits, as it would for the terminal.
    let (sender, lines) = mpsc::sync_channel(64);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// How a child ended; `None` when it still runs at `end`.
fn wait_until(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < end => sleep(PAUSE),
            _ => return None,
        }
    }
}

/// Ends a child that takes too long, with all that it has started, and says so.
fn hangs(name: &str, child: &mut Child, limit: Duration) -> String {
    kill_tree(child.id());
    // It is dead; what could fail is of no use to the one who reads why.
    let _ = child.wait();
    format!("`{name}` did not end within {} s and was killed", limit.as_secs_f64())
}

/// Kills a process of ours and all its descendants. Not by process group: children stay in this one, so that
/// Ctrl-C at the terminal ends them, and the runner of the clients gives each scenario a group of its own.
fn kill_tree(root: u32) {
    // Who is stopped starts nobody: stop them all first, as many rounds as it finds new ones.
    let mut found = vec![root];
    loop {
        signal("STOP", &found);
        let more = with_descendants(root);
        if more.iter().all(|id| found.contains(id)) {
            break;
        }
        found = more;
    }
    signal("KILL", &found);
}

fn signal(name: &str, ids: &[u32]) {
    let ids = ids.iter().map(u32::to_string);
    // Fails for those that have ended already, which is what is wanted.
    let _ = Command::new("kill")
        .args(["-s".to_owned(), name.to_owned(), "--".to_owned()].into_iter().chain(ids))
        .stderr(Stdio::null())
        .status();
}

/// This process and those that it or one of these has started, as Linux tells in /proc.
fn with_descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|id: u32| Some((id, parent_of(id)?)))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    family
}

fn parent_of(id: u32) -> Option<u32> {
    let line = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold anything; behind it are the state and the parent.
    line.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Runs a command and returns what it wrote; kills it when it takes longer than `limit`.
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> Result<String, String> {
    let name = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run `{name}`: {error}"))?;
    // What is read here is a few lines, which the pipe holds: nobody needs to read while waiting.
    if wait_until(&mut child, Instant::now() + limit).is_none() {
        return Err(hangs(&name, &mut child, limit));
    }
    let output = child.wait_with_output().map_err(|error| format!("`{name}`: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(format!("`{name}` ended with {}: {text}", output.status))
    }
}

/// Whether a program can be started by this name.
pub(crate) fn exists(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

/// Whether a program of this name is there. Not by starting it: `mosquitto_pub --version` fails when it is.
pub(crate) fn is_in_path(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Whether a command ends well; its output is not shown.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Installs Debian packages, saying so; needs root or sudo.
pub(crate) fn install_packages(packages: &[&str], why: &str) -> Result<(), String> {
    println!("installing {} (apt): {why}", packages.join(" "));
    if !exists("apt-get") {
        return Err(format!("{why}; there is no apt-get here: install {} by hand", packages.join(", ")));
    }
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
        if !is_root {
            command.args(["-n", "apt-get"]);
        }
        command.args(arguments).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let install = ["install", "-y", "--no-install-recommends"];
    if succeeds(&mut apt(&install)) {
        return Ok(());
    }
    // Old lists name packages that the archive no longer has: fetch new ones, then try once more.
    let mut update = Command::new(if is_root { "apt-get" } else { "sudo" });
    update.args(if is_root { &["update"][..] } else { &["-n", "apt-get", "update"][..] });
    run(&mut update)?;
    run(&mut apt(&install))
        .map_err(|error| format!("{error}; {why}: install {} by hand", packages.join(", ")))
}

/// A child that runs beside us and is killed when this is dropped.
pub(crate) struct Background {
    child: Child,
    /// Where it may store things; removed when it has ended.
    data: PathBuf,
}

/// In a command line: a data directory that nobody else has, beside the log and named after it. It is not made,
/// what an earlier run left in it is removed, and so is what this one leaves.
pub(crate) const DATA: &str = "{data}";

impl Background {
    /// Starts a shell command line, with as many file descriptors as the system allows, as its own
    /// process: the process id is that of the program, not of the shell.
    pub(crate) fn start(command_line: &str, root: &Path, log: &Path) -> Result<Self, String> {
        let out = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let err = out.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        let data = log.with_extension("data");
        clear(&data)?;
        let command_line = command_line.replace(DATA, &format!("'{}'", data.display()));
        let mut command = shell(&format!("exec {command_line}"), root);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.map_err(|error| format!("cannot start `{command_line}`: {error}"))?;
        Ok(Self { child, data })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until somebody listens on a port of 127.0.0.1. An error when the child ends before, or
    /// after `limit`.
    pub(crate) fn wait_for_port(&mut self, port: u16, limit: Duration) -> Result<(), String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let end = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended at once with {status}"));
            }
            if TcpStream::connect_timeout(&address, PAUSE).is_ok() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("nothing listens on {address} after {} s", limit.as_secs()));
            }
            sleep(PAUSE);
        }
    }

    /// An error when the child has ended by itself.
    pub(crate) fn still_runs(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("it ended by itself with {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Background {
    /// Asks the child to end, with SIGTERM, and waits. An error when it had ended before, takes longer
    /// than `limit`, or ends with anything but 0.
    pub(crate) fn stop(mut self, limit: Duration) -> Result<(), String> {
        self.still_runs()?;
        // Its id is still its own: nobody has waited for it.
        if !succeeds(Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.id()))) {
            return Err("it cannot be asked to end".to_owned());
        }
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(format!("asked to end with SIGTERM it ended with {status}, not with 0"));
                }
                Ok(None) if Instant::now() < end => sleep(PAUSE),
                _ => {
                    return Err(format!(
                        "asked to end with SIGTERM it still ran after {} s",
                        limit.as_secs()
                    ));
                }
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Both fail only for a child that has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What stays is removed when the next one starts.
        let _ = clear(&self.data);
    }
}

/// Removes a folder with all that is in it, if it is there.
fn clear(folder: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// A shell that first raises the limit of open files: 10,000 connections need as many.
pub(crate) fn shell(line: &str, root: &Path) -> Command {
    let raise = "ulimit -n 1048576 2>/dev/null || ulimit -n \"$(ulimit -Hn)\"";
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{raise}; {line}")).current_dir(root);
    command
}

/// A port of 127.0.0.1 that nobody listens on at the moment. It lies below the range that Linux gives to
/// outgoing connections, so that none of 10,000 clients takes it, and no probe connects to itself.
pub(crate) fn free_port() -> Result<u16, String> {
    free_ports().map(|[port]| port)
}

/// Several such ports, all different.
pub(crate) fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT], String> {
    let start = std::process::id();
    let ports: Vec<u16> = (0..10_000)
        .filter_map(|step| u16::try_from(20_000 + start.wrapping_mul(7).wrapping_add(step) % 10_000).ok())
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .take(COUNT)
        .collect();
    ports.try_into().map_err(|_| "no port between 20000 and 29999 is free".to_owned())
}

/// The last lines of a log file, for an error's text.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(15);
    lines.get(start..).unwrap_or_default().join("\n")
}

/// How a command is named in messages.
fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Background, free_port, is_in_path, last_line_within, output_within, run, run_for_last_line};
    use super::{run_within, with_descendants};
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn the_last_line_is_returned_and_a_failure_is_an_error() {
        let mut good = Command::new("sh");
        assert_eq!(
            run_for_last_line(good.args(["-c", "echo a; echo '3 passed, 0 failed'; echo"])).unwrap(),
            "3 passed, 0 failed"
        );
        let mut bad = Command::new("sh");
        assert_eq!(run_for_last_line(bad.args(["-c", "echo why; exit 1"])).unwrap_err(), "why");
        assert!(run(&mut Command::new("no-such-program-here")).unwrap_err().contains("no-such-program-here"));
    }

    #[test]
    fn what_takes_too_long_is_killed_with_all_that_it_started() {
        let limit = Duration::from_millis(300);
        let start = Instant::now();
        // One in its group, one in a session of its own; their parent would wait for both.
        let script = "sleep 6543 & setsid sleep 6543 & echo started; wait";
        let child = || {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let errors = [
            run_within(&mut child(), limit).unwrap_err(),
            last_line_within(&mut child(), limit).unwrap_err(),
            output_within(&mut child(), limit).unwrap_err(),
        ];
        for error in errors {
            assert!(error.contains("sleep 6543") && error.contains("did not end within 0.3 s"), "{error}");
        }
        assert!(start.elapsed() < Duration::from_secs(30));
        let is_left = || {
            std::fs::read_dir("/proc").unwrap().any(|entry| {
                let line = entry.and_then(|entry| std::fs::read(entry.path().join("cmdline")));
                line.is_ok_and(|line| line.starts_with(b"sleep\x006543"))
            })
        };
        // Who is killed is gone a moment later.
        while is_left() {
            assert!(start.elapsed() < Duration::from_secs(30), "somebody is left");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn what_has_ended_but_left_its_output_open_to_others_is_not_waited_for_without_end() {
        let script = "sleep 1.5 & echo '1 passed, 0 failed'";
        let error = last_line_within(Command::new("sh").args(["-c", script]), Duration::from_millis(200));
        assert!(error.unwrap_err().contains("did not end"));
    }

    #[test]
    fn a_family_is_who_we_started_and_whom_they_started() {
        let mut child = Command::new("sh").args(["-c", "sleep 30 & wait"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while with_descendants(child.id()).len() < 2 {
            assert!(Instant::now() < end, "its child is not found");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!with_descendants(child.id()).contains(&std::process::id()));
        super::kill_tree(child.id());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_data_directory_is_empty_at_the_start_and_gone_at_the_end() {
        let folder = std::env::temp_dir().join(format!("xtask-data-{}", std::process::id()));
        let (log, data) = (folder.join("broker.log"), folder.join("broker.data"));
        std::fs::create_dir_all(data.join("left")).unwrap();
        // Not made for it: what it makes itself is what is removed.
        let script = "sh -c 'mkdir \"$0\" && touch \"$0/ours\" && exec sleep 30' {data}";
        let child = Background::start(script, &folder, &log).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while !data.join("ours").exists() {
            assert!(Instant::now() < end, "{}", std::fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(child);
        assert!(!data.exists() && log.exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_program_is_there_or_not() {
        assert!(is_in_path("sh"));
        assert!(!is_in_path("no-such-program-here"));
    }

    #[test]
    fn a_background_process_that_ends_early_is_told_from_one_that_does_not_listen() {
        let log = std::env::temp_dir().join(format!("xtask-{}.log", std::process::id()));
        let port = free_port().unwrap();
        let mut ended = Background::start("true", Path::new("/"), &log).unwrap();
        let error = ended.wait_for_port(port, Duration::from_secs(20)).unwrap_err();
        assert!(error.contains("ended at once"), "{error}");
        let mut deaf = Background::start("sleep 30", Path::new("/"), &log).unwrap();
        let error = deaf.wait_for_port(port, Duration::from_millis(100)).unwrap_err();
        assert!(error.contains("nothing listens"), "{error}");
        assert!(deaf.still_runs().is_ok());
        let error = deaf.stop(Duration::from_secs(20)).unwrap_err();
        assert!(error.contains("not with 0"), "{error}");
        std::fs::remove_file(&log).unwrap();
    }
}
