//! The children of a node by their level: a map that is tiny when there are few, for both trees.
//!
//! None costs a null pointer, one costs its own size, up to eight a sorted list, more a `BTreeMap`.
//! Why an ordered map and no hash map: clients choose the keys, so a hash would have to be seeded against
//! flooding and its order could not be observed; growing a hash map moves a million siblings at once
//! while everybody waits for the lock, a B-tree never moves more than a few nodes; and a walk of the
//! retained messages has to find its place again, which needs an order.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;
use std::{slice, vec};

use crate::level::Level;

/// More children than this and a sorted list becomes a `BTreeMap`.
const FEW: usize = 8;
/// Fewer than this and the `BTreeMap` becomes a list again; less than `FEW`, so that a node at the edge
/// does not turn back and forth.
const FEW_AGAIN: usize = 4;

#[derive(Debug)]
pub(crate) struct Children<N>(Option<Box<Map<N>>>);

#[derive(Debug)]
enum Map<N> {
    One(Level, N),
    Few(Vec<(Level, N)>),
    Many(BTreeMap<Level, N>),
}

impl<N> Default for Children<N> {
    fn default() -> Children<N> {
        Children(None)
    }
}

impl<N> Children<N> {
    pub(crate) fn len(&self) -> usize {
        match self.0.as_deref() {
            None => 0,
            Some(Map::One(..)) => 1,
            Some(Map::Few(list)) => list.len(),
            Some(Map::Many(map)) => map.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn get(&self, level: &str) -> Option<&N> {
        self.get_entry(level).map(|(_, node)| node)
    }

    fn get_entry(&self, level: &str) -> Option<(&Level, &N)> {
        let level = level.as_bytes();
        match self.0.as_deref()? {
            Map::One(only, node) => (only.as_bytes() == level).then_some((only, node)),
            Map::Few(list) => {
                let at = position(list, level).ok()?;
                list.get(at).map(|(level, node)| (level, node))
            }
            Map::Many(map) => map.get_key_value(level),
        }
    }

    pub(crate) fn get_mut(&mut self, level: &str) -> Option<&mut N> {
        let level = level.as_bytes();
        match self.0.as_deref_mut()? {
            Map::One(only, node) => (only.as_bytes() == level).then_some(node),
            Map::Few(list) => {
                let at = position(list, level).ok()?;
                list.get_mut(at).map(|(_, node)| node)
            }
            Map::Many(map) => map.get_mut(level),
        }
    }

    /// The child at `level`, made if it is not there; whether it was made.
    pub(crate) fn get_or_make(&mut self, level: &str) -> (&mut N, bool)
    where
        N: Default,
    {
        let made = self.get(level).is_none();
        if made {
            self.add(Level::new(level), N::default());
        }
        #[expect(clippy::expect_used, reason = "the line above has put it there")]
        let node = self.get_mut(level).expect("a child that is there or was just added");
        (node, made)
    }

    /// Adds a child whose level is not there yet.
    fn add(&mut self, level: Level, node: N) {
        match self.0.as_deref_mut() {
            Some(Map::Many(map)) => {
                map.insert(level, node);
            }
            Some(Map::Few(list)) if list.len() < FEW => add_sorted(list, level, node),
            _ => {
                let map = match self.0.take().map(|map| *map) {
                    None => Map::One(level, node),
                    Some(Map::One(only, other)) => {
                        let mut list = Vec::with_capacity(2);
                        list.push((only, other));
                        add_sorted(&mut list, level, node);
                        Map::Few(list)
                    }
                    Some(Map::Few(list)) => Map::Many(list.into_iter().chain([(level, node)]).collect()),
                    Some(Map::Many(mut map)) => {
                        map.insert(level, node);
                        Map::Many(map)
                    }
                };
                self.0 = Some(Box::new(map));
            }
        }
    }

    /// Takes a child out, and the map back to the smaller form that its size asks for.
    pub(crate) fn remove(&mut self, level: &str) -> Option<N> {
        let key = level.as_bytes();
        let removed = match self.0.as_deref_mut()? {
            Map::One(only, _) => {
                if only.as_bytes() != key {
                    return None;
                }
                return match self.0.take().map(|map| *map) {
                    Some(Map::One(_, node)) => Some(node),
                    _ => None,
                };
            }
            Map::Few(list) => {
                let at = position(list, key).ok()?;
                list.remove(at).1
            }
            Map::Many(map) => map.remove(key)?,
        };
        self.shrink();
        Some(removed)
    }

    fn shrink(&mut self) {
        let Some(map) = self.0.as_deref_mut() else { return };
        match map {
            Map::Few(list) if list.len() <= 1 => match list.pop() {
                Some((level, node)) => *map = Map::One(level, node),
                None => self.0 = None,
            },
            Map::Many(many) if many.len() < FEW_AGAIN => {
                *map = Map::Few(std::mem::take(many).into_iter().collect());
            }
            _ => {}
        }
    }

    /// All children, by the bytes of their level.
    pub(crate) fn iter(&self) -> Iter<'_, N> {
        match self.0.as_deref() {
            None => Iter::None,
            Some(Map::One(level, node)) => Iter::One(Some((level, node))),
            Some(Map::Few(list)) => Iter::Few(list.iter()),
            Some(Map::Many(map)) => Iter::Many(map.range::<Level, _>(..)),
        }
    }

    /// The children behind `level` in that order, whether there is a child at `level` or not.
    pub(crate) fn iter_after(&self, level: &str) -> Iter<'_, N> {
        let key = level.as_bytes();
        match self.0.as_deref() {
            None => Iter::None,
            Some(Map::One(only, node)) => Iter::One((only.as_bytes() > key).then_some((only, node))),
            Some(Map::Few(list)) => {
                let start = list.partition_point(|(level, _)| level.as_bytes() <= key);
                Iter::Few(list.get(start..).unwrap_or_default().iter())
            }
            Some(Map::Many(map)) => {
                Iter::Many(map.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded)))
            }
        }
    }

    /// The child at `level` alone, as an iterator.
    pub(crate) fn iter_one(&self, level: &str) -> Iter<'_, N> {
        Iter::One(self.get_entry(level))
    }

    pub(crate) fn into_nodes(self) -> IntoNodes<N> {
        match self.0.map(|map| *map) {
            None => IntoNodes::One(None),
            Some(Map::One(_, node)) => IntoNodes::One(Some(node)),
            Some(Map::Few(list)) => IntoNodes::Few(list.into_iter()),
            Some(Map::Many(map)) => IntoNodes::Many(map.into_iter()),
        }
    }
}

