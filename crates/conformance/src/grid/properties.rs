//! What can be wrong with the properties of a packet of MQTT 5: every identifier of the table that the packet
//! may not carry, each that it may carry twice, every value out of its bounds, and the length of them all.

use super::expect::{self, Clause, Expect, TEXT};
use super::flaw::{Flaw, Gathered};
use super::strings::NO_STRINGS;
use crate::wire::property::{self, Holder, Kind, RULES, Rule, USER_PROPERTY};
use crate::wire::{Property, Value, properties, text, variable};

const SUBSCRIPTION_IDENTIFIER_OF_CLIENT: Clause = Clause("", "MQTT-3.3.4-6");

/// Whether a client may send that property there. The table holds both directions; a subscription identifier
/// in a PUBLISH comes from a server alone.
pub(super) fn of_client(rule: &Rule, holder: Holder) -> bool {
    rule.may_stand_in(holder) && !(holder == Holder::Publish && rule.id == property::SUBSCRIPTION_IDENTIFIER)
}

/// Good values, with those at the bounds. Where one value is as good as another, the empty and the longer one.
pub(super) fn good_values(rule: &Rule) -> Vec<Property> {
    let id = rule.id;
    let of = |value| Property { id, value };
    let numbers = match (id, rule.bounds) {
        // Larger ones have to be announced first, smaller ones let nothing through.
        (property::TOPIC_ALIAS, _) => vec![1],
        (property::MAXIMUM_PACKET_SIZE, _) => vec![2048, u32::MAX],
        // Of 0 the message has expired already.
        (property::MESSAGE_EXPIRY, _) => vec![60, u32::MAX],
        (_, Some((from, to))) => vec![from, to],
        (_, None) if rule.kind == Kind::Two => vec![0, 0xFFFF],
        (_, None) => vec![0, u32::MAX],
    };
    match rule.kind {
        Kind::Byte => numbers.iter().map(|number| of(Value::Byte(*number as u8))).collect(),
        Kind::Two => numbers.iter().map(|number| of(Value::Two(*number as u16))).collect(),
        Kind::Four => numbers.iter().map(|number| of(Value::Four(*number))).collect(),
        Kind::Variable => numbers.iter().map(|number| of(Value::Variable(*number))).collect(),
        // A topic name is not empty.
        Kind::Text if id == property::RESPONSE_TOPIC => vec![of(Value::Text(b"/".to_vec()))],
        Kind::Text => vec![of(Value::Text(Vec::new())), of(Value::Text(b"text".to_vec()))],
        Kind::Binary => vec![of(Value::Binary(Vec::new())), of(Value::Binary(vec![0, 0xFF, 0xC0, 0x80]))],
        Kind::Pair => vec![Property::user("", ""), Property::user("name", "value")],
    }
}

/// What the list needs besides, to be good but for what is spoiled: data of an authentication has a method.
pub(super) fn beside(rule: &Rule) -> Vec<Property> {
    if rule.id == property::AUTHENTICATION_DATA {
        vec![Property::text(property::AUTHENTICATION_METHOD, "none")]
    } else {
        Vec::new()
    }
}

/// All that can be wrong with the properties in that place.
pub(super) fn spoil(gather: &mut Gathered<'_>, place: usize, holder: Holder) {
    for rule in &RULES {
        if of_client(rule, holder) {
            repeated(gather, place, rule);
            out_of_range(gather, place, rule);
            cut_value(gather, place, rule);
            strings(gather, place, rule);
        } else {
            forbidden(gather, place, holder, rule);
        }
    }
    unknown(gather, place, holder);
    lengths(gather, place, holder);
    only_with_others(gather, place, holder);
}

fn add(
    gather: &mut Gathered<'_>,
    place: usize,
    flaw: Flaw,
    clause: Clause,
    what: String,
    content: Vec<u8>,
    codes: &'static [u8],
) {
    let what = match gather.shape.parts.get(place) {
        Some(part) if part.field.name != "properties" => format!("{what}, in the {}", part.field.name),
        _ => what,
    };
    let expect = gather.strictly(codes, Expect::Open);
    let bytes = gather.shape.with(place, content);
    gather.add(flaw, clause, what, bytes, expect);
}

