//! Everything that can be wrong with a configuration, each as one sentence with the way out.

use std::fmt;
use std::path::PathBuf;

use aldis_server::PasswordFileError;

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
        /// The file as it was named.
        path: PathBuf,
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
        /// The setting that was probably meant.
        nearest: Option<&'static str>,
    },
    /// There is no such environment variable.
    UnknownVariable {
        /// As it was written.
        name: String,
        /// The variable that was probably meant.
        nearest: Option<String>,
    },
    /// The name of a group of settings was given a value.
    Section {
        /// The group, such as `limits`.
        name: String,
        /// Where it was written.
        origin: Origin,
        /// A setting of the group, as an example.
        example: &'static str,
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
    /// Others can connect, and nothing says who may.
    Exposed(
        /// The listener, as a URL.
        String,
    ),
    /// The password file is bad.
    Passwords(PasswordFileError),
}

impl From<PasswordFileError> for ConfigError {
    fn from(error: PasswordFileError) -> ConfigError {
        ConfigError::Passwords(error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Unreadable { path, what } => {
                write!(out, "cannot read the configuration file {}: {what}", path.display())
            }
            ConfigError::Syntax { path, line, what } => {
                write!(out, "{} line {line} is not valid TOML: {what}", path.display())
            }
            ConfigError::UnknownSetting { name, origin, nearest } => {
                write!(out, "unknown setting \"{name}\" {origin}; ")?;
                match nearest {
                    Some(nearest) => write!(out, "did you mean \"{nearest}\"?"),
                    None => write!(out, "docs/configuration.md lists all settings"),
                }
            }
            ConfigError::UnknownVariable { name, nearest } => {
                write!(out, "unknown environment variable {name}; ")?;
                match nearest {
                    Some(nearest) => write!(out, "did you mean {nearest}?"),
                    None => write!(
                        out,
                        "unset it: names that begin with ALDIS_ are settings, and none is like it"
                    ),
                }
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
            ConfigError::Exposed(listener) => write!(
                out,
                "other machines can reach the listener {listener}, and nothing says who may connect; set \
                 auth.password_file to a file made with mosquitto_passwd, or auth.allow_anonymous = true to let \
                 everybody in"
            ),
            ConfigError::Passwords(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for ConfigError {}
