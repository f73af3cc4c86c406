//! No target is a check that cannot fail: each is given a part with a mistake in it, the kind that one makes, and
//! finds it within the inputs of its moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use aldis::configuration::{Config, ConfigError};
use aldis_fuzz::conversation::{self, ConversationStage};
use aldis_fuzz::outbox::Seen;
use aldis_fuzz::retained::Tree;
use aldis_fuzz::run::{Length, run};
use aldis_fuzz::trie::{Subscriber, Trie};
use aldis_fuzz::{Target, configuration, decoder, outbox, passwords, retained, stream, topics, trie};
use aldis_packet::*;
use aldis_server::{PasswordFile, PasswordFileError};
use aldis_session::Turned;
use aldis_topic::{RetainedTree, SubscriptionTrie};
use std::path::{Path, PathBuf};

/// The mistake is found, and the target says something with these words.
fn is_found(name: &'static str, run_target: fn(&[u8]), words: &str) {
    let target = Target { name, holds: "", run: run_target };
    match run(&target, 1, Length::Inputs(60_000)) {
        Ok(ran) => panic!("{name}: nothing found in {ran:?}"),
        Err(finding) => assert!(finding.what.contains(words), "found by something else: {finding}"),
    }
}

#[test]
fn decoder_a_property_is_dropped() {
    fn wrong<'a>(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Packet<'a>, DecodeError> {
        let mut packet = decode(frame, version, limits)?;
        if let Packet::Subscribe(subscribe) = &mut packet {
            subscribe.subscription_id = None;
        }
        Ok(packet)
    }
    is_found("decoder", |data| decoder::check(data, wrong), "a difference that is not listed");
}

#[test]
fn decoder_two_fields_change_places() {
    fn wrong<'a>(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Packet<'a>, DecodeError> {
        let mut packet = decode(frame, version, limits)?;
        if let Packet::Disconnect(disconnect) = &mut packet {
            let Disconnect { reason_string, server_reference, .. } = &mut **disconnect;
            std::mem::swap(reason_string, server_reference);
        }
        Ok(packet)
    }
    is_found("decoder", |data| decoder::check(data, wrong), "a difference that is not listed");
}

#[test]
fn decoder_something_forbidden_is_taken() {
    fn wrong<'a>(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Packet<'a>, DecodeError> {
        let flags = if frame.packet_type == PacketType::Puback { 0 } else { frame.flags };
        decode(&Frame { flags, ..*frame }, version, limits)
    }
    is_found("decoder", |data| decoder::check(data, wrong), "a difference that is not listed");
}

#[test]
fn decoder_something_good_is_refused_for_a_listed_reason() {
    fn wrong<'a>(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Packet<'a>, DecodeError> {
        let what = "a string holds the null character U+0000";
        let refusal = DecodeError { reason: ReasonCode::MalformedPacket, clause: "MQTT-1.5.4-2", what };
        if frame.packet_type == PacketType::Unsubscribe {
            Err(refusal)
        } else {
            decode(frame, version, limits)
        }
    }
    is_found("decoder", |data| decoder::check(data, wrong), "a difference that is not listed");
}

#[test]
fn decoder_what_comes_back_is_in_another_order() {
    fn wrong<'a>(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Packet<'a>, DecodeError> {
        let mut packet = decode(frame, version, limits)?;
        if let Packet::Publish(publish) = &mut packet {
            let mut order: Vec<Property<'_>> = forwarded_properties(&publish.properties.forwarded).collect();
            if order.len() > 1 && !order.iter().any(|one| matches!(one, Property::UserProperty(..))) {
                order.rotate_left(1);
                let forwarded = encode_forwarded(order).to_vec();
                publish.properties.forwarded = forwarded.into();
            }
        }
        Ok(packet)
    }
    is_found("decoder", |data| decoder::check(data, wrong), "another packet came back");
}

#[test]
fn decoder_a_field_is_taken_to_be_there() {
    fn wrong<'a>(
        frame: &Frame<'a>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Packet<'a>, DecodeError> {
        if frame.packet_type == PacketType::Connack {
            let _reason = frame.body[1];
        }
        decode(frame, version, limits)
    }
    is_found("decoder", |data| decoder::check(data, wrong), "index out of bounds");
}

