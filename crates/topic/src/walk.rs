//! Walking the retained messages that match a filter, in steps of bounded length.
//!
//! A subscription to `#` over a million retained messages takes many steps, between which the tree
//! changes and its lock is free. A walk therefore keeps no place in the tree, only the topic it has come
//! to: whatever was inserted or removed meanwhile, "behind that topic" still means something.

use std::ops::ControlFlow;

use crate::children::Iter;
use crate::filter::{levels, split_rest};
use crate::name::is_dollar;
use crate::retained_tree::{Node, RetainedTree};

/// How far a walk has come. Belongs to no tree and no filter, so it may be kept, copied and written down
/// ([`topic`](Cursor::topic), [`is_taken`](Cursor::is_taken)); it is valid for ever.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    topic: String,
    taken: bool,
}

impl Cursor {
    /// The place just before `topic`: a walk from here begins with it.
    pub fn before(topic: &str) -> Cursor {
        Cursor { topic: topic.to_owned(), taken: false }
    }

    /// The place just behind `topic`, so before the topics below it (`a/b` is below `a`).
    pub fn behind(topic: &str) -> Cursor {
        Cursor { topic: topic.to_owned(), taken: true }
    }

    /// The topic the walk has come to, perhaps one without a value that only leads to others.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether [`topic`](Cursor::topic) is done with; else the next walk begins with it.
    pub fn is_taken(&self) -> bool {
        self.taken
    }
}

/// How a walk ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Walk {
    /// Everything that matches was visited.
    Done,
    /// There may be more: go on from the cursor.
    Paused(Cursor),
}

impl<V> RetainedTree<V> {
    /// Visits the values whose topic matches `filter` (the matched part of a valid filter), with their
    /// topics, from the beginning or from where an earlier walk with this filter paused.
    ///
    /// The order is the tree's: a topic before those below it, siblings by the bytes of their level.
    /// Topics that are there from the first walk to the last are visited exactly once; those that come or
    /// go meanwhile may be visited or not. `#` and `+` do not match a first level that begins with `$`
    /// `[MQTT-4.7.2-1]`.
    ///
    /// At most `steps` nodes (at least one) are looked at, matching or not: O(log siblings) each. Taking
    /// a walk up costs O(depth · log siblings), however much lies before the cursor. A walk that looked
    /// at its last node with its last step pauses all the same; the next one is done at once.
    ///
    /// `visit` answers `Break` for "not taken": the walk pauses, and the next begins with this topic.
    pub fn walk(
        &self,
        filter: &str,
        after: Option<&Cursor>,
        steps: usize,
        visit: &mut dyn FnMut(&str, &V) -> ControlFlow<()>,
    ) -> Walk {
        let mut walker = Walker::new(filter, steps, visit);
        match after {
            None => walker.enter(&self.root, 0),
            Some(cursor) => {
                if let Some(paused) = walker.resume(&self.root, cursor) {
                    return paused;
                }
            }
        }
        while let Some((depth, level, node)) = walker.next_node() {
            walker.step_to(level, depth);
            if let Some(paused) = walker.look_at(node, depth) {
                return paused;
            }
        }
        Walk::Done
    }
}

/// The nodes at one depth still to be looked at, all children of one node.
struct Siblings<'a, V> {
    left: Iter<'a, Node<V>>,
    /// How many bytes of the walker's topic are the parent's.
    parent: usize,
}

struct Walker<'a, 'w, V> {
    /// The levels of the filter without `#`.
    levels: Vec<&'w str>,
    rest: bool,
    /// How many nodes may still be looked at.
    steps: usize,
    visit: &'w mut dyn FnMut(&str, &V) -> ControlFlow<()>,
    /// The topic of the node looked at.
    topic: String,
    /// One entry for each level of that topic, so its own index is the depth of the siblings' parent.
    stack: Vec<Siblings<'a, V>>,
}

impl<'a, 'w, V> Walker<'a, 'w, V> {
    fn new(
        filter: &'w str,
        steps: usize,
        visit: &'w mut dyn FnMut(&str, &V) -> ControlFlow<()>,
    ) -> Walker<'a, 'w, V> {
        let (path, rest) = split_rest(filter);
        let levels = levels(path).collect();
        Walker { levels, rest, steps, visit, topic: String::new(), stack: Vec::new() }
    }

