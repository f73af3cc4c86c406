//! Reading back what waits: a long queue is on disk only, and the session that it belongs to asks for the next of it.
//!
//! The committer, who has the fold, knows where the bodies lie; another thread reads them ([`Lookup::run`]). A body may
//! be moved in between, and its segment be used for something else: what is read says which message it is and has a
//! checksum, and is asked for again if it is another. A body that is not there although it was not moved is damaged.

use crate::disk::Disk;
use crate::fold::DeliveryState;
use crate::record::{Put, Record};
use crate::scan::Place;
use crate::segments::Reader;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

/// How much of what waits for a session is in memory at most, the next of it; all behind it is on disk only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Messages.
    pub messages: usize,
    /// Bytes of messages; one is there in any case.
    pub bytes: usize,
}

impl Default for Head {
    fn default() -> Head {
        Head { messages: 512, bytes: 256 << 10 }
    }
}

/// What a session asks for: the next of what waits for it on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Number of the session.
    pub session: u64,
    /// Number of the first delivery that it wants.
    pub from: u64,
    /// How much.
    pub head: Head,
    /// Where a body was looked for in vain.
    pub(crate) missed: Option<(u64, Place)>,
}

impl Wanted {
    /// What waits for a session from this delivery on.
    #[must_use]
    pub fn new(session: u64, from: u64, head: Head) -> Wanted {
        Wanted { session, from, head, missed: None }
    }
}

/// A delivery that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDelivery {
    /// Its number in the session.
    pub number: u64,
    /// What is known of it.
    pub state: DeliveryState,
    /// The record with its body; `None` if it is damaged.
    body: Option<Box<[u8]>>,
}

impl FoundDelivery {
    /// The message; `None` if it is damaged.
    #[must_use]
    pub fn put(&self) -> Option<Put<'_>> {
        put_of(self.body.as_deref()?, self.state.message)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Number of the session.
    pub session: u64,
    /// Deliveries in the order of their numbers.
    pub deliveries: Vec<FoundDelivery>,
}

/// What came of a lookup.
#[derive(Debug)]
pub struct LookedUp {
    /// What was found.
    pub found: Option<Found>,
    /// What is to be asked for again: it was not where it was, or the disk could not read it.
    pub again: Option<Wanted>,
    /// Why the disk could not read; whoever asks again waits a while.
    pub failed: Option<io::Error>,
}

/// Bodies that are to be read.
pub struct Lookup<D: Disk> {
    wanted: Wanted,
    reader: Reader<D>,
    places: VecDeque<(u64, DeliveryState, Place, u32)>,
}

impl<D: Disk> Lookup<D> {
    pub(crate) fn new(
        wanted: Wanted,
        reader: Reader<D>,
        places: impl Iterator<Item = (u64, DeliveryState, Place, u32)>,
    ) -> Lookup<D> {
        let (mut chosen, mut bytes) = (VecDeque::new(), 0);
        for one in places.take(wanted.head.messages) {
            bytes += one.3 as usize;
            if bytes > wanted.head.bytes && !chosen.is_empty() {
                break;
            }
            chosen.push_back(one);
        }
        Lookup { wanted, reader, places: chosen }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Reads them.
    #[must_use]
    pub fn run(self) -> LookedUp {
        let Lookup { wanted, reader, places } = self;
        let mut deliveries = Vec::with_capacity(places.len());
        let (mut again, mut failed) = (None, None);
        for (number, state, place, length) in places {
            let body = match reader.read(place, length as usize) {
                Ok(bytes) => Some(bytes).filter(|bytes| put_of(bytes, state.message).is_some()),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => {
                    again = Some(Wanted { from: number, missed: None, ..wanted });
                    failed = Some(error);
                    break;
                }
            };
            if body.is_none() && wanted.missed != Some((number, place)) {
                again = Some(Wanted { from: number, missed: Some((number, place)), ..wanted });
                break;
            }
            deliveries.push(FoundDelivery { number, state, body: body.map(Vec::into_boxed_slice) });
        }
        let found = Found { session: wanted.session, deliveries };
        let found = Some(found).filter(|found| !found.deliveries.is_empty());
        LookedUp { found, again, failed }
    }
}

fn put_of(record: &[u8], message: u64) -> Option<Put<'_>> {
    match Record::decode(record) {
        Some((Record::Put(put) | Record::Moved(put), [])) if put.message == message => Some(put),
        _ => None,
    }
}
