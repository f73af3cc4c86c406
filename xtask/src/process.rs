//! Child processes: run to the end, or kept in the background and killed when dropped.
//!
//! Every child is ours: it is ended by its own handle, never looked up by name.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a port or a child is looked at while waiting.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs a command with this terminal's output and no input. An error says how it ended.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let name = shown(command);
    let status =
        command.stdin(Stdio::null()).status().map_err(|error| format!("cannot run `{name}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{name}` ended with {status}")) }
}

/// Like `run`, and returns the last line the command wrote to its standard output that is not empty.
pub(crate) fn run_for_last_line(command: &mut Command) -> Result<String, String> {
    let (line, ended_well) = run_to_end(command)?;
    if ended_well {
        Ok(line)
    } else {
        Err(if line.is_empty() { "failed without a word".to_owned() } else { line })
    }
}

fn run_to_end(command: &mut Command) -> Result<(String, bool), String> {
    let name = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run `{name}`: {error}"))?;
    let mut last = String::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| format!("`{name}` wrote what is not text: {error}"))?;
            println!("{line}");
            if !line.trim().is_empty() {
                last = line.trim().to_owned();
            }
        }
    }
    let status = child.wait().map_err(|error| format!("`{name}`: {error}"))?;
    Ok((last, status.success()))
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
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => break,
            Ok(None) if Instant::now() < end => sleep(PAUSE),
            _ => {
                drop(Background { child });
                return Err(format!("`{name}` did not end within {} s", limit.as_secs()));
            }
        }
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
}

impl Background {
    /// Starts a shell command line, with as many file descriptors as the system allows, as its own
    /// process: the process id is that of the program, not of the shell.
    pub(crate) fn start(command_line: &str, root: &Path, log: &Path) -> Result<Self, String> {
        let out = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let err = out.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = shell(&format!("exec {command_line}"), root);
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        Ok(Self { child: child.map_err(|error| format!("cannot start `{command_line}`: {error}"))? })
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
    let start = std::process::id();
    (0..10_000)
        .filter_map(|step| u16::try_from(20_000 + start.wrapping_mul(7).wrapping_add(step) % 10_000).ok())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| "no port between 20000 and 29999 is free".to_owned())
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
    use super::{Background, free_port, output_within, run, run_for_last_line};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

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
    fn what_takes_too_long_is_killed() {
        let error = output_within(Command::new("sleep").arg("30"), Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("did not end"), "{error}");
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