#[test]
fn stream_half_a_length_is_taken_for_a_whole_one() {
    fn wrong(bytes: &[u8], limit: usize) -> Result<Framed<'_>, DecodeError> {
        match bytes {
            [first, low] if *low >= 0x80 => {
                let size = 2 + usize::from(low & 0x7F);
                if *first >> 4 == 0 || size > limit {
                    return next_frame(bytes, limit);
                }
                Ok(Framed::Partial { size: Some(size) })
            }
            _ => next_frame(bytes, limit),
        }
    }
    is_found("stream", |data| stream::check(data, wrong), "");
}

#[test]
fn topics_a_wildcard_reaches_a_dollar_topic() {
    fn wrong(filter: &str, topic: &str) -> bool {
        match topic.strip_prefix('$') {
            Some(topic) if filter.starts_with(['+', '#']) => aldis_topic::matches(filter, topic),
            _ => aldis_topic::matches(filter, topic),
        }
    }
    is_found("topics", |data| topics::check(data, wrong), "assertion `left == right` failed");
}

#[test]
fn topics_the_level_above_does_not_match() {
    fn wrong(filter: &str, topic: &str) -> bool {
        aldis_topic::matches(filter, topic) && filter.strip_suffix("/#") != Some(topic)
    }
    is_found("topics", |data| topics::check(data, wrong), "assertion `left == right` failed");
}

/// Forgets that a filter ends in `#` when it is asked for the value of a key.
#[derive(Default)]
struct WrongTrie(SubscriptionTrie<Subscriber>);

impl Trie for WrongTrie {
    fn insert(&mut self, filter: &str, value: Subscriber) -> Option<Subscriber> {
        self.0.insert(filter, value)
    }

    fn remove(&mut self, filter: &str, key: u64) -> Option<Subscriber> {
        self.0.remove(filter.strip_suffix("/#").unwrap_or(filter), key)
    }

    fn matching(&self, topic: &str) -> Vec<Subscriber> {
        Trie::matching(&self.0, topic)
    }

    fn inner(&self) -> &SubscriptionTrie<Subscriber> {
        &self.0
    }
}

#[test]
fn trie_another_filter_is_removed() {
    is_found("trie", trie::check::<WrongTrie>, "assertion `left == right` failed");
}

/// Keeps one of each key when it looks for matches.
#[derive(Default)]
struct MergingTrie(SubscriptionTrie<Subscriber>);

impl Trie for MergingTrie {
    fn insert(&mut self, filter: &str, value: Subscriber) -> Option<Subscriber> {
        self.0.insert(filter, value)
    }

    fn remove(&mut self, filter: &str, key: u64) -> Option<Subscriber> {
        self.0.remove(filter, key)
    }

    fn matching(&self, topic: &str) -> Vec<Subscriber> {
        let mut found = Trie::matching(&self.0, topic);
        found.sort_unstable();
        found.dedup_by_key(|one| aldis_topic::Keyed::key(one));
        found
    }

    fn inner(&self) -> &SubscriptionTrie<Subscriber> {
        &self.0
    }
}

#[test]
fn trie_overlapping_filters_become_one() {
    is_found("trie", trie::check::<MergingTrie>, "assertion `left == right` failed");
}

/// Loses what lies below a topic that is removed.
#[derive(Default)]
struct WrongTree(RetainedTree<u32>);

impl Tree for WrongTree {
    fn insert(&mut self, topic: &str, value: u32) -> Option<u32> {
        self.0.insert(topic, value)
    }

    fn remove(&mut self, topic: &str) -> Option<u32> {
        let removed = self.0.remove(topic);
        if removed.is_some() {
            self.0.remove(&format!("{topic}/a"));
        }
        removed
    }

    fn inner(&self) -> &RetainedTree<u32> {
        &self.0
    }
}

#[test]
fn retained_a_topic_takes_those_below_it_along() {
    is_found("retained", retained::check::<WrongTree>, "assertion `left == right` failed");
}

fn spoil_publishes(seen: Vec<Seen>, spoil: impl Fn(&mut aldis_fuzz::outbox::SeenPublish)) -> Vec<Seen> {
    let spoilt = |mut seen| {
        if let Seen::Publish(publish) = &mut seen {
            spoil(publish);
        }
        seen
    };
    seen.into_iter().map(spoilt).collect()
}

#[test]
fn outbox_dup_is_forgotten() {
    is_found(
        "outbox",
        |data| outbox::check(data, |seen| spoil_publishes(seen, |publish| publish.dup = false)),
        "without DUP twice",
    );
}

