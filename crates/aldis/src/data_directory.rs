//! The folder of the store: made if it is not there, and locked, so that two brokers never share one.
//!
//! Not here: what is in it, which `aldis_store` knows.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The file that is locked for as long as the broker runs. The system lets go of it however that ends.
const LOCK: &str = "lock";
/// What `statfs` says of a file system in memory.
const TMPFS: i64 = 0x0102_1994;

/// A folder that belongs to this process.
#[derive(Debug)]
pub struct DataDirectory {
    folder: PathBuf,
    #[expect(dead_code, reason = "it is locked for as long as it is open")]
    lock: File,
}

/// Why a folder cannot be used. `Display` is one sentence.
#[derive(Debug)]
pub enum DataDirectoryError {
    /// It cannot be made.
    Make(PathBuf, io::Error),
    /// Something else has its name.
    NoFolder(PathBuf),
    /// Files in it cannot be read or written.
    Forbidden {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
        /// Whose it is, if that is somebody else, and who we are.
        owner: Option<(u32, u32)>,
    },
    /// Another broker has it.
    Taken(PathBuf, Option<u32>),
}

impl fmt::Display for DataDirectoryError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataDirectoryError::Make(folder, error) => write!(
                out,
                "cannot make the folder {}: {error}; make it yourself, or name another with --data-dir",
                folder.display()
            ),
            DataDirectoryError::NoFolder(folder) => {
                write!(out, "{} is no folder; name another with --data-dir", folder.display())
            }
            DataDirectoryError::Forbidden { folder, error, owner } => {
                write!(out, "cannot write in the folder {}: {error}", folder.display())?;
                match owner {
                    Some((owner, us)) => write!(
                        out,
                        "; it belongs to user {owner} and this is user {us}: give it away with chown, or name another with --data-dir"
                    ),
                    None => write!(out, "; name another with --data-dir"),
                }
            }
            DataDirectoryError::Taken(folder, pid) => {
                write!(out, "another Aldis keeps its state in {}", folder.display())?;
                match pid {
                    Some(pid) => {
                        write!(out, " (process {pid}); stop it, or name another folder with --data-dir")
                    }
                    None => write!(out, "; stop it, or name another folder with --data-dir"),
                }
            }
        }
    }
}

impl std::error::Error for DataDirectoryError {}

impl DataDirectory {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// See [`DataDirectoryError`].
    pub fn open(folder: &Path) -> Result<DataDirectory, DataDirectoryError> {
        // An error with a relative path would not say where it is.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        match fs::metadata(&folder) {
            Ok(known) if !known.is_dir() => return Err(DataDirectoryError::NoFolder(folder)),
            Ok(_) => {}
            Err(_) => {
                let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
                made.map_err(|error| DataDirectoryError::Make(folder.clone(), error))?;
            }
        }
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = lock.open(folder.join(LOCK)).map_err(|error| forbidden(&folder, error))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            let pid = lock.read_to_string(&mut pid).ok().and_then(|_| pid.trim().parse().ok());
            return Err(DataDirectoryError::Taken(folder, pid));
        }
        let written = lock.set_len(0).and_then(|()| lock.rewind());
        let written = written.and_then(|()| writeln!(lock, "{}", std::process::id()));
        written.map_err(|error| forbidden(&folder, error))?;
        Ok(DataDirectory { folder, lock })
    }

    /// The whole path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it lies in memory, where nothing survives the machine.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        rustix::fs::statfs(&self.folder).is_ok_and(|known| i64::try_from(known.f_type) == Ok(TMPFS))
    }
}

fn forbidden(folder: &Path, error: io::Error) -> DataDirectoryError {
    let us = rustix::process::geteuid().as_raw();
    let owner = fs::metadata(folder).ok().map(|known| known.uid());
    let owner = owner.filter(|owner| *owner != us).map(|owner| (owner, us));
    DataDirectoryError::Forbidden { folder: folder.to_owned(), error, owner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_and_belongs_to_one() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        let held = DataDirectory::open(&folder).unwrap();
        assert_eq!(held.folder(), folder);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        let taken = DataDirectory::open(&folder).unwrap_err();
        let pid = std::process::id();
        assert!(matches!(taken, DataDirectoryError::Taken(_, Some(known)) if known == pid), "{taken}");
        assert!(taken.to_string().contains(&format!("(process {pid})")), "{taken}");
        drop(held);
        DataDirectory::open(&folder).unwrap();
    }

    #[test]
    fn what_is_no_folder_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error = DataDirectory::open(&file).unwrap_err().to_string();
        assert!(error.contains("file is no folder"), "{error}");
        let error = DataDirectory::open(&file.join("below")).unwrap_err().to_string();
        assert!(error.contains("cannot make the folder"), "{error}");
    }

    #[test]
    fn memory_is_no_disk() {
        let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
        assert!(DataDirectory::open(folder.path()).unwrap().is_in_memory());
    }
}
