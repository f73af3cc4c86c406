//! The kinds of flaws, and the list in which those of one packet are gathered.

use super::expect::{Answer, Clause, Expect};
use super::form::Form;
use super::part::Shape;
use crate::wire::{Version, first};

/// What is wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// Nothing: what is allowed, and its borders, so that a broker that refuses everything fails.
    None,
    /// Only a server may send it, or nobody.
    Sender,
    /// The flags of the fixed header.
    Flags,
    /// The Remaining Length itself.
    Length,
    /// The packet ends too early.
    Cut,
    /// There are bytes behind the end.
    TooLong,
    /// A field that says that it is longer than the packet.
    FieldLength,
    /// The packet identifier.
    PacketId,
    /// A string that is not UTF-8, or has U+0000.
    Utf8,
    /// A topic name.
    TopicName,
    /// A topic filter.
    TopicFilter,
    /// The options of a subscription.
    Options,
    /// A reason code.
    ReasonCode,
    /// The flags of CONNECT.
    ConnectFlags,
    /// Protocol name or level.
    Protocol,
    /// A property that this packet may not carry.
    ForbiddenProperty,
    /// A property that does not exist.
    UnknownProperty,
    /// A property twice.
    RepeatedProperty,
    /// A property with a value out of its bounds.
    PropertyRange,
    /// The length of all properties.
    PropertyLength,
}

/// A packet with at most one flaw, and what is to be seen after it.
#[derive(Debug, Clone)]
pub(super) struct Flawed {
    pub(super) flaw: Flaw,
    pub(super) what: String,
    pub(super) clause: Clause,
    pub(super) bytes: Vec<u8>,
    pub(super) expect: Expect,
}

/// The packets that follow from one good one.
#[derive(Debug)]
pub(super) struct Gathered<'a> {
    pub(super) shape: &'a Shape,
    pub(super) packets: Vec<Flawed>,
}

impl Gathered<'_> {
    pub(super) fn version(&self) -> Version {
        self.shape.version
    }

    pub(super) fn add(
        &mut self,
        flaw: Flaw,
        clause: Clause,
        what: impl Into<String>,
        bytes: Vec<u8>,
        expect: Expect,
    ) {
        // Without a method in CONNECT any AUTH is a protocol error, whatever else is wrong with it or right.
        let expect = match expect {
            Expect::Open | Expect::Served(_) if self.shape.form() == Form::Auth => {
                Expect::Closed(super::expect::AUTHENTICATION)
            }
            other => other,
        };
        self.packets.push(Flawed { flaw, what: what.into(), clause, bytes, expect });
    }

    /// A packet that is allowed.
    pub(super) fn allow(&mut self, what: impl Into<String>, bytes: Vec<u8>) {
        let answer = usual_answer(&bytes);
        self.add(Flaw::None, super::expect::TEXT, what, bytes, Expect::Served(answer));
    }

    /// A packet that a broker may take or refuse.
    pub(super) fn open(&mut self, what: impl Into<String>, bytes: Vec<u8>) {
        self.add(Flaw::None, super::expect::TEXT, what, bytes, Expect::Open);
    }

    /// What follows in 3.1.1 and 5, or in 3.1, where it is a milder thing.
    pub(super) fn strictly(&self, codes: &'static [u8], in_31: Expect) -> Expect {
        if self.version() == Version::V31 {
            return in_31;
        }
        let codes = match self.shape.form() {
            Form::Auth => super::expect::AUTHENTICATION,
            _ => codes,
        };
        Expect::Closed(codes)
    }
}

/// How a good packet is answered whose reason code, if it has one, is one of success.
fn usual_answer(packet: &[u8]) -> Answer {
    let first_byte = packet.first().copied().unwrap_or_default();
    match first_byte & 0xF0 {
        first::CONNECT => Answer::Connack,
        first::PUBLISH => match first_byte >> 1 & 3 {
            1 => Answer::Packet(first::PUBACK),
            2 => Answer::Packet(first::PUBREC),
            _ => Answer::Nothing,
        },
        first::PUBREC => Answer::Packet(first::PUBREL),
        0x60 => Answer::Packet(first::PUBCOMP),
        0x80 => Answer::Packet(first::SUBACK),
        0xA0 => Answer::Packet(first::UNSUBACK),
        first::PINGREQ => Answer::Pingresp,
        first::DISCONNECT => Answer::End { will: false },
        _ => Answer::Nothing,
    }
}
