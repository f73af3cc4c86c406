//! The tree of retained messages: from a topic to its value, and from a filter to all that match, in an
//! order that a later walk can take up again (`walk.rs`).
//!
//! It does not check topics, know when a message expires, or hold a lock.

use std::fmt;
use std::mem;

use crate::children::{Children, IntoNodes, Parent, dismantle};

/// One value for each topic.
///
/// ```
/// use std::ops::ControlFlow;
/// use aldis_topic::RetainedTree;
/// let mut tree = RetainedTree::new();
/// tree.insert("sport/tennis", "6:4");
/// tree.insert("weather", "rain");
/// let mut found = Vec::new();
/// tree.walk("sport/#", None, 1_000, &mut |topic, value| {
///     found.push((topic.to_owned(), *value));
///     ControlFlow::Continue(())
/// });
/// assert_eq!(found, [("sport/tennis".to_owned(), "6:4")]);
/// ```
pub struct RetainedTree<V> {
    pub(crate) root: Node<V>,
    values: usize,
    nodes: usize,
}

/// A level of a topic: 16 bytes where the value is a pointer, and a key of 24 in its parent's map.
pub(crate) struct Node<V> {
    pub(crate) value: Option<V>,
    pub(crate) children: Children<Node<V>>,
}

impl<V> RetainedTree<V> {
    /// An empty tree.
    pub fn new() -> RetainedTree<V> {
        RetainedTree { root: Node::default(), values: 0, nodes: 0 }
    }

    /// Puts a value at `topic`, a valid topic name; returns the one that was there.
    pub fn insert(&mut self, topic: &str, value: V) -> Option<V> {
        let mut node = &mut self.root;
        for level in topic.split('/') {
            let (child, made) = node.children.get_or_make(level);
            node = child;
            self.nodes += usize::from(made);
        }
        let replaced = node.value.replace(value);
        self.values += usize::from(replaced.is_none());
        replaced
    }

    /// Takes the value at `topic` out, and with it every node that leads to no value any more.
    pub fn remove(&mut self, topic: &str) -> Option<V> {
        // How far the path stays: to the last node before the end that has a value or another child.
        let (mut stays, mut depth) = (0, 0);
        let mut node = &self.root;
        for level in topic.split('/') {
            if node.value.is_some() || node.children.len() > 1 {
                stays = depth;
            }
            node = node.children.get(level)?;
            depth += 1;
        }
        node.value.as_ref()?;
        if !node.children.is_empty() {
            stays = depth;
        }

        let mut node = &mut self.root;
        let mut path = topic.split('/');
        for level in path.by_ref().take(stays) {
            node = node.children.get_mut(level)?;
        }
        let removed = match path.next() {
            None => node.value.take(),
            Some(level) => {
                let mut chain = node.children.remove(level)?;
                let mut node = &mut chain;
                for level in path {
                    node = node.children.get_mut(level)?;
                }
                let removed = node.value.take();
                self.nodes -= depth - stays;
                dismantle(chain);
                removed
            }
        };
        self.values -= usize::from(removed.is_some());
        removed
    }

    /// The value at `topic`.
    pub fn get(&self, topic: &str) -> Option<&V> {
        let mut node = &self.root;
        for level in topic.split('/') {
            node = node.children.get(level)?;
        }
        node.value.as_ref()
    }

    /// How many topics have a value.
    pub fn len(&self) -> usize {
        self.values
    }

    /// Whether no topic has a value.
    pub fn is_empty(&self) -> bool {
        self.values == 0
    }

    /// How many nodes there are beside the root: one for each distinct beginning of the topics.
    pub fn nodes(&self) -> usize {
        self.nodes
    }
}

impl<V> Default for Node<V> {
    fn default() -> Node<V> {
        Node { value: None, children: Children::default() }
    }
}

impl<V> Parent for Node<V> {
    fn take_below(&mut self, below: &mut Vec<IntoNodes<Node<V>>>) {
        below.push(mem::take(&mut self.children).into_nodes());
    }
}

impl<V> Drop for RetainedTree<V> {
    fn drop(&mut self) {
        dismantle(mem::take(&mut self.root));
    }
}

impl<V> Default for RetainedTree<V> {
    fn default() -> RetainedTree<V> {
        RetainedTree::new()
    }
}

impl<V> fmt::Debug for RetainedTree<V> {
    /// Its size only: a tree can be larger than any log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetainedTree")
            .field("values", &self.values)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}
