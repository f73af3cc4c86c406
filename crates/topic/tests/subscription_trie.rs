//! The subscription trie against a naive map, against bombs, and its pruning to the last node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use aldis_topic::{Keyed, SubscriptionTrie, matches};
use random::{Random, naive_matches};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Sub {
    key: u64,
    tag: u32,
}

impl Keyed for Sub {
    fn key(&self) -> u64 {
        self.key
    }
}

fn sub(key: u64) -> Sub {
    Sub { key, tag: 0 }
}

fn keys(trie: &SubscriptionTrie<Sub>, topic: &str) -> Vec<u64> {
    let mut keys = Vec::new();
    trie.matches(topic, &mut |sub| keys.push(sub.key));
    keys.sort_unstable();
    keys
}

/// The distinct beginnings of the filters, `#` not counted.
fn expected_nodes<'a>(filters: impl Iterator<Item = &'a str>) -> usize {
    let mut nodes = BTreeSet::new();
    for filter in filters {
        let levels: Vec<&str> = filter.split('/').filter(|level| *level != "#").collect();
        nodes.extend((1..=levels.len()).map(|depth| levels[..depth].join("/")));
    }
    nodes.len()
}

/// Sections 4.7.1 and 4.7.2, [MQTT-4.7.2-1]: every filter inserted under its index.
#[test]
fn section_4_7_a_topic_finds_its_filters() {
    let filters =
        ["#", "+", "/+", "+/+", "a", "a/#", "a/+", "a/b", "/", "a/", "$SYS/#", "+/#", "/#", "a/b/#"];
    let mut trie = SubscriptionTrie::new();
    for (key, filter) in filters.iter().enumerate() {
        assert_eq!(trie.insert(filter, sub(key as u64)), None);
    }
    let topics = ["a", "/", "a/", "/a", "a/b", "a/b/c", "b", "A", "$SYS", "$SYS/a", "$x", "//", "", "a/$SYS"];
    for topic in topics {
        let expected: Vec<u64> =
            (0..filters.len()).filter(|i| naive_matches(filters[*i], topic)).map(|i| i as u64).collect();
        assert_eq!(keys(&trie, topic), expected, "{topic:?}");
    }
    assert_eq!(keys(&trie, "a/b"), [0, 3, 5, 6, 7, 11, 13]);
    assert_eq!(keys(&trie, "$SYS/a"), [10]);
}

#[test]
fn one_value_for_each_key_at_a_filter() {
    let mut trie = SubscriptionTrie::new();
    let (old, new) = (Sub { key: 7, tag: 1 }, Sub { key: 7, tag: 2 });
    assert_eq!(trie.insert("a/#", old), None);
    assert_eq!(trie.insert("a", old), None);
    assert_eq!(trie.insert("a/#", new), Some(old));
    assert_eq!(trie.len(), 2);
    assert_eq!(trie.get("a/#", 7), Some(&new));
    assert_eq!(trie.get("a", 7), Some(&old));
    assert_eq!(keys(&trie, "a"), [7, 7]);
    for (filter, key) in [("a/#", 8), ("a/+", 7), ("#", 7), ("a/b", 7), ("b", 7), ("+", 7)] {
        assert_eq!(trie.get(filter, key), None);
        assert_eq!(trie.remove(filter, key), None);
    }
    assert_eq!(trie.remove("a/#", 7), Some(new));
    assert_eq!(trie.remove("a/#", 7), None);
    assert_eq!(trie.remove("a", 7), Some(old));
    assert!(trie.is_empty() && trie.nodes() == 0);
}

#[test]
fn thousands_of_values_at_one_filter() {
    let mut trie = SubscriptionTrie::new();
    let mut random = Random::new(1);
    let mut expected = BTreeSet::new();
    for _ in 0..5_000 {
        let key = random.below(4_000) as u64;
        assert_eq!(trie.insert("status/#", sub(key)).is_none(), expected.insert(key));
    }
    let mut visited = Vec::new();
    trie.matches("status", &mut |sub| visited.push(sub.key));
    assert_eq!(visited, expected.iter().copied().collect::<Vec<_>>());
    assert_eq!((trie.len(), trie.nodes()), (expected.len(), 1));
    while let Some(key) = expected.pop_first() {
        assert_eq!(trie.remove("status/#", key), Some(sub(key)));
        assert_eq!(trie.len(), expected.len());
        if expected.len() % 100 < 3 || expected.len() < 20 {
            assert_eq!(keys(&trie, "status/x"), expected.iter().copied().collect::<Vec<_>>());
        }
    }
    assert_eq!(trie.nodes(), 0);
}

#[test]
fn equal_contents_are_visited_in_equal_order() {
    let mut random = Random::new(2);
    let mut contents: Vec<(String, u64)> = (0..400).map(|key| (random.filter(), key % 50)).collect();
    let mut orders = Vec::new();
    for _ in 0..3 {
        let mut trie = SubscriptionTrie::new();
        for (filter, key) in &contents {
            trie.insert(filter, sub(*key));
        }
        let mut order = Vec::new();
        trie.matches("a/b", &mut |sub| order.push(sub.key));
        assert!(!order.is_empty());
        orders.push(order);
        contents.reverse();
        contents.rotate_left(17);
    }
    assert!(orders[0] == orders[1] && orders[1] == orders[2]);
}

