//! A directory of the operating system.

use crate::disk::Disk;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Files are for whoever runs the broker alone.
const MODE: u32 = 0o600;
/// A store that says it has synced and has not: for the proof that a test with a loss of power notices.
const NEVER_SYNCS: bool = cfg!(feature = "planted-no-sync");

/// A directory that exists.
#[derive(Debug, Clone)]
pub struct FileDisk {
    directory: PathBuf,
    writes: bool,
}

impl FileDisk {
    /// The files in `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> FileDisk {
        FileDisk { directory: directory.into(), writes: true }
    }

    /// The same files, only to be read: no more is asked of the system than that.
    #[must_use]
    pub fn read_only(directory: impl Into<PathBuf>) -> FileDisk {
        FileDisk { directory: directory.into(), writes: false }
    }

    /// Where the files lie.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Disk for FileDisk {
    type File = File;

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // What has no proper name is nothing of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(MODE).open(self.directory.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let opened = OpenOptions::new().read(true).write(self.writes).open(self.directory.join(name));
        opened.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))
    }

    fn size(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(buffer, offset)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        if NEVER_SYNCS { Ok(()) } else { file.sync_data() }
    }

    fn sync_names(&self) -> io::Result<()> {
        if NEVER_SYNCS { Ok(()) } else { File::open(&self.directory)?.sync_all() }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.directory.join(from), self.directory.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.directory.join(name))
    }
}
