//! The stages that put real MQTT clients, and scripts that speak raw bytes, against the release binary.
//!
//! What they test is in `tests/clients` and `tests/blackbox`; here they are given a broker.

use super::{BINARY, Outcome, Place};
use crate::process::{Background, DATA, free_port, run, tail};
use std::time::Duration;

const SETUP: &str = "tests/clients/setup.py";
const RUN: &str = "tests/clients/run.py";
const SCRIPTS: &str = "tests/blackbox";
const VENV: &str = "target/clients/venv";
const NODE: &str = "target/clients/node";

/// The scenarios of the client that is a crate: built, not fetched.
const RUMQTTC: &str = "aldis-rumqttc-scenarios";

/// How long the broker may take to listen; it takes milliseconds, a loaded machine more.
const START: Duration = Duration::from_secs(15);

/// How long it may take to say goodbye to its clients.
const STOP: Duration = Duration::from_secs(30);

/// Fetches the clients, and builds the one that is a crate. A client that fails here leaves the others: its
/// own scenarios then fail by name.
pub(super) fn set_up(place: &Place) -> Outcome {
    let built = place.cargo(&["build", "--release", "--package", RUMQTTC]);
    if !place.root.join(SETUP).is_file() {
        return Err(format!("{SETUP} is missing"));
    }
    run(&mut place.program("python3", &[SETUP]))?;
    built
}

/// Every client against one broker.
pub(super) fn run_all(place: &Place) -> Outcome {
    with_broker(place, "clients", |port| place.script(RUN, &["--port", port, "--venv", VENV, "--node", NODE]))
}

/// The same scripts where they must fail: a closed port, a topic that nobody publishes to.
pub(super) fn self_test(place: &Place) -> Outcome {
    with_broker(place, "clients-self-test", |port| {
        place.script(RUN, &["--self-test", "--port", port, "--venv", VENV, "--node", NODE])
    })
}

/// What scripts of `tests/blackbox` need beside the broker: without it their cases fail by name.
pub(super) fn set_up_black_box(place: &Place) -> Outcome {
    place.cargo(&["build", "--release", "--package", "aldis-powercut"])?;
    let no_sync = ["--example", "aldis-no-sync", "--features", "planted-no-sync"];
    place.cargo(&[&["build", "--release", "--package", "aldis"], &no_sync[..]].concat())
}

