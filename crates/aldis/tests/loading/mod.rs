//! Reading a configuration in a test: from options, variables, and a file in a folder of its own.

use std::ffi::OsString;
use std::fs;

use aldis::arguments::Arguments;
use aldis::configuration::{Config, ConfigError, load_with};
use clap::Parser;

/// A folder with a configuration file and a password file.
pub(crate) struct Folder(pub(crate) tempfile::TempDir);

/// What `mosquitto_passwd` wrote for "correct horse".
pub(crate) const USERS: &str = "alice:$7$101$9empR3pdTnPixzcY$fKqohSN6gixN/Zg1fbYtCYSM+L7fF46PZD2oS9OfR50FXxfdZFEPHOjlR5ih9raNJaOg+WGE769adCAXot/lkw==\n";

impl Folder {
    pub(crate) fn with(file: &str) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write(file);
        fs::write(folder.0.path().join("users"), USERS).unwrap();
        folder
    }

    pub(crate) fn write(&self, file: &str) {
        fs::write(self.file(), file).unwrap();
    }

    pub(crate) fn file(&self) -> String {
        self.0.path().join("aldis.toml").to_str().unwrap().to_owned()
    }
}

/// With a home, so that there is a place for a data directory.
pub(crate) fn try_load(options: &[&str], environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let arguments = Arguments::try_parse_from([&["aldis"], options].concat()).unwrap();
    let home = [("HOME", "/home/ann")];
    load_with(
        &arguments,
        environment.iter().chain(&home).map(|(name, value)| (OsString::from(name), OsString::from(value))),
    )
}

pub(crate) fn load(options: &[&str]) -> Config {
    try_load(options, &[]).unwrap()
}

pub(crate) fn refused(options: &[&str]) -> String {
    try_load(options, &[]).unwrap_err().to_string()
}
