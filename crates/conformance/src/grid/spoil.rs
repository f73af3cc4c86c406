//! Spoils one thing of a good packet at a time: what every packet has, and, field by field, what a kind of
//! field has.

use super::expect::{self, Clause, Expect, TEXT};
use super::flaw::{Flaw, Flawed, Gathered};
use super::form::Form;
use super::part::{Kind, Part, Shape};
use super::{connect, edges, properties, strings};
use crate::wire::property::Holder;
use crate::wire::{Version, frame, variable};

/// All packets that follow from a good one, with the good one itself in front.
pub(super) fn spoil(shape: &Shape) -> Vec<Flawed> {
    let mut gathered = Gathered { shape, packets: Vec::new() };
    let gather = &mut gathered;
    if !shape.form().is_of_clients() {
        let expect = gather.strictly(expect::FAULT, Expect::NotTaken);
        gather.add(Flaw::Sender, malformed(gather), "a good one", shape.bytes(), expect);
        return gathered.packets;
    }
    edges::good(gather);
    if shape.row.variant.is_empty() || shape.form() == Form::Publish {
        flags(gather);
    }
    if shape.row.variant.is_empty() || shape.row.variant == "QoS 1" {
        length(gather);
    }
    for (place, part) in shape.parts.iter().enumerate().filter(|(_, part)| part.field.own) {
        cut(gather, place, part);
        field(gather, place, part);
    }
    if matches!(shape.form(), Form::Connect) && shape.row.variant.is_empty() {
        connect::fields_together(gather);
    }
    too_long(gather);
    gathered.packets
}

fn field(gather: &mut Gathered<'_>, place: usize, part: &Part) {
    match part.field.kind {
        Kind::Protocol => connect::protocol_name(gather, place),
        Kind::Level => connect::protocol_level(gather, place),
        Kind::ConnectFlags(_) => connect::flags(gather, place),
        Kind::KeepAlive => edges::keep_alive(gather, place),
        Kind::Id => packet_id(gather, place),
        Kind::Text(role, _) => {
            strings::utf8(gather, place, part, role);
            strings::topics(gather, place, part, role);
            field_length(gather, place, part);
            edges::string(gather, place, part, role);
        }
        Kind::Binary => {
            field_length(gather, place, part);
            edges::binary(gather, place, part);
        }
        Kind::Properties(holder) => {
            properties::spoil(gather, place, holder);
            edges::properties(gather, place, holder);
        }
        Kind::Options => options(gather, place, part),
        Kind::Code(holder) => reason_codes(gather, place, holder),
        Kind::Payload | Kind::Zero => {}
    }
}

/// Every nibble that the table does not allow.
///
/// In 3.1 DUP and QoS of a SUBSCRIBE may be set, and elsewhere the bits are "not used": all but QoS 3 is open.
fn flags(gather: &mut Gathered<'_>) {
    let row = gather.shape.row;
    let clause = match row.form {
        Form::Publish => Clause("MQTT-3.3.1-4", "MQTT-3.3.1-4"),
        Form::Pubrel => Clause("MQTT-3.6.1-1", "MQTT-3.6.1-1"),
        Form::Subscribe => Clause("MQTT-3.8.1-1", "MQTT-3.8.1-1"),
        Form::Unsubscribe => Clause("MQTT-3.10.1-1", "MQTT-3.10.1-1"),
        Form::Disconnect => Clause("MQTT-3.14.1-1", "MQTT-3.14.1-1"),
        Form::Auth => Clause("", "MQTT-3.15.1-1"),
        _ => Clause("MQTT-2.2.2-2", "MQTT-2.1.3-1"),
    };
    for nibble in (0..16).filter(|nibble| !row.flags.contains(nibble)) {
        let publish = row.form == Form::Publish;
        let clause = if publish && nibble & 6 == 0 { Clause("MQTT-3.3.1-2", "MQTT-3.3.1-2") } else { clause };
        // A PUBLISH in which this nibble says another QoS is a good one, of that QoS.
        if publish && nibble & 6 != 6 && nibble & 14 != 8 {
            continue;
        }
        let in_31 = if publish && nibble & 6 == 6 { Expect::NotTaken } else { Expect::Open };
        let codes = if publish { expect::QOS } else { expect::FAULT };
        let expect = gather.strictly(codes, in_31);
        let bytes = frame(row.first & 0xF0 | nibble, gather.shape.body());
        gather.add(Flaw::Flags, clause, format!("flags {nibble:04b}"), bytes, expect);
    }
}

