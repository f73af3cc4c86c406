//! The command line: which broker, which statements, what to write.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to a terminal")]

use crate::cases;
use crate::grid;
use crate::offers::{Feature, NotOffered};
use crate::outcome::{Fault, Verdict};
use crate::probe::answers;
use crate::report::{json, rows, summary};
use crate::runner::{Case, Played, play};
use crate::stage::Doors;
use crate::wire::Version;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tests a broker against the statements of MQTT 3.1.1 and 5.0.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "cargo xtask conformance")]
pub struct Options {
    /// A listener that lets anybody in.
    #[arg(long, value_name = "HOST:PORT")]
    pub addr: String,
    /// A listener that lets in only the user below.
    #[arg(long, value_name = "HOST:PORT")]
    pub login_addr: Option<String>,
    /// A listener that refuses messages to `--denied-topic`, where `--addr` does not.
    #[arg(long, value_name = "HOST:PORT")]
    pub rights_addr: Option<String>,
    /// A listener with Maximum QoS 1, no retained messages, and a Server Keep Alive.
    #[arg(long, value_name = "HOST:PORT")]
    pub limited_addr: Option<String>,
    /// A listener that speaks WebSocket.
    #[arg(long, value_name = "HOST:PORT")]
    pub websocket_addr: Option<String>,
    /// The user for `--login-addr`.
    #[arg(long, default_value = "conformance")]
    pub user: String,
    /// Its password.
    #[arg(long, default_value = "conformance")]
    pub password: String,
    /// Only this version.
    #[arg(long, value_name = "3.1.1|5", value_parser = version)]
    pub version: Option<Version>,
    /// Only this statement (`MQTT-3.3.1-2`), the statements that begin so (`MQTT-3.3.`), or the tests with this in
    /// their name (repeatable).
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// Declares what the broker does not offer, as `aldis-offers.toml` does. What is declared and answers all the
    /// same is an error.
    #[arg(long, value_name = "FILE")]
    pub offers: Option<PathBuf>,
    /// Write the results here, for programs.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// A topic that clients of `--rights-addr` may not publish to.
    #[arg(long, value_name = "TOPIC", default_value = "$SYS/conformance/denied")]
    pub denied_topic: String,
    /// Print every test, not only what did not pass.
    #[arg(long, short)]
    pub verbose: bool,
    /// Malformed packets and their borders instead of the statements.
    #[arg(long)]
    pub grid: bool,
    /// Seconds that an answer may take.
    #[arg(long, default_value_t = 10.0)]
    pub patience: f64,
}

fn version(name: &str) -> Result<Version, String> {
    Version::ALL
        .into_iter()
        .find(|version| version.name() == name)
        .ok_or_else(|| format!("`{name}` is no version; there are 3.1, 3.1.1 and 5"))
}

