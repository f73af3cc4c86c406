//! The subscription trie: from a topic name to everything whose filter matches it.
//!
//! A node a level of a filter. `+` is a child of its own and `#` a second set of values at the node above
//! it, so a look-up asks each node it visits for at most two children and never tries a filter by itself.
//!
//! It does not check filters (a [`TopicFilter`](crate::TopicFilter) is checked), knows no share groups
//! (give it the matched part), and has no lock: its owner decides who reads while who writes.

use std::fmt;

use crate::children::{Children, IntoNodes, Parent, dismantle};
use crate::filter::{levels, split_rest};
use crate::name::is_dollar;
use crate::values::Values;

/// What a trie node holds, found again by its key.
pub trait Keyed {
    /// The key, which must not change while the value is in a trie. One value for each key at a filter.
    fn key(&self) -> u64;
}

/// Everything subscribed, by topic filter.
///
/// A look-up of a topic of `d` levels visits each node of the trie at most once, since a node has one
/// parent and is reached through it alone: no filter, `+/+/+/…` or other, makes it exponential in
/// anything but what was really inserted ([`visited`](SubscriptionTrie::visited) counts). Equal contents
/// are visited in equal order.
///
/// ```
/// use aldis_topic::{Keyed, SubscriptionTrie};
/// struct Subscriber(u64);
/// impl Keyed for Subscriber {
///     fn key(&self) -> u64 { self.0 }
/// }
/// let mut trie = SubscriptionTrie::new();
/// trie.insert("sport/#", Subscriber(1));
/// trie.insert("+/tennis", Subscriber(2));
/// let mut found = Vec::new();
/// trie.matches("sport/tennis", &mut |subscriber| found.push(subscriber.0));
/// assert_eq!(found, [1, 2]);
/// ```
pub struct SubscriptionTrie<V: Keyed> {
    root: Node<V>,
    values: usize,
    nodes: usize,
}

/// Kept small: a node without children or wildcards is its values and two null pointers.
struct Node<V> {
    /// Of the filter that ends here.
    values: Values<V>,
    named: Children<Node<V>>,
    wild: Option<Box<Wild<V>>>,
}

/// What hangs on a node by a wildcard: most nodes have none, so it costs them a pointer.
struct Wild<V> {
    plus: Option<Node<V>>,
    /// Of the filter that ends here with `/#`.
    rest: Values<V>,
}

impl<V: Keyed> SubscriptionTrie<V> {
    /// An empty trie.
    pub fn new() -> SubscriptionTrie<V> {
        SubscriptionTrie { root: Node::default(), values: 0, nodes: 0 }
    }

    /// Puts a value at `filter`, the matched part of a valid filter; returns the value of equal key that
    /// it replaces there. O(levels · log children + log values).
    pub fn insert(&mut self, filter: &str, value: V) -> Option<V> {
        let (path, rest) = split_rest(filter);
        let mut node = &mut self.root;
        for level in levels(path) {
            let (child, made) = node.child_or_make(level);
            node = child;
            self.nodes += usize::from(made);
        }
        let values = if rest { &mut node.wild.get_or_insert_default().rest } else { &mut node.values };
        let replaced = values.insert(value);
        self.values += usize::from(replaced.is_none());
        replaced
    }

    /// Takes the value of `key` at `filter` out, and with it every node that nothing needs any more.
    pub fn remove(&mut self, filter: &str, key: u64) -> Option<V> {
        let (path, rest) = split_rest(filter);
        // How far the path stays: to the last node before the end that holds anything beside it.
        let (mut stays, mut depth) = (0, 0);
        let mut node = &self.root;
        for level in levels(path) {
            if node.weight() > 1 {
                stays = depth;
            }
            node = node.child(level)?;
            depth += 1;
        }
        let values = node.values(rest)?;
        values.get(key)?;
        if depth == 0 || node.weight() > 1 || values.len() > 1 {
            stays = depth;
        }

        let mut node = &mut self.root;
        let mut path = levels(path);
        for level in path.by_ref().take(stays) {
            node = node.child_mut(level)?;
        }
        let removed = match path.next() {
            None => node.remove_value(rest, key),
            Some(level) => {
                let mut chain = node.detach(level)?;
                let mut node = &mut chain;
                for level in path {
                    node = node.child_mut(level)?;
                }
                let removed = node.remove_value(rest, key);
                self.nodes -= depth - stays;
                dismantle(chain);
                removed
            }
        };
        self.values -= usize::from(removed.is_some());
        removed
    }

