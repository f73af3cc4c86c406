//! How a test went, and the words for it.

use crate::offers::Feature;

/// Why a test did not pass. A test that returns `Ok` has seen the statement kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The broker broke the statement, or did not answer: what was seen and what was expected.
    Failed(String),
    /// The statement speaks of something that could not be provoked: what was not seen.
    NotShown(String),
    /// The broker does not offer what the statement is about.
    NotOffered(Feature),
}

impl Fault {
    /// The same, said of one of several things that a test tries.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        match self {
            Fault::Failed(why) => Fault::Failed(format!("{what}: {why}")),
            other => other,
        }
    }
}

/// What a test returns.
pub type Outcome<T = ()> = Result<T, Fault>;

/// A failure in words.
pub fn failed<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Fault::Failed(what.into()))
}

/// The condition of a statement did not come about.
pub fn not_shown<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Fault::NotShown(what.into()))
}

/// Fails with these words unless the condition holds.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { failed(otherwise()) }
}

/// Fails unless both are equal, and says what was found.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Outcome {
    ensure(found == expected, || format!("{what} is {found:?} and should be {expected:?}"))
}

/// Fails unless a SUBACK grants what was asked for, filter by filter. A broker may grant less, and then does not show
/// what the test is about.
pub fn granted(found: &[u8], asked: &[u8]) -> Outcome {
    let is_less = found.len() == asked.len() && found.iter().zip(asked).all(|(found, asked)| found <= asked);
    match found == asked {
        true => Ok(()),
        false if is_less => {
            not_shown(format!("the broker grants QoS {found:?} where {asked:?} is asked for"))
        }
        false => failed(format!("SUBACK {found:02X?} where QoS {asked:?} was asked for")),
    }
}

/// The verdict on a statement, from all its tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All its tests passed, and saw what the statement is about.
    Passed,
    /// A test failed: what was seen.
    Failed(String),
    /// Nothing failed, and what the statement is about did not happen.
    NotShown(String),
    /// The broker does not offer what the statement is about.
    NotOffered(Feature),
    /// Nobody can tell from outside: why.
    NotTestable(&'static str),
    /// Testable, and no test is there.
    Missing,
}

impl Verdict {
    /// One word or two, as in the tables.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "FAILED",
            Verdict::NotShown(_) => "not shown",
            Verdict::NotOffered(_) => "not offered",
            Verdict::NotTestable(_) => "not testable",
            Verdict::Missing => "NO TEST",
        }
    }

    /// What there is to say beside the word.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Verdict::Passed | Verdict::Missing => String::new(),
            Verdict::Failed(why) | Verdict::NotShown(why) => why.clone(),
            Verdict::NotOffered(feature) => feature.name().to_owned(),
            Verdict::NotTestable(why) => (*why).to_owned(),
        }
    }

    /// Of several tests of one statement: a failure outweighs what was not shown, and that a pass.
    #[must_use]
    pub fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Verdict {
        let mut verdict = Verdict::Missing;
        for outcome in outcomes {
            let next = match outcome {
                Ok(()) => Verdict::Passed,
                Err(Fault::Failed(why)) => Verdict::Failed(why),
                Err(Fault::NotShown(why)) => Verdict::NotShown(why),
                Err(Fault::NotOffered(feature)) => Verdict::NotOffered(feature),
            };
            if next.weight() > verdict.weight() {
                verdict = next;
            }
        }
        verdict
    }

    fn weight(&self) -> u8 {
        match self {
            Verdict::Missing | Verdict::NotTestable(_) => 0,
            Verdict::Passed => 1,
            Verdict::NotShown(_) => 2,
            Verdict::NotOffered(_) => 3,
            Verdict::Failed(_) => 4,
        }
    }
}
