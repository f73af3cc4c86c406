//! What is wrong with a store, and what of it is lost.

use super::folder::{HEAD, segment_name};
use crate::fold::Fold;
use crate::record::Record;
use crate::scan::{Gap, Place};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

/// One thing that is wrong. `Display` is a line that names file and byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// The file that says what the folder is; what is in it can be told from the others.
    Head,
    /// A checkpoint.
    Checkpoint {
        /// Name of the file.
        file: String,
    },
    /// A segment is not there.
    Missing {
        /// Name of the file.
        file: String,
    },
    /// A segment is shorter than it was.
    Short {
        /// Name of the file.
        file: String,
        /// Its length.
        bytes: u64,
    },
    /// The disk does not read a piece of a file.
    Unreadable {
        /// Name of the file.
        file: String,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// Frames that had been synced.
    Frames(Gap),
    /// Records that are unknown, in a frame that is whole.
    Records {
        /// Name of the file.
        file: String,
        /// Bytes from its beginning.
        offset: u64,
    },
    /// The body of a message.
    Body {
        /// Number of the message.
        message: u64,
        /// Where the record is that holds it.
        place: Place,
        /// Client ids of the sessions that it waits for.
        sessions: Vec<Box<str>>,
        /// The topic that it is retained for.
        retained: Option<Box<str>>,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Head => write!(f, "{HEAD} is missing or damaged at byte 0"),
            Damage::Checkpoint { file } => write!(f, "{file} is damaged at byte 0"),
            Damage::Missing { file } => write!(f, "{file} is missing, from byte 0 on"),
            Damage::Short { file, bytes } => {
                write!(f, "{file} is damaged at byte {bytes}: the file ends there, and was longer")
            }
            Damage::Unreadable { file, offset } => {
                write!(f, "{file} is damaged at byte {offset}: the disk does not read it")
            }
            Damage::Frames(Gap { at, first, last }) => {
                let file = segment_name(at.segment);
                write!(f, "{file} is damaged at byte {}: ", at.offset)?;
                match last - first {
                    0 => write!(f, "frame {first} is bad or missing"),
                    _ => write!(f, "frames {first} to {last} are bad or missing"),
                }
            }
            Damage::Records { file, offset } => {
                write!(f, "{file} is damaged at byte {offset}: records there are unknown")
            }
            Damage::Body { message, place, sessions, retained } => {
                let file = segment_name(place.segment);
                write!(f, "{file} is damaged at byte {}: the body of message {message}", place.offset)?;
                if let Some(topic) = retained {
                    write!(f, ", retained for {topic:?}")?;
                }
                if !sessions.is_empty() {
                    write!(f, ", for {sessions:?}")?;
                }
                Ok(())
            }
        }
    }
}

/// What is known of records that are lost, from those around them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    /// Messages whose numbers are missing: so many at most were published in frames that are lost.
    pub messages: u64,
    /// By client id, how many of the messages for a session may be lost. Some of them may have been acknowledged.
    pub deliveries: BTreeMap<Box<str>, u64>,
    /// Numbers of sessions of which the beginning is lost, and so all.
    pub sessions: BTreeSet<u64>,
    has_gap: bool,
    /// A gap has just been, and this was the last message before it.
    before: Option<u64>,
    ended: HashSet<u64>,
}

impl Losses {
    /// Frames are missing here.
    pub(super) fn gap(&mut self, fold: &Fold) {
        self.has_gap = true;
        self.before.get_or_insert(fold.last_message);
    }

    /// Looks at a record before it goes into the fold.
    pub(super) fn see(&mut self, record: &Record<'_>, fold: &Fold) {
        match record {
            Record::Put(put) => {
                if let Some(before) = self.before.take_if(|before| put.message > *before) {
                    self.messages += put.message - before - 1;
                }
            }
            Record::Queue(queue) => match fold.sessions.get(&queue.session) {
                Some(state) if queue.number > state.last_number + 1 => {
                    let lost = queue.number - state.last_number - 1;
                    *self.deliveries.entry(state.client_id.clone()).or_default() += lost;
                }
                Some(_) => {}
                None => self.unknown(queue.session),
            },
            Record::End { session } => drop(self.ended.insert(*session)),
            Record::Subscribe { session, .. } | Record::Disconnect { session, .. }
                if !fold.sessions.contains_key(session) =>
            {
                self.unknown(*session);
            }
            _ => {}
        }
    }

    fn unknown(&mut self, session: u64) {
        if self.has_gap && !self.ended.contains(&session) {
            self.sessions.insert(session);
        }
    }
}
