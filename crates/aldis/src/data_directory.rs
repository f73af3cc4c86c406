//! The folder of the store: made if it is not there, and locked, so that two brokers never share one.
//!
//! Not here: what is in it, which `aldis_store` knows.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FlockOperation, accessat, flock, statfs};
use rustix::io::Errno;

/// The file that is locked for as long as the broker runs. The system lets go of it however that ends.
const LOCK: &str = "lock";
/// Bytes of it that are read: a process id and a line end.
const LOCK_BYTES: u64 = 32;
/// What `statfs` says of a file system in memory.
const TMPFS: u64 = 0x0102_1994;

/// A folder that belongs to this process.
#[derive(Debug)]
pub struct DataDirectory {
    folder: PathBuf,
    #[expect(dead_code, reason = "it is locked for as long as it is open")]
    lock: Option<File>,
}

/// Why a folder cannot be used. `Display` is one sentence.
#[derive(Debug)]
pub enum DataDirectoryError {
    /// It cannot be made.
    Make(PathBuf, io::Error),
    /// It is not there, and is not to be made.
    Missing(PathBuf),
    /// Something else has its name.
    NoFolder(PathBuf),
    /// It is on a file system that takes no writes.
    ReadOnly(PathBuf),
    /// Files in it may not be read or written by this user.
    Forbidden {
        /// The folder.
        folder: PathBuf,
        /// Whose it is, as a user id.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// The system refuses it for another reason.
    Unusable(PathBuf, io::Error),
    /// Another broker has it.
    Taken(PathBuf, Option<u32>),
}

impl fmt::Display for DataDirectoryError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataDirectoryError::Make(folder, error) => write!(
                out,
                "cannot make the folder {}: {error}; make it for {}, {OTHERWISE}",
                folder.display(),
                user(rustix::process::geteuid().as_raw())
            ),
            DataDirectoryError::Missing(folder) => {
                write!(
                    out,
                    "there is no folder {}; name that of a store with --data-dir DIR",
                    folder.display()
                )
            }
            DataDirectoryError::NoFolder(folder) => {
                write!(out, "{} is no folder; remove what is there, {OTHERWISE}", folder.display())
            }
            DataDirectoryError::ReadOnly(folder) => write!(
                out,
                "the folder {} is on a file system that is read-only; mount it for writing, {OTHERWISE}",
                folder.display()
            ),
            DataDirectoryError::Forbidden { folder, owner, us } => {
                write!(out, "cannot write in the folder {}, which belongs to ", folder.display())?;
                if owner == us {
                    write!(out, "{} as aldis does; allow it (chmod -R u+rwX)", user(*owner))?;
                } else {
                    let (owner, named) = (user(*owner), user(*us));
                    write!(out, "{owner}, while aldis runs as {named}; give it away (chown -R {us})")?;
                }
                write!(out, ", {OTHERWISE}")
            }
            DataDirectoryError::Unusable(folder, error) => {
                write!(out, "cannot use the folder {}: {error}; repair that, {OTHERWISE}", folder.display())
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

/// The end of almost every way out.
const OTHERWISE: &str = "name another with --data-dir DIR, or keep state in memory with --durability memory";

/// A user by number, and by name where the file that all machines have knows one.
fn user(id: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == id).then_some(name)
    });
    named.map_or_else(|| format!("user {id}"), |name| format!("user {id} ({name})"))
}

impl DataDirectory {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// See [`DataDirectoryError`].
    pub fn open(folder: &Path) -> Result<DataDirectory, DataDirectoryError> {
        // An error with a relative path would not say where it is.
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        match fs::metadata(&folder) {
            Ok(known) if known.is_dir() => {}
            Ok(_) => return Err(DataDirectoryError::NoFolder(folder)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(&folder).map_err(|error| DataDirectoryError::Make(folder.clone(), error))?;
            }
            Err(error) => return Err(DataDirectoryError::Unusable(folder, error)),
        }
        // The lock may be there and ours although nothing else can be written any more.
        let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        accessat(CWD, &folder, access, AtFlags::EACCESS).map_err(|error| refused(&folder, error.into()))?;
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = lock.open(folder.join(LOCK)).map_err(|error| refused(&folder, error))?;
        take(&folder, &mut lock)?;
        Ok(DataDirectory { folder, lock: Some(lock) })
    }