    /// The value of `key` at exactly this filter.
    pub fn get(&self, filter: &str, key: u64) -> Option<&V> {
        let (path, rest) = split_rest(filter);
        let mut node = &self.root;
        for level in levels(path) {
            node = node.child(level)?;
        }
        node.values(rest)?.get(key)
    }

    /// Visits every value whose filter matches `topic`, a valid topic name: a value once for each such
    /// filter, not once for each key. See [`matches()`](fn@crate::matches) for the rules. The answer is what
    /// it cost, as [`visited`](SubscriptionTrie::visited) counts.
    pub fn matches<'a>(&'a self, topic: &str, visit: &mut dyn FnMut(&'a V)) -> usize {
        self.walk(topic, visit)
    }

    /// How many nodes a look-up of `topic` visits, the root included: what it costs.
    pub fn visited(&self, topic: &str) -> usize {
        self.walk(topic, &mut |_| {})
    }

    /// How many values there are, at all filters together.
    pub fn len(&self) -> usize {
        self.values
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// How many nodes there are beside the root: one for each distinct beginning of the filters, `#`
    /// (which lives in the node above it) not counted. Zero if and only if nothing but `#` is there.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Follows the named child at once and keeps the `+` child for later, so that what waits is at most
    /// one node a level.
    fn walk<'a>(&'a self, topic: &str, visit: &mut dyn FnMut(&'a V)) -> usize {
        let mut waiting = Waiting::new();
        let mut visited = 0;
        let mut next = Some((&self.root, Some(topic)));
        let mut wildcards = !is_dollar(topic);
        while let Some((node, left)) = next {
            visited += 1;
            if let Some(wild) = node.wild.as_deref().filter(|_| wildcards) {
                wild.rest.iter().for_each(&mut *visit);
            }
            let mut named = None;
            match left {
                None => node.values.iter().for_each(&mut *visit),
                Some(left) => {
                    let (level, left) = match left.split_once('/') {
                        Some((level, left)) => (level, Some(left)),
                        None => (left, None),
                    };
                    if let Some(wild) = node.wild.as_deref().filter(|_| wildcards)
                        && let Some(plus) = &wild.plus
                    {
                        waiting.push((plus, left));
                    }
                    named = node.named.get(level).map(|child| (child, left));
                }
            }
            // [MQTT-4.7.2-1] is about the first level alone.
            wildcards = true;
            next = named.or_else(|| waiting.pop());
        }
        visited
    }
}

/// A node to visit, and the levels of the topic below it (`None` behind the last).
type Visit<'a, 't, V> = (&'a Node<V>, Option<&'t str>);

/// The `+` children still to visit: on the stack for ordinary depth, allocated only beyond it.
struct Waiting<'a, 't, V> {
    near: [Option<Visit<'a, 't, V>>; 16],
    count: usize,
    far: Vec<Visit<'a, 't, V>>,
}

impl<'a, 't, V> Waiting<'a, 't, V> {
    fn new() -> Waiting<'a, 't, V> {
        Waiting { near: [const { None }; 16], count: 0, far: Vec::new() }
    }

    fn push(&mut self, visit: Visit<'a, 't, V>) {
        match self.near.get_mut(self.count) {
            Some(place) => {
                *place = Some(visit);
                self.count += 1;
            }
            None => self.far.push(visit),
        }
    }