/// Runs the suite. False when a statement is broken, when one that can be tested has no test, or when a feature
/// answers that is declared as not offered.
pub fn run(options: &Options) -> Result<bool, String> {
    let declared = declared(options)?;
    let doors =
        Doors { not_offered: declared.iter().map(|(feature, _)| feature).collect(), ..doors(options)? };
    if options.grid {
        return run_grid(options, &doors);
    }
    let cases: Vec<Case> = cases::all().into_iter().filter(|case| chosen(options, case)).collect();
    each_finds_something(options, |only| cases.iter().any(|case| is_meant(only, Some(case.id), case.name)))?;
    let start = Instant::now();
    let played = play(&cases, &doors, &run_name(), |one| {
        if options.verbose {
            tell(one);
        }
    });
    let mut rows = rows(&played, &options.version.map_or(vec![Version::V311, Version::V5], |one| vec![one]));
    rows.retain(|row| options.only.is_empty() || !row.tests.is_empty());
    println!("{}", summary(&rows).trim_end());
    println!("{} tests in {:.1} s", played.len(), start.elapsed().as_secs_f64());
    let wrong: Vec<Feature> = doors.not_offered.iter().copied().filter(|one| answers(*one, &doors)).collect();
    for feature in &wrong {
        println!("{} is declared as not offered, and it answers: take it out of the file", feature.name());
    }
    if let Some(path) = &options.json {
        std::fs::write(path, json(&rows).to_string())
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let bad = rows.iter().filter(|row| matches!(row.verdict, Verdict::Failed(_) | Verdict::Missing)).count();
    Ok(bad == 0 && wrong.is_empty())
}

fn declared(options: &Options) -> Result<NotOffered, String> {
    let Some(path) = &options.offers else { return Ok(NotOffered::default()) };
    let told = |why: String| format!("{}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    NotOffered::parse(&text).map_err(told)
}

/// Runs the grid, and tells of its failures alone.
fn run_grid(options: &Options, doors: &Doors) -> Result<bool, String> {
    let mut cases: Vec<_> = Version::ALL.into_iter().flat_map(grid::cases).collect();
    cases.retain(|case| {
        options.version.is_none_or(|version| version == case.version)
            && (options.only.is_empty()
                || options.only.iter().any(|only| is_meant(only, case.clause, &case.name)))
    });
    each_finds_something(options, |only| cases.iter().any(|case| is_meant(only, case.clause, &case.name)))?;
    let start = Instant::now();
    let played = grid::play(&cases, doors, &run_name(), |one| {
        if let Err(Fault::Failed(why)) = &one.outcome {
            println!("{} [{}] FAILED: {why}", one.case.name, one.case.clause.unwrap_or("-"));
        }
    });
    println!("{}", grid::summary(&played, start.elapsed()));
    Ok(!played.iter().any(|one| matches!(one.outcome, Err(Fault::Failed(_)))))
}

fn chosen(options: &Options, case: &Case) -> bool {
    options.version.is_none_or(|version| version == case.version)
        && (options.only.is_empty()
            || options.only.iter().any(|only| is_meant(only, Some(case.id), case.name)))
}

/// Whether `--only` with these words means a test: its whole identifier, a section that it is in, or a part of its name.
fn is_meant(only: &str, id: Option<&str>, name: &str) -> bool {
    let is_section = only.ends_with(['.', '-']);
    name.contains(only) || id.is_some_and(|id| id == only || (is_section && id.starts_with(only)))
}

/// An error for words after `--only` that mean nothing: they would be taken for tests that passed.
fn each_finds_something(options: &Options, finds: impl Fn(&str) -> bool) -> Result<(), String> {
    match options.only.iter().find(|only| !finds(only)) {
        None => Ok(()),
        Some(only) => Err(format!(
            "`--only {only}` means no test of what is asked for; it takes an identifier of the standards \
             (MQTT-3.3.1-2), the beginning of several (MQTT-3.3.), or a part of a test's name"
        )),
    }
}

fn tell(one: &Played) {
    let case = one.case;
    let word = match &one.outcome {
        Ok(()) => "ok".to_owned(),
        Err(Fault::Failed(why)) => format!("FAILED: {why}"),
        Err(Fault::NotShown(why)) => format!("not shown: {why}"),
        Err(Fault::NotOffered(feature)) => format!("not offered: {}", feature.name()),
    };
    println!(
        "{:5} {:14} {} ({:.2} s) {word}",
        case.version.name(),
        case.id,
        case.name,
        one.took.as_secs_f64()
    );
}

fn doors(options: &Options) -> Result<Doors, String> {
    Ok(Doors {
        login: options.login_addr.as_deref().map(address).transpose()?,
        rights: options.rights_addr.as_deref().map(address).transpose()?,
        limited: options.limited_addr.as_deref().map(address).transpose()?,
        websocket: options.websocket_addr.as_deref().map(address).transpose()?,
        denied_topic: options.denied_topic.clone(),
        user: options.user.clone(),
        password: options.password.clone(),
        patience: Duration::from_secs_f64(options.patience.clamp(0.1, 600.0)),
        ..Doors::plain(address(&options.addr)?)
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .map_err(|error| format!("`{text}` is no address: {error}; HOST:PORT is wanted"))?
        .next()
        .ok_or_else(|| format!("`{text}` has no address"))
}

/// Letters and digits that no other run against the same broker has.
fn run_name() -> String {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let mut rest = millis % 36_u64.pow(6);
    let mut name = String::from("c");
    while name.len() < 7 {
        name.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
        rest /= 36;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::is_meant;

    #[test]
    fn an_identifier_means_itself_and_a_section_all_that_is_in_it() {
        let meant = |only| is_meant(only, Some("MQTT-3.1.2-24"), "a_large_connack_is_left_out");
        assert!(meant("MQTT-3.1.2-24"));
        assert!(meant("MQTT-3.1.2-"));
        assert!(meant("MQTT-3."));
        assert!(meant("large_connack"));
        assert!(!meant("MQTT-3.1.2-2"));
        assert!(!meant("MQTT-3.1.2"));
        assert!(!meant("small"));
        assert!(!is_meant("MQTT-3.", None, "a case of the grid"));
    }
}
