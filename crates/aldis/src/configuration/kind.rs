//! What a setting's value may be: checked, and put where it belongs in the draft.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::listen;
use super::raw::RawValue;
use super::units;

/// The kind of a setting, with the place in the draft that it fills.
pub(crate) enum Kind {
    Flag {
        get: fn(&Draft) -> Option<bool>,
        set: fn(&mut Draft, bool),
    },
    Number(Number),
    /// A path; relative ones in a file are relative to the file's folder.
    Path {
        example: &'static str,
        get: fn(&Draft) -> Option<&PathBuf>,
        set: fn(&mut Draft, PathBuf),
    },
    /// One of a few words.
    Word {
        words: &'static [&'static str],
        /// Which of them, if one was given.
        get: fn(&Draft) -> Option<usize>,
        set: fn(&mut Draft, usize),
    },
    /// The address of the metrics listener.
    Metrics,
    /// A list of listener URLs.
    Listeners,
}

/// A whole number of something, in a range.
pub(crate) struct Number {
    pub(crate) unit: Unit,
    pub(crate) range: RangeInclusive<u64>,
    /// A word that stands for a number, inside the range or not: `("never", u32::MAX)`.
    pub(crate) word: Option<(&'static str, u64)>,
    pub(crate) get: fn(&Draft) -> u64,
    pub(crate) set: fn(&mut Draft, u64),
}

/// What a [`Number`] counts, which is also how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    Bytes,
    /// Written as seconds or with a unit, kept in milliseconds.
    Milliseconds,
    /// Written as seconds or with a unit, kept in whole seconds.
    Seconds,
}

impl Kind {
    /// Checks `value` and writes it into the draft. `base` is what relative paths are relative to.
    ///
    /// The error is the rest of a sentence that begins with the setting and where it was given.
    pub(crate) fn apply(&self, value: &RawValue, base: &Path, draft: &mut Draft) -> Result<(), String> {
        match (self, value) {
            (Kind::Flag { set, .. }, RawValue::Flag(flag)) => set(draft, *flag),
            (Kind::Flag { .. }, _) => {
                return Err(format!("is {value}, but it takes true or false (without quotes)"));
            }
            (Kind::Number(number), _) => (number.set)(draft, number.read(value)?),
            (Kind::Path { set, .. }, RawValue::Text(text)) if !text.is_empty() => set(draft, base.join(text)),
            (Kind::Path { example, .. }, _) => {
                return Err(format!("is {value}, but it takes a path, for example {example:?}"));
            }
            (Kind::Word { words, set, .. }, RawValue::Text(text)) if words.contains(&text.as_str()) => {
                set(draft, words.iter().position(|word| word == text).unwrap_or(0));
            }
            (Kind::Word { words, .. }, _) => {
                return Err(format!("is {value}, but it takes {}", one_of(words)));
            }
            (Kind::Metrics, _) => draft.metrics = listen::parse_metrics(value)?,
            (Kind::Listeners, _) => draft.listen = Some(listen::parse_listeners(value)?),
        }
        Ok(())
    }

    /// Whether two drafts differ in this setting.
    pub(crate) fn differs(&self, one: &Draft, other: &Draft) -> bool {
        match self {
            Kind::Flag { get, .. } => get(one) != get(other),
            Kind::Number(number) => (number.get)(one) != (number.get)(other),
            Kind::Path { get, .. } => get(one) != get(other),
            Kind::Word { get, .. } => get(one) != get(other),
            Kind::Metrics => one.metrics != other.metrics,
            Kind::Listeners => one.listen != other.listen,
        }
    }

    /// The value of bare text from the environment or a flag.
    pub(crate) fn read_word(&self, word: &str) -> RawValue {
        match self {
            Kind::Flag { .. } | Kind::Number(_) => RawValue::from_word(word),
            Kind::Path { .. } | Kind::Word { .. } | Kind::Metrics | Kind::Listeners => {
                RawValue::from_word_as_text(word)
            }
        }
    }