    /// The level that the filter asks for below `depth`: a name, or `None` for any.
    fn wanted(&self, depth: usize) -> Option<&'w str> {
        self.levels.get(depth).copied().filter(|level| *level != "+")
    }

    /// Whether nothing below `depth` can match.
    fn ends_at(&self, depth: usize) -> bool {
        !self.rest && depth >= self.levels.len()
    }

    /// Whether a node at `depth` with this level can lead to a match: `$` at the beginning of a topic
    /// must be asked for by name [MQTT-4.7.2-1].
    fn admits(&self, level: &str, depth: usize) -> bool {
        match self.wanted(depth - 1) {
            Some(wanted) => wanted == level,
            None => depth > 1 || !is_dollar(level),
        }
    }

    /// Puts the children of a node at `depth` that may match on the stack.
    fn enter(&mut self, node: &'a Node<V>, depth: usize) {
        if self.ends_at(depth) || node.children.is_empty() {
            return;
        }
        let left = match self.wanted(depth) {
            Some(level) => node.children.iter_one(level),
            None => node.children.iter(),
        };
        self.stack.push(Siblings { left, parent: self.topic.len() });
    }

    /// Puts the children of a node at `depth` on the stack that come behind `level`.
    fn enter_after(&mut self, node: &'a Node<V>, depth: usize, level: &str) {
        let left = match self.wanted(depth) {
            Some(wanted) if wanted.as_bytes() > level.as_bytes() => node.children.iter_one(wanted),
            Some(_) => Iter::None,
            None => node.children.iter_after(level),
        };
        self.stack.push(Siblings { left, parent: self.topic.len() });
    }

    /// Goes down along the cursor's topic, as far as it still exists, leaving on the stack what comes
    /// behind it at each level. The pause, if looking at that topic ends the walk already.
    fn resume(&mut self, root: &'a Node<V>, cursor: &Cursor) -> Option<Walk> {
        let mut node = root;
        let mut depth = 0;
        for level in cursor.topic.split('/') {
            if self.ends_at(depth) {
                return None;
            }
            self.enter_after(node, depth, level);
            depth += 1;
            match node.children.get(level) {
                Some(child) if self.admits(level, depth) => node = child,
                _ => return None,
            }
            self.step_to(level, depth);
        }
        if cursor.taken {
            self.enter(node, depth);
            return None;
        }
        self.look_at(node, depth)
    }

    /// The next node in order, with its depth (from 1) and level; the topic is then its parent's.
    fn next_node(&mut self) -> Option<(usize, &'a str, &'a Node<V>)> {
        loop {
            let depth = self.stack.len();
            let siblings = self.stack.last_mut()?;
            if let Some((level, node)) = siblings.left.next() {
                self.topic.truncate(siblings.parent);
                return Some((depth, level.as_str(), node));
            }
            self.stack.pop();
        }
    }

    /// Makes the topic that of a child.
    fn step_to(&mut self, level: &str, depth: usize) {
        if depth > 1 {
            self.topic.push('/');
        }
        self.topic.push_str(level);
    }

    /// Visits the node whose topic this is, if it matches, and enters it. The pause, if the value was
    /// not taken or this was the last step.
    fn look_at(&mut self, node: &'a Node<V>, depth: usize) -> Option<Walk> {
        // At depth 1 the topic is its first level.
        if depth > 1 || self.admits(&self.topic, depth) {
            let matches = depth == self.levels.len() || (self.rest && depth > self.levels.len());
            if let Some(value) = node.value.as_ref().filter(|_| matches)
                && (self.visit)(&self.topic, value).is_break()
            {
                return Some(Walk::Paused(Cursor::before(&self.topic)));
            }
            self.enter(node, depth);
        }
        self.steps = self.steps.saturating_sub(1);
        (self.steps == 0).then(|| Walk::Paused(Cursor::behind(&self.topic)))
    }
}
