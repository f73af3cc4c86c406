//! Topic names and filters against the naive matcher: what is valid, by which clause it is not, and what
//! matches what.

use crate::choices::Choices;
use crate::naive;
use aldis_topic::{TopicFilter, check_topic_name};

/// No limit of levels: it is this broker's and not the standard's.
const LEVELS: usize = usize::MAX;

/// Pieces that names and filters are made of where the input does not bring its own text.
const PIECES: [&str; 16] =
    ["a", "/", "+", "#", "b", "$", "$share/", "ä", "\0", "$SYS", "//", "/+", "/#", "+/", " ", "\u{feff}"];

/// The target: [`check`] of Aldis' own matcher.
pub fn topics(data: &[u8]) {
    check(data, aldis_topic::matches);
}

/// Reads a filter and a topic out of `data` and compares what the crate says about them with what the naive
/// rules say. `matches` is the matcher to be judged.
///
/// # Panics
/// They differ.
pub fn check(data: &[u8], matches: fn(&str, &str) -> bool) {
    let mut choices = Choices::new(data);
    let Some((filter, topic)) = texts(&mut choices) else { return };
    let name = check_topic_name(&topic, LEVELS);
    let wrong = naive::wrong_with_name(&topic);
    match name {
        Ok(()) => assert!(wrong.is_empty(), "the name {topic:?} was taken and breaks {wrong:?}"),
        Err(error) => assert!(wrong.contains(&error.clause), "{error}, but {topic:?} breaks {wrong:?}"),
    }
    let wrong = naive::wrong_with_filter(&filter);
    let parsed = match TopicFilter::parse(&filter, LEVELS) {
        Err(error) => {
            assert!(wrong.contains(&error.clause), "{error}, but {filter:?} breaks {wrong:?}");
            return;
        }
        Ok(parsed) => parsed,
    };
    assert!(wrong.is_empty(), "the filter {filter:?} was taken and breaks {wrong:?}");
    check_parts(&filter, &parsed);
    if name.is_ok() {
        let (own, naive) = (matches(parsed.filter(), &topic), naive::matches(parsed.filter(), &topic));
        assert_eq!(own, naive, "{filter:?} and {topic:?}");
        assert_eq!(parsed.matches(&topic), naive, "{filter:?} and {topic:?}");
    }
}

/// A filter put together from its parts is the text that it came from.
fn check_parts(text: &str, parsed: &TopicFilter) {
    let whole = match parsed.share_group() {
        Some(group) => format!("$share/{group}/{}", parsed.filter()),
        None => parsed.filter().to_owned(),
    };
    assert_eq!(whole, text);
    assert_eq!(parsed.as_str(), text);
    let has_wildcard = parsed.filter().split('/').any(|level| level == "+" || level == "#");
    assert_eq!(parsed.has_wildcard(), has_wildcard, "{text:?}");
}

/// A filter and a topic: two lines of text, or made of [`PIECES`].
fn texts(choices: &mut Choices<'_>) -> Option<(String, String)> {
    if choices.below(2) == 0 {
        let text = std::str::from_utf8(choices.all()).ok()?;
        let (filter, topic) = text.split_once('\n').unwrap_or((text, text));
        return Some((filter.to_owned(), topic.to_owned()));
    }
    let length = choices.below(12);
    let filter = (0..length).map(|_| choices.pick(&PIECES)).collect();
    let length = choices.below(12);
    let topic = (0..length).map(|_| choices.pick(&PIECES)).collect();
    Some((filter, topic))
}