    /// The kind in a few words, for the documentation.
    pub(crate) fn describe(&self) -> String {
        match self {
            Kind::Flag { .. } => "true or false".to_owned(),
            Kind::Number(number) => number.expected(),
            Kind::Path { .. } => "path".to_owned(),
            Kind::Word { words, .. } => one_of(words),
            Kind::Metrics => "IP address with a port, or `\"off\"`".to_owned(),
            Kind::Listeners => "list of URLs".to_owned(),
        }
    }
}

/// A few words, quoted, the last one behind "or".
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => quoted.concat(),
    }
}

impl Number {
    /// A number as this setting would write it.
    pub(crate) fn show(&self, number: u64) -> String {
        match self.word {
            Some((word, stands_for)) if stands_for == number => word.to_owned(),
            _ => self.unit.show(number),
        }
    }

    fn read(&self, value: &RawValue) -> Result<u64, String> {
        let number = match (value, self.word) {
            (RawValue::Text(text), Some((word, stands_for))) if text == word => return Ok(stands_for),
            (RawValue::Whole(whole), _) => self.unit.read_whole(*whole),
            (RawValue::Text(text), _) => self.unit.read_text(text),
            _ => None,
        };
        let named = |number: &u64| self.word.is_some_and(|(_, stands_for)| *number == stands_for);
        number.filter(|number| self.range.contains(number) || named(number)).ok_or_else(|| {
            let grouped = if let RawValue::Text(text) = value { units::parse_grouped(text) } else { None };
            let grouped = grouped.filter(|number| {
                let meant = self.unit.read_whole(i128::from(*number));
                meant.is_some_and(|meant| self.range.contains(&meant))
            });
            let way_out = match grouped {
                Some(number) => format!("; write {}", units::show_count(number)),
                None => format!(", for example {}", self.example()),
            };
            format!("is {value}, but it takes {}{way_out}", self.expected())
        })
    }

    fn expected(&self) -> String {
        let (least, most) = (self.unit.show(*self.range.start()), self.unit.show(*self.range.end()));
        let mut expected = match self.unit {
            Unit::Count => format!("a whole number from {least} to {most}"),
            Unit::Bytes => format!("a size from {least} to {most}"),
            Unit::Milliseconds => format!("a time from {least} to {most}"),
            Unit::Seconds => format!("a time from {least} to {most} in whole seconds"),
        };
        if let Some((word, stands_for)) = self.word {
            // Writing to a string does not fail.
            let _ = write!(expected, " or \"{word}\"");
            // Mosquitto writes these as 0.
            if stands_for == 0 {
                expected.push_str(" (0)");
            }
        }
        expected
    }

    fn example(&self) -> String {
        let default = (self.get)(&Draft::default());
        match self.unit {
            Unit::Count if self.range.contains(&default) => self.unit.show(default),
            Unit::Count => self.unit.show(100_000),
            Unit::Bytes if self.range.contains(&default) => format!("\"{}\"", self.unit.show(default)),
            Unit::Bytes => "\"64 MiB\"".to_owned(),
            Unit::Milliseconds => "\"10 s\"".to_owned(),
            Unit::Seconds => "\"30 min\"".to_owned(),
        }
    }
}

impl Unit {
    fn show(self, number: u64) -> String {
        match self {
            Unit::Count => units::show_count(number),
            Unit::Bytes => units::show_size(number),
            Unit::Milliseconds => units::show_milliseconds(number),
            Unit::Seconds => units::show_milliseconds(number.saturating_mul(1_000)),
        }
    }

    fn read_whole(self, whole: i128) -> Option<u64> {
        let number = u64::try_from(whole).ok()?;
        match self {
            Unit::Count | Unit::Bytes | Unit::Seconds => Some(number),
            Unit::Milliseconds => number.checked_mul(1_000),
        }
    }

    fn read_text(self, text: &str) -> Option<u64> {
        match self {
            Unit::Count => None,
            Unit::Bytes => units::parse_size(text),
            Unit::Milliseconds => units::parse_milliseconds(text),
            Unit::Seconds => units::parse_milliseconds(text)
                .filter(|time| time.is_multiple_of(1_000))
                .map(|time| time / 1_000),
        }
    }
}
