//! The name of a rule, and the question every part of the model asks before it keeps one.

use super::plants::PLANTS;
use crate::wire::Version;
use std::collections::HashSet;
use std::sync::LazyLock;

/// A rule by its identifier, in the version that numbers it so.
///
/// Behind the identifier may stand one way among several to break it: `MQTT-2.3.1-1: SUBSCRIBE` is broken for
/// SUBSCRIBE alone. A test that looks at one way only would miss it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Of MQTT 3.1.1.
    V311(&'static str),
    /// Of MQTT 5.0.
    V5(&'static str),
}

impl Rule {
    /// The version whose standard it stands in.
    #[must_use]
    pub fn version(self) -> Version {
        match self {
            Rule::V311(_) => Version::V311,
            Rule::V5(_) => Version::V5,
        }
    }

    /// Its identifier.
    #[must_use]
    pub fn id(self) -> &'static str {
        let (Rule::V311(name) | Rule::V5(name)) = self;
        name.split_once(": ").map_or(name, |(id, _)| id)
    }

    /// The rule of that name, if the model can break it.
    #[must_use]
    pub fn planted(version: Version, name: &str) -> Option<Rule> {
        PLANTS.iter().copied().find(|rule| {
            let (Rule::V311(own) | Rule::V5(own)) = rule;
            rule.version() == version && *own == name
        })
    }
}

/// The plants once more, to find one quickly: a message on its way asks for dozens of rules.
static PLANTED: LazyLock<HashSet<Rule>> = LazyLock::new(|| PLANTS.iter().copied().collect());

/// Which rules a model keeps: all, or all but one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) broken: Option<Rule>,
}

impl Rules {
    /// Whether all of these are kept. Each place that keeps a rule asks this, with the names that the rule has in
    /// the two standards, and does the wrong thing when the answer is no.
    pub(super) fn keep(self, rules: &[Rule]) -> bool {
        debug_assert!(rules.iter().all(|rule| PLANTED.contains(rule)), "not in PLANTS: {rules:?}");
        self.broken.is_none_or(|broken| !rules.contains(&broken))
    }

    /// The version to speak with a peer that has not said which it speaks.
    pub(super) fn usual_version(self) -> Version {
        self.broken.map_or(Version::V311, Rule::version)
    }
}
