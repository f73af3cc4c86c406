//! The deliveries of a session in the fold, by their numbers: a line, since numbers only grow and mostly the oldest
//! leave first. One that leaves the middle leaves an empty place, which is closed when there are many.

use super::DeliveryState;
use std::collections::VecDeque;

/// Empty places that a line may have beyond as many as it has deliveries.
const SPARE: usize = 32;

/// Deliveries in the order of their numbers.
#[derive(Debug, Clone, Default)]
pub struct Deliveries {
    places: VecDeque<(u64, Option<DeliveryState>)>,
    len: usize,
}

impl Deliveries {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &DeliveryState)> {
        self.places.iter().filter_map(|(number, place)| Some((*number, place.as_ref()?)))
    }

    /// All of them.
    pub fn values(&self) -> impl Iterator<Item = &DeliveryState> {
        self.places.iter().filter_map(|(_, place)| place.as_ref())
    }

    /// Those from `number` on.
    pub fn from(&self, number: u64) -> impl Iterator<Item = (u64, &DeliveryState)> {
        let first = self.place(number).unwrap_or_else(|index| index);
        let places = self.places.range(first.min(self.places.len())..);
        places.filter_map(|(number, place)| Some((*number, place.as_ref()?)))
    }

    fn place(&self, number: u64) -> Result<usize, usize> {
        match self.places.back() {
            Some((last, _)) if *last < number => Err(self.places.len()),
            _ => self.places.binary_search_by_key(&number, |(number, _)| *number),
        }
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut DeliveryState> {
        let index = self.place(number).ok()?;
        self.places.get_mut(index)?.1.as_mut()
    }

    /// Puts one in; true if there was none with this number.
    pub(super) fn insert(&mut self, number: u64, delivery: DeliveryState) -> bool {
        let before = match self.place(number) {
            Ok(index) => self.places.get_mut(index).and_then(|(_, place)| place.replace(delivery)),
            Err(index) => {
                self.places.insert(index, (number, Some(delivery)));
                None
            }
        };
        self.len += usize::from(before.is_none());
        before.is_none()
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<DeliveryState> {
        let index = self.place(number).ok()?;
        let removed = self.places.get_mut(index)?.1.take()?;
        self.len -= 1;
        self.close_up();
        Some(removed)
    }

    pub(super) fn retain(&mut self, mut stays: impl FnMut(&DeliveryState) -> bool) {
        self.places.retain(|(_, place)| place.as_ref().is_some_and(&mut stays));
        self.len = self.places.len();
    }

    fn close_up(&mut self) {
        if self.len == 0 {
            self.places = VecDeque::new();
            return;
        }
        while matches!(self.places.front(), Some((_, None))) {
            self.places.pop_front();
        }
        if self.places.len() > 2 * self.len + SPARE {
            self.places.retain(|(_, place)| place.is_some());
        }
        if self.places.capacity() > 4 * self.places.len() + SPARE {
            self.places.shrink_to(2 * self.places.len());
        }
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = DeliveryState> {
        self.places.into_iter().filter_map(|(_, place)| place)
    }
}

impl PartialEq for Deliveries {
    fn eq(&self, other: &Deliveries) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Deliveries {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fold::Standing;
    use aldis_packet::QoS;

    fn one(message: u64) -> DeliveryState {
        let (standing, qos) = (Standing::Queued, QoS::AtLeastOnce);
        DeliveryState { message, standing, qos, retain: false, rare: None }
    }

    #[test]
    fn what_leaves_the_middle_leaves_no_growing_hole() {
        let mut line = Deliveries::default();
        assert!(line.insert(1, one(1)));
        assert!(!line.insert(1, one(1)));
        for number in 2..10_000 {
            assert!(line.insert(number, one(number)));
            assert_eq!(line.remove(number).map(|gone| gone.message), Some(number));
            assert!(line.remove(number).is_none());
            assert!(line.places.len() <= 2 + SPARE, "{}", line.places.len());
        }
        line.insert(20_000, one(7));
        assert_eq!(line.iter().map(|(number, _)| number).collect::<Vec<_>>(), [1, 20_000]);
        assert_eq!(line.from(2).map(|(_, state)| state.message).collect::<Vec<_>>(), [7]);
        assert_eq!(line.from(20_001).count(), 0);
        assert_eq!((line.len(), line.is_empty()), (2, false));
        line.retain(|state| state.message == 7);
        assert_eq!(line.into_values().map(|state| state.message).collect::<Vec<_>>(), [7]);
    }
}
