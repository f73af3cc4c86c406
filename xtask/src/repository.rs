//! The files of the repository: those git tracks, and those it does not track and does not ignore.
//!
//! Reads only. `bench/mqload` is left out everywhere: it is a program of its own with its own style.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The load generator and the relay, which the rules of style do not cover.
const LEFT_OUT: &str = "bench/mqload/";

/// One text file: its path from the root, with `/`, and what is in it.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// True when the path ends in one of these extensions, given without the dot.
    pub(crate) fn is(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }

    /// True for Rust sources that are shipped: below `crates/*/src` or `xtask/src`.
    pub(crate) fn is_rust_source(&self) -> bool {
        let below_source = self.path.starts_with("xtask/src/")
            || (self.path.starts_with("crates/") && self.path.split('/').nth(2) == Some("src"));
        below_source && self.is(&["rs"])
    }
}

/// The repository as the checks see it.
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
    /// Text files, by path.
    pub(crate) files: Vec<File>,
    /// Every path, binary files included, sorted.
    pub(crate) paths: Vec<String>,
}

impl Repository {
    /// Asks git for the list and reads every file of it that is text.
    pub(crate) fn read() -> Result<Self, String> {
        let root = root()?;
        let paths = listed(&root)?;
        let mut files = Vec::new();
        for path in &paths {
            // A file that another process removes meanwhile, or a binary one, has no text to check.
            let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
            if bytes.contains(&0) || path.starts_with(LEFT_OUT) {
                continue;
            }
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(File { path: path.clone(), text });
            }
        }
        Ok(Self { root, files, paths })
    }

    /// A repository made of the given (path, text) pairs, for the tests of the checks.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() })
            .collect();
        let paths = files.iter().map(|file| file.path.clone()).collect();
        Self { root: PathBuf::from("/nowhere"), files, paths }
    }

    /// Files with one of these extensions.
    pub(crate) fn with_extension<'a>(&'a self, extensions: &'a [&'a str]) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.is(extensions))
    }

    /// The text file at `path`, if there is one.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// True when `path` is a file or a folder of the repository.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("{path}/");
        path.is_empty() || self.paths.iter().any(|known| known == path || known.starts_with(&inside))
    }
}

/// The folder that holds the workspace's Cargo.toml.
pub(crate) fn root() -> Result<PathBuf, String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = manifest.parent().ok_or("xtask is not inside a workspace")?;
    if !root.join("Cargo.toml").is_file() {
        return Err(format!(
            "{} holds no Cargo.toml: was the repository moved? build xtask again",
            root.display()
        ));
    }
    Ok(root.to_owned())
}

fn listed(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        // A checkout that belongs to another user (a container's mount) is still only read.
        .arg("-c")
        .arg(format!("safe.directory={}", root.display()))
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run git: {error}; install git"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let list = String::from_utf8(output.stdout).map_err(|_| "a file's name is not UTF-8".to_owned())?;
    let mut paths: Vec<String> = list
        .split('\0')
        .filter(|path| !path.is_empty() && root.join(path).is_file())
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}
