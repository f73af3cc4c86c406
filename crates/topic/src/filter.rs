//! Topic filters: what a client may subscribe to, and which topics a filter matches.
//!
//! `$share/group/filter` is taken apart here; who the members of a group are is not known here.

use std::fmt;
use std::sync::Arc;

use crate::name::{TopicError, check_levels, check_text, is_dollar};

/// What a shared subscription begins with (section 4.8.2 of 5.0).
const SHARE: &str = "$share/";

/// A valid topic filter, with its share group if it begins with `$share/`.
///
/// Made by [`TopicFilter::parse`] alone, so that holding one means that it is valid. Cheap to clone: the
/// text is shared. Two filters are equal if their texts are.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicFilter {
    text: Arc<str>,
    /// Where the matched part begins in `text`: 0, or behind `$share/group/`.
    start: usize,
    wildcard: bool,
}

impl TopicFilter {
    /// Reads a filter as a client wrote it in SUBSCRIBE or UNSUBSCRIBE (sections 4.7 and 4.8.2).
    ///
    /// `levels` is the greatest number of levels allowed in the part that is matched, so without
    /// `$share/group/`.
    ///
    /// # Errors
    /// - Empty, too long, U+0000: as for [`check_topic_name`](crate::check_topic_name).
    /// - `#` anywhere but alone in the last level `[MQTT-4.7.1-2]`; `+` not alone in its level
    ///   `[MQTT-4.7.1-3]` (5.0 numbers these two one lower).
    /// - `$share/` without a group `[MQTT-4.8.2-1]`; a group that holds `+` or `#`, or that no filter
    ///   follows `[MQTT-4.8.2-2]`.
    /// - Too many levels ([`TopicError::is_limit`]).
    ///
    /// ```
    /// let filter = aldis_topic::TopicFilter::parse("$share/blue/sport/#", 128)?;
    /// assert_eq!(filter.share_group(), Some("blue"));
    /// assert_eq!(filter.filter(), "sport/#");
    /// assert!(filter.matches("sport/tennis"));
    /// # Ok::<(), aldis_topic::TopicError>(())
    /// ```
    pub fn parse(text: &str, levels: usize) -> Result<TopicFilter, TopicError> {
        check_text(text)?;
        let filter = match text.strip_prefix(SHARE) {
            Some(shared) => after_group(shared)?,
            None => text,
        };
        let wildcard = check_wildcards(filter)?;
        check_levels(filter, levels)?;
        Ok(TopicFilter { text: Arc::from(text), start: text.len() - filter.len(), wildcard })
    }

    /// The filter as the client wrote it, `$share/group/` included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As [`as_str`](TopicFilter::as_str), to be shared without copying.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The part that is matched: the filter without `$share/group/`.
    pub fn filter(&self) -> &str {
        // `start` was counted on this very text, so there is something at it.
        self.text.get(self.start..).unwrap_or_default()
    }

    /// The group between `$share/` and the next `/`, if the subscription is shared.
    pub fn share_group(&self) -> Option<&str> {
        let end = self.start.checked_sub(1)?;
        self.text.get(SHARE.len()..end)
    }

    /// Whether `+` or `#` fills a level of the matched part.
    pub fn has_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether the matched part matches `topic`: see [`matches()`](fn@crate::matches).
    pub fn matches(&self, topic: &str) -> bool {
        matches(self.filter(), topic)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The filter that follows the group in what stands behind `$share/`.
fn after_group(shared: &str) -> Result<&str, TopicError> {
    let no_filter = TopicError { clause: "MQTT-4.8.2-2", what: "no filter follows the share name" };
    let (group, filter) = match shared.split_once('/') {
        Some((group, filter)) => (group, Some(filter)),
        None => (shared, None),
    };
    if group.is_empty() {
        return Err(TopicError { clause: "MQTT-4.8.2-1", what: "the share name is empty" });
    }
    if group.contains(['+', '#']) {
        return Err(TopicError { clause: "MQTT-4.8.2-2", what: "the share name holds a wildcard" });
    }
    filter.filter(|filter| !filter.is_empty()).ok_or(no_filter)
}

/// Whether the filter has wildcards, or that it has one where none may be.
fn check_wildcards(filter: &str) -> Result<bool, TopicError> {
    let mut wildcard = false;
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        match level {
            "+" => wildcard = true,
            "#" if levels.peek().is_none() => wildcard = true,
            _ if level.contains('#') => {
                return Err(TopicError { clause: "MQTT-4.7.1-2", what: "# is not alone in the last level" });
            }
            _ if level.contains('+') => {
                return Err(TopicError { clause: "MQTT-4.7.1-3", what: "+ is not alone in its level" });
            }
            _ => {}
        }
    }
    Ok(wildcard)
}

/// Whether a filter (without `$share/group/`) matches a topic name (section 4.7).
///
/// `+` matches one level, an empty one too; `#` matches the level above it and everything below, so that
/// `a/#` matches `a`; neither matches `$` at the beginning of a topic `[MQTT-4.7.2-1]`; everything else
/// matches itself, byte for byte `[MQTT-4.7.3-4]`. One pass, one level at a time: `+/+/+` never tries
/// anything twice.
///
/// Both are taken to be valid. In text that is not, a wildcard that does not fill its level, and a `#`
/// that is not last, stand for themselves.
///
/// ```
/// assert!(aldis_topic::matches("sport/+/player1", "sport/tennis/player1"));
/// assert!(!aldis_topic::matches("#", "$SYS/broker/uptime"));
/// ```
pub fn matches(filter: &str, topic: &str) -> bool {
    let (path, rest) = split_rest(filter);
    if is_dollar(topic) && (path.is_none() || path.is_some_and(begins_with_plus)) {
        return false;
    }
    let mut names = topic.split('/');
    for level in levels(path) {
        match names.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    rest || names.next().is_none()
}

/// Takes `#` off the end of a filter: the levels before it (none in `#` itself), and whether it was
/// there.
pub(crate) fn split_rest(filter: &str) -> (Option<&str>, bool) {
    match filter.strip_suffix('#') {
        Some("") => (None, true),
        Some(before) => match before.strip_suffix('/') {
            Some(path) => (Some(path), true),
            None => (Some(filter), false),
        },
        None => (Some(filter), false),
    }
}

/// The levels of what [`split_rest`] left.
pub(crate) fn levels(path: Option<&str>) -> impl Iterator<Item = &str> {
    path.into_iter().flat_map(|path| path.split('/'))
}

/// Whether the first level is `+`.
fn begins_with_plus(path: &str) -> bool {
    path == "+" || path.starts_with("+/")
}