#[test]
fn random_operations_agree_with_a_naive_map() {
    for seed in 1..=8 {
        let mut random = Random::new(seed);
        let mut trie = SubscriptionTrie::new();
        let mut naive: BTreeMap<(String, u64), u32> = BTreeMap::new();
        for step in 0..4_000_u32 {
            // Grow for a while, then shrink for a while.
            let growing = (step / 500) % 2 == 0;
            let known = naive.keys().nth(random.below(naive.len().max(1))).cloned();
            let (filter, key) = known
                .filter(|_| random.below(3) == 0 || !growing)
                .unwrap_or_else(|| (random.filter(), random.below(30) as u64));
            if random.below(10) < if growing { 7 } else { 2 } {
                let replaced = trie.insert(&filter, Sub { key, tag: step });
                assert_eq!(replaced.map(|sub| sub.tag), naive.insert((filter, key), step));
            } else {
                let removed = trie.remove(&filter, key);
                assert_eq!(removed.map(|sub| sub.tag), naive.remove(&(filter, key)));
            }
            assert_eq!(trie.len(), naive.len());
            if step % 20 == 0 {
                let topic = random.topic();
                let mut found = Vec::new();
                trie.matches(&topic, &mut |sub| found.push((sub.key, sub.tag)));
                found.sort_unstable();
                let fits = |(filter, _): &&(String, u64)| naive_matches(filter, &topic);
                let mut expected: Vec<_> = naive.keys().filter(fits).map(|at| (at.1, naive[at])).collect();
                expected.sort_unstable();
                assert_eq!(found, expected, "seed {seed}, step {step}, topic {topic:?}");
                assert_eq!(trie.nodes(), expected_nodes(naive.keys().map(|(filter, _)| filter.as_str())));
            }
        }
        for ((filter, key), tag) in naive {
            assert_eq!(trie.get(&filter, key), Some(&Sub { key, tag }));
            assert_eq!(trie.remove(&filter, key), Some(Sub { key, tag }));
        }
        assert_eq!((trie.len(), trie.nodes()), (0, 0), "seed {seed}");
        assert_eq!(trie.visited("a/b"), 1);
    }
}

#[test]
fn the_matcher_agrees_with_the_naive_one() {
    let mut random = Random::new(3);
    let mut hits = 0;
    for _ in 0..20_000 {
        let (filter, topic) = (random.filter(), random.topic());
        assert_eq!(matches(&filter, &topic), naive_matches(&filter, &topic), "{filter:?} {topic:?}");
        hits += usize::from(matches(&filter, &topic));
    }
    assert!(hits > 1_000);
}

/// Wildcard bombs: the work is bounded by the nodes that were really inserted.
#[test]
fn no_filter_makes_a_look_up_visit_a_node_twice() {
    let mut trie = SubscriptionTrie::new();
    // Every mixture of + and x in ten levels: 1,024 filters, all of which match.
    for mixture in 0..1_024_u64 {
        let levels: Vec<&str> = (0..10).map(|bit| if mixture >> bit & 1 == 1 { "+" } else { "x" }).collect();
        trie.insert(&levels.join("/"), sub(mixture));
    }
    let topic = ["x"; 10].join("/");
    assert_eq!(keys(&trie, &topic).len(), 1_024);
    assert_eq!(trie.visited(&topic), trie.nodes() + 1);

    // 128 levels of + with # at every depth, and one named level at every depth of a second family.
    for depth in 0..128 {
        let mut levels = vec!["+"; 127];
        levels[depth.min(126)] = "#";
        levels.truncate(depth.min(126) + 1);
        trie.insert(&levels.join("/"), sub(2_000 + depth as u64));
        let mut levels = vec!["+"; 128];
        levels[depth] = "x";
        trie.insert(&levels.join("/"), sub(3_000 + depth as u64));
    }
    let topic = ["x"; 128].join("/");
    assert!(trie.visited(&topic) <= trie.nodes() + 1);
    assert_eq!(keys(&trie, &topic).iter().filter(|key| **key >= 3_000).count(), 128);
    assert!(matches(&format!("{}/#", ["+"; 127].join("/")), &topic));
}

/// The deepest topic MQTT can carry, on a stack on which recursion would not fit.
#[test]
fn the_deepest_filters_need_no_stack() {
    let deep = || {
        let topic = "/".repeat(65_534);
        let plus = vec!["+"; 32_768].join("/");
        let mut trie = SubscriptionTrie::new();
        trie.insert(&topic, sub(1));
        trie.insert(&plus, sub(2));
        trie.insert("/#", sub(3));
        assert_eq!(trie.nodes(), 65_535 + 32_768);
        assert_eq!(keys(&trie, &topic), [1, 3]);
        assert_eq!(keys(&trie, &"/".repeat(32_767)), [2, 3]);
        assert!(trie.visited(&topic) <= trie.nodes() + 1);
        assert_eq!(trie.remove(&topic, 1), Some(sub(1)));
        assert_eq!(trie.nodes(), 1 + 32_768);
        assert_eq!(trie.remove(&plus, 2), Some(sub(2)));
        assert_eq!(trie.nodes(), 1);
        trie.insert(&topic, sub(1));
        trie.insert(&plus, sub(2));
        drop(trie);
    };
    thread::Builder::new().stack_size(128 * 1024).spawn(deep).unwrap().join().unwrap();
}

#[test]
fn filters_that_parse_would_refuse_do_no_harm() {
    let mut trie = SubscriptionTrie::new();
    for filter in ["a/#/b", "a#", "b+", "", "##"] {
        assert_eq!(trie.insert(filter, sub(1)), None);
    }
    assert_eq!(keys(&trie, "a/x/b"), [0_u64; 0]);
    assert_eq!(keys(&trie, "a"), [0_u64; 0]);
    for filter in ["a/#/b", "a#", "b+", "", "##"] {
        assert_eq!(trie.remove(filter, 1), Some(sub(1)));
    }
    assert_eq!(trie.nodes(), 0);
}