/// Each script of `tests/blackbox` starts the broker itself. It passes as every script of ours does: by its last
/// line.
pub(super) fn black_box(place: &Place) -> Outcome {
    let files = std::fs::read_dir(place.root.join(SCRIPTS)).map_err(|error| format!("{SCRIPTS}: {error}"))?;
    let mut scripts: Vec<String> = files
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".py"))
        .collect();
    if scripts.is_empty() {
        return Err(format!("{SCRIPTS} has no script"));
    }
    scripts.sort();
    let mut failed = Vec::new();
    for name in &scripts {
        println!("-- {SCRIPTS}/{name}");
        if let Err(why) = place.script(&format!("{SCRIPTS}/{name}"), &["--aldis", BINARY]) {
            println!("-- {name} FAILED: {why}");
            failed.push(format!("{name} ({why})"));
        }
    }
    if failed.is_empty() {
        Ok(format!("{} scripts", scripts.len()))
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

/// Clients send payloads of 1 MiB, and a packet is that and its header; the default is a packet of 1 MiB.
const PACKET_SIZE: &str = "--set 'limits.packet_size=2 MiB'";

/// Starts the release binary on a free port, gives that to `task`, and ends the binary with SIGTERM. It must
/// still be running then and end well: a broker that crashed under the clients is a failure, whatever they
/// say.
fn with_broker(place: &Place, name: &str, task: impl FnOnce(&str) -> Outcome) -> Outcome {
    let port = free_port()?;
    let folder = place.root.join("target/clients");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let log = folder.join(format!("{name}-broker.log"));
    let command_line = format!("{BINARY} --listen tcp://127.0.0.1:{port} --data-dir {DATA} {PACKET_SIZE}");
    println!("{command_line}   (its log: target/clients/{name}-broker.log)");
    let mut broker = Background::start(&command_line, &place.root, &log)?;
    let told = |why: String| format!("{BINARY}: {why}; it wrote:\n{}", tail(&log));
    broker.wait_for_port(port, START).map_err(told)?;
    let outcome = task(&port.to_string());
    broker.stop(STOP).map_err(told)?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::{Place, RUN, SCRIPTS, black_box, run, run_all};
    use std::path::PathBuf;
    use std::process::Command;

    const LISTENS: &str = "#!/usr/bin/env python3\nimport signal, socket, sys\nassert sys.argv[1] == '--listen'\nassert sys.argv[3] == '--data-dir' and sys.argv[4].endswith('-broker.data')\nassert sys.argv[5:] == ['--set', 'limits.packet_size=2 MiB']\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\ns = socket.create_server(('127.0.0.1', int(sys.argv[2].rpartition(':')[2])))\nwhile True:\n    c, _ = s.accept()\n    if c.recv(9) == b'die':\n        sys.exit('I died')\n";
    const PASSES: &str = "import socket, sys\nassert sys.argv[1] == '--port'\nsocket.create_connection(('127.0.0.1', int(sys.argv[2])))\nprint('1 passed, 0 failed')\n";
    const KILLS: &str = "import socket, sys\nc = socket.create_connection(('127.0.0.1', int(sys.argv[2])))\nc.send(b'die')\nc.recv(9)\nprint('1 passed, 0 failed')\n";

    /// A folder with these texts as broker and as script; removed by the caller.
    fn place(name: &str, broker: &str, script: Option<&str>) -> Place {
        let root: PathBuf = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(root.join("target/release")).unwrap();
        std::fs::create_dir_all(root.join("tests/clients")).unwrap();
        // Copied by a child: a file that this process has open for writing cannot be started.
        std::fs::write(root.join("broker.py"), broker).unwrap();
        let copy = ["-m", "755", "broker.py", "target/release/aldis"];
        run(Command::new("install").args(copy).current_dir(&root)).unwrap();
        if let Some(script) = script {
            std::fs::write(root.join(RUN), script).unwrap();
        }
        Place { root, is_long: false }
    }

    #[test]
    fn a_script_passes_with_a_broker_that_lives_and_fails_with_one_that_does_not() {
        let cases = [
            ("lives", LISTENS, Some(PASSES), Ok("1 passed, 0 failed")),
            ("dies", LISTENS, Some(KILLS), Err("I died")),
            ("starts-not", "#!/bin/sh\necho no such option\nexit 1\n", Some(PASSES), Err("no such option")),
            ("misses", LISTENS, None, Err("tests/clients/run.py is missing")),
            (
                "fails",
                LISTENS,
                Some("print('1 passed, 1 failed')\nraise SystemExit(1)"),
                Err("1 passed, 1 failed"),
            ),
        ];
        for (name, broker, script, expected) in cases {
            let place = place(name, broker, script);
            let outcome = run_all(&place);
            match (&outcome, expected) {
                (Ok(said), Ok(expected)) => assert_eq!(said, expected, "{name}"),
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{name}: {said}"),
                _ => panic!("{name}: {outcome:?}"),
            }
            std::fs::remove_dir_all(&place.root).unwrap();
        }
    }
    #[test]
    fn scripts_pass_by_their_last_line_and_none_at_all_is_a_failure() {
        const PASSES: &str = "import sys\nassert sys.argv[1] == '--aldis'\nprint('2 passed, 0 failed')\n";
        let cases: [(&str, &[&str], Result<&str, &str>); 6] = [
            ("two", &[PASSES, PASSES], Ok("2 scripts")),
            ("no", &[], Err("tests/blackbox has no script")),
            ("silent", &[PASSES, ""], Err("failed: 1.py (tests/blackbox/1.py ended with ``, not with")),
            ("idle", &["print('0 passed, 0 failed')"], Err("ended with `0 passed, 0 failed`")),
            ("lying", &["print('2 passed, 1 failed')"], Err("ended with `2 passed, 1 failed`")),
            ("failing", &["print('2 passed, 0 failed')\nraise SystemExit(1)"], Err("failed: 0.py")),
        ];
        for (name, scripts, expected) in cases {
            let place = place(&format!("blackbox-{name}"), LISTENS, None);
            assert!(black_box(&place).unwrap_err().contains(SCRIPTS), "{name}");
            let folder = place.root.join(SCRIPTS);
            std::fs::create_dir_all(folder.join("wire")).unwrap();
            for (number, text) in scripts.iter().enumerate() {
                std::fs::write(folder.join(format!("{number}.py")), text).unwrap();
            }
            let outcome = black_box(&place);
            match (&outcome, expected) {
                (Ok(said), Ok(expected)) => assert_eq!(said, expected, "{name}"),
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{name}: {said}"),
                _ => panic!("{name}: {outcome:?}"),
            }
            std::fs::remove_dir_all(&place.root).unwrap();
        }
    }
}
