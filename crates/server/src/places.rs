//! The places of `limits.connections`, and the few beyond them.
//!
//! Who comes when all are taken is not served, but is to learn why: it gets one of [`BEYOND`] places
//! for as long as its CONNECT takes, and a refusal in its own version. One connection is served all
//! the same: one that takes over the session of another, whose place it will have in a moment. Until that
//! other one is gone it takes one of those beyond, so that not even take-overs without end make more
//! than `limits.connections` and [`BEYOND`] connections.
//!
//! Who is refused, and with what words, is decided by the reception.

use parking_lot::Mutex;
use std::sync::Arc;

/// Connections beyond `limits.connections` that are told so. Half of the 64 open files that `aldis` keeps
/// back for itself when it derives the limit from them: the other half is for listeners and metrics.
pub(crate) const BEYOND: usize = 32;

/// Who is in, and how many were.
#[derive(Debug, Default)]
pub(crate) struct Places {
    // Taken at the beginning and the end of a connection, to add and subtract.
    counts: Mutex<Counts>,
}

/// Numbers of connections.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Served now.
    served: usize,
    /// Open beyond the limit now, and not served.
    asking: usize,
    /// Served since the start.
    pub(crate) accepted: u64,
    /// Not served for want of a place, since the start.
    pub(crate) turned_away: u64,
}

impl Counts {
    /// Connections open, whether greeted or not.
    pub(crate) fn open(self) -> usize {
        self.served + self.asking
    }
}

impl Places {
    /// A place for one more connection; `None` when those beyond `limit` are taken, too.
    pub(crate) fn take(self: &Arc<Self>, limit: usize) -> Option<Place> {
        let mut counts = self.counts.lock();
        let is_beyond = counts.served >= limit;
        if !is_beyond {
            counts.served += 1;
            counts.accepted += 1;
        } else if counts.served - limit + counts.asking < BEYOND {
            counts.asking += 1;
        } else {
            counts.turned_away += 1;
            return None;
        }
        Some(Place { places: Arc::clone(self), is_beyond })
    }

    /// The counts now.
    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock()
    }
}

/// One of the places. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    is_beyond: bool,
}

impl Place {
    /// Whether it is one beyond the limit: only a take-over is served on it.
    pub(crate) fn is_beyond(&self) -> bool {
        self.is_beyond
    }

    /// A connection beyond the limit is served: it has taken over from another.
    pub(crate) fn accept(&mut self) {
        if std::mem::take(&mut self.is_beyond) {
            let mut counts = self.places.counts.lock();
            counts.asking -= 1;
            counts.served += 1;
            counts.accepted += 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.counts.lock();
        if self.is_beyond {
            counts.asking -= 1;
            counts.turned_away += 1;
        } else {
            counts.served -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BEYOND, Counts, Place, Places};
    use std::sync::Arc;

    #[test]
    fn each_connection_is_counted_once_and_each_place_given_back() {
        let places = Arc::new(Places::default());
        let mut within = vec![places.take(2).unwrap(), places.take(2).unwrap()];
        assert!(!within.iter().any(Place::is_beyond));
        let mut beyond: Vec<_> = (0..BEYOND).map(|_| places.take(2).unwrap()).collect();
        assert!(beyond.iter().all(Place::is_beyond));
        assert!(places.take(2).is_none());
        let counts = Counts { served: 2, asking: BEYOND, accepted: 2, turned_away: 1 };
        assert_eq!(places.counts(), counts);
        // Those that ask keep no place that is free from the next one.
        drop(within.pop());
        within.push(places.take(2).unwrap());
        assert!(!within.iter().any(Place::is_beyond));
        // One that takes over is in the way of those that ask until the old one is gone.
        let mut served = beyond.pop().unwrap();
        served.accept();
        assert!(places.take(2).is_none());
        drop(within.pop());
        beyond.push(places.take(2).unwrap());
        assert!(beyond.iter().all(Place::is_beyond));
        drop((within, served, beyond));
        let counts = Counts { served: 0, asking: 0, accepted: 4, turned_away: 2 + BEYOND as u64 };
        assert_eq!(places.counts(), counts);
    }
}
