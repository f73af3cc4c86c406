//! One setting, the table of all of them, and the one that was probably meant.
//!
//! The table is the only place that knows the settings: reading the layers, the errors and
//! `docs/configuration.md` all come from it.

use super::draft::Draft;
use super::elsewhere::{self, Hint};
use super::general_table::GENERAL;
use super::kind::Kind;
use super::limits_table::LIMITS;

/// A row of the table.
pub(crate) struct Setting {
    /// Dotted, as in the file: `limits.queue_messages`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// For whom a new value holds that a reload brings.
    pub(crate) effect: Effect,
    /// The default in words, where it is not simply the number that [`Draft::default`] has.
    pub(crate) default: Option<&'static str>,
    /// What it does, in a sentence or two.
    pub(crate) help: &'static str,
    /// Why the default is what it is.
    pub(crate) reason: &'static str,
}

/// For whom a reload changes a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    AtOnce,
    /// Connections that are open go on with what they began with.
    NewConnections,
    /// So do sessions, over their reconnects, until they end.
    NewSessions,
    Restart,
}

impl Effect {
    /// For the documentation.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Effect::AtOnce => "holds at once",
            Effect::NewConnections => "holds for new connections",
            Effect::NewSessions => "holds for new sessions",
            Effect::Restart => "needs a restart",
        }
    }

    /// What a list of changed settings says behind a name.
    pub(crate) fn remark(self) -> Option<&'static str> {
        match self {
            Effect::NewConnections => Some("new connections"),
            Effect::NewSessions => Some("new sessions"),
            Effect::AtOnce | Effect::Restart => None,
        }
    }
}

impl Setting {
    /// The environment variable: `ALDIS_LIMITS__QUEUE_MESSAGES`.
    pub(crate) fn variable(&self) -> String {
        variable(self.name)
    }

    /// The default as it would be written.
    pub(crate) fn show_default(&self) -> String {
        match (&self.default, &self.kind) {
            (Some(words), _) => (*words).to_owned(),
            (None, Kind::Number(number)) => format!("`{}`", number.show((number.get)(&Draft::default()))),
            (None, _) => "none".to_owned(),
        }
    }
}

/// The environment variable of the setting or group of this name.
pub(crate) fn variable(name: &str) -> String {
    format!("ALDIS_{}", name.replace('.', "__").to_ascii_uppercase())
}

/// Every setting, in the order of the documentation.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    GENERAL.iter().chain(LIMITS)
}

/// The setting of exactly this name.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

/// The first setting of a group such as `limits`; `None` if there is no such group.
pub(crate) fn first_of_group(group: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name.split_once('.').is_some_and(|(of, _)| of == group))
}

/// What was probably meant by a name that is no setting: known from elsewhere, or a slip.
pub(crate) fn hint(name: &str) -> Option<Hint> {
    let slip = || nearest(name).map(|setting| Hint { setting: Some(setting.name), words: "" });
    elsewhere::hint(name).or_else(slip)
}

/// The setting whose name is so near to `name` that it was probably meant.
///
/// A name without its group (`queue_messages`), with the wrong one (`limit.queue_messages`) or with
/// another separator (`limits-queue-messages`) is as near as a slip of the finger.
fn nearest(name: &str) -> Option<&'static Setting> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let last = last_part(&name);
    let distance = |setting: &Setting| {
        let whole = strsim::damerau_levenshtein(&name, setting.name);
        let flat = strsim::damerau_levenshtein(&name, &setting.name.replace('.', "_"));
        // Being in another group counts as one slip more.
        let part = strsim::damerau_levenshtein(last, last_part(setting.name)) + 1;
        whole.min(flat).min(part)
    };
    let (distance, setting) = all().map(|setting| (distance(setting), setting)).min_by_key(|(d, _)| *d)?;
    (distance <= 1 + last.len() / 4).then_some(setting)
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        let mut names: Vec<_> = all().map(|setting| setting.name).collect();
        for name in &names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'.' | b'0'..=b'9')),
                "{name}"
            );
            assert!(!name.contains("__") && name.matches('.').count() <= 1, "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_limit_is_a_setting() {
        let limits = format!("{:#?}", Draft::default().limits);
        let fields: Vec<&str> =
            limits.lines().filter_map(|line| line.strip_prefix("    ")?.split(':').next()).collect();
        assert!(fields.len() > 20, "{limits}");
        for field in &fields {
            assert!(find(&format!("limits.{field}")).is_some(), "{field}");
        }
        assert_eq!(LIMITS.len(), fields.len());
    }

    #[test]
    fn every_setting_says_what_it_does_and_why() {
        for setting in all() {
            assert!(setting.help.ends_with('.') && setting.reason.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn defaults_are_in_range_or_have_a_word() {
        for setting in all() {
            if let Kind::Number(number) = &setting.kind {
                let default = (number.get)(&Draft::default());
                let word = number.word.is_some_and(|(_, stands_for)| stands_for == default);
                assert!(word || number.range.contains(&default), "{} = {default}", setting.name);
            }
        }
    }

    #[test]
    fn numbers_are_read_back_where_they_were_written() {
        for setting in all() {
            if let Kind::Number(number) = &setting.kind {
                for value in [*number.range.start(), *number.range.end()] {
                    let mut draft = Draft::default();
                    (number.set)(&mut draft, value);
                    assert_eq!((number.get)(&draft), value, "{}", setting.name);
                }
            }
        }
    }

    #[test]
    fn the_nearest_name_is_found_and_only_if_it_is_near() {
        for (given, meant) in [
            ("limits.queue_mesages", Some("limits.queue_messages")),
            ("limit.queue_messages", Some("limits.queue_messages")),
            ("queue_messages", Some("limits.queue_messages")),
            ("limits_queue_messages", Some("limits.queue_messages")),
            ("Limits.Queue-Messages", Some("limits.queue_messages")),
            ("allow_anonymous", Some("auth.allow_anonymous")),
            ("auth.passwordfile", Some("auth.password_file")),
            ("listeners", Some("listen")),
            ("lisen", Some("listen")),
            ("datadir", Some("data_dir")),
            ("verbosity", Some("log.verbosity")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(given).map(|setting| setting.name), meant, "{given}");
        }
    }

    #[test]
    fn variables_are_named_after_settings() {
        assert_eq!(find("limits.queue_messages").unwrap().variable(), "ALDIS_LIMITS__QUEUE_MESSAGES");
        assert_eq!(find("data_dir").unwrap().variable(), "ALDIS_DATA_DIR");
    }
}