/// Remaining Lengths that are none. That of a packet longer than what follows has no case: the rest may come.
fn length(gather: &mut Gathered<'_>) {
    let body = gather.shape.body();
    let first = gather.shape.row.first;
    let closed = gather.strictly(expect::LENGTH, Expect::NotTaken);
    for (name, length) in [
        ("the highest", [0xFF, 0xFF, 0xFF, 0xFF, 0x7F]),
        ("a small", [0x80 | body.len() as u8, 0x80, 0x80, 0x80, 0]),
    ] {
        let what = format!("a Remaining Length of five bytes, {name} number");
        gather.add(Flaw::Length, malformed(gather), what, [&[first][..], &length, &body].concat(), closed);
    }
    // 3.x demands nothing of the kind, and the number is clear.
    let expect = if gather.version().is_5() { Expect::Closed(expect::LENGTH) } else { Expect::Open };
    let mut length = variable(body.len() as u32);
    for spare in 1..=2 {
        if let Some(last) = length.last_mut() {
            *last |= 0x80;
        }
        length.push(0);
        let what = format!("a Remaining Length with {spare} more bytes than it needs");
        let bytes = [&[first][..], &length, &body].concat();
        gather.add(Flaw::Length, Clause("", "MQTT-1.5.5-1"), what, bytes, expect);
    }
}

/// The packet ends before this field, or in the middle of it.
fn cut(gather: &mut Gathered<'_>, place: usize, part: &Part) {
    let shape = gather.shape;
    let field = part.field;
    let user_31 = gather.version() == Version::V31 && matches!(field.name, "user name" | "password");
    let no_filter = shape.form() == Form::Subscribe || shape.form() == Form::Unsubscribe;
    let clause = malformed(gather);
    // Behind the topic of a PUBLISH at QoS 0 nothing has to come, and a payload may end anywhere.
    if field.kind != Kind::Payload {
        let what = format!("it ends before the {}", field.name);
        match field.optional {
            true => {
                gather.allow(what, shape.cut(place, 0));
            }
            // In 3.1 the Remaining Length overrules the flags: the field may be missing.
            false if user_31 => gather.open(what, shape.cut(place, 0)),
            false => {
                // Nothing in 3.1 demands a filter.
                let filter = no_filter && matches!(field.kind, Kind::Text(..));
                let in_31 = if filter { Expect::Open } else { Expect::NotTaken };
                let expect = gather.strictly(expect::FAULT, in_31);
                let clause = match shape.form() {
                    Form::Subscribe if filter => Clause("MQTT-3.8.3-3", "MQTT-3.8.3-2"),
                    Form::Unsubscribe if filter => Clause("MQTT-3.10.3-2", "MQTT-3.10.3-2"),
                    _ => clause,
                };
                gather.add(Flaw::Cut, clause, what, shape.cut(place, 0), expect);
            }
        }
        for into in cuts_inside(part) {
            let what = format!("it ends after {into} bytes of the {}", field.name);
            let expect = gather.strictly(expect::FAULT, Expect::NotTaken);
            gather.add(Flaw::Cut, clause, what, shape.cut(place, into), expect);
        }
    }
}

