//! Why a command about a store did nothing.

use std::fmt;
use std::path::PathBuf;

use aldis_store::OpenError;

use crate::announcement;
use crate::data_directory::DataDirectoryError;

/// Why a command about a store did nothing. `Display` is one sentence with the way out.
#[derive(Debug)]
pub enum StoreCommandError {
    /// The folder is not there, or another process has it.
    Folder(DataDirectoryError),
    /// The store cannot be read.
    Store(PathBuf, OpenError),
    /// The new store cannot be written.
    Write(PathBuf, OpenError),
    /// The new folder would be in the old one.
    Inside(PathBuf),
    /// There is something in the new folder.
    NotEmpty(PathBuf),
    /// An earlier salvage was stopped.
    Leftover(PathBuf),
}

impl fmt::Display for StoreCommandError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreCommandError::Folder(error) => error.fmt(out),
            StoreCommandError::Store(folder, OpenError::NoStore) => {
                write!(
                    out,
                    "there is no store in {}; name the folder of one with --data-dir",
                    folder.display()
                )
            }
            StoreCommandError::Store(folder, error @ OpenError::BadHead) => {
                write!(out, "{}: {error}, and no segment is left that tells what it said", folder.display())
            }
            StoreCommandError::Store(folder, error) => {
                write!(out, "{}: {error}", folder.display())?;
                if error.is_damage() {
                    write!(out, "; {}", announcement::way_out(folder))?;
                }
                Ok(())
            }
            StoreCommandError::Write(folder, error) => {
                write!(
                    out,
                    "cannot write {}: {error}; remove it, and name a folder with room",
                    folder.display()
                )
            }
            StoreCommandError::Inside(folder) => write!(
                out,
                "{} is in the damaged store, which stays as it is; name another folder with --into",
                folder.display()
            ),
            StoreCommandError::NotEmpty(folder) => {
                write!(out, "{} is not empty; name a folder with --into that is not there", folder.display())
            }
            StoreCommandError::Leftover(folder) => write!(
                out,
                "{} is left of a salvage that was stopped; remove it, or name another folder with --into",
                folder.display()
            ),
        }
    }
}

impl std::error::Error for StoreCommandError {}