fn position<N>(list: &[(Level, N)], level: &[u8]) -> Result<usize, usize> {
    list.binary_search_by(|(at, _)| at.as_bytes().cmp(level))
}

fn add_sorted<N>(list: &mut Vec<(Level, N)>, level: Level, node: N) {
    let at = position(list, level.as_bytes()).unwrap_or_else(|at| at);
    list.insert(at, (level, node));
}

/// Children in the order of their levels.
pub(crate) enum Iter<'a, N> {
    None,
    One(Option<(&'a Level, &'a N)>),
    Few(slice::Iter<'a, (Level, N)>),
    Many(btree_map::Range<'a, Level, N>),
}

impl<'a, N> Iterator for Iter<'a, N> {
    type Item = (&'a Level, &'a N);

    fn next(&mut self) -> Option<(&'a Level, &'a N)> {
        match self {
            Iter::None => None,
            Iter::One(only) => only.take(),
            Iter::Few(list) => list.next().map(|(level, node)| (level, node)),
            Iter::Many(map) => map.next(),
        }
    }
}

/// Children taken out of their parent.
pub(crate) enum IntoNodes<N> {
    One(Option<N>),
    Few(vec::IntoIter<(Level, N)>),
    Many(btree_map::IntoIter<Level, N>),
}

impl<N> IntoNodes<N> {
    fn next(&mut self) -> Option<N> {
        match self {
            IntoNodes::One(only) => only.take(),
            IntoNodes::Few(list) => list.next().map(|(_, node)| node),
            IntoNodes::Many(map) => map.next().map(|(_, node)| node),
        }
    }
}

/// A node that can hand over everything below it.
pub(crate) trait Parent: Sized {
    /// Moves what is below the node to the end of `below`; the node is a leaf afterwards.
    fn take_below(&mut self, below: &mut Vec<IntoNodes<Self>>);
}

/// Drops a tree level by level on a stack of its own: left to the compiler, dropping a node calls itself
/// once a level, and a topic of 65,535 levels would overflow the thread's stack.
pub(crate) fn dismantle<N: Parent>(mut root: N) {
    let mut below = Vec::new();
    root.take_below(&mut below);
    while let Some(nodes) = below.last_mut() {
        match nodes.next() {
            Some(mut node) => node.take_below(&mut below),
            None => drop(below.pop()),
        }
    }
}