#[test]
fn outbox_an_identifier_is_used_twice() {
    fn reuse(mut seen: Vec<Seen>) -> Vec<Seen> {
        let mut ids = seen.iter_mut().filter_map(|seen| match seen {
            Seen::Publish(publish) if publish.qos > 0 => Some(&mut publish.id),
            _ => None,
        });
        if let (Some(first), Some(second)) = (ids.next(), ids.next()) {
            *second = *first;
        }
        seen
    }
    is_found("outbox", |data| outbox::check(data, reuse), "[MQTT-2.2.1-4]");
}

#[test]
fn outbox_a_message_is_lost() {
    fn lose(mut seen: Vec<Seen>) -> Vec<Seen> {
        seen.retain(|seen| !matches!(seen, Seen::Publish(publish) if publish.qos > 0 && publish.id % 3 == 2));
        seen
    }
    is_found("outbox", |data| outbox::check(data, lose), "something never leaves");
}

#[test]
fn outbox_two_messages_change_places() {
    fn swap(mut seen: Vec<Seen>) -> Vec<Seen> {
        if let [.., Seen::Publish(one), Seen::Publish(other)] = &mut seen[..]
            && one.qos == other.qos
        {
            std::mem::swap(one, other);
        }
        seen
    }
    is_found("outbox", |data| outbox::check(data, swap), "");
}

#[test]
fn conversation_what_is_left_of_a_read_is_thrown_away() {
    fn wrong(stage: &mut ConversationStage, bytes: &[u8], shared: bool) -> Turned {
        let turned = conversation::turn(stage, bytes, shared);
        Turned { consumed: bytes.len(), ..turned }
    }
    is_found("conversation", |data| conversation::check(data, wrong), "assertion `left == right` failed");
}

#[test]
fn conversation_only_one_packet_of_a_read_is_handled() {
    fn wrong(stage: &mut ConversationStage, bytes: &[u8], shared: bool) -> Turned {
        let end = match next_frame(bytes, usize::MAX) {
            Ok(Framed::Whole { size, .. }) => size,
            _ => bytes.len(),
        };
        conversation::turn(stage, &bytes[..end], shared)
    }
    is_found("conversation", |data| conversation::check(data, wrong), "a whole packet is left lying");
}

#[test]
fn configuration_an_error_names_another_line() {
    fn wrong(contents: Vec<u8>, path: &Path) -> Result<Config, ConfigError> {
        configuration::ours(contents, path).map_err(|error| match error {
            ConfigError::Syntax { path, line, what } => ConfigError::Syntax { path, line: line + 1, what },
            other => other,
        })
    }
    is_found("configuration", |data| configuration::check(data, wrong), "lines");
}

#[test]
fn configuration_a_setting_means_something_else_in_a_file() {
    fn wrong(contents: Vec<u8>, path: &Path) -> Result<Config, ConfigError> {
        let mut config = configuration::ours(contents, path)?;
        config.data_dir = config.data_dir.map(|folder| PathBuf::from("/").join(folder));
        Ok(config)
    }
    is_found("configuration", |data| configuration::check(data, wrong), "by --set");
}

#[test]
fn passwords_a_line_that_is_wrong_is_skipped() {
    fn wrong(contents: &[u8], path: &Path) -> Result<PasswordFile, PasswordFileError> {
        let good = |line: &&[u8]| PasswordFile::parse(line, path).is_ok();
        let lines: Vec<&[u8]> = contents.split(|byte| *byte == b'\n').filter(good).collect();
        PasswordFile::parse(&lines.join(&b'\n'), path)
    }
    is_found("passwords", |data| passwords::check(data, wrong), "one user for each line");
}

#[test]
fn passwords_an_error_shows_the_line() {
    fn wrong(contents: &[u8], path: &Path) -> Result<PasswordFile, PasswordFileError> {
        PasswordFile::parse(contents, path).map_err(|error| match error {
            PasswordFileError::BadLine { file, line, what } => {
                let text = contents.split(|byte| *byte == b'\n').nth(line - 1).unwrap_or_default();
                let what = format!("{what} ({})", String::from_utf8_lossy(text).escape_debug());
                PasswordFileError::BadLine { file, line, what }
            }
            other => other,
        })
    }
    is_found("passwords", |data| passwords::check(data, wrong), "shows");
}
