//! Topic names: what a PUBLISH or a will may be addressed to, and the error that says what is wrong.
//!
//! It does not decide what a client is allowed to publish to: `$SYS/…` is a valid name here.

use std::error::Error;
use std::fmt;

/// The longest topic name or filter, in bytes of UTF-8 `[MQTT-4.7.3-3]`.
///
/// A string of MQTT carries its length in two bytes (section 1.5.3 of 3.1.1, 1.5.4 of 5.0).
pub const MAX_TOPIC_BYTES: usize = 65_535;

/// What is wrong with a topic name or filter.
///
/// It is always the sender's fault. Displayed as `what [clause]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TopicError {
    /// The rule that was broken: the identifier as MQTT 3.1.1 numbers it (section 4.7), those of shared
    /// subscriptions as 5.0 does (4.8.2), or `"limit"` where the rule is not MQTT's but this broker's.
    pub clause: &'static str,
    /// What is wrong, for a log line or a reason string.
    pub what: &'static str,
}

impl TopicError {
    /// The filter begins with `$share/` and is wrong as a shared subscription: a rule of MQTT 5, where the
    /// same text would be a filter like any other in earlier versions.
    pub fn is_about_sharing(&self) -> bool {
        self.clause.starts_with("MQTT-4.8.2")
    }

    /// The topic is well formed but has more levels than this broker was configured to allow.
    pub fn is_limit(&self) -> bool {
        *self == TOO_MANY_LEVELS
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.what, self.clause)
    }
}

impl Error for TopicError {}

const TOO_MANY_LEVELS: TopicError =
    TopicError { clause: "limit", what: "the topic has more levels than the broker allows" };

/// Checks a topic name, of a PUBLISH or a will (section 4.7 of 3.1.1 and 5.0).
///
/// `levels` is the greatest number of levels allowed: `a/b/c` has three, `/` has two.
///
/// # Errors
/// An empty name `[MQTT-4.7.3-1]`, one longer than [`MAX_TOPIC_BYTES`] `[MQTT-4.7.3-3]`, one with
/// U+0000 `[MQTT-4.7.3-2]`, one with `+` or `#` anywhere `[MQTT-4.7.1-1]`, `[MQTT-3.3.2-2]`, and one
/// with too many levels ([`TopicError::is_limit`]).
///
/// ```
/// assert!(aldis_topic::check_topic_name("sport/tennis", 128).is_ok());
/// assert_eq!(aldis_topic::check_topic_name("sport/#", 128).unwrap_err().clause, "MQTT-4.7.1-1");
/// ```
pub fn check_topic_name(topic: &str, levels: usize) -> Result<(), TopicError> {
    check_text(topic)?;
    if topic.bytes().any(|byte| byte == b'+' || byte == b'#') {
        return Err(TopicError { clause: "MQTT-4.7.1-1", what: "a topic name holds a wildcard" });
    }
    check_levels(topic, levels)
}

/// Whether the topic begins with `$`, so that no filter beginning with a wildcard matches it
/// `[MQTT-4.7.2-1]`.
pub fn is_dollar(topic: &str) -> bool {
    topic.starts_with('$')
}

/// What holds for names and filters alike.
pub(crate) fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError { clause: "MQTT-4.7.3-1", what: "the topic is empty" });
    }
    if text.len() > MAX_TOPIC_BYTES {
        return Err(TopicError { clause: "MQTT-4.7.3-3", what: "the topic is longer than 65,535 bytes" });
    }
    if text.bytes().any(|byte| byte == 0) {
        return Err(TopicError { clause: "MQTT-4.7.3-2", what: "the topic holds U+0000" });
    }
    Ok(())
}

/// A cap on levels bounds what a single topic can make the trees store and walk.
pub(crate) fn check_levels(text: &str, levels: usize) -> Result<(), TopicError> {
    let separators = text.bytes().filter(|byte| *byte == b'/').count();
    if separators < levels { Ok(()) } else { Err(TOO_MANY_LEVELS) }
}
