//! The four layers over the defaults: file, environment, `--set`, other options. Later ones win.
//!
//! Every layer ends in [`put`], so a value is checked the same way wherever it comes from.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aldis_server::Listener;
use toml::de::{DeTable, DeValue};

use super::draft::Draft;
use super::error::{ConfigError, Origin};
use super::raw::RawValue;
use super::setting::{self, Setting};
use super::units;
use crate::arguments::Arguments;

/// Size above which a file is refused, in bytes. A wrong path should not fill the memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

const PREFIX: &str = "ALDIS_";

/// Variables of this project's tests. Whoever runs those may start a broker from the same shell.
const NOT_SETTINGS: [&str; 10] = [
    "ALDIS_LONG",
    "ALDIS_TEST_BROKER",
    "ALDIS_TEST_DEADLINE",
    "ALDIS_TEST_DEAF",
    "ALDIS_TEST_HOST",
    "ALDIS_TEST_NODE",
    "ALDIS_TEST_PORT",
    "ALDIS_TEST_PREFIX",
    "ALDIS_TEST_VENV",
    "ALDIS_TEST_WRITE_DOCUMENTATION",
];

/// Lays all layers over the defaults.
pub(crate) fn read(
    arguments: &Arguments,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    mut draft: Draft,
) -> Result<Draft, ConfigError> {
    if let Some(path) = &arguments.config {
        read_file(path, &mut draft)?;
    }
    read_environment(environment, &mut draft)?;
    for assignment in &arguments.set {
        read_set(assignment, &mut draft)?;
    }
    read_options(arguments, &mut draft)?;
    Ok(draft)
}

/// Checks a value and writes it into the draft, or says what is wrong with it and where.
fn put(
    setting: &'static Setting,
    value: &RawValue,
    base: &Path,
    origin: Origin,
    draft: &mut Draft,
) -> Result<(), ConfigError> {
    match setting.kind.apply(value, base, draft) {
        Ok(()) => {
            draft.origins.insert(setting.name, origin);
            Ok(())
        }
        Err(what) => Err(ConfigError::BadValue { name: setting.name, origin, what }),
    }
}

/// Bare text for one setting, from the environment or an option.
fn put_word(
    setting: &'static Setting,
    word: &str,
    origin: Origin,
    draft: &mut Draft,
) -> Result<(), ConfigError> {
    put(setting, &setting.kind.read_word(word), Path::new(""), origin, draft)
}

fn read_file(path: &Path, draft: &mut Draft) -> Result<(), ConfigError> {
    let mut contents = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut contents));
    read.map_err(|error| unreadable(path, error.kind(), error.to_string()))?;
    read_contents(contents, path, draft)
}

fn unreadable(path: &Path, kind: io::ErrorKind, what: String) -> ConfigError {
    // A relative path would not say where the file was looked for.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    ConfigError::Unreadable { path, kind, what }
}

/// Lays what is in a file over the draft; `path` is named in errors, and relative paths are relative to its
/// folder.
pub(crate) fn read_contents(contents: Vec<u8>, path: &Path, draft: &mut Draft) -> Result<(), ConfigError> {
    if u64::try_from(contents.len()).is_ok_and(|size| size > MAX_FILE_BYTES) {
        let what = "it is larger than 1 MiB, so it is hardly a configuration file".to_owned();
        return Err(unreadable(path, io::ErrorKind::FileTooLarge, what));
    }
    let text = String::from_utf8(contents)
        .map_err(|_| unreadable(path, io::ErrorKind::InvalidData, "it is not UTF-8 text".to_owned()))?;
    let table = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(&text, span.start));
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        let hint = text.lines().nth(line - 1).and_then(syntax_hint);
        ConfigError::Syntax { path: path.to_owned(), line, what: what + &hint.unwrap_or_default() }
    })?;
    let mut entries = Vec::new();
    flatten("", table.get_ref(), &mut entries);
    // A table is sorted by name; people read a file from the top.
    entries.sort_by_key(|entry| entry.offset);
    let base = path.parent().unwrap_or(Path::new(""));
    for entry in entries {
        let origin = Origin::File { path: path.to_owned(), line: line_of(&text, entry.offset) };
        if let Some(setting) = setting::find(&entry.name) {
            put(setting, &RawValue::from_toml(entry.value), base, origin, draft)?;
        } else {
            return Err(unknown(entry.name, origin));
        }
    }
    Ok(())
}

/// A value of the file under its dotted name.
struct Entry<'a> {
    name: String,
    value: &'a DeValue<'a>,
    offset: usize,
}

/// Tables become dotted names, unless the table stands where a setting is or is empty and unknown:
/// those are entries themselves, to be refused by name. The parser bounds how deep this goes.
fn flatten<'a>(prefix: &str, table: &'a DeTable<'a>, entries: &mut Vec<Entry<'a>>) {
    for (key, value) in table {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) if setting::find(&name).is_none() && !inner.is_empty() => {
                flatten(&name, inner, entries);
            }
            DeValue::Table(_) if setting::first_of_group(&name).is_some() => {}
            value => entries.push(Entry { name, value, offset: key.span().start }),
        }
    }
}

