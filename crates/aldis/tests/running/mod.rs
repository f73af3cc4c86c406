//! The binary as a process of a test, each in a data directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A broker that is killed when the test ends, however it ends.
pub(crate) struct Broker {
    pub(crate) child: Child,
    log: BufReader<ChildStderr>,
    /// Removed with the broker.
    _own_data_dir: Option<tempfile::TempDir>,
}

pub(crate) const ANY_PORT: [&str; 2] = ["--listen", "tcp://127.0.0.1:0"];

impl Broker {
    pub(crate) fn start(options: &[&str], environment: &[(&str, &str)]) -> Broker {
        let data_dir = tempfile::tempdir().unwrap();
        let mut broker = Broker::start_in(data_dir.path(), options, environment);
        broker._own_data_dir = Some(data_dir);
        broker
    }

    /// With a data directory that outlives it.
    pub(crate) fn start_in(data_dir: &Path, options: &[&str], environment: &[(&str, &str)]) -> Broker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aldis"));
        command.env_clear().envs(environment.iter().copied()).args(options).arg("--data-dir").arg(data_dir);
        Broker::of(&mut command)
    }

    /// A command that says everything itself.
    pub(crate) fn of(command: &mut Command) -> Broker {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Broker { child, log, _own_data_dir: None }
    }

    /// Reads the log up to the first line that contains `text`, and returns that line. A process
    /// that ends without having written it fails the test.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let before = seen.len();
            assert!(self.log.read_line(&mut seen).unwrap() > 0, "{text:?} was not logged:\n{seen}");
            if seen[before..].contains(text) {
                return seen[before..].trim_end().to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Exit code, the rest of the log, and standard output.
    pub(crate) fn end(&mut self) -> (Option<i32>, String, String) {
        let (mut log, mut out) = (String::new(), String::new());
        self.log.read_to_string(&mut log).unwrap();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        (self.child.wait().unwrap().code(), log, out)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
