//! What is allowed, up to its borders: a broker that closes for everything fails here.
//!
//! Where a broker may refuse (rights, names of clients and users, authentication) or where the standard only
//! says what should not be sent (control characters, non-characters), the packet is there, and may be taken or
//! refused.

use super::expect::{self, Answer, Clause, Expect, TEXT};
use super::flaw::{Flaw, Gathered};
use super::form::Form;
use super::part::{HOLE, Part, Role};
use super::properties::{beside, good_values, of_client};
use super::spoil;
use crate::wire::property::{self, Holder, RULES};
use crate::wire::{Property, Value, first, frame, properties as encoded, text};

/// Characters beside those that are forbidden, and at the ends of each length of UTF-8.
const CHARACTERS: [(&str, &str); 14] = [
    ("U+0020", " "),
    ("U+0021", "!"),
    ("U+007E", "~"),
    ("U+00A0", "\u{A0}"),
    ("U+07FF", "\u{7FF}"),
    ("U+0800", "\u{800}"),
    ("U+D7FF", "\u{D7FF}"),
    ("U+E000", "\u{E000}"),
    ("U+FEFF", "\u{FEFF}"),
    ("U+FFFD", "\u{FFFD}"),
    ("U+10000", "\u{10000}"),
    ("U+10FFFD", "\u{10FFFD}"),
    ("a combining accent", "e\u{301}"),
    ("right to left text", "\u{5D0}\u{5D1}"),
];

/// Control characters and non-characters: they should not be sent, and a receiver may close for them.
const DISCOURAGED: [(&str, &str); 8] = [
    ("U+0001", "\u{1}"),
    ("U+001F", "\u{1F}"),
    ("U+007F", "\u{7F}"),
    ("U+009F", "\u{9F}"),
    ("U+FDD0", "\u{FDD0}"),
    ("U+FFFE", "\u{FFFE}"),
    ("U+FFFF", "\u{FFFF}"),
    ("U+10FFFF", "\u{10FFFF}"),
];

/// The good packet itself: that it is served is what makes a refusal of its flawed kin worth something.
pub(super) fn good(gather: &mut Gathered<'_>) {
    let shape = gather.shape;
    match shape.form() {
        Form::Auth => {
            let bytes = shape.bytes();
            let expect = Expect::Closed(expect::AUTHENTICATION);
            let clause = Clause("", "MQTT-4.12.0-7");
            gather.add(Flaw::Sender, clause, "without a method in CONNECT", bytes, expect);
        }
        // The user may be one that the broker does not know.
        Form::Connect if shape.row.variant == "with a user" => gather.open("a good one", shape.bytes()),
        Form::Publish => {
            gather.allow("a good one", shape.bytes());
            for flags in shape.row.flags.iter().filter(|flags| **flags & 8 != 0 && **flags & 1 == 0) {
                let bytes = frame(first::PUBLISH | flags, shape.body());
                gather.allow("DUP", bytes);
            }
        }
        _ => gather.allow("a good one", shape.bytes()),
    }
}

/// Off, and the longest.
pub(super) fn keep_alive(gather: &mut Gathered<'_>, place: usize) {
    for seconds in [0_u16, 0xFFFF] {
        let bytes = gather.shape.with(place, seconds.to_be_bytes());
        gather.allow(format!("keep alive {seconds}"), bytes);
    }
}

/// The lowest and the highest, where the client chooses it and it need not be known to the broker.
pub(super) fn packet_ids(gather: &mut Gathered<'_>, place: usize) {
    if matches!(gather.shape.form(), Form::Publish | Form::Subscribe | Form::Unsubscribe) {
        for id in [1_u16, 0xFFFF] {
            let bytes = gather.shape.with(place, id.to_be_bytes());
            gather.allow(format!("packet identifier {id}"), bytes);
        }
    }
}

