//! What the stages start and a fresh machine may lack: linter and formatter, Python, Node.js, and the MQTT clients
//! that are Debian packages.
//!
//! The other MQTT clients are installed by `tests/clients/setup.py`, into target/. The Mosquitto server is never
//! installed: it would take port 1883.

use super::{Outcome, Place};
use crate::process::{exists, install_packages, is_in_path, run, succeeds};

/// A Debian package, programs that it brings, and why a test needs them.
type Package = (&'static str, &'static [&'static str], &'static str);

const PACKAGES: [Package; 5] = [
    ("python3", &["python3"], "the scripts that drive real clients are in Python"),
    ("strace", &["strace"], "what the broker answers is compared with the order of its system calls"),
    (
        "mosquitto-clients",
        &["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"],
        "the clients that people use at a shell are run against the broker",
    ),
    ("nodejs", &["node"], "MQTT.js, the client of programs in JavaScript, is run against the broker"),
    ("npm", &["npm"], "MQTT.js is fetched with it, into target/"),
];

/// Installs what is missing, saying what and why; without root or sudo, says what to install. What cannot be
/// installed does not keep the rest away.
pub(super) fn install(place: &Place) -> Outcome {
    let mut steps = Vec::new();
    for (component, program) in [("clippy", "cargo-clippy"), ("rustfmt", "rustfmt")] {
        if !exists(program) {
            println!("installing {component} (rustup): the lints and the formatting are tests too");
            let add = run(&mut place.program("rustup", &["component", "add", component]));
            steps.push((component, add.map_err(|why| format!("{why}; install {component} by hand"))));
        }
    }
    for (package, why) in missing(is_in_path) {
        steps.push((package, install_packages(&[package], why)));
    }
    if !succeeds(&mut place.program("python3", &["-c", "import ensurepip, venv"])) {
        let why = "paho-mqtt goes to a virtual environment, never to the system";
        steps.push(("python3-venv", install_packages(&["python3-venv"], why)));
    }
    summary(steps)
}

/// The packages of which a program is not there, and why they are needed.
fn missing(is_there: impl Fn(&str) -> bool) -> Vec<(&'static str, &'static str)> {
    let packages = PACKAGES.iter().filter(|(_, programs, _)| !programs.iter().all(|name| is_there(name)));
    packages.map(|(package, _, why)| (*package, *why)).collect()
}

fn summary(steps: Vec<(&str, Result<(), String>)>) -> Outcome {
    let failures: Vec<String> = steps.iter().filter_map(|(_, outcome)| outcome.clone().err()).collect();
    if !failures.is_empty() {
        return Err(failures.join("; "));
    }
    let installed: Vec<&str> = steps.into_iter().map(|(name, _)| name).collect();
    if installed.is_empty() {
        return Ok("all there".to_owned());
    }
    Ok(format!("installed {}", installed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::{missing, summary};

    #[test]
    fn only_what_is_missing_is_installed_and_never_the_server() {
        let names = |there: fn(&str) -> bool| -> Vec<&str> {
            missing(there).into_iter().map(|(package, _)| package).collect()
        };
        assert!(names(|_| true).is_empty());
        assert_eq!(names(|_| false), ["python3", "strace", "mosquitto-clients", "nodejs", "npm"]);
        assert_eq!(names(|name| name != "mosquitto_rr"), ["mosquitto-clients"]);
        assert_eq!(names(|name| name != "npm"), ["npm"]);
    }

    #[test]
    fn one_that_cannot_be_installed_is_told_besides_those_that_are() {
        assert_eq!(summary(Vec::new()).unwrap(), "all there");
        assert_eq!(summary(vec![("npm", Ok(())), ("nodejs", Ok(()))]).unwrap(), "installed npm, nodejs");
        let failed = summary(vec![("npm", Err("no apt-get".to_owned())), ("nodejs", Ok(()))]);
        assert_eq!(failed.unwrap_err(), "no apt-get");
    }
}