    fn pop(&mut self) -> Option<Visit<'a, 't, V>> {
        self.far.pop().or_else(|| {
            self.count = self.count.checked_sub(1)?;
            self.near.get_mut(self.count)?.take()
        })
    }
}

impl<V: Keyed> Node<V> {
    fn child(&self, level: &str) -> Option<&Node<V>> {
        if level == "+" { self.wild.as_deref()?.plus.as_ref() } else { self.named.get(level) }
    }

    fn child_mut(&mut self, level: &str) -> Option<&mut Node<V>> {
        if level == "+" { self.wild.as_deref_mut()?.plus.as_mut() } else { self.named.get_mut(level) }
    }

    /// The child at `level`, and whether it had to be made.
    fn child_or_make(&mut self, level: &str) -> (&mut Node<V>, bool) {
        if level != "+" {
            return self.named.get_or_make(level);
        }
        let plus = &mut self.wild.get_or_insert_default().plus;
        let made = plus.is_none();
        (plus.get_or_insert_default(), made)
    }

    /// Takes a child out with everything below it.
    fn detach(&mut self, level: &str) -> Option<Node<V>> {
        if level != "+" {
            return self.named.remove(level);
        }
        let child = self.wild.as_deref_mut()?.plus.take();
        self.drop_empty_wild();
        child
    }

    fn values(&self, rest: bool) -> Option<&Values<V>> {
        if rest { self.wild.as_deref().map(|wild| &wild.rest) } else { Some(&self.values) }
    }

    fn remove_value(&mut self, rest: bool, key: u64) -> Option<V> {
        if !rest {
            return self.values.remove(key);
        }
        let removed = self.wild.as_deref_mut()?.rest.remove(key);
        self.drop_empty_wild();
        removed
    }

    fn drop_empty_wild(&mut self) {
        if self.wild.as_deref().is_some_and(|wild| wild.plus.is_none() && wild.rest.is_empty()) {
            self.wild = None;
        }
    }

    /// How many things the node is needed for: a filter that ends here, one that ends here with `/#`,
    /// each child.
    fn weight(&self) -> usize {
        let wild = self
            .wild
            .as_deref()
            .map_or(0, |wild| usize::from(wild.plus.is_some()) + usize::from(!wild.rest.is_empty()));
        usize::from(!self.values.is_empty()) + self.named.len() + wild
    }
}

impl<V> Default for Node<V> {
    fn default() -> Node<V> {
        Node { values: Values::None, named: Children::default(), wild: None }
    }
}

impl<V> Default for Wild<V> {
    fn default() -> Wild<V> {
        Wild { plus: None, rest: Values::None }
    }
}

impl<V> Parent for Node<V> {
    fn take_below(&mut self, below: &mut Vec<IntoNodes<Node<V>>>) {
        let plus = self.wild.take().and_then(|wild| wild.plus);
        below.push(IntoNodes::One(plus));
        below.push(std::mem::take(&mut self.named).into_nodes());
    }
}

impl<V: Keyed> Drop for SubscriptionTrie<V> {
    fn drop(&mut self) {
        dismantle(std::mem::take(&mut self.root));
    }
}

impl<V: Keyed> Default for SubscriptionTrie<V> {
    fn default() -> SubscriptionTrie<V> {
        SubscriptionTrie::new()
    }
}

impl<V: Keyed> fmt::Debug for SubscriptionTrie<V> {
    /// Its size only: a trie can be larger than any log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriptionTrie")
            .field("values", &self.values)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Node;
    use std::sync::Arc;

    /// The memory of a subscription is mostly this: 40 bytes and a key of 24 in its parent's map.
    #[test]
    fn nodes_stay_small() {
        assert!(size_of::<Node<Arc<()>>>() <= 40);
        assert!(size_of::<Node<(u64, Arc<()>)>>() <= 40);
    }
}
