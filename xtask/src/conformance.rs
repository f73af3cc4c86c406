//! `cargo xtask conformance`: the suite of `crates/conformance` against any broker, or against Aldis with
//! everything it has to be started with.
//!
//! The suite itself knows no broker. Here are the two that docs/conformance.md has a column for, and the table.

mod brokers;
mod document;

use crate::process::run;
use crate::repository;
use brokers::Doors;
use std::path::Path;
use std::process::Command;

const HELP: &str = "cargo xtask conformance [--addr HOST:PORT [OPTIONS] | --document | --mosquitto]

Tests a broker, from outside, against every statement of MQTT 3.1.1 and 5.0 that shows there.

--addr HOST:PORT   this broker, which lets anybody in; --addr HOST:PORT --help tells what else can be said
                   of it, such as --json FILE, --only ID, --version 3.1.1|5, --grid
(nothing)          Aldis, built and started for it, and the grid of malformed packets; fails if
                   docs/conformance.md says anything else
--document         Aldis and Mosquitto, and writes docs/conformance.md
--mosquitto        Mosquitto alone, fetched but not installed (options of the suite may follow)";

/// What the suite writes for programs, below the root.
const RESULTS: &str = "target/conformance";
const OFFERS: &str = "aldis-offers.toml";

/// Runs the subcommand; true when the broker keeps every statement.
pub(crate) fn main(mut given: Vec<String>) -> Result<bool, String> {
    let root = repository::root()?;
    if given.iter().any(|one| one == "--addr" || one.starts_with("--addr=")) {
        return suite(&root, &given).map(|()| true);
    }
    match given.first().map(String::as_str) {
        None => aldis(&root).map(|_| true),
        Some("--document") if given.len() == 1 => written(&root).map(|()| true),
        Some("--mosquitto") => {
            given.remove(0);
            let (_broker, doors, version) = brokers::mosquitto(&root)?;
            println!("Mosquitto {version}");
            suite(&root, &[doors.arguments(), given].concat()).map(|()| true)
        }
        Some("--help" | "-h") => {
            println!("{HELP}");
            Ok(true)
        }
        Some(other) => Err(format!("`{other}` is no option here; --help lists them")),
    }
}

/// Aldis against the suite, and what docs/conformance.md says of it. Returns the last words on it.
pub(crate) fn aldis(root: &Path) -> Result<String, String> {
    let results = aldis_results(root)?;
    let found = document::generated(root, &results)?;
    let path = root.join(document::DOCUMENT);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", document::DOCUMENT))?;
    if document::placed(&text, &found)? != text {
        return Err(format!(
            "{} is not what this run found; `cargo xtask conformance --document` writes it",
            document::DOCUMENT
        ));
    }
    Ok(document::counts(&results))
}

fn aldis_results(root: &Path) -> Result<serde_json::Value, String> {
    run(Command::new("cargo").args(["build", "--release", "--package", "aldis"]).current_dir(root))?;
    let (brokers, doors) = brokers::aldis(root)?;
    let file = "aldis.json";
    let results = tested(root, file, &[doors.arguments(), words(&["--offers", OFFERS])].concat())
        .and_then(|()| suite(root, &[doors.arguments(), words(&["--grid"])].concat()));
    for broker in brokers {
        broker.stop(brokers::STOP)?;
    }
    results?;
    document::read(root, file)
}

fn written(root: &Path) -> Result<(), String> {
    let (broker, doors, version) = brokers::mosquitto(root)?;
    // What it fails is what the table is for.
    if let Err(why) = tested(root, "mosquitto.json", &doors.arguments()) {
        println!("Mosquitto {version}: {why}");
    }
    drop(broker);
    document::keep_mosquitto(root, &version, &document::read(root, "mosquitto.json")?)?;
    let results = aldis_results(root)?;
    document::write(root, &document::generated(root, &results)?)
}

/// Runs the suite and has the results in that file below [`RESULTS`].
fn tested(root: &Path, file: &str, arguments: &[String]) -> Result<(), String> {
    let folder = root.join(RESULTS);
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let path = folder.join(file);
    // What an earlier run found must not pass for this one's.
    let _ = std::fs::remove_file(&path);
    suite(root, &[words(&["--json", &path.to_string_lossy()]), arguments.to_vec()].concat())
}

fn suite(root: &Path, arguments: &[String]) -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--package", "aldis-conformance", "--"]).args(arguments);
    run(command.current_dir(root))
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

impl Doors {
    /// As options of the suite.
    fn arguments(&self) -> Vec<String> {
        let mut arguments = words(&["--addr", &brokers::at(self.plain)]);
        let others = [
            ("--login-addr", self.login),
            ("--limited-addr", self.limited),
            ("--websocket-addr", self.websocket),
        ];
        for (name, port) in others {
            arguments.extend(port.map(|port| words(&[name, &brokers::at(port)])).unwrap_or_default());
        }
        if let Some((port, topic)) = self.rights {
            arguments.extend(words(&["--rights-addr", &brokers::at(port), "--denied-topic", topic]));
        }
        arguments
    }
}
