//! Everything that can be wrong with a configuration, each as one sentence with the way out.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aldis_server::PasswordFileError;

use super::elsewhere::Hint;
use super::setting;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line (counted from 1) of the configuration file.
    File {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable, by its name.
    Environment(String),
    /// An environment variable that is named already.
    Variables,
    /// `--set`.
    Set,
    /// An option of its own, such as `--listen`.
    Option(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(out, "in {} line {line}", path.display()),
            Origin::Environment(name) => write!(out, "in the environment variable {name}"),
            Origin::Variables => write!(out, "in the environment"),
            Origin::Set => write!(out, "in --set"),
            Origin::Option(name) => write!(out, "in {name}"),
        }
    }
}

/// Why a configuration was refused. `Display` is one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read at all.
    Unreadable {
        /// The whole path.
        path: PathBuf,
        /// What the system said, to decide what to do about it.
        kind: io::ErrorKind,
        /// What the system said.
        what: String,
    },
    /// The file is not TOML.
    Syntax {
        /// The file as it was named.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        what: String,
    },
    /// There is no such setting.
    UnknownSetting {
        /// As it was written.
        name: String,
        /// Where it was written.
        origin: Origin,
        /// What was probably meant.
        hint: Option<Hint>,
    },
    /// There is no such environment variable.
    UnknownVariable {
        /// As it was written.
        name: String,
        /// What was probably meant, as a setting.
        hint: Option<Hint>,
    },
    /// The name of a group of settings was given a value.
    Section {
        /// The group, such as `limits`.
        name: String,
        /// Where it was written.
        origin: Origin,
        /// A setting of the group, as an example.
        example: String,
    },
    /// The value of a setting is of the wrong kind, out of range, or cannot be meant.
    BadValue {
        /// The setting.
        name: &'static str,
        /// Where it was given.
        origin: Origin,
        /// What is wrong and what would be right: the rest of the sentence.
        what: String,
    },
    /// `--set` without a key or without `=`.
    MalformedSet(
        /// As it was written.
        String,
    ),
    /// `-p` together with a list of listeners.
    PortWithListen(
        /// Where the list was given.
        Origin,
    ),
    /// Metrics and MQTT are to be served on one port.
    MetricsCollide {
        /// Where metrics were to be served.
        address: SocketAddr,
        /// Where that was said.
        origin: Origin,
        /// The listener that has the port, as a URL.
        listener: String,
        /// Where that was said; `None` for the default listeners.
        listener_origin: Option<Origin>,
    },
    /// Others can connect, and nothing says who may.
    Exposed(
        /// The listener, as a URL.
        String,
    ),
    /// The password file is bad.
    Passwords {
        /// Where the file was named.
        origin: Origin,
        /// What is wrong with it.
        error: PasswordFileError,
    },
    /// State is to be kept, and neither a setting nor anything else says where.
    NoFolder,
    /// `-p` with something else than a port.
    BadPort(
        /// As it was written.
        String,
    ),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_sentence(&mut OneLine(out))
    }
}

/// Shows control characters instead of passing them on: what a file or a variable holds ends up in the error, and
/// that on a terminal and in a log of lines.
struct OneLine<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.split_inclusive(char::is_control).try_for_each(|piece| {
            let end = piece.chars().next_back().filter(|last| last.is_control());
            self.0.write_str(piece.strip_suffix(char::is_control).unwrap_or(piece))?;
            end.map_or(Ok(()), |control| write!(self.0, "{}", control.escape_debug()))
        })
    }
}

impl ConfigError {
    fn write_sentence(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, kind, what } => write_unreadable(out, path, *kind, what),
            ConfigError::Syntax { path, line, what } => {
                write!(out, "{} line {line} is not valid TOML: {what}", path.display())
            }
            ConfigError::UnknownSetting { name, origin, hint } => {
                write!(out, "unknown setting \"{name}\" {origin}; ")?;
                let otherwise = "docs/configuration.md lists all settings";
                write_hint(out, *hint, |setting| format!("\"{setting}\""), otherwise)
            }
            ConfigError::UnknownVariable { name, hint } => {
                write!(out, "unknown environment variable {name}; ")?;
                let otherwise = "unset it: names that begin with ALDIS_ are settings, and none is like it";
                write_hint(out, *hint, setting::variable, otherwise)
            }
            ConfigError::Section { name, origin, example } => write!(
                out,
                "\"{name}\" {origin} is a group of settings and takes no value; set one of them, for example \
                 \"{example}\""
            ),
            ConfigError::BadValue { name, origin, what } => write!(out, "\"{name}\" {origin} {what}"),
            ConfigError::MalformedSet(given) => write!(
                out,
                "--set \"{given}\" is not of the form KEY=VALUE; write for example --set limits.queue_messages=1000"
            ),
            ConfigError::PortWithListen(origin) => write!(
                out,
                "-p changes the port of the default listeners, but \"listen\" is given {origin}; change the port \
                 there, or use --listen instead of -p"
            ),
            ConfigError::MetricsCollide { address, origin, listener, listener_origin } => {
                write!(out, "\"metrics\" {origin} is {address}, where MQTT is served ({listener}")?;
                match listener_origin {
                    Some(origin) => write!(out, " {origin})")?,
                    None => write!(out, ", a default listener)")?,
                }
                let port = if address.port() == 9234 { 9235 } else { 9234 };
                write!(out, "; give one of the two another port, for example --metrics 127.0.0.1:{port}")
            }
            ConfigError::Exposed(listener) => write!(
                out,
                "other machines can reach the listener {listener}, and nothing says who may connect; set \
                 auth.password_file to a file made with mosquitto_passwd, or auth.allow_anonymous = true to let \
                 everybody in"
            ),
            ConfigError::Passwords { origin, error } => {
                write!(out, "\"auth.password_file\" {origin}: {error}")
            }
            ConfigError::NoFolder => write!(
                out,
                "there is no folder to keep state in: \"data_dir\" is not set, and neither are $STATE_DIRECTORY, \
                 $XDG_DATA_HOME and $HOME; name one with --data-dir DIR, or keep state in memory with \
                 durability = \"memory\""
            ),
            ConfigError::BadPort(given) => {
                write!(out, "-p {given:?} is not a port; write a number from 0 to 65535, for example -p 1884")
            }
        }
    }
}

fn write_unreadable(out: &mut impl fmt::Write, path: &Path, kind: io::ErrorKind, what: &str) -> fmt::Result {
    let path = path.display();
    write!(out, "cannot read the configuration file {path}: {what}")?;
    match kind {
        io::ErrorKind::NotFound => {
            write!(out, "; correct the path after -c, or leave -c out: no file is needed")
        }
        io::ErrorKind::IsADirectory => write!(out, "; name a file in it, for example -c {path}/aldis.toml"),
        io::ErrorKind::PermissionDenied => {
            write!(out, "; let the user that aldis runs as read it and enter its folder")
        }
        _ => Ok(()),
    }
}

fn write_hint(
    out: &mut impl fmt::Write,
    hint: Option<Hint>,
    show: impl Fn(&str) -> String,
    otherwise: &str,
) -> fmt::Result {
    match hint {
        Some(Hint { setting: Some(setting), words: "" }) => write!(out, "did you mean {}?", show(setting)),
        Some(Hint { setting: Some(setting), words }) => {
            write!(out, "did you mean {}? {words}", show(setting))
        }
        Some(Hint { setting: None, words }) => out.write_str(words),
        None => out.write_str(otherwise),
    }
}

impl std::error::Error for ConfigError {}
