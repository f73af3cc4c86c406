//! A directory on a disk, as the log needs it. The simulator has one that loses power.

use std::io;

/// One directory with its files. Names are plain file names.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: Send + Sync + 'static;

    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Makes an empty file, which must not exist.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file to be read and written.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Its size in bytes.
    fn size(&self, file: &Self::File) -> io::Result<u64>;
    /// Fills `buffer` from `offset` on; an error if the file ends before.
    fn read_at(&self, file: &Self::File, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`; the file grows if need be.
    fn write_at(&self, file: &Self::File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Returns when everything written to the file, and its size, would survive a loss of power.
    fn sync_data(&self, file: &Self::File) -> io::Result<()>;
    /// Returns when every name made, changed or removed would.
    fn sync_names(&self) -> io::Result<()>;
    /// Gives a file another name, in place of the file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}