/// After the first byte, in the middle, before the last byte.
fn cuts_inside(part: &Part) -> Vec<usize> {
    let length = part.bytes.len();
    let mut cuts = vec![1, length / 2, length.saturating_sub(1)];
    cuts.retain(|into| *into > 0 && *into < length);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// A byte behind the end. A PUBLISH has no end but that of its payload.
fn too_long(gather: &mut Gathered<'_>) {
    let shape = gather.shape;
    let (clause, in_31) = match shape.form() {
        Form::Publish => return,
        Form::Connect if !shape.row.variant.is_empty() => return,
        Form::Connect => (Clause("MQTT-3.1.4-1", "MQTT-3.1.4-1"), Expect::Open),
        // The byte is the beginning of a filter.
        Form::Subscribe | Form::Unsubscribe => (malformed(gather), Expect::NotTaken),
        _ => (malformed(gather), Expect::Open),
    };
    for bytes in [&[0][..], b"\0\x04more"] {
        let what = format!("{} bytes behind its end", bytes.len());
        let body = [&shape.body(), bytes].concat();
        // Of a SUBSCRIBE that is a filter without options, and of an UNSUBSCRIBE a good filter.
        if shape.form() == Form::Unsubscribe && bytes.len() > 1 {
            continue;
        }
        let expect = gather.strictly(expect::FAULT, in_31);
        gather.add(Flaw::TooLong, clause, what, frame(shape.row.first, body), expect);
    }
}

/// A string or binary data that says that it goes on behind the end of the packet.
fn field_length(gather: &mut Gathered<'_>, place: usize, part: &Part) {
    let content = part.bytes.len().saturating_sub(2);
    let behind = gather.shape.behind(place);
    for length in [content + behind + 1, 0xFFFF] {
        let mut bytes = part.bytes.clone();
        for (byte, value) in bytes.iter_mut().zip((length as u16).to_be_bytes()) {
            *byte = value;
        }
        let what = format!("a {} that is longer than the packet, by its length of {length}", part.field.name);
        let expect = gather.strictly(expect::FAULT, Expect::NotTaken);
        gather.add(Flaw::FieldLength, malformed(gather), what, gather.shape.with(place, bytes), expect);
    }
}

/// Identifier 0. In an acknowledgement it is one that the broker does not know, and what follows is open.
fn packet_id(gather: &mut Gathered<'_>, place: usize) {
    let bytes = gather.shape.with(place, [0, 0]);
    let expect = match gather.shape.form() {
        Form::Publish | Form::Subscribe | Form::Unsubscribe => {
            gather.strictly(expect::FAULT, Expect::NotTaken)
        }
        _ => Expect::Open,
    };
    gather.add(Flaw::PacketId, Clause("MQTT-2.3.1-1", "MQTT-2.2.1-3"), "packet identifier 0", bytes, expect);
    edges::packet_ids(gather, place);
}

/// Every options byte: in 3.x only the QoS, in 5 all but the two highest bits.
fn options(gather: &mut Gathered<'_>, place: usize, part: &Part) {
    for options in 0..=0xFF_u8 {
        let (qos, handling, reserved) = (options & 3, options >> 4 & 3, options & 0xC0);
        let what = format!("{} {options:08b}", part.field.name);
        let bytes = gather.shape.with(place, [options]);
        let good =
            qos < 3 && if gather.version().is_5() { handling < 3 && reserved == 0 } else { options < 3 };
        // Of the many that are wrong those that are wrong in one bit, or in one field.
        let wrong = if gather.version().is_5() {
            matches!((qos, handling, reserved), (3, 0, 0) | (0, 3, 0) | (0, 0, 0x40 | 0x80 | 0xC0))
        } else {
            options == 3 || options.is_power_of_two() || options == 0xFC
        };
        if good {
            if options > 0 {
                gather.allow(what, bytes);
            }
        } else if wrong {
            let clause = match (gather.version().is_5(), qos, handling) {
                (true, 3, _) | (true, _, 3) => TEXT,
                _ => Clause("MQTT-3.8.3-4", "MQTT-3.8.3-5"),
            };
            let expect = gather.strictly(expect::QOS, Expect::Open);
            gather.add(Flaw::Options, clause, what, bytes, expect);
        }
    }
}

/// The reason codes that a client may send in that packet.
pub(super) fn of_client(holder: Holder) -> &'static [u8] {
    match holder {
        Holder::Puback | Holder::Pubrec => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        Holder::Pubrel | Holder::Pubcomp => &[0x00, 0x92],
        Holder::Disconnect => {
            &[0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
        }
        Holder::Auth => &[0x18, 0x19],
        _ => &[],
    }
}

/// Codes of a DISCONNECT that table 3-13 gives to servers. What a server does that gets one is not said.
const OF_SERVERS: [u8; 15] =
    [0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2];

/// Codes that other packets have, and codes that nothing has.
const ELSEWHERE: [u8; 26] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x0F, 0x10, 0x11, 0x18, 0x19, 0x1A, 0x7F, 0x81, 0x82, 0x84, 0x85, 0x86,
    0x88, 0x8A, 0x8C, 0x92, 0x93, 0x9A, 0xA3, 0xC0, 0xFF,
];

fn reason_codes(gather: &mut Gathered<'_>, place: usize, holder: Holder) {
    let clause = match holder {
        Holder::Puback => "MQTT-3.4.2-1",
        Holder::Pubrec => "MQTT-3.5.2-1",
        Holder::Pubrel => "MQTT-3.6.2-1",
        Holder::Pubcomp => "MQTT-3.7.2-1",
        Holder::Auth => "MQTT-3.15.2-1",
        _ => "MQTT-3.14.2-1",
    };
    for code in ELSEWHERE {
        let open = holder == Holder::Disconnect && OF_SERVERS.contains(&code);
        if !of_client(holder).contains(&code) && !open {
            let expect = gather.strictly(expect::FAULT, Expect::Open);
            let what = format!("reason code 0x{code:02X}, which it does not have");
            let bytes = gather.shape.with(place, [code]);
            gather.add(Flaw::ReasonCode, Clause("", clause), what, bytes, expect);
        }
    }
    edges::reason_codes(gather, place, holder);
    if holder == Holder::Disconnect {
        for code in OF_SERVERS {
            gather.open(format!("reason code 0x{code:02X}, a server's"), gather.shape.with(place, [code]));
        }
    }
}

/// The statement by which a malformed packet closes the connection.
pub(super) fn malformed(gather: &Gathered<'_>) -> Clause {
    match gather.shape.form() {
        Form::Connect => Clause("MQTT-3.1.4-1", "MQTT-3.1.4-1"),
        _ => Clause("MQTT-4.8.0-1", "MQTT-4.13.1-1"),
    }
}