    /// Locks a folder that is there. Where nothing can be written, what can be is done: a lock that is there is taken,
    /// and none is made.
    ///
    /// # Errors
    /// See [`DataDirectoryError`].
    pub fn existing(folder: &Path) -> Result<DataDirectory, DataDirectoryError> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        match fs::metadata(&folder) {
            Ok(known) if known.is_dir() => {}
            Ok(_) => return Err(DataDirectoryError::NoFolder(folder)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(DataDirectoryError::Missing(folder));
            }
            Err(error) => return Err(DataDirectoryError::Unusable(folder, error)),
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = match options.open(folder.join(LOCK)) {
            Ok(mut lock) => {
                take(&folder, &mut lock)?;
                Some(lock)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
            {
                let mut lock = File::open(folder.join(LOCK)).ok();
                lock.as_mut().map_or(Ok(()), |lock| hold(&folder, lock))?;
                lock
            }
            Err(error) => return Err(refused(&folder, error)),
        };
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
        statfs(&self.folder).is_ok_and(|known| u64::try_from(known.f_type) == Ok(TMPFS))
    }
}

/// Locks a folder by its file, and says in it whose it is.
fn take(folder: &Path, lock: &mut File) -> Result<(), DataDirectoryError> {
    hold(folder, lock)?;
    sign(lock).map_err(|error| refused(folder, error))
}

fn hold(folder: &Path, lock: &mut File) -> Result<(), DataDirectoryError> {
    match flock(&*lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(DataDirectoryError::Taken(folder.to_owned(), holder(lock))),
        Err(error) => Err(DataDirectoryError::Unusable(folder.to_owned(), error.into())),
    }
}

/// Makes the folder and those above it. Each is on disk when this returns: what is kept in a folder that a loss
/// of power takes away is lost with it.
fn make(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for parent in missing.iter().filter_map(|folder| folder.parent()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Writes into the lock who has it. A full disk may have no room for that, and the lock holds all the same.
fn sign(lock: &mut File) -> io::Result<()> {
    let name = format!("{}\n", std::process::id());
    // Over what is there, so that space is needed only where there was none.
    let written = lock.write_all(name.as_bytes()).and_then(|()| lock.set_len(name.len() as u64));
    match written {
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Ok(()),
        written => written,
    }
}

/// The process that has the lock, if it has said so already.
fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(LOCK_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// What it means that the system does not let us use a folder that is there.
fn refused(folder: &Path, error: io::Error) -> DataDirectoryError {
    let path = folder.to_owned();
    match (error.kind(), fs::metadata(folder)) {
        (ErrorKind::ReadOnlyFilesystem, _) => DataDirectoryError::ReadOnly(path),
        (ErrorKind::PermissionDenied, Ok(known)) => {
            let us = rustix::process::geteuid().as_raw();
            DataDirectoryError::Forbidden { folder: path, owner: known.uid(), us }
        }
        _ => DataDirectoryError::Unusable(path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can hardly be brought about in a test, at least not by every user.
    #[test]
    fn every_error_is_one_sentence_with_the_way_out() {
        let folder = || PathBuf::from("/data");
        assert_eq!(
            DataDirectoryError::ReadOnly(folder()).to_string(),
            "the folder /data is on a file system that is read-only; mount it for writing, name another with --data-dir \
             DIR, or keep state in memory with --durability memory"
        );
        let taken = DataDirectoryError::Taken(folder(), None).to_string();
        assert!(taken.starts_with("another Aldis keeps its state in /data; stop it"), "{taken}");
        let forbidden =
            DataDirectoryError::Forbidden { folder: folder(), owner: 0, us: 4_000_000_000 }.to_string();
        let start = "cannot write in the folder /data, which belongs to user 0 (root), while aldis runs as user \
                     4000000000; give it away (chown -R 4000000000), name another";
        assert!(forbidden.starts_with(start), "{forbidden}");
        let full = DataDirectoryError::Unusable(folder(), Errno::NOSPC.into()).to_string();
        assert!(full.starts_with("cannot use the folder /data: No space left on device"), "{full}");
    }

    #[test]
    fn an_error_of_the_system_is_told_by_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let problem = |error: Errno| refused(folder.path(), error.into());
        assert!(matches!(problem(Errno::ROFS), DataDirectoryError::ReadOnly(_)));
        assert!(matches!(
            problem(Errno::ACCESS),
            DataDirectoryError::Forbidden { owner, us, .. } if owner == user && us == user
        ));
        assert!(matches!(problem(Errno::NOSPC), DataDirectoryError::Unusable(..)));
    }
}
