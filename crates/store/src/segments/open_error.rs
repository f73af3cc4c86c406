//! Why a store is not opened.

use super::folder::{HEAD, segment_name};
use super::head::VERSION;
use crate::scan::Place;
use std::fmt;
use std::io;

/// Why a store is not opened. `Display` is a sentence without a way out: who shows it knows which there is
/// ([`OpenError::is_damage`]).
#[derive(Debug)]
pub enum OpenError {
    /// The disk says no.
    Disk(io::Error),
    /// The folder holds nothing of a store; only for who does not make one.
    NoStore,
    /// The folder holds files of a store, and no head or a bad one.
    BadHead,
    /// A newer Aldis wrote it.
    FutureVersion {
        /// Version of its format.
        found: u32,
    },
    /// No checkpoint is whole.
    BadCheckpoint(String),
    /// The state in a checkpoint or a frame is none that this broker knows.
    BadState(String),
    /// A segment that the store needs is not there.
    Missing {
        /// Name of the file.
        file: String,
    },
    /// A segment is shorter than any that the broker makes.
    Short {
        /// Name of the file.
        file: String,
        /// How long it is.
        bytes: u64,
    },
    /// The body of a message is damaged.
    DamagedBody {
        /// Name of the file.
        file: String,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// What had been synced is damaged.
    Damaged {
        /// Name of the file.
        file: String,
        /// Bytes from its beginning.
        offset: u64,
        /// Index of the frame there.
        index: u64,
        /// The last index that is known to have been synced.
        synced: u64,
    },
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> OpenError {
        OpenError::Disk(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Disk(error) => write!(f, "the store cannot be read or written: {error}"),
            OpenError::NoStore => write!(f, "there is no store of Aldis"),
            OpenError::BadHead => write!(f, "{HEAD} is missing or damaged at byte 0"),
            OpenError::FutureVersion { found } => write!(
                f,
                "the store has format {found}, written by a newer Aldis; this one knows format {VERSION}: use the newer Aldis"
            ),
            OpenError::BadCheckpoint(file) => {
                write!(f, "{file} is damaged at byte 0, and there is no other checkpoint")
            }
            OpenError::BadState(what) => write!(f, "{what} holds records that this Aldis does not know"),
            OpenError::Missing { file } => write!(f, "{file} is missing, from byte 0 on"),
            OpenError::Short { file, bytes } => {
                write!(f, "{file} is damaged at byte {bytes}: the file ends there, and was longer")
            }
            OpenError::DamagedBody { file, offset } => {
                write!(f, "{file} is damaged at byte {offset}, where the body of a message lies")
            }
            OpenError::Damaged { file, offset, index, synced } => write!(
                f,
                "{file} is damaged at byte {offset}: frame {index} is bad, and up to frame {synced} all had been written safely"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// The body of a message is not, or not whole, where it should be.
    #[must_use]
    pub fn damaged_body(place: Place) -> OpenError {
        OpenError::DamagedBody { file: segment_name(place.segment), offset: place.offset as u64 }
    }

    /// Whether something that was written is damaged or gone, so that what is left is worth saving.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            OpenError::Disk(_) | OpenError::NoStore | OpenError::FutureVersion { .. } => false,
            OpenError::BadHead
            | OpenError::BadCheckpoint(_)
            | OpenError::BadState(_)
            | OpenError::Missing { .. }
            | OpenError::Short { .. }
            | OpenError::DamagedBody { .. }
            | OpenError::Damaged { .. } => true,
        }
    }
}
