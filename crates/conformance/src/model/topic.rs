//! Topic names and filters (4.7): their wildcards, and which name matches which filter.

use super::rule::Rule::{self, V5, V311};
use super::rule::Rules;
use crate::wire::Version;
use std::borrow::Cow;

/// Whether it may be a topic name.
pub(super) fn has_no_wildcard(topic: &[u8]) -> bool {
    !topic.iter().any(|byte| matches!(byte, b'#' | b'+'))
}

/// Whether `#` stands alone in the last level, if at all.
pub(super) fn hash_stands_last(filter: &[u8]) -> bool {
    let mut levels = filter.split(|byte| *byte == b'/').rev();
    let last = levels.next().unwrap_or_default();
    (last == b"#" || !last.contains(&b'#')) && levels.all(|level| !level.contains(&b'#'))
}

/// Whether each `#` has its level to itself.
pub(super) fn hash_fills_its_level(filter: &[u8]) -> bool {
    filter.split(|byte| *byte == b'/').all(|level| level == b"#" || !level.contains(&b'#'))
}

/// Whether each `+` has its level to itself.
pub(super) fn plus_fills_its_level(filter: &[u8]) -> bool {
    filter.split(|byte| *byte == b'/').all(|level| level == b"+" || !level.contains(&b'+'))
}

/// Takes `$share/NAME/FILTER` apart: the share name, and the filter behind it if there is one.
/// Any other filter has no share name. Only MQTT 5 knows shared subscriptions.
pub(super) fn split_share(version: Version, filter: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    match filter.strip_prefix(b"$share/") {
        Some(rest) if version.is_5() => {
            let mut parts = rest.splitn(2, |byte| *byte == b'/');
            (parts.next(), parts.next())
        }
        _ => (None, Some(filter)),
    }
}

/// Whether a topic name matches a filter, level by level.
pub(super) fn matches(rules: Rules, filter: &[u8], name: &[u8]) -> bool {
    let own: &[Rule] = match filter.first() {
        Some(b'#') => {
            &[V311("MQTT-4.7.2-1"), V5("MQTT-4.7.2-1"), V311("MQTT-4.7.2-1: #"), V5("MQTT-4.7.2-1: #")]
        }
        Some(b'+') => {
            &[V311("MQTT-4.7.2-1"), V5("MQTT-4.7.2-1"), V311("MQTT-4.7.2-1: +"), V5("MQTT-4.7.2-1: +")]
        }
        _ => &[],
    };
    if name.starts_with(b"$") && !own.is_empty() && rules.keep(own) {
        return false;
    }
    let exact = rules.keep(&[V311("MQTT-4.7.3-4"), V5("MQTT-4.7.3-4")]);
    let parent = rules.keep(&[V311("MQTT-4.7.1-2: parent"), V5("MQTT-4.7.1-1: parent")]);
    let one_level = rules.keep(&[V311("MQTT-4.7.1-3: levels"), V5("MQTT-4.7.1-2: levels")]);
    let name = as_it_is(rules, name);
    let mut names = name.split(|byte| *byte == b'/');
    for level in filter.split(|byte| *byte == b'/') {
        if level == b"#" {
            return parent || names.next().is_some();
        }
        match names.next() {
            Some(_) if level == b"+" && !one_level => return true,
            Some(name) if level == b"+" || level == name => {}
            Some(name) if !exact && level.eq_ignore_ascii_case(name) => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// A name is compared as it is (4.7.3): nothing happens here unless that is broken.
fn as_it_is(rules: Rules, name: &[u8]) -> Cow<'_, [u8]> {
    let replaced =
        |from: &str, to: &str| Cow::Owned(String::from_utf8_lossy(name).replace(from, to).into_bytes());
    if !rules.keep(&[V311("MQTT-4.7.3-4: accents"), V5("MQTT-4.7.3-4: accents")]) {
        replaced("A\u{308}", "\u{c4}")
    } else if !rules.keep(&[V311("MQTT-4.7.3-4: spaces"), V5("MQTT-4.7.3-4: spaces")]) {
        replaced(" ", "")
    } else if !rules.keep(&[V311("MQTT-4.7.3-4: slashes"), V5("MQTT-4.7.3-4: slashes")]) {
        replaced("//", "/")
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_filters_level_by_level() {
        let matching =
            |filter: &str, name: &str| matches(Rules::default(), filter.as_bytes(), name.as_bytes());
        assert!(
            matching("a/#", "a") && matching("a/+", "a/") && matching("#", "a/b") && matching("+/+", "/a")
        );
        assert!(!matching("a/+", "a") && !matching("+", "/a") && !matching("#", "$a") && !matching("A", "a"));
    }
}
