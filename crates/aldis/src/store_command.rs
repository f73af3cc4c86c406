//! `aldis store`: looking into a store, checking it, making it small, saving what is left of it.
//!
//! Here are the folders, the locks and the words. How a store is read and written is in `aldis_store`, the same for the
//! broker and for these commands.

mod error;
mod json;
mod summary;

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use aldis_store::frame::Salt;
use aldis_store::{FileDisk, OpenError, Survey, compact, is_store, write_anew};

use crate::arguments::StoreCommand;
use crate::data_directory::DataDirectory;
pub use error::StoreCommandError;

/// Exit code of a salvage that lost something.
const WITH_LOSSES: u8 = 3;

/// Does what was asked for and says so on standard output; answers what the process should exit with.
///
/// # Errors
/// Nothing was done; `Display` is the sentence to print.
pub fn run(command: &StoreCommand) -> Result<ExitCode, StoreCommandError> {
    match command {
        StoreCommand::Inspect { data_dir, json } => inspect(data_dir, *json),
        StoreCommand::Verify { data_dir } => verify(data_dir),
        StoreCommand::Compact { data_dir } => make_small(data_dir),
        StoreCommand::Salvage { data_dir, into } => salvage(data_dir, into),
    }
}

/// A closed standard output is no reason not to do the rest.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// The folder of a store, for this process alone.
fn hold(folder: &Path) -> Result<DataDirectory, StoreCommandError> {
    // No lock is left in a folder that was named by mistake.
    if fs::metadata(folder).is_ok_and(|known| known.is_dir()) {
        let is_there = is_store(&FileDisk::read_only(folder));
        match is_there {
            Ok(true) => {}
            Ok(false) => return Err(StoreCommandError::Store(folder.to_owned(), OpenError::NoStore)),
            Err(error) => return Err(StoreCommandError::Store(folder.to_owned(), error.into())),
        }
    }
    DataDirectory::existing(folder).map_err(StoreCommandError::Folder)
}

fn survey(directory: &DataDirectory) -> Result<Survey<FileDisk>, StoreCommandError> {
    let disk = Arc::new(FileDisk::read_only(directory.folder()));
    Survey::read(disk).map_err(|error| StoreCommandError::Store(directory.folder().to_owned(), error))
}

fn inspect(folder: &Path, json: bool) -> Result<ExitCode, StoreCommandError> {
    let directory = hold(folder)?;
    let survey = survey(&directory)?;
    say(&if json { json::of(&survey) } else { summary::of(directory.folder(), &survey) });
    Ok(ExitCode::SUCCESS)
}

fn verify(folder: &Path) -> Result<ExitCode, StoreCommandError> {
    let directory = hold(folder)?;
    let mut survey = survey(&directory)?;
    let bodies = survey.fold.bodies().len();
    survey.check_bodies();
    say(&summary::verified(directory.folder(), &survey, bodies));
    Ok(if survey.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn make_small(folder: &Path) -> Result<ExitCode, StoreCommandError> {
    let directory = hold(folder)?;
    let disk = Arc::new(FileDisk::new(directory.folder()));
    let sizes =
        compact(disk).map_err(|error| StoreCommandError::Store(directory.folder().to_owned(), error))?;
    let folder = directory.folder().display();
    say(&format!("{folder}: {} bytes before, {} bytes after\n", sizes.before, sizes.after));
    Ok(ExitCode::SUCCESS)
}

fn salvage(old: &Path, into: &Path) -> Result<ExitCode, StoreCommandError> {
    let directory = hold(old)?;
    let target = Target::check(directory.folder(), into)?;
    let mut survey = survey(&directory)?;
    survey.check_bodies();
    let in_making = DataDirectory::open(&target.unfinished).map_err(StoreCommandError::Folder)?;
    let disk = Arc::new(FileDisk::new(in_making.folder()));
    let salt = Salt(RandomState::new().build_hasher().finish() as u32);
    let written = write_anew(survey.fold.clone(), &survey.reader(), disk, salt);
    let bytes = written.map_err(|error| StoreCommandError::Write(target.unfinished.clone(), error))?;
    target.finish().map_err(|error| StoreCommandError::Write(target.whole.clone(), error.into()))?;
    say(&summary::salvaged(&target.whole, &survey, bytes));
    let is_whole = !summary::loses_something(&survey);
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(WITH_LOSSES) })
}

/// Where a new store is made. It has its name when it is whole, so that nobody takes a part of it for all.
struct Target {
    whole: PathBuf,
    unfinished: PathBuf,
}

impl Target {
    fn check(old: &Path, into: &Path) -> Result<Target, StoreCommandError> {
        let whole = std::path::absolute(into).unwrap_or_else(|_| into.to_owned());
        let mut name = whole.as_os_str().to_owned();
        name.push(".unfinished");
        let unfinished = PathBuf::from(name);
        if whole.starts_with(old) {
            return Err(StoreCommandError::Inside(whole));
        }
        let is_free = match fs::read_dir(&whole) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if !is_free {
            return Err(StoreCommandError::NotEmpty(whole));
        }
        if unfinished.exists() {
            return Err(StoreCommandError::Leftover(unfinished));
        }
        Ok(Target { whole, unfinished })
    }

    fn finish(&self) -> io::Result<()> {
        fs::rename(&self.unfinished, &self.whole)?;
        match self.whole.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}
