//! A value as somebody wrote it, before a setting says what it must be.

use std::fmt;

use toml::de::DeValue;

/// A TOML value, reduced to what settings can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RawValue {
    Flag(bool),
    Whole(i128),
    Text(String),
    List(Vec<RawValue>),
    /// Something no setting takes: a table, a date, a fraction. The text says what, as in
    /// "… is a table".
    Other(String),
}

impl RawValue {
    /// The value of a place in a TOML document.
    pub(crate) fn from_toml(value: &DeValue<'_>) -> RawValue {
        match value {
            DeValue::Boolean(flag) => RawValue::Flag(*flag),
            DeValue::String(text) => RawValue::Text(text.clone().into_owned()),
            DeValue::Array(items) => {
                RawValue::List(items.iter().map(|item| RawValue::from_toml(item.get_ref())).collect())
            }
            DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(whole) => RawValue::Whole(whole),
                Err(_) => RawValue::Other(format!("the number {number}")),
            },
            DeValue::Float(number) => RawValue::Other(format!("the fraction {}", number.as_str())),
            DeValue::Datetime(date) => RawValue::Other(format!("the date {date}")),
            DeValue::Table(_) => RawValue::Other("a table".to_owned()),
        }
    }

    /// The value of bare text from the environment or a flag: TOML where it is TOML (`true`,
    /// `1_000`, `["a", "b"]`, `"quoted"`), else the text itself (`64 MiB`, `/etc/aldis/users`).
    pub(crate) fn from_word(word: &str) -> RawValue {
        match DeValue::parse(word) {
            Ok(value) if !value.get_ref().is_table() => RawValue::from_toml(value.get_ref()),
            _ => RawValue::Text(word.to_owned()),
        }
    }

    /// Like [`from_word`](RawValue::from_word), for settings that are text: only quotes and
    /// brackets are TOML, so that a folder may be called `2024` or `true`.
    pub(crate) fn from_word_as_text(word: &str) -> RawValue {
        match RawValue::from_word(word) {
            value @ (RawValue::Text(_) | RawValue::List(_)) => value,
            _ => RawValue::Text(word.to_owned()),
        }
    }
}

impl fmt::Display for RawValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawValue::Flag(flag) => write!(out, "{flag}"),
            RawValue::Whole(number) => write!(out, "{number}"),
            RawValue::Text(text) => write!(out, "{text:?}"),
            RawValue::List(_) => write!(out, "a list"),
            RawValue::Other(what) => write!(out, "{what}"),
        }
    }
}
