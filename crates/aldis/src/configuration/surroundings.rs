//! Where state is stored when nobody said where: what service manager, cargo, user and desktop suggest.
//!
//! A pure function of a few variables and of who we are. Whether the directory can be used is seen when it
//! is opened.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a process is told about where its data belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    /// `$STATE_DIRECTORY`, of systemd: paths with colons between them.
    state_directory: Option<OsString>,
    /// `$CARGO_MANIFEST_DIR`, if cargo runs this very package.
    package: Option<OsString>,
    /// `$XDG_DATA_HOME`.
    data_home: Option<OsString>,
    /// `$HOME`.
    home: Option<OsString>,
    is_root: bool,
}

impl Surroundings {
    /// Picks them out of an environment. An empty variable is as good as none.
    pub(crate) fn new(environment: &[(OsString, OsString)], is_root: bool) -> Surroundings {
        let variable = |name: &str| {
            let found = environment.iter().find(|(found, value)| found == name && !value.is_empty());
            found.map(|(_, value)| value.clone())
        };
        let is_ours = variable("CARGO_PKG_NAME").is_some_and(|name| name == env!("CARGO_PKG_NAME"));
        Surroundings {
            state_directory: variable("STATE_DIRECTORY"),
            package: variable("CARGO_MANIFEST_DIR").filter(|_| is_ours),
            data_home: variable("XDG_DATA_HOME"),
            home: variable("HOME"),
            is_root,
        }
    }

    /// The directory for the state; the first that applies. `None`: none does.
    pub(crate) fn data_directory(&self) -> Option<PathBuf> {
        self.of_the_service().or_else(|| self.of_the_checkout()).or_else(|| self.of_the_user())
    }

    fn of_the_service(&self) -> Option<PathBuf> {
        let directories = self.state_directory.as_ref()?.as_bytes();
        let first = directories.split(|byte| *byte == b':').find(|path| !path.is_empty())?;
        Some(PathBuf::from(OsStr::from_bytes(first)))
    }

    /// Whoever tries out a checkout does not want to leave anything outside of it.
    fn of_the_checkout(&self) -> Option<PathBuf> {
        // The package lies in `crates` of its workspace.
        let workspace = Path::new(self.package.as_ref()?).parent()?.parent()?;
        Some(workspace.join("data"))
    }

    fn of_the_user(&self) -> Option<PathBuf> {
        if self.is_root {
            return Some(PathBuf::from("/var/lib/aldis"));
        }
        // The specification of XDG: a path that is not absolute is to be ignored.
        let absolute =
            |path: &Option<OsString>| path.as_ref().map(PathBuf::from).filter(|path| path.is_absolute());
        let data_home =
            absolute(&self.data_home).or_else(|| Some(absolute(&self.home)?.join(".local/share")))?;
        Some(data_home.join("aldis"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(environment: &[(&str, &str)], is_root: bool) -> Option<String> {
        let environment: Vec<(OsString, OsString)> =
            environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let directory = Surroundings::new(&environment, is_root).data_directory()?;
        Some(directory.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_first_that_applies_counts() {
        let all = [
            ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b"),
            ("CARGO_PKG_NAME", "aldis"),
            ("CARGO_MANIFEST_DIR", "/src/aldis/crates/aldis"),
            ("XDG_DATA_HOME", "/home/ann/data"),
            ("HOME", "/home/ann"),
        ];
        for (from, root, user) in [
            (0, Some("/var/lib/a"), Some("/var/lib/a")),
            (1, Some("/src/aldis/data"), Some("/src/aldis/data")),
            (3, Some("/var/lib/aldis"), Some("/home/ann/data/aldis")),
            (4, Some("/var/lib/aldis"), Some("/home/ann/.local/share/aldis")),
            (5, Some("/var/lib/aldis"), None),
        ] {
            assert_eq!(directory(&all[from..], true).as_deref(), root, "{from}");
            assert_eq!(directory(&all[from..], false).as_deref(), user, "{from}");
        }
    }

    #[test]
    fn what_is_empty_relative_or_of_another_package_does_not_apply() {
        let home = ("HOME", "/home/ann");
        let users = Some("/home/ann/.local/share/aldis");
        for environment in [
            &[("STATE_DIRECTORY", ""), home][..],
            &[("STATE_DIRECTORY", "::"), home],
            &[("CARGO_PKG_NAME", "xtask"), ("CARGO_MANIFEST_DIR", "/src/aldis/xtask"), home],
            &[("CARGO_MANIFEST_DIR", "/src/aldis/crates/aldis"), home],
            &[("CARGO_PKG_NAME", "aldis"), home],
            &[("XDG_DATA_HOME", "data"), home],
            &[("XDG_DATA_HOME", ""), home],
        ] {
            assert_eq!(directory(environment, false).as_deref(), users, "{environment:?}");
        }
        assert_eq!(directory(&[("HOME", "")], false), None);
        assert_eq!(directory(&[("STATE_DIRECTORY", ":/b"), home], false).as_deref(), Some("/b"));
    }
}
