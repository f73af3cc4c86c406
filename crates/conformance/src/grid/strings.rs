//! What can be wrong with a string: its UTF-8, and as a topic name or a topic filter.

use super::expect::{self, Clause, Expect};
use super::flaw::{Flaw, Gathered};
use super::form::Form;
use super::part::{Part, Role};
use crate::wire::text;

/// Bytes that are no UTF-8 string of MQTT, and what they are.
pub(super) const NO_STRINGS: [(&str, &[u8]); 13] = [
    ("U+0000", b"a\0b"),
    ("U+0000 alone", b"\0"),
    ("a continuation byte alone", b"a\x80"),
    ("two bytes of which one is missing", b"a\xC3"),
    ("three bytes of which one is missing", b"\xE2\x82z"),
    ("four bytes of which one is missing", b"\xF0\x9F\x98"),
    ("U+0000 in two bytes", b"\xC0\x80"),
    ("a slash in two bytes", b"\xC0\xAF"),
    ("U+07FF in three bytes", b"\xE0\x9F\xBF"),
    ("the surrogate U+D800", b"\xED\xA0\x80"),
    ("the surrogate U+DFFF", b"\xED\xBF\xBF"),
    ("U+110000", b"\xF4\x90\x80\x80"),
    ("a byte 0xFF", b"\xFF"),
];

/// Codes that fit a fault of that string.
fn codes(role: Role) -> &'static [u8] {
    match role {
        Role::ClientId => expect::CLIENT_ID,
        Role::UserName => expect::USER,
        Role::TopicName | Role::WillTopic => expect::TOPIC_NAME,
        Role::Filter => expect::TOPIC_FILTER,
    }
}

/// The statement that such bytes break.
pub(super) fn broken_by(bytes: &[u8]) -> Clause {
    if bytes.contains(&0) {
        Clause("MQTT-1.5.3-2", "MQTT-1.5.4-2")
    } else {
        Clause("MQTT-1.5.3-1", "MQTT-1.5.4-1")
    }
}

/// Every string that is none. 3.1 says UTF-8 and not what follows from something else.
pub(super) fn utf8(gather: &mut Gathered<'_>, place: usize, part: &Part, role: Role) {
    for (name, bytes) in NO_STRINGS {
        let value = [role.prefix().as_bytes(), bytes].concat();
        let what = format!("{} with {name}", part.field.name);
        let expect = gather.strictly(codes(role), Expect::Open);
        let packet = gather.shape.with(place, text(value));
        gather.add(Flaw::Utf8, broken_by(bytes), what, packet, expect);
    }
}

/// Names and filters that are none.
pub(super) fn topics(gather: &mut Gathered<'_>, place: usize, part: &Part, role: Role) {
    match role {
        Role::TopicName | Role::WillTopic => names(gather, place, part, role),
        Role::Filter => filters(gather, place, part),
        Role::ClientId | Role::UserName => {}
    }
}

fn names(gather: &mut Gathered<'_>, place: usize, part: &Part, role: Role) {
    let wildcard = if role == Role::TopicName {
        Clause("MQTT-3.3.2-2", "MQTT-3.3.2-2")
    } else {
        Clause("MQTT-4.7.1-1", "MQTT-4.7.0-1")
    };
    for suffix in ["#", "+", "+/a", "a#", "a+", "#/a"] {
        let what = format!("{} with a wildcard, {suffix}", part.field.name);
        let bytes = gather.shape.with(place, text(format!("{}{suffix}", role.prefix())));
        let expect = gather.strictly(codes(role), Expect::NotTaken);
        gather.add(Flaw::TopicName, wildcard, what, bytes, expect);
    }
    // 3.1 gives it no length.
    let expect = gather.strictly(codes(role), Expect::Open);
    let empty = Clause("MQTT-4.7.3-1", "MQTT-4.7.3-1");
    let what = format!("{} that is empty", part.field.name);
    gather.add(Flaw::TopicName, empty, what, gather.shape.with(place, text("")), expect);
}

/// A broker may also refuse a bad filter alone, with a code in SUBACK. What it answers to an UNSUBSCRIBE of one
/// is open: there is no such subscription.
fn filters(gather: &mut Gathered<'_>, place: usize, part: &Part) {
    let hash = Clause("MQTT-4.7.1-2", "MQTT-4.7.1-1");
    let plus = Clause("MQTT-4.7.1-3", "MQTT-4.7.1-2");
    let share = Clause("", "MQTT-4.8.2-1");
    let name = Clause("", "MQTT-4.8.2-2");
    let prefix = Role::Filter.prefix();
    let mut wrong: Vec<(Clause, String)> = vec![(Clause("MQTT-4.7.3-1", "MQTT-4.7.3-1"), String::new())];
    wrong.extend(["#/a", "a#", "##", "#/#", "#a", "/#/"].map(|suffix| (hash, format!("{prefix}{suffix}"))));
    wrong.extend(["a+", "+a", "++", "a+/b", "+#"].map(|suffix| (plus, format!("{prefix}{suffix}"))));
    if gather.version().is_5() {
        wrong.push((share, format!("$share//{prefix}a")));
        wrong.extend(["+", "#", "a+", "a#"].map(|group| (name, format!("$share/{group}/{prefix}a"))));
        wrong.extend(["$share/group", "$share/group/"].map(|filter| (name, filter.to_owned())));
        wrong.push((hash, format!("$share/group/{prefix}#/a")));
        wrong.push((plus, format!("$share/group/{prefix}a+")));
    }
    for (clause, filter) in wrong {
        let shown = filter.replace(&prefix, "");
        let what = format!("{} `{shown}`", part.field.name);
        let subscribe = gather.shape.form() == Form::Subscribe;
        let expect = match gather.strictly(expect::SHARED, Expect::Open) {
            Expect::Closed(codes) if subscribe => Expect::ClosedOrRefused(codes),
            _ => Expect::Open,
        };
        gather.add(Flaw::TopicFilter, clause, what, gather.shape.with(place, text(filter)), expect);
    }
    if gather.version().is_5() && subscribe_alone(gather) {
        // No Local, and so a protocol error, unless the broker has no shared subscriptions at all.
        let shared = gather.shape.clone().set("topic filter", text(format!("$share/group/{prefix}a")));
        let bytes = shared.set("options", [0x04]).bytes();
        let expect = Expect::ClosedOrRefused(expect::SHARED);
        let what = "No Local on a shared subscription";
        gather.add(Flaw::Options, Clause("", "MQTT-3.8.3-4"), what, bytes, expect);
    }
}

fn subscribe_alone(gather: &Gathered<'_>) -> bool {
    gather.shape.form() == Form::Subscribe && gather.shape.row.variant.is_empty()
}
