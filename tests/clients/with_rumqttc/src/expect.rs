//! What the scenarios expect: where the broker is, deadlines, exact comparison.
//!
//! Knows no MQTT: that is the part of the client under test. `tests/clients/expect.py` says the same in
//! Python.

use std::fmt::{self, Debug, Display};
use std::str::FromStr;
use std::time::Duration;

/// How long to wait for anything that is no message: a connection, an acknowledgement.
pub(crate) const CONTROL_DEADLINE: Duration = Duration::from_secs(30);

/// Readable in one line: more of a value is cut.
const SHOWN: usize = 200;

/// The broker (or the machine) did not do what the scenario expects.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What a scenario, or a step of one, ends with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// What `run.py` says in the environment.
pub(crate) struct Settings {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Unique to one run of one scenario; begins every topic, group and client id.
    pub(crate) prefix: String,
    /// How long to wait for messages; the self-test makes it short.
    pub(crate) deadline: Duration,
    /// In the self-test every subscriber listens where nobody publishes; each scenario must fail then.
    pub(crate) is_deaf: bool,
    /// The self-tests do not need the largest numbers.
    pub(crate) is_small: bool,
    /// Mosquitto does a few things otherwise; see tests/clients/README.md.
    pub(crate) is_against_mosquitto: bool,
}

impl Settings {
    /// Reads them; without `run.py`, a broker at 127.0.0.1:1883. The error names what cannot be read.
    pub(crate) fn from_environment() -> Result<Self, String> {
        let read = |name: &str| std::env::var(format!("ALDIS_TEST_{name}")).ok();
        let number = |name: &str, otherwise: &str| read(name).unwrap_or_else(|| otherwise.to_owned());
        let seconds: f64 = parsed("ALDIS_TEST_DEADLINE", &number("DEADLINE", "30"))?;
        Ok(Self {
            host: read("HOST").unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: parsed("ALDIS_TEST_PORT", &number("PORT", "1883"))?,
            prefix: read("PREFIX").unwrap_or_else(|| format!("t{}", std::process::id())),
            deadline: Duration::try_from_secs_f64(seconds)
                .map_err(|error| format!("ALDIS_TEST_DEADLINE: {error}"))?,
            is_deaf: read("DEAF").as_deref() == Some("1"),
            is_small: read("SMALL").as_deref() == Some("1"),
            is_against_mosquitto: read("BROKER").as_deref() == Some("mosquitto"),
        })
    }

    /// The topic `name` of this run, which no other run uses.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// The filter to subscribe to in place of `filter`: itself, unless made deaf.
    pub(crate) fn heard_filter(&self, filter: &str) -> String {
        if !self.is_deaf {
            return filter.to_owned();
        }
        match filter.strip_prefix("$share/").and_then(|rest| rest.split('/').next()) {
            Some(group) => format!("$share/{group}/deaf/{}", self.prefix),
            None => format!("deaf/{}/{}", self.prefix, filter.replace(['#', '+'], "x")),
        }
    }
}

/// `text` as a number, or an error that begins with what it is for.
pub(crate) fn parsed<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{what} is `{text}`: {error}"))
}

/// `value` readable in one line: large payloads cut, everything else whole.
pub(crate) fn shorten(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(SHOWN).and_then(|(end, _)| text.get(..end)) {
        Some(beginning) => format!("{beginning}… ({} bytes)", text.len()),
        None => text,
    }
}

/// Fails with the first difference unless the two lists are the same, in order and length.
pub(crate) fn compare<T: PartialEq + Debug>(what: &str, received: &[T], expected: &[T]) -> Outcome {
    let count = expected.len();
    for (index, (got, wanted)) in received.iter().zip(expected).enumerate() {
        if got != wanted {
            return Err(Failure(format!(
                "{what}: message {index} of {count} differs: received {}, expected {}",
                shorten(got),
                shorten(wanted)
            )));
        }
    }
    if let Some(extra) = received.get(count) {
        return Err(Failure(format!(
            "{what}: received {} messages, expected {count}; the first too many is {}",
            received.len(),
            shorten(extra)
        )));
    }
    match expected.get(received.len()) {
        None => Ok(()),
        Some(missing) => Err(Failure(format!(
            "{what}: received {} of {count} messages; the first missing is {}",
            received.len(),
            shorten(missing)
        ))),
    }
}

/// Fails unless the two values are equal.
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, got: T, wanted: T) -> Outcome {
    if got == wanted {
        return Ok(());
    }
    Err(Failure(format!("{what}: got {}, expected {}", shorten(&got), shorten(&wanted))))
}

#[cfg(test)]
mod tests {
    use super::compare;

    #[test]
    fn lists_are_the_same_only_in_order_and_length() {
        assert!(compare("equal", &[1, 2], &[1, 2]).is_ok());
        let cases: [(&[u8], &str); 4] = [
            (&[2, 1], "message 0 of 2 differs: received 2, expected 1"),
            (&[1], "received 1 of 2 messages; the first missing is 2"),
            (&[], "received 0 of 2 messages; the first missing is 1"),
            (&[1, 2, 3], "received 3 messages, expected 2; the first too many is 3"),
        ];
        for (received, expected) in cases {
            let failure = compare("list", received, &[1, 2]).unwrap_err().to_string();
            assert_eq!(failure, format!("list: {expected}"));
        }
    }
}