fn read_environment(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    draft: &mut Draft,
) -> Result<(), ConfigError> {
    let mut variables: Vec<(String, OsString)> = environment
        .into_iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, value)| is_for_us(name, value))
        .collect();
    // The first error should be the same every time.
    variables.sort();
    for (name, value) in variables {
        let Some(setting) = setting::all().find(|setting| setting.variable() == name) else {
            return Err(unknown_variable(name));
        };
        // As good as unset, which is how Compose files and service managers leave things out.
        if value.is_empty() {
            continue;
        }
        let origin = Origin::Environment(name);
        let Some(word) = value.to_str() else {
            let what = "is not UTF-8 text".to_owned();
            return Err(ConfigError::BadValue { name: setting.name, origin, what });
        };
        put_word(setting, word, origin, draft)?;
    }
    Ok(())
}

/// Whether a variable is meant as a setting.
fn is_for_us(name: &str, value: &OsStr) -> bool {
    name.starts_with(PREFIX) && !NOT_SETTINGS.contains(&name) && !is_service_link(name, value)
}

/// Kubernetes sets `ALDIS_SERVICE_HOST`, `ALDIS_PORT=tcp://10.0.0.1:1883`,
/// `ALDIS_PORT_1883_TCP_ADDR` and the like in every pod beside a service called `aldis` (or
/// `aldis-…`); a broker must start there.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
            && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"))
    };
    let has_url = || value.to_str().is_some_and(|value| value.contains("://"));
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && has_url())
        || name.split_once("_PORT_").is_some_and(|(_, rest)| is_port(rest))
}

fn read_set(assignment: &str, draft: &mut Draft) -> Result<(), ConfigError> {
    let Some((name, word)) = assignment.split_once('=').filter(|(name, _)| !name.trim().is_empty()) else {
        return Err(ConfigError::MalformedSet(assignment.to_owned()));
    };
    match setting::find(name.trim()) {
        Some(setting) => put_word(setting, word.trim(), Origin::Set, draft),
        None => Err(unknown(name.trim().to_owned(), Origin::Set)),
    }
}

fn read_options(arguments: &Arguments, draft: &mut Draft) -> Result<(), ConfigError> {
    let mut option = |name: &str, option: &'static str, value: RawValue| match setting::find(name) {
        Some(setting) => put(setting, &value, Path::new(""), Origin::Option(option), draft),
        None => Err(unknown(name.to_owned(), Origin::Option(option))),
    };
    if !arguments.listen.is_empty() {
        let urls = arguments.listen.iter().cloned().map(RawValue::Text).collect();
        option("listen", "--listen", RawValue::List(urls))?;
    }
    if let Some(address) = &arguments.metrics {
        option("metrics", "--metrics", RawValue::Text(address.clone()))?;
    }
    if let Some(how) = &arguments.durability {
        option("durability", "--durability", RawValue::Text(how.clone()))?;
    }
    if arguments.verbose > 0 {
        option("log.verbosity", "-v", RawValue::Whole(i128::from(arguments.verbose.min(2))))?;
    }
    // A path need not be UTF-8, so it does not pass through text.
    if let Some(path) = &arguments.data_dir {
        draft.data_dir = Some(path.clone());
        draft.origins.insert("data_dir", Origin::Option("--data-dir"));
    }
    if let Some(given) = &arguments.port {
        // A `+` would parse.
        let port = given.starts_with(|first: char| first.is_ascii_digit()).then(|| given.parse().ok());
        let Some(Some(port)) = port else { return Err(ConfigError::BadPort(given.clone())) };
        if let Some(origin) = draft.origins.get("listen") {
            return Err(ConfigError::PortWithListen(origin.clone()));
        }
        draft.listen = Some(Listener::loopback(port));
        draft.origins.insert("listen", Origin::Option("-p"));
    }
    Ok(())
}

fn unknown(name: String, origin: Origin) -> ConfigError {
    if let Some(example) = setting::first_of_group(&name) {
        return ConfigError::Section { name, origin, example: example.name.to_owned() };
    }
    let hint = setting::hint(&name);
    ConfigError::UnknownSetting { name, origin, hint }
}

fn unknown_variable(name: String) -> ConfigError {
    let dotted = name.strip_prefix(PREFIX).unwrap_or(&name).replace("__", ".").to_ascii_lowercase();
    if let Some(example) = setting::first_of_group(&dotted) {
        return ConfigError::Section { name, origin: Origin::Variables, example: example.variable() };
    }
    let hint = setting::hint(&dotted);
    ConfigError::UnknownVariable { name, hint }
}

/// What was probably meant by a line that is not TOML.
fn syntax_hint(line: &str) -> Option<String> {
    let line = line.split_once('#').map_or(line, |(line, _)| line);
    if let Some((_, value)) = line.split_once('=') {
        return units::parse_grouped(value).map(|number| format!("; write {}", units::show_count(number)));
    }
    let (key, _) = line.trim().split_once(' ')?;
    let is_mosquitto = setting::hint(key).is_some();
    is_mosquitto.then(|| "; mosquitto.conf is not read: write the settings anew, as NAME = VALUE".to_owned())
}

/// Counted from 1.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}
