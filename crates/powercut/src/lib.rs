//! A file system that loses power.
//!
//! The tests put the data directory of the broker on it. What a program writes is there at once, as with every system
//! that has a cache, and is safe only when it is synced: the bytes and the size of a file by an `fsync` of the file, its
//! name by one of the folder. At the cut a random part of the rest is kept and the other part is gone.
//!
//! - [`content`]: one file, written and synced.
//! - [`folder`]: the names in one folder.
//! - [`disk`]: all of them, the space there is, and the cut.
//! - [`mount`]: the same as a file system of the operating system.
//! - [`control`]: what it is told, line by line.
//!
//! Everything is in memory and ends with the process. Not here: links, renames from one folder to another, times, and
//! owners; the store needs none of them.

pub mod content;
pub mod control;
pub mod disk;
pub mod folder;
pub mod mount;
pub mod random;
