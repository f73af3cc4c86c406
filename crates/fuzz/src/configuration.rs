//! The configuration file: any text gives settings, or one sentence that says where the fault is and what would
//! be right. What a file sets means the same when each of its settings is given by `--set`.

use crate::choices::Choices;
use aldis::arguments::Arguments;
use aldis::configuration::{Config, ConfigError, Origin, load_contents, load_with};
use std::ffi::OsString;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Named in errors; relative paths stay as they are beside it.
const FILE: &str = "aldis.toml";

/// As [`ours`].
pub type Load = fn(Vec<u8>, &Path) -> Result<Config, ConfigError>;

/// Settings that files are made of where the input does not bring its own text.
const NAMES: [&str; 22] = [
    "listen",
    "metrics",
    "data_dir",
    "durability",
    "durability_interval",
    "log.verbosity",
    "auth.allow_anonymous",
    "auth.password_file",
    "limits.packet_size",
    "limits.queue_messages",
    "limits.queue_qos0",
    "limits.keep_alive_max",
    "limits.session_expiry_max",
    "limits.first_packet_timeout",
    "limits.connections",
    "limits.memory_watermark",
    "sys_interval",
    "shutdown_deadline",
    "limits",
    "limit.queue_messages",
    "persistence",
    "x",
];

/// Their values.
const VALUES: [&str; 26] = [
    "true",
    "1",
    "0",
    "-1",
    "1_000",
    "100,000",
    "\"64 MiB\"",
    "\"10 s\"",
    "\"fsync\"",
    "\"interval\"",
    "\"never\"",
    "\"off\"",
    "\"unlimited\"",
    "'127.0.0.1:9234'",
    "[\"tcp://127.0.0.1:1883\"]",
    "[\"tcp://0.0.0.0:1884\", 'tcp://[::1]:1884']",
    "\"users\"",
    "1.5",
    "1979-05-27",
    "{ a = 1 }",
    "[]",
    "\"\"",
    "\"\\u0000\"",
    "0x10",
    "99999999999999999999",
    "\"a\\nb\"",
];

/// The target: [`check`] of Aldis' own reading.
pub fn configuration(data: &[u8]) {
    check(data, ours);
}

/// Aldis' own reading, for a user who has a home.
///
/// # Errors
/// What is wrong with the file.
pub fn ours(contents: Vec<u8>, path: &Path) -> Result<Config, ConfigError> {
    load_contents(contents, path, &home())
}

/// Without it a user other than root would have no place for a data directory.
fn home() -> [(OsString, OsString); 1] {
    [("HOME".into(), "/home/ann".into())]
}

/// Reads the file in `data`. `load` is the reading to be judged.
///
/// # Panics
/// A fault is not explained, or a setting means something else elsewhere.
pub fn check(data: &[u8], load: Load) {
    let contents = contents(&mut Choices::new(data));
    let text = String::from_utf8(contents.clone());
    match load(contents, Path::new(FILE)) {
        Ok(config) => check_settings(&text.expect("a file that is not UTF-8 was taken"), &config),
        Err(error) => check_error(text.as_deref().unwrap_or_default(), &error),
    }
}

/// Text as it is, or lines made of [`NAMES`] and [`VALUES`].
fn contents(choices: &mut Choices<'_>) -> Vec<u8> {
    if choices.below(2) == 0 {
        return choices.all().to_vec();
    }
    let mut text = String::new();
    while !choices.is_empty() && text.len() < 4_000 {
        let (name, value) = (choices.pick(&NAMES), choices.pick(&VALUES));
        let (group, last) = name.rsplit_once('.').unwrap_or(("", name));
        match choices.below(8) {
            0 if !group.is_empty() => text.push_str(&format!("[{group}]\n{last} = {value}\n")),
            1 => text.push_str(&format!("{group} = {{ {last} = {value} }}\n")),
            2 => text.push_str(&format!("# {name}\n\n{name} {value}\n")),
            _ => text.push_str(&format!("{name} = {value}\n")),
        }
    }
    text.into_bytes()
}

/// Every setting of the file by `--set`, with the words of the file: the same configuration.
fn check_settings(text: &str, config: &Config) {
    let table = DeTable::parse(text).expect("a file that is not TOML was taken");
    let mut set = Vec::new();
    assignments("", table.get_ref(), text, &mut set);
    let arguments = Arguments { set: set.clone(), ..Arguments::default() };
    match load_with(&arguments, home()) {
        Ok(other) => assert_eq!(shown(config), shown(&other), "by --set {set:?}"),
        Err(error) => panic!("the file was taken, but with --set {set:?}: {error}"),
    }
}

fn assignments(prefix: &str, table: &DeTable<'_>, text: &str, set: &mut Vec<String>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => assignments(&format!("{name}."), inner, text, set),
            _ => set.push(format!("{name}={}", &text[value.span()])),
        }
    }
}

/// All of a configuration but where its settings came from.
fn shown(config: &Config) -> String {
    let Config { settings, data_dir, keeping, password_file, verbosity, .. } = config;
    format!("{settings:#?} {data_dir:?} {keeping:?} {password_file:?} {verbosity}")
}

fn check_error(text: &str, error: &ConfigError) {
    let message = error.to_string();
    assert!(!message.chars().any(char::is_control), "an error is one line of text: {message:?}");
    let line = match error {
        ConfigError::Syntax { line, .. } => Some(*line),
        ConfigError::UnknownSetting { origin, .. }
        | ConfigError::Section { origin, .. }
        | ConfigError::BadValue { origin, .. }
        | ConfigError::MetricsCollide { origin, .. }
        | ConfigError::Passwords { origin, .. } => match origin {
            Origin::File { line, .. } => Some(*line),
            other => panic!("an error of a file that comes from {other:?}"),
        },
        // About the file as a whole, or about what is not in it.
        ConfigError::Unreadable { .. } | ConfigError::Exposed(_) | ConfigError::NoFolder => None,
        other => panic!("an error of a file: {other:?}"),
    };
    if let Some(line) = line {
        assert!(message.contains(&format!("{FILE} line {line}")), "{message:?} names no line");
        let lines = text.split('\n').count();
        assert!((1..=lines).contains(&line), "{message:?}, and there are {lines} lines");
    }
    assert!(says_what_to_do(error, &message), "and now? {message:?}");
}

/// A sentence about a fault ends in a way out, or says what would be right.
fn says_what_to_do(error: &ConfigError, message: &str) -> bool {
    let says = ["; ", "but it takes", "for example", "write ", "expected"];
    let is_said = says.iter().any(|words| message.contains(words));
    // TOML's own words say what is wrong there; that it is not UTF-8 says what it should be.
    is_said || matches!(error, ConfigError::Syntax { .. } | ConfigError::Unreadable { .. })
}
