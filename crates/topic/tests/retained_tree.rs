//! The tree of retained messages: against a naive map, and walks that pause while the tree changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow::{Break, Continue};
use std::thread;

use aldis_topic::{Cursor, RetainedTree, Walk};
use random::{Random, naive_matches};

/// Everything that matches, in one walk.
fn all(tree: &RetainedTree<u32>, filter: &str) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let end = tree.walk(filter, None, usize::MAX, &mut |topic, value| {
        found.push((topic.to_owned(), *value));
        Continue(())
    });
    assert_eq!(end, Walk::Done);
    found
}

fn topics(tree: &RetainedTree<u32>, filter: &str) -> Vec<String> {
    all(tree, filter).into_iter().map(|(topic, _)| topic).collect()
}

fn tree_of(topics: &[&str]) -> RetainedTree<u32> {
    let mut tree = RetainedTree::new();
    for (value, topic) in topics.iter().enumerate() {
        assert_eq!(tree.insert(topic, value as u32), None);
    }
    tree
}

/// The tree's order: by the bytes of each level in turn.
fn order(topic: &str) -> Vec<&[u8]> {
    topic.split('/').map(str::as_bytes).collect()
}

/// Sections 4.7.1 and 4.7.2, [MQTT-4.7.2-1].
#[test]
fn section_4_7_a_filter_finds_its_topics_in_order() {
    let tree = tree_of(&["b", "a/b", "a", "/", "a/b/c", "a!", "/a", "a/", "$SYS/x", "$SYS", "é", "A", "//"]);
    let expected: &[(&str, &[&str])] = &[
        ("#", &["/", "//", "/a", "A", "a", "a/", "a/b", "a/b/c", "a!", "b", "é"]),
        ("+", &["A", "a", "a!", "b", "é"]),
        ("+/+", &["/", "/a", "a/", "a/b"]),
        ("/+", &["/", "/a"]),
        ("/#", &["/", "//", "/a"]),
        ("+/#", &["/", "//", "/a", "A", "a", "a/", "a/b", "a/b/c", "a!", "b", "é"]),
        ("a/#", &["a", "a/", "a/b", "a/b/c"]),
        ("a/+/#", &["a/", "a/b", "a/b/c"]),
        ("a/+", &["a/", "a/b"]),
        ("+/b/+", &["a/b/c"]),
        ("a/b", &["a/b"]),
        ("$SYS/#", &["$SYS", "$SYS/x"]),
        ("$SYS", &["$SYS"]),
        ("c/#", &[]),
        ("a/b/c/d", &[]),
        ("a/b/c/d/#", &[]),
    ];
    for (filter, expected) in expected {
        assert_eq!(topics(&tree, filter), *expected, "{filter:?}");
    }
}

#[test]
fn insert_get_and_remove() {
    let mut tree = tree_of(&["a/b/c", "a"]);
    assert_eq!((tree.len(), tree.nodes()), (2, 3));
    assert_eq!(tree.insert("a", 9), Some(1));
    assert_eq!(tree.get("a"), Some(&9));
    for absent in ["a/b", "", "/", "b", "a/b/c/d", "a/"] {
        assert_eq!(tree.get(absent), None, "{absent:?}");
        assert_eq!(tree.remove(absent), None, "{absent:?}");
    }
    assert_eq!(tree.remove("a/b/c"), Some(0));
    assert_eq!((tree.len(), tree.nodes()), (1, 1));
    assert_eq!(tree.remove("a"), Some(9));
    assert!(tree.is_empty() && tree.nodes() == 0);
}

