//! The values at one filter, found again by their key: one in place, a few in a list, many in a map.
//!
//! Always in the order of their keys, so that a look-up visits equal contents in equal order, whatever
//! their history. A filter that a hundred thousand clients share (`status/#`) must take and lose a client
//! in O(log n), under a lock: hence a `BTreeMap`, which unlike a hash map never moves everything at once.

use std::collections::{BTreeMap, btree_map};
use std::{mem, option, slice};

use crate::subscription_trie::Keyed;

/// More values than this and a sorted list becomes a `BTreeMap`.
const FEW: usize = 16;
/// Fewer than this and the `BTreeMap` becomes a list again.
const FEW_AGAIN: usize = 8;

pub(crate) enum Values<V> {
    None,
    One(V),
    Few(Vec<V>),
    #[expect(
        clippy::box_collection,
        reason = "nodes are many and maps few: unboxed, each node grows by 8 bytes"
    )]
    Many(Box<BTreeMap<u64, V>>),
}

impl<V: Keyed> Values<V> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Values::None => 0,
            Values::One(_) => 1,
            Values::Few(list) => list.len(),
            Values::Many(map) => map.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Values::None)
    }

    pub(crate) fn get(&self, key: u64) -> Option<&V> {
        match self {
            Values::None => None,
            Values::One(only) => (only.key() == key).then_some(only),
            Values::Few(list) => list.get(position(list, key).ok()?),
            Values::Many(map) => map.get(&key),
        }
    }

    /// Puts a value in; the one with the same key that it takes the place of.
    pub(crate) fn insert(&mut self, value: V) -> Option<V> {
        let key = value.key();
        match self {
            Values::None => {
                *self = Values::One(value);
                None
            }
            Values::One(only) if only.key() == key => Some(mem::replace(only, value)),
            Values::One(_) => {
                let Values::One(only) = mem::replace(self, Values::None) else { return None };
                let pair = if only.key() < key { [only, value] } else { [value, only] };
                *self = Values::Few(Vec::from(pair));
                None
            }
            Values::Few(list) => match position(list, key) {
                Ok(at) => list.get_mut(at).map(|old| mem::replace(old, value)),
                Err(at) if list.len() < FEW => {
                    list.insert(at, value);
                    None
                }
                Err(_) => {
                    let mut map: BTreeMap<u64, V> = mem::take(list).into_iter().map(with_key).collect();
                    map.insert(key, value);
                    *self = Values::Many(Box::new(map));
                    None
                }
            },
            Values::Many(map) => map.insert(key, value),
        }
    }

    /// Takes a value out, and the rest back to the smaller form that its size asks for.
    pub(crate) fn remove(&mut self, key: u64) -> Option<V> {
        match self {
            Values::None => None,
            Values::One(only) if only.key() != key => None,
            Values::One(_) => match mem::replace(self, Values::None) {
                Values::One(only) => Some(only),
                _ => None,
            },
            Values::Few(list) => {
                let removed = list.remove(position(list, key).ok()?);
                if list.len() <= 1 {
                    *self = list.pop().map_or(Values::None, Values::One);
                }
                Some(removed)
            }
            Values::Many(map) => {
                let removed = map.remove(&key)?;
                if map.len() < FEW_AGAIN {
                    *self = Values::Few(mem::take(&mut **map).into_values().collect());
                }
                Some(removed)
            }
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_, V> {
        match self {
            Values::None => Iter::One(None.into_iter()),
            Values::One(only) => Iter::One(Some(only).into_iter()),
            Values::Few(list) => Iter::Few(list.iter()),
            Values::Many(map) => Iter::Many(map.values()),
        }
    }
}

fn position<V: Keyed>(list: &[V], key: u64) -> Result<usize, usize> {
    list.binary_search_by_key(&key, Keyed::key)
}

fn with_key<V: Keyed>(value: V) -> (u64, V) {
    (value.key(), value)
}

/// Values in the order of their keys.
pub(crate) enum Iter<'a, V> {
    One(option::IntoIter<&'a V>),
    Few(slice::Iter<'a, V>),
    Many(btree_map::Values<'a, u64, V>),
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = &'a V;

    fn next(&mut self) -> Option<&'a V> {
        match self {
            Iter::One(only) => only.next(),
            Iter::Few(list) => list.next(),
            Iter::Many(map) => map.next(),
        }
    }
}
