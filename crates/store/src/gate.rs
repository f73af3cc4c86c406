//! Answers that wait for the log: what stands behind a record that is not durable yet.
//!
//! What stands for no record passes at once, whatever waits. Who needs an order, as the
//! acknowledgements of one publisher do [MQTT-4.6.0-2], asks with the highest sequence asked for so
//! far: what waits for the same sequence leaves in the order in which it came.

use crate::log::Sequence;
use std::collections::BTreeMap;

/// Things that wait, each with the sequence it waits for.
#[derive(Debug)]
pub struct Gate<T> {
    waiting: BTreeMap<(Sequence, u64), T>,
    arrivals: u64,
}

impl<T> Default for Gate<T> {
    fn default() -> Gate<T> {
        Gate { waiting: BTreeMap::new(), arrivals: 0 }
    }
}

impl<T> Gate<T> {
    /// Gives `item` back if it may pass at once, or keeps it until `after` is committed.
    pub fn pass(&mut self, after: Sequence, committed: Sequence, item: T) -> Option<T> {
        if after <= committed {
            return Some(item);
        }
        self.arrivals += 1;
        self.waiting.insert((after, self.arrivals), item);
        None
    }

    /// Takes the next item that may pass now.
    pub fn release(&mut self, committed: Sequence) -> Option<T> {
        if self.next()? > committed {
            return None;
        }
        self.waiting.pop_first().map(|(_, item)| item)
    }

    /// The sequence that the first item waits for.
    pub fn next(&self) -> Option<Sequence> {
        self.waiting.first_key_value().map(|((sequence, _), _)| *sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law 8: what stands for no record waits for nothing.
    #[test]
    fn what_is_committed_passes_at_once() {
        let mut gate = Gate::default();
        assert_eq!(gate.pass(5, 1, 'a'), None);
        assert_eq!(gate.pass(0, 1, 'b'), Some('b'));
        assert_eq!(gate.pass(1, 1, 'c'), Some('c'));
        assert_eq!(gate.next(), Some(5));
        assert_eq!(gate.release(4), None);
        assert_eq!(gate.release(5), Some('a'));
        assert_eq!(gate.release(5), None);
    }

    /// [MQTT-4.6.0-2]: who asks with the highest sequence so far is released in order.
    #[test]
    fn equal_sequences_keep_their_order() {
        let mut gate = Gate::default();
        for (after, item) in [(3, 'a'), (5, 'b'), (5, 'c'), (9, 'd')] {
            assert_eq!(gate.pass(after, 0, item), None);
        }
        let released: String = std::iter::from_fn(|| gate.release(5)).collect();
        assert_eq!(released, "abc");
        assert_eq!(gate.release(9), Some('d'));
    }
}
