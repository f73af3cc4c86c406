//! Topic names and filters (4.7): their wildcards, and which name matches which filter.

use super::rule::Rule::{V5, V311};
use super::rule::Rules;
use crate::wire::Version;

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
    let wildcard_first = matches!(filter.first(), Some(b'#' | b'+'));
    if name.starts_with(b"$") && wildcard_first && rules.keep(&[V311("MQTT-4.7.2-1"), V5("MQTT-4.7.2-1")]) {
        return false;
    }
    let exact = rules.keep(&[V311("MQTT-4.7.3-4"), V5("MQTT-4.7.3-4")]);
    let mut names = name.split(|byte| *byte == b'/');
    for level in filter.split(|byte| *byte == b'/') {
        if level == b"#" {
            return true;
        }
        match names.next() {
            Some(name) if level == b"+" || level == name => {}
            Some(name) if !exact && level.eq_ignore_ascii_case(name) => {}
            _ => return false,
        }
    }
    names.next().is_none()
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