fn codes(rule: &Rule) -> &'static [u8] {
    match rule.id {
        property::TOPIC_ALIAS => expect::TOPIC_ALIAS,
        property::RESPONSE_TOPIC => expect::TOPIC_NAME,
        property::AUTHENTICATION_METHOD | property::AUTHENTICATION_DATA => expect::AUTHENTICATION,
        _ => expect::FAULT,
    }
}

fn named(rule: &Rule) -> String {
    format!("property 0x{:02X} {}", rule.id, rule.name)
}

/// A Server Reference is in the table for DISCONNECT, and what follows from a client's is not said: no case.
fn forbidden(gather: &mut Gathered<'_>, place: usize, holder: Holder, rule: &Rule) {
    let clause = match holder {
        Holder::Publish if rule.may_stand_in(holder) => SUBSCRIPTION_IDENTIFIER_OF_CLIENT,
        _ => TEXT,
    };
    for value in good_values(rule).into_iter().take(1) {
        let what = format!("{}, which it may not carry", named(rule));
        let content = properties(&[value]);
        add(gather, place, Flaw::ForbiddenProperty, clause, what, content, codes(rule));
    }
}

/// Identifiers that nothing has, in one byte and in more.
fn unknown(gather: &mut Gathered<'_>, place: usize, holder: Holder) {
    for id in [0x00, 0x04, 0x07, 0x0A, 0x10, 0x14, 0x1B, 0x1D, 0x20, 0x2B, 0x7F, 0x80, 0x126, 0x0FFF_FFFF_u32]
    {
        let mut content = variable(id);
        content.push(0);
        let what = format!("property 0x{id:02X}, which does not exist");
        add(gather, place, Flaw::UnknownProperty, TEXT, what, counted(&content), expect::FAULT);
    }
    // The user property, whose identifier takes one byte, in two.
    let content = [&[0x80 | USER_PROPERTY, 0][..], &text("a"), &text("b")].concat();
    let clause = Clause("", "MQTT-1.5.5-1");
    let what = "property 0x26 User Property, its identifier in two bytes".to_owned();
    if holder != Holder::Auth {
        add(gather, place, Flaw::UnknownProperty, clause, what, counted(&content), expect::FAULT);
    }
}

fn counted(content: &[u8]) -> Vec<u8> {
    [&variable(content.len() as u32), content].concat()
}

fn repeated(gather: &mut Gathered<'_>, place: usize, rule: &Rule) {
    if rule.may_repeat(false) {
        return;
    }
    let values = good_values(rule);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return };
    for (what, other) in [("the same", first), ("another", last)] {
        if what == "another" && first == last {
            continue;
        }
        let mut list = beside(rule);
        list.extend([first.clone(), other.clone()]);
        let what = format!("{} twice, {what} value", named(rule));
        add(gather, place, Flaw::RepeatedProperty, TEXT, what, properties(&list), codes(rule));
    }
}

/// Numbers beside the bounds, and the highest there is; a variable number of five bytes.
fn out_of_range(gather: &mut Gathered<'_>, place: usize, rule: &Rule) {
    let Some((from, to)) = rule.bounds else { return };
    let most = match rule.kind {
        Kind::Byte => 0xFF,
        Kind::Two => 0xFFFF,
        _ => u32::MAX,
    };
    let mut numbers = Vec::new();
    numbers.extend(from.checked_sub(1));
    numbers.extend((to < most).then_some(to.saturating_add(1)));
    numbers.extend((to < most && most > to.saturating_add(1)).then_some(most));
    for number in numbers {
        let value = match rule.kind {
            Kind::Byte => Value::Byte(number as u8),
            Kind::Two => Value::Two(number as u16),
            Kind::Four => Value::Four(number),
            _ => Value::Variable(number),
        };
        let what = format!("{} of {number}", named(rule));
        let content = properties(&[Property { id: rule.id, value }]);
        let clause = if rule.id == property::TOPIC_ALIAS { Clause("", "MQTT-3.3.2-8") } else { TEXT };
        add(gather, place, Flaw::PropertyRange, clause, what, content, codes(rule));
    }
}

