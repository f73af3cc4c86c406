//! The tree of retained messages against a plain map, under operations of any order, with a walk that pauses
//! while the tree changes under it.

use crate::choices::Choices;
use crate::naive;
use aldis_topic::{Cursor, RetainedTree, Walk};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow::{Break, Continue};

/// What is compared with the map.
pub trait Tree: Default {
    /// As [`RetainedTree::insert`].
    fn insert(&mut self, topic: &str, value: u32) -> Option<u32>;
    /// As [`RetainedTree::remove`].
    fn remove(&mut self, topic: &str) -> Option<u32>;
    /// The tree itself, to be walked.
    fn inner(&self) -> &RetainedTree<u32>;
}

impl Tree for RetainedTree<u32> {
    fn insert(&mut self, topic: &str, value: u32) -> Option<u32> {
        RetainedTree::insert(self, topic, value)
    }

    fn remove(&mut self, topic: &str) -> Option<u32> {
        RetainedTree::remove(self, topic)
    }

    fn inner(&self) -> &RetainedTree<u32> {
        self
    }
}

/// A walk that goes on from time to time.
struct Paused {
    filter: String,
    after: Option<Cursor>,
    /// What was there when it began and has never gone.
    stays: BTreeSet<String>,
    taken: Vec<String>,
}

/// The target: [`check`] of Aldis' own tree.
pub fn retained(data: &[u8]) {
    check::<RetainedTree<u32>>(data);
}

/// Does what `data` says to a tree and to a map, and compares them.
///
/// # Panics
/// They differ.
pub fn check<T: Tree>(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut tree = T::default();
    let mut map: BTreeMap<String, u32> = BTreeMap::new();
    let mut walk: Option<Paused> = None;
    let mut value = 0;
    while !choices.is_empty() {
        let operation = choices.below(10);
        match operation {
            0..4 => {
                value += 1;
                let topic = topic_near(&mut choices, walk.as_ref());
                assert_eq!(tree.insert(&topic, value), map.insert(topic.clone(), value), "insert {topic:?}");
            }
            4..6 => {
                let topic = topic_near(&mut choices, walk.as_ref());
                assert_eq!(tree.remove(&topic), map.remove(&topic), "remove {topic:?}");
                if let Some(walk) = &mut walk {
                    walk.stays.remove(&topic);
                }
            }
            6 => {
                let topic = choices.topic();
                assert_eq!(tree.inner().get(&topic), map.get(&topic), "get {topic:?}");
            }
            7 => compare(tree.inner(), &map, &choices.filter()),
            _ => {
                let paused = walk.take().unwrap_or_else(|| begin(&mut choices, &map));
                walk = go_on(paused, tree.inner(), &mut choices);
            }
        }
        assert_eq!(tree.inner().len(), map.len());
    }
    compare(tree.inner(), &map, "#");
    while let Some(paused) = walk.take() {
        walk = go_on(paused, tree.inner(), &mut choices);
    }
    for (topic, value) in map {
        assert_eq!(tree.remove(&topic), Some(value), "at last: {topic:?}");
    }
    assert_eq!((tree.inner().len(), tree.inner().nodes()), (0, 0), "an empty tree has no nodes");
}

/// Any topic; while a walk pauses, often the one it stands on or one below it.
fn topic_near(choices: &mut Choices<'_>, walk: Option<&Paused>) -> String {
    let at = walk.and_then(|walk| walk.after.as_ref()).map(Cursor::topic);
    match (choices.below(4), at) {
        (0, Some(topic)) => topic.to_owned(),
        (1, Some(topic)) => format!("{topic}/{}", choices.topic()),
        _ => choices.topic(),
    }
}

/// Everything that matches comes, in the order of the levels, and nothing else.
fn compare(tree: &RetainedTree<u32>, map: &BTreeMap<String, u32>, filter: &str) {
    let mut found = Vec::new();
    let end = tree.walk(filter, None, usize::MAX, &mut |topic, value| {
        found.push((topic.to_owned(), *value));
        Continue(())
    });
    assert_eq!(end, Walk::Done);
    let fits = |(topic, _): &(String, u32)| naive::matches(filter, topic);
    let mut expected: Vec<(String, u32)> =
        map.iter().map(|(topic, value)| (topic.clone(), *value)).filter(fits).collect();
    expected.sort_by(|(one, _), (other, _)| levels(one).cmp(&levels(other)));
    assert_eq!(found, expected, "{filter:?}");
    let beginning = |topic: &String, depth: usize| levels(topic)[..depth].join(&b'/');
    let depths = |topic: &String| 1..=levels(topic).len();
    let nodes: BTreeSet<Vec<u8>> = map
        .keys()
        .flat_map(|topic| depths(topic).map(|depth| beginning(topic, depth)).collect::<Vec<_>>())
        .collect();
    assert_eq!(tree.nodes(), nodes.len(), "a node for each beginning of {map:?}");
}

fn levels(topic: &str) -> Vec<&[u8]> {
    topic.split('/').map(str::as_bytes).collect()
}

fn begin(choices: &mut Choices<'_>, map: &BTreeMap<String, u32>) -> Paused {
    let filter = choices.filter();
    let stays = map.keys().filter(|topic| naive::matches(&filter, topic)).cloned().collect();
    Paused { filter, after: None, stays, taken: Vec::new() }
}

/// One step of a walk; `None` when it is done, and has then visited what stayed exactly once.
fn go_on(mut walk: Paused, tree: &RetainedTree<u32>, choices: &mut Choices<'_>) -> Option<Paused> {
    let steps = 1 + choices.below(6);
    // At the end of the input 0 takes everything, so that the walk comes to its end.
    let refuses = choices.below(5);
    let mut visits = 0;
    let mut refused = None;
    let end = tree.walk(&walk.filter, walk.after.as_ref(), steps, &mut |topic, _| {
        assert!(refused.is_none(), "nothing is visited after Break");
        visits += 1;
        if visits == refuses {
            refused = Some(topic.to_owned());
            return Break(());
        }
        walk.taken.push(topic.to_owned());
        Continue(())
    });
    assert!(visits <= steps);
    match end {
        Walk::Paused(cursor) => {
            if let Some(topic) = refused {
                assert_eq!((cursor.topic(), cursor.is_taken()), (topic.as_str(), false));
            }
            walk.after = Some(cursor);
            Some(walk)
        }
        Walk::Done => {
            assert_eq!(refused, None);
            assert!(walk.taken.is_sorted_by(|one, other| levels(one) < levels(other)), "{:?}", walk.taken);
            assert!(walk.taken.iter().all(|topic| naive::matches(&walk.filter, topic)));
            let taken: BTreeSet<&String> = walk.taken.iter().collect();
            let lost = walk.stays.iter().find(|topic| !taken.contains(topic));
            assert_eq!(lost, None, "{:?} took {taken:?}", walk.filter);
            None
        }
    }
}