/// Strings at the borders of what is allowed, and beyond what a broker must take.
pub(super) fn string(gather: &mut Gathered<'_>, place: usize, part: &Part, role: Role) {
    let name = part.field.name;
    let served = matches!(role, Role::TopicName | Role::WillTopic | Role::Filter);
    for (which, characters) in CHARACTERS {
        let bytes = gather.shape.with(place, text(format!("{}{characters}", role.prefix())));
        let what = format!("{name} with {which}");
        if served { gather.allow(what, bytes) } else { gather.open(what, bytes) }
    }
    for (which, characters) in DISCOURAGED {
        let bytes = gather.shape.with(place, text(format!("{}{characters}", role.prefix())));
        gather.open(format!("{name} with {which}"), bytes);
    }
    let longest = [role.prefix().into_bytes(), vec![b'x'; 65_535 - role.prefix().len()]].concat();
    gather.open(format!("{name} of 65,535 bytes"), gather.shape.with(place, text(longest)));
    match role {
        Role::ClientId => {
            let bytes = gather.shape.with(place, text(format!("{HOLE}Zz012345678")));
            gather.allow("client identifier of 23 letters and digits", bytes);
        }
        Role::Filter => {
            for suffix in ["#", "+", "+/+", "+/a/#", "/", "/+", "$share/group/a", "$a"] {
                let bytes = gather.shape.with(place, text(format!("{}{suffix}", role.prefix())));
                gather.allow(format!("{name} that ends in `/{suffix}`"), bytes);
            }
        }
        Role::TopicName | Role::WillTopic => {
            for suffix in ["/", "//", "$a", "a b"] {
                let bytes = gather.shape.with(place, text(format!("{}{suffix}", role.prefix())));
                gather.allow(format!("{name} that ends in `/{suffix}`"), bytes);
            }
        }
        Role::UserName => gather.open("user name that is empty", gather.shape.with(place, text(""))),
    }
}

/// No bytes, and bytes that are no text.
pub(super) fn binary(gather: &mut Gathered<'_>, place: usize, part: &Part) {
    for (which, content) in [("that is empty", &[][..]), ("of any bytes", &[0, 0xFF, 0xC0, 0x80])] {
        let bytes = gather.shape.with(place, text(content));
        let what = format!("{} {which}", part.field.name);
        if part.field.name == "password" { gather.open(what, bytes) } else { gather.allow(what, bytes) }
    }
}

/// No property, each that the packet may carry with each of its good values, and a user property twice.
pub(super) fn properties(gather: &mut Gathered<'_>, place: usize, holder: Holder) {
    let field = gather.shape.parts.get(place).map_or("properties", |part| part.field.name);
    gather.allow(format!("no {field}"), gather.shape.with(place, encoded(&[])));
    for rule in RULES.iter().filter(|rule| of_client(rule, holder)) {
        for value in good_values(rule) {
            let shown = match (value.number(), &value.value) {
                (Some(number), _) => format!(" of {number}"),
                (_, Value::Text(bytes) | Value::Binary(bytes)) => format!(" of {} bytes", bytes.len()),
                (_, Value::Pair(name, value)) => format!(" of {} and {} bytes", name.len(), value.len()),
                _ => String::new(),
            };
            let what = format!("{field}: 0x{:02X} {}{shown}", rule.id, rule.name);
            let mut list = beside(rule);
            list.push(value);
            let bytes = gather.shape.with(place, encoded(&list));
            if may_be_refused(holder, &list) { gather.open(what, bytes) } else { gather.allow(what, bytes) }
        }
    }
    let list = [Property::user("name", "1"), Property::user("name", "1"), Property::user("name", "2")];
    let bytes = gather.shape.with(place, encoded(&list));
    gather.allow(format!("{field}: user properties of one name"), bytes);
    for (which, characters) in CHARACTERS {
        let bytes = gather.shape.with(place, encoded(&[Property::user(characters, characters)]));
        gather.allow(format!("{field}: user property with {which}"), bytes);
    }
}

/// A broker need not know a method of authentication. Whether it takes topic aliases and subscription
/// identifiers it says in CONNACK, which the tests of the statements read. A client that sends a server's
/// reference, or an expiry where it asked for none, is no case of these.
fn may_be_refused(holder: Holder, list: &[Property]) -> bool {
    list.iter().any(|property| match property.id {
        property::AUTHENTICATION_METHOD
        | property::TOPIC_ALIAS
        | property::SUBSCRIPTION_IDENTIFIER
        | property::SERVER_REFERENCE => true,
        property::SESSION_EXPIRY => holder == Holder::Disconnect && property.number() != Some(0),
        _ => false,
    })
}

/// Every reason code that a client may send.
pub(super) fn reason_codes(gather: &mut Gathered<'_>, place: usize, holder: Holder) {
    for code in spoil::of_client(holder).iter().copied().filter(|code| *code != 0) {
        let bytes = gather.shape.with(place, [code]);
        let answer = match holder {
            // With 0x80 or more the exchange is over.
            Holder::Pubrec if code < 0x80 => Answer::Packet(first::PUBREL),
            Holder::Disconnect => Answer::End { will: true },
            _ => Answer::Nothing,
        };
        // Of a DISCONNECT only 0x00 removes the will.
        let clause = if holder == Holder::Disconnect { Clause("", "MQTT-3.1.2-8") } else { TEXT };
        // "Packet Identifier not found", of an identifier that is known.
        let expect = if holder == Holder::Pubrel { Expect::Open } else { Expect::Served(answer) };
        gather.add(Flaw::None, clause, format!("reason code 0x{code:02X}"), bytes, expect);
    }
}
