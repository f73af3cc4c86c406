//! A line of things that wait and may expire while they do.
//!
//! Served from the front, in the order of their sequence numbers. Those with an expiry can be taken out
//! of the middle when their time has come, at a logarithmic cost, so that what nobody will ever be sent
//! takes no place from what comes later. Bounded by whoever pushes.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

/// What stands in a [`Line`].
pub(crate) trait Waiting {
    /// Bytes that it stands for.
    fn weight(&self) -> usize;
    /// Those of them that it shares with nobody.
    fn place(&self) -> usize;
    /// When it expires, if it does.
    fn expires_at(&self) -> Option<Instant>;
}

/// Empty places that a line may have beyond as many as it has things.
const SPARE_PLACES: usize = 32;

/// The line.
#[derive(Debug)]
pub(crate) struct Line<T> {
    /// Ascending numbers. A place is empty when its thing has left from the middle; the first is not.
    places: VecDeque<(u64, Option<T>)>,
    len: usize,
    bytes: usize,
    own_bytes: usize,
    expiring: BTreeSet<(Instant, u64)>,
}

impl<T> Default for Line<T> {
    fn default() -> Line<T> {
        Line { places: VecDeque::new(), len: 0, bytes: 0, own_bytes: 0, expiring: BTreeSet::new() }
    }
}

impl<T: Waiting> Line<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Weight of all together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that they share with nobody.
    pub(crate) fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// The number of the first thing.
    pub(crate) fn first(&self) -> Option<u64> {
        self.places.front().map(|(number, _)| *number)
    }

    /// The number of the last thing, or of one that stood behind it.
    pub(crate) fn last(&self) -> Option<u64> {
        self.places.back().map(|(number, _)| *number)
    }

    /// Puts a thing where its number belongs: mostly to the end, sometimes back to the front.
    pub(crate) fn put(&mut self, number: u64, thing: T) {
        self.len += 1;
        self.bytes += thing.weight();
        self.own_bytes += thing.place();
        if let Some(at) = thing.expires_at() {
            self.expiring.insert((at, number));
        }
        if self.last().is_none_or(|last| last < number) {
            self.places.push_back((number, Some(thing)));
            return;
        }
        match self.place(number) {
            Ok(index) => {
                if let Some((_, place)) = self.places.get_mut(index) {
                    debug_assert!(place.is_none(), "a number is given once");
                    *place = Some(thing);
                }
            }
            Err(index) => self.places.insert(index, (number, Some(thing))),
        }
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        self.places.binary_search_by_key(&number, |(number, _)| *number)
    }

    /// Takes the first thing.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let (number, place) = self.places.pop_front()?;
        place.map(|thing| (number, self.left(number, thing)))
    }

    /// Takes the last thing.
    pub(crate) fn pop_back(&mut self) -> Option<(u64, T)> {
        loop {
            if let (number, Some(thing)) = self.places.pop_back()? {
                return Some((number, self.left(number, thing)));
            }
        }
    }

    /// Takes the thing with this number.
    pub(crate) fn take(&mut self, number: u64) -> Option<T> {
        let index = self.place(number).ok()?;
        let thing = self.places.get_mut(index)?.1.take()?;
        Some(self.left(number, thing))
    }

    /// A thing has left its place.
    fn left(&mut self, number: u64, thing: T) -> T {
        self.len -= 1;
        self.bytes -= thing.weight();
        self.own_bytes -= thing.place();
        if let Some(at) = thing.expires_at() {
            self.expiring.remove(&(at, number));
        }
        self.close_up();
        thing
    }

    /// Takes a thing whose time has come.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<(u64, T)> {
        let (_, number) = self.expiring.first().copied().filter(|(at, _)| *at <= now)?;
        self.take(number).map(|thing| (number, thing))
    }

    /// Things and their numbers from `number` on, at most `count` of them, and where the next look begins;
    /// `None` at the end.
    pub(crate) fn from(&self, number: u64, count: usize) -> (impl Iterator<Item = (u64, &T)>, Option<u64>) {
        let start = self.place(number).unwrap_or_else(|index| index);
        let next = self.places.get(start.saturating_add(count)).map(|(number, _)| *number);
        let places = self.places.range(start.min(self.places.len())..).take(count);
        (places.filter_map(|(number, thing)| Some((*number, thing.as_ref()?))), next)
    }

    /// Gives up empty places.
    fn close_up(&mut self) {
        if self.len == 0 {
            // An idle line holds no memory.
            self.places = VecDeque::new();
            return;
        }
        while matches!(self.places.front(), Some((_, None))) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.len + SPARE_PLACES {
            self.places.retain(|(_, thing)| thing.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, SPARE_PLACES, Waiting};
    use std::time::{Duration, Instant};

    struct Thing(&'static str, Option<Instant>);

    impl Waiting for Thing {
        fn weight(&self) -> usize {
            self.0.len()
        }
        fn place(&self) -> usize {
            1
        }
        fn expires_at(&self) -> Option<Instant> {
            self.1
        }
    }

    fn all(line: &mut Line<Thing>) -> Vec<&'static str> {
        std::iter::from_fn(|| line.pop()).map(|(_, thing)| thing.0).collect()
    }

    #[test]
    fn what_goes_back_stands_where_it_stood() {
        let mut line = Line::default();
        for (number, name) in [(10, "a"), (11, "b"), (12, "c"), (13, "d")] {
            line.put(number, Thing(name, None));
        }
        let (first, a) = line.pop().unwrap();
        let (second, b) = line.pop().unwrap();
        let c = line.take(12).unwrap();
        line.put(second, b);
        line.put(first, a);
        line.put(9, Thing("before", None));
        line.put(12, c);
        assert_eq!((line.len(), line.bytes(), line.own_bytes()), (5, 10, 5));
        assert_eq!(all(&mut line), ["before", "a", "b", "c", "d"]);
        assert_eq!((line.len(), line.bytes(), line.own_bytes(), line.places.capacity()), (0, 0, 0, 0));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a time to begin with; it is never read again")]
    fn what_expires_leaves_the_middle_and_no_growing_hole() {
        let now = Instant::now();
        let mut line = Line::default();
        line.put(0, Thing("stays", None));
        for number in 1..1_000 {
            line.put(number, Thing("goes", Some(now + Duration::from_secs(number))));
            assert!(line.take_expired(now).is_none());
            assert_eq!(line.take_expired(now + Duration::from_secs(number)).unwrap().1.0, "goes");
            assert!(line.places.len() <= 2 + SPARE_PLACES, "{}", line.places.len());
        }
        line.put(2_000, Thing("last", None));
        assert!(line.expiring.is_empty());
        assert_eq!(all(&mut line), ["stays", "last"]);
    }

    #[test]
    fn a_look_goes_on_where_the_last_one_ended() {
        let mut line = Line::default();
        for number in 0..10 {
            line.put(number, Thing("x", None));
        }
        line.take(3);
        let (some, next) = line.from(2, 4);
        assert_eq!((some.map(|(number, _)| number).collect::<Vec<_>>(), next), (vec![2, 4, 5], Some(6)));
        let (some, next) = line.from(8, 4);
        assert_eq!((some.map(|(number, _)| number).collect::<Vec<_>>(), next), (vec![8, 9], None));
        assert_eq!(line.from(99, 4).1, None);
    }
}