#[test]
fn random_operations_agree_with_a_naive_map() {
    for seed in 1..=6 {
        let mut random = Random::new(seed);
        let mut tree = RetainedTree::new();
        let mut naive: BTreeMap<String, u32> = BTreeMap::new();
        for step in 0..4_000_u32 {
            let growing = (step / 500) % 2 == 0;
            let known = naive.keys().nth(random.below(naive.len().max(1))).cloned();
            let topic = known.filter(|_| random.below(3) == 0 || !growing).unwrap_or_else(|| random.topic());
            assert_eq!(tree.get(&topic), naive.get(&topic));
            if random.below(10) < if growing { 7 } else { 2 } {
                assert_eq!(tree.insert(&topic, step), naive.insert(topic, step));
            } else {
                assert_eq!(tree.remove(&topic), naive.remove(&topic));
            }
            assert_eq!(tree.len(), naive.len());
            if step % 25 == 0 {
                let filter = random.filter();
                let mut expected: Vec<_> =
                    naive.clone().into_iter().filter(|(topic, _)| naive_matches(&filter, topic)).collect();
                expected.sort_by(|(left, _), (right, _)| order(left).cmp(&order(right)));
                assert_eq!(all(&tree, &filter), expected, "seed {seed}, step {step}, filter {filter:?}");
                let nodes: BTreeSet<Vec<&[u8]>> = naive
                    .keys()
                    .flat_map(|topic| (1..=order(topic).len()).map(|depth| order(topic)[..depth].to_vec()))
                    .collect();
                assert_eq!(tree.nodes(), nodes.len());
            }
        }
        for (topic, value) in naive {
            assert_eq!(tree.remove(&topic), Some(value));
        }
        assert_eq!((tree.len(), tree.nodes()), (0, 0), "seed {seed}");
    }
}

/// Walks with random steps and random "not taken", while other topics come and go: what is there all the
/// time is visited exactly once, in order, and nothing is visited twice.
#[test]
fn paused_walks_visit_what_stays_exactly_once() {
    let mut paused_on_break = 0;
    for seed in 1..=400 {
        let mut random = Random::new(seed);
        let filter = if seed % 3 == 0 { "#".to_owned() } else { random.filter() };
        let mut tree = RetainedTree::new();
        let stays: BTreeSet<String> = (0..150).map(|_| random.topic()).collect();
        for topic in &stays {
            tree.insert(topic, 1);
        }
        let most_steps = 1 + random.below(12);
        let mut taken: Vec<String> = Vec::new();
        let mut after: Option<Cursor> = None;
        loop {
            let steps = 1 + random.below(most_steps);
            let mut not_taken = None;
            let mut visits = 0;
            let end = tree.walk(&filter, after.as_ref(), steps, &mut |topic, _| {
                assert!(not_taken.is_none(), "nothing is visited after Break");
                visits += 1;
                if random.below(8) == 0 {
                    not_taken = Some(topic.to_owned());
                    return Break(());
                }
                taken.push(topic.to_owned());
                Continue(())
            });
            assert!(visits <= steps);
            let Walk::Paused(cursor) = end else {
                assert_eq!(not_taken, None);
                break;
            };
            if let Some(topic) = &not_taken {
                paused_on_break += 1;
                assert_eq!((cursor.topic(), cursor.is_taken()), (topic.as_str(), false));
            } else {
                assert!(cursor.is_taken());
            }
            after = Some(cursor);
            for _ in 0..random.below(6) {
                // Often just around the cursor, and often the very topic it stands on.
                let topic = match random.below(4) {
                    0 => after.as_ref().unwrap().topic().to_owned(),
                    1 => format!("{}/{}", after.as_ref().unwrap().topic(), random.topic()),
                    _ => random.topic(),
                };
                if stays.contains(&topic) {
                    continue;
                }
                if random.below(2) == 0 {
                    tree.insert(&topic, 2);
                } else {
                    tree.remove(&topic);
                }
            }
        }
        assert!(taken.is_sorted_by(|left, right| order(left) < order(right)), "in order, none twice");
        assert!(taken.iter().all(|topic| naive_matches(&filter, topic)));
        let taken: BTreeSet<&String> = taken.iter().collect();
        for topic in stays.iter().filter(|topic| naive_matches(&filter, topic)) {
            assert!(taken.contains(topic), "seed {seed}, filter {filter:?}, lost {topic:?}");
        }
    }
    assert!(paused_on_break > 500);
}

