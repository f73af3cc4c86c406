//! The subscription trie against a list that is searched from end to end, under operations of any order.

use crate::choices::Choices;
use crate::naive;
use aldis_topic::{Keyed, SubscriptionTrie};
use std::collections::BTreeSet;

/// A subscription: whose it is, and when it came.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Subscriber {
    key: u64,
    tag: u32,
}

impl Keyed for Subscriber {
    fn key(&self) -> u64 {
        self.key
    }
}

/// What is compared with the list.
pub trait Trie: Default {
    /// As [`SubscriptionTrie::insert`].
    fn insert(&mut self, filter: &str, value: Subscriber) -> Option<Subscriber>;
    /// As [`SubscriptionTrie::remove`].
    fn remove(&mut self, filter: &str, key: u64) -> Option<Subscriber>;
    /// Everything whose filter matches.
    fn matching(&self, topic: &str) -> Vec<Subscriber>;
    /// The trie itself, for what it says about its size.
    fn inner(&self) -> &SubscriptionTrie<Subscriber>;
}

impl Trie for SubscriptionTrie<Subscriber> {
    fn insert(&mut self, filter: &str, value: Subscriber) -> Option<Subscriber> {
        SubscriptionTrie::insert(self, filter, value)
    }

    fn remove(&mut self, filter: &str, key: u64) -> Option<Subscriber> {
        SubscriptionTrie::remove(self, filter, key)
    }

    fn matching(&self, topic: &str) -> Vec<Subscriber> {
        let mut found = Vec::new();
        self.matches(topic, &mut |one| found.push(*one));
        found
    }

    fn inner(&self) -> &SubscriptionTrie<Subscriber> {
        self
    }
}

/// The target: [`check`] of Aldis' own trie.
pub fn trie(data: &[u8]) {
    check::<SubscriptionTrie<Subscriber>>(data);
}

/// Does what `data` says to a trie and to a list, and compares them after every step.
///
/// # Panics
/// They differ.
pub fn check<T: Trie>(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut trie = T::default();
    let mut list: Vec<(String, Subscriber)> = Vec::new();
    let mut tag = 0;
    while !choices.is_empty() {
        let operation = choices.below(8);
        let filter = match choices.below(3) {
            0 if !list.is_empty() => list[choices.below(list.len())].0.clone(),
            _ => choices.filter(),
        };
        let key = choices.below(24) as u64;
        let place = list.iter().position(|(at, one)| *at == filter && one.key == key);
        match operation {
            0..4 => {
                tag += 1;
                let value = Subscriber { key, tag };
                let before = place.map(|place| list.remove(place).1);
                assert_eq!(trie.insert(&filter, value), before, "insert {filter:?}");
                list.push((filter, value));
            }
            4..6 => {
                let before = place.map(|place| list.remove(place).1);
                assert_eq!(trie.remove(&filter, key), before, "remove {filter:?}");
            }
            _ => {
                let held = place.map(|place| list[place].1);
                assert_eq!(trie.inner().get(&filter, key).copied(), held, "get {filter:?}");
                compare(&trie, &list, &choices.topic());
            }
        }
        assert_eq!(trie.inner().len(), list.len());
    }
    for topic in ["a/b", "$SYS/a", "a", "//", "a/b/c/d"] {
        compare(&trie, &list, topic);
    }
    for (filter, one) in std::mem::take(&mut list) {
        assert_eq!(trie.remove(&filter, one.key), Some(one), "at last: {filter:?}");
    }
    assert_eq!((trie.inner().len(), trie.inner().nodes()), (0, 0), "an empty trie has no nodes");
}

fn compare(trie: &impl Trie, list: &[(String, Subscriber)], topic: &str) {
    let fits = |(filter, _): &&(String, Subscriber)| naive::matches(filter, topic);
    let mut expected: Vec<Subscriber> = list.iter().filter(fits).map(|(_, one)| *one).collect();
    let mut found = trie.matching(topic);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected, "{topic:?}");
    let filters = list.iter().map(|(filter, _)| filter.as_str());
    let nodes: BTreeSet<String> = filters.flat_map(beginnings).collect();
    assert_eq!(trie.inner().nodes(), nodes.len(), "a node for each beginning of {list:?}");
    assert!(trie.inner().visited(topic) <= nodes.len() + 1, "{topic:?} visits a node twice");
}

/// The beginnings of a filter that have a node: `#` lives in the one above it.
fn beginnings(filter: &str) -> Vec<String> {
    let levels: Vec<&str> = filter.split('/').filter(|level| *level != "#").collect();
    (1..=levels.len()).map(|depth| levels[..depth].join("/")).collect()
}
