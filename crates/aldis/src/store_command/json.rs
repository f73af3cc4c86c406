//! What there is to say about a store, for machines.

use std::fmt::{self, Write};

use aldis_store::{FileDisk, SessionState, Survey};

use super::summary;

/// A value of JSON.
enum Json {
    Null,
    Flag(bool),
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl From<u64> for Json {
    fn from(number: u64) -> Json {
        Json::Number(number)
    }
}

impl From<usize> for Json {
    fn from(number: usize) -> Json {
        Json::Number(number as u64)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json::Text(text.to_owned())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => out.write_str("null"),
            Json::Flag(flag) => write!(out, "{flag}"),
            Json::Number(number) => write!(out, "{number}"),
            Json::Text(text) => quoted(text, out),
            Json::List(list) => {
                out.write_char('[')?;
                for (at, one) in list.iter().enumerate() {
                    write!(out, "{}{one}", if at > 0 { "," } else { "" })?;
                }
                out.write_char(']')
            }
            Json::Object(fields) => {
                out.write_char('{')?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    write!(out, "{}\"{name}\":{value}", if at > 0 { "," } else { "" })?;
                }
                out.write_char('}')
            }
        }
    }
}

fn quoted(text: &str, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    out.write_char('"')?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(out, "\\{letter}")?,
            // Line separators too: not every reader takes them as they are.
            letter if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => {
                write!(out, "\\u{:04x}", u32::from(letter))?;
            }
            letter => out.write_char(letter)?,
        }
    }
    out.write_char('"')
}

/// The answer to `inspect --json`: one line.
pub(super) fn of(survey: &Survey<FileDisk>) -> String {
    let fold = &survey.fold;
    let checkpoint = survey.checkpoint.as_ref().map_or(Json::Null, |one| {
        let file = one.file.as_str();
        Json::Object(vec![("file", file.into()), ("bytes", one.bytes.into()), ("index", one.index.into())])
    });
    let segments = survey.segments.iter().map(|one| {
        Json::Object(vec![
            ("file", one.file.as_str().into()),
            ("bytes", one.bytes.into()),
            ("frames", one.frames.into()),
            ("first_epoch", u64::from(one.epochs.0).into()),
            ("last_epoch", u64::from(one.epochs.1).into()),
            ("first_index", one.indexes.0.into()),
            ("last_index", one.indexes.1.into()),
            ("end", one.end.into()),
            ("live_bytes", one.live_bytes.into()),
            ("before_checkpoint", Json::Flag(one.is_before_checkpoint)),
        ])
    });
    let sessions = fold.sessions.values().map(|state| session(survey, state));
    let shared = fold.groups.values().map(|state| {
        let waits = summary::shared(fold, state);
        Json::Object(vec![
            ("filter", (&*state.filter).into()),
            ("messages", waits.messages.into()),
            ("bytes", waits.bytes.into()),
        ])
    });
    let (retained, (wills, wills_owed)) = (summary::retained(fold), summary::wills(fold));
    let cut = survey.cut.as_ref().map_or(Json::Null, |cut| {
        let file = cut.file.as_str();
        Json::Object(vec![("file", file.into()), ("offset", cut.offset.into()), ("bytes", cut.bytes.into())])
    });
    let damage = survey.damage.iter().map(|damage| Json::Text(damage.to_string()));
    let all = Json::Object(vec![
        ("format", u64::from(survey.version).into()),
        ("epoch", u64::from(survey.epoch).into()),
        ("last_index", survey.last_index.into()),
        ("bytes", survey.bytes().into()),
        ("live_bytes", fold.all_live_bytes().into()),
        ("checkpoint", checkpoint),
        ("segments", Json::List(segments.collect())),
        ("spare_segments", survey.spares.len().into()),
        ("spare_bytes", survey.spares.iter().sum::<u64>().into()),
        ("sessions", Json::List(sessions.collect())),
        ("shared_subscriptions", Json::List(shared.collect())),
        ("retained_messages", retained.messages.into()),
        ("retained_bytes", retained.bytes.into()),
        ("wills", wills.into()),
        ("wills_owed", wills_owed.into()),
        ("unfinished_messages", survey.unfinished.into()),
        ("cut", cut),
        ("damage", Json::List(damage.collect())),
    ]);
    format!("{all}\n")
}

fn session(survey: &Survey<FileDisk>, state: &SessionState) -> Json {
    let waits = summary::queue(&survey.fold, state);
    Json::Object(vec![
        ("client_id", (&*state.client_id).into()),
        ("messages", waits.messages.into()),
        ("bytes", waits.bytes.into()),
        ("in_flight", summary::in_flight(state).into()),
        ("subscriptions", state.subscriptions.len().into()),
        ("expiry_seconds", u64::from(state.session_expiry).into()),
        ("left_at_ms", state.left_at.map_or(Json::Null, Json::Number)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_in_a_text_it_stays_one() {
        let text = Json::Text("a \"quote\" \\ and\n\u{7f}\u{2028} \u{e4}".to_owned());
        assert_eq!(text.to_string(), r#""a \"quote\" \\ and\u000a\u007f\u2028 ä""#);
        let list = Json::List(vec![Json::Null, Json::Flag(true), 7_u64.into()]);
        assert_eq!(
            Json::Object(vec![("a", list), ("b", "".into())]).to_string(),
            r#"{"a":[null,true,7],"b":""}"#
        );
    }
}
