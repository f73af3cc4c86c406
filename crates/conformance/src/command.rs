//! The command line: which broker, which statements, what to write.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to a terminal")]

use crate::cases;
use crate::grid;
use crate::outcome::Fault;
use crate::runner::{Case, Played, play};
use crate::stage::Doors;
use crate::wire::Version;
use std::net::{SocketAddr, ToSocketAddrs};
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
    /// Only the statements, or tests, whose name contains this (repeatable).
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
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

/// Runs the suite; false when a test failed.
pub fn run(options: &Options) -> Result<bool, String> {
    let doors = doors(options)?;
    if options.grid {
        return run_grid(options, &doors);
    }
    let cases: Vec<Case> = cases::all().into_iter().filter(|case| chosen(options, case)).collect();
    if cases.is_empty() {
        return Err("no test has such a name; the identifiers are those of the standards".to_owned());
    }
    let start = Instant::now();
    let played = play(&cases, &doors, &run_name(), tell);
    let failed = played.iter().filter(|one| matches!(one.outcome, Err(Fault::Failed(_)))).count();
    println!("{} tests in {:.1} s, {failed} failed", played.len(), start.elapsed().as_secs_f64());
    Ok(failed == 0)
}

/// Runs the grid, and tells of its failures alone.
fn run_grid(options: &Options, doors: &Doors) -> Result<bool, String> {
    let mut cases: Vec<_> = Version::ALL.into_iter().flat_map(grid::cases).collect();
    cases.retain(|case| {
        options.version.is_none_or(|version| version == case.version)
            && (options.only.is_empty()
                || options.only.iter().any(|only| case.name.contains(only) || case.clause == Some(only)))
    });
    if cases.is_empty() {
        return Err("no case has such a name".to_owned());
    }
    let start = Instant::now();
    let played = grid::play(&cases, doors, &run_name(), |one| {
        if let Err(Fault::Failed(why)) = &one.outcome {
            println!("{} [{}] FAILED: {why}", one.case.name, one.case.clause.unwrap_or("-"));
        }
    });
    println!("{}", grid::summary(&played, start.elapsed()));
    Ok(played.iter().all(|one| one.outcome.is_ok()))
}

fn chosen(options: &Options, case: &Case) -> bool {
    options.version.is_none_or(|version| version == case.version)
        && (options.only.is_empty()
            || options.only.iter().any(|only| case.id == only || case.name.contains(only.as_str())))
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
        limited: options.limited_addr.as_deref().map(address).transpose()?,
        websocket: options.websocket_addr.as_deref().map(address).transpose()?,
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
