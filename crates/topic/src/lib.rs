//! MQTT topic names and filters, the subscription trie and the tree of retained messages.
//!
//! # Layout
//! - [`check_topic_name`], [`TopicError`]: what a topic name may be (`name.rs`).
//! - [`TopicFilter`], [`matches()`]: what a filter may be, and which topics it matches (`filter.rs`).
//! - [`SubscriptionTrie`]: from a topic to everything subscribed to it (`subscription_trie.rs`).
//! - [`RetainedTree`]: from a filter to every retained topic, in steps (`retained_tree.rs`, `walk.rs`).
//! - `children.rs`, `level.rs`, `values.rs`: what the nodes of both trees are made of.
//!
//! # What holds everywhere
//! - Text is compared byte for byte: nothing is normalised, trimmed or case-folded
//!   `[MQTT-4.7.3-4]`.
//! - No function recurses, dropping included: a topic of 65,535 levels is as safe as one of three.
//! - No map is hashed. What clients choose (levels of topics) is kept in ordered maps, so nobody can
//!   make keys collide, no insert pays for the rehash of a million siblings while others wait, and the
//!   order of every walk follows from the contents alone.
//!
//! # What is not here
//! No packets, no sessions, no rights, no members of shared groups (a [`TopicFilter`] only names its
//! group), no locks, no clock.

mod children;
mod filter;
mod level;
mod name;
mod retained_tree;
mod subscription_trie;
mod values;
mod walk;

pub use filter::{TopicFilter, matches};
pub use name::{MAX_TOPIC_BYTES, TopicError, check_topic_name, is_dollar};
pub use retained_tree::RetainedTree;
pub use subscription_trie::{Keyed, SubscriptionTrie};
pub use walk::{Cursor, Walk};