/// A step is a node looked at, not a match: a walk that finds nothing pauses too, and gets to its end.
#[test]
fn steps_bound_the_work_of_a_walk_without_matches() {
    let mut tree = RetainedTree::new();
    for name in 0..1_000 {
        tree.insert(&format!("n{name}/x"), name);
        tree.insert(&format!("$n{name}/x"), name);
    }
    for (filter, looked_at) in
        [("+/y", 2_000), ("+/x", 3_000), ("#", 3_000), ("n7/x", 2), ("n7/#", 2), ("z", 0)]
    {
        for steps in [1, 7, 64] {
            let (mut after, mut walks) = (None, 0);
            while let Walk::Paused(cursor) =
                tree.walk(filter, after.as_ref(), steps, &mut |_, _| Continue(()))
            {
                walks += 1;
                after = Some(cursor);
            }
            assert_eq!(walks, looked_at / steps, "{filter:?} in steps of {steps}");
        }
    }
    assert_eq!(topics(&tree, "+/y").len(), 0);
    assert_eq!(topics(&tree, "#").len(), 1_000);
}

#[test]
fn a_topic_not_taken_is_the_next_one_visited() {
    let mut tree = tree_of(&["a", "a/b", "b", "c"]);
    let refuse = |filter: &str, after: Option<&Cursor>, refused: &str, tree: &RetainedTree<u32>| {
        let mut seen = Vec::new();
        let end = tree.walk(filter, after, 100, &mut |topic, _| {
            seen.push(topic.to_owned());
            if topic == refused { Break(()) } else { Continue(()) }
        });
        (seen.join(" "), if let Walk::Paused(cursor) = end { Some(cursor) } else { None })
    };
    let (seen, cursor) = refuse("#", None, "a/b", &tree);
    assert_eq!(seen, "a a/b");
    let (seen, cursor) = refuse("#", cursor.as_ref(), "a/b", &tree);
    assert_eq!(seen, "a/b");
    // It was removed meanwhile, and a new one came in its place.
    tree.remove("a/b");
    assert_eq!(refuse("#", cursor.as_ref(), "", &tree).0, "b c");
    tree.insert("a/b/c", 5);
    assert_eq!(refuse("#", cursor.as_ref(), "", &tree).0, "a/b/c b c");
    // A cursor can be written down and made again.
    let cursor = cursor.unwrap();
    assert_eq!(Cursor::before(cursor.topic()), cursor);
    tree.insert("a/b", 6);
    assert_eq!(refuse("#", Some(&Cursor::behind("a/b")), "", &tree).0, "a/b/c b c");
    assert_eq!(refuse("#", Some(&Cursor::behind("a/zzz/y")), "", &tree).0, "b c");
    // A cursor of another filter is a place like any other.
    assert_eq!(refuse("b", Some(&Cursor::behind("a/b")), "", &tree).0, "b");
    assert_eq!(refuse("b", Some(&Cursor::behind("c")), "", &tree).0, "");
    assert_eq!(refuse("+", Some(&Cursor::before("a/b")), "", &tree).0, "b c");
}

/// The deepest topic MQTT can carry, on a stack on which recursion would not fit.
#[test]
fn the_deepest_topics_need_no_stack() {
    let deep = || {
        let topic = "/".repeat(65_534);
        let mut tree = tree_of(&[&topic]);
        assert_eq!(topics(&tree, "#"), [topic.as_str()]);
        let Walk::Paused(cursor) = tree.walk("#", None, 60_000, &mut |_, _| Continue(())) else { panic!() };
        assert_eq!(cursor.topic().len(), 59_999);
        let end = tree.walk("#", Some(&cursor), 60_000, &mut |_, _| Continue(()));
        assert_eq!(end, Walk::Done);
        assert_eq!(tree.remove(&topic), Some(0));
        assert_eq!(tree.nodes(), 0);
        tree.insert(&topic, 1);
        drop(tree);
    };
    thread::Builder::new().stack_size(128 * 1024).spawn(deep).unwrap().join().unwrap();
}