/// The properties end in the middle of the value, or before it.
fn cut_value(gather: &mut Gathered<'_>, place: usize, rule: &Rule) {
    let Some(value) = good_values(rule).pop() else { return };
    let whole = properties(&[value]);
    let content = whole.get(1..).unwrap_or_default();
    let last = content.len() - 1;
    for length in if last > 1 { vec![1, last] } else { vec![1] } {
        let what = format!("{} that ends after {length} of its {} bytes", named(rule), content.len());
        let content = counted(content.get(..length).unwrap_or_default());
        add(gather, place, Flaw::PropertyLength, TEXT, what, content, codes(rule));
    }
}

/// Strings that are none, some of the kinds, in each string of the property; a response topic with a wildcard.
fn strings(gather: &mut Gathered<'_>, place: usize, rule: &Rule) {
    if !matches!(rule.kind, Kind::Text | Kind::Pair) {
        return;
    }
    for (name, bytes) in NO_STRINGS.into_iter().step_by(3) {
        let clause = super::strings::broken_by(bytes);
        let list = match rule.kind {
            Kind::Text => vec![("", Property::text(rule.id, bytes))],
            _ => vec![
                (", in its name", Property::user(bytes, "value")),
                (", in its value", Property::user("name", bytes)),
            ],
        };
        for (which, value) in list {
            let clause = if rule.kind == Kind::Pair { Clause("", "MQTT-1.5.7-1") } else { clause };
            let what = format!("{} with {name}{which}", named(rule));
            add(gather, place, Flaw::Utf8, clause, what, properties(&[value]), codes(rule));
        }
    }
    if rule.id == property::RESPONSE_TOPIC {
        for topic in ["#", "+", "a/#", "a/+/b"] {
            let what = format!("{} `{topic}`", named(rule));
            let content = properties(&[Property::text(rule.id, topic)]);
            let clause = Clause("", "MQTT-3.3.2-14");
            add(gather, place, Flaw::TopicName, clause, what, content, codes(rule));
        }
    }
}

/// Property lengths that do not fit what follows.
fn lengths(gather: &mut Gathered<'_>, place: usize, holder: Holder) {
    let list: Vec<_> = match holder {
        Holder::Auth => vec![Property::text(property::AUTHENTICATION_METHOD, "none")],
        _ => vec![Property::user("name", "value")],
    };
    let whole = properties(&list);
    let content = whole.get(1..).unwrap_or_default();
    let length = content.len() as u8;
    let flaw = Flaw::PropertyLength;
    for (what, prefix, clause) in [
        ("a property length that is one too small", vec![length - 1], TEXT),
        ("a property length that is one too large", vec![length + 1], TEXT),
        ("a property length behind the end of the packet", vec![0xFF, 0x7F], TEXT),
        ("a property length of 268,435,455", vec![0xFF, 0xFF, 0xFF, 0x7F], TEXT),
        (
            "a property length of five bytes",
            vec![0x80 | length, 0x80, 0x80, 0x80, 0x00],
            Clause("", "MQTT-1.5.5-1"),
        ),
        (
            "a property length of two bytes where one is enough",
            vec![0x80 | length, 0],
            Clause("", "MQTT-1.5.5-1"),
        ),
    ] {
        let content = [&prefix, content].concat();
        add(gather, place, flaw, clause, what.to_owned(), content, expect::LENGTH);
    }
    let what = "a property length of 0 in two bytes".to_owned();
    add(gather, place, flaw, Clause("", "MQTT-1.5.5-1"), what, vec![0x80, 0], expect::FAULT);
}

/// Properties that are wrong with what else the client said: data without a method, an expiry where none was.
fn only_with_others(gather: &mut Gathered<'_>, place: usize, holder: Holder) {
    let (property, what) = match holder {
        Holder::Connect => {
            (Property::binary(property::AUTHENTICATION_DATA, "data"), "Authentication Data without a method")
        }
        Holder::Disconnect => (
            Property::four(property::SESSION_EXPIRY, 60),
            "a Session Expiry Interval after one of 0 in CONNECT",
        ),
        _ => return,
    };
    let content = properties(&[property]);
    add(gather, place, Flaw::ForbiddenProperty, TEXT, what.to_owned(), content, expect::AUTHENTICATION);
}
