//! What the stages start and a fresh machine may lack: linter and formatter, Python.
//!
//! The MQTT clients themselves are installed by `tests/clients/setup.py`, into target/ where they can be.

use super::{Outcome, Place};
use crate::process::{exists, install_packages, run, succeeds};

/// Installs what is missing, saying what and why; without root or sudo, says what to install.
pub(super) fn install(place: &Place) -> Outcome {
    let mut installed = Vec::new();
    for (component, program) in [("clippy", "cargo-clippy"), ("rustfmt", "rustfmt")] {
        if !exists(program) {
            println!("installing {component} (rustup): the lints and the formatting are tests too");
            let add = run(&mut place.program("rustup", &["component", "add", component]));
            add.map_err(|why| format!("{why}; install {component} by hand"))?;
            installed.push(component);
        }
    }
    if !exists("python3") {
        install_packages(&["python3"], "the scripts that drive real clients are in Python")?;
        installed.push("python3");
    }
    if !succeeds(&mut place.program("python3", &["-c", "import ensurepip, venv"])) {
        install_packages(&["python3-venv"], "paho-mqtt goes to a virtual environment, never to the system")?;
        installed.push("python3-venv");
    }
    if installed.is_empty() {
        Ok("all there".to_owned())
    } else {
        Ok(format!("installed {}", installed.join(", ")))
    }
}
