//! The closed list of what the two decoders judge differently, each with its reason and the clause that it
//! comes from. What is not in this list is a finding.
//!
//! An entry looks at the packet itself, not only at what we say about it: that we refuse a packet "for a null
//! character" counts only where the other decoder shows one. And each brings an example, which a test runs: an
//! entry that no longer occurs has to go.

use crate::decoder::Refused;
use crate::naive;
use crate::reading::{Reading, Value};
use crate::theirs::Refusal;
use aldis_packet::ProtocolVersion;
use mqtt_proto::v5::{ErrorV5, PropertyId};
use mqtt_proto::{Error, v5};

use ProtocolVersion::{V5, V31, V311};

/// A packet and what the two decoders say about it.
#[derive(Debug)]
pub struct Case<'a> {
    /// Of the connection.
    pub version: ProtocolVersion,
    /// First byte of the packet.
    pub first: u8,
    /// What stands behind the Remaining Length.
    pub body: &'a [u8],
    /// What Aldis reads.
    pub ours: Result<Reading, Refused>,
    /// What the other decoder reads.
    pub theirs: Result<Reading, Refusal>,
}

/// Who is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Aldis refuses what the other takes.
    OursRefuses,
    /// The other refuses what Aldis takes.
    TheirsRefuses,
    /// Both take it and read something else.
    ReadDifferently,
}

/// An entry of the list.
pub struct Difference {
    /// Who is stricter.
    pub kind: Kind,
    /// What it is about, in a few words.
    pub name: &'static str,
    /// Why Aldis does as it does.
    pub reason: &'static str,
    /// Clauses of the standard, or sections where it numbers none.
    pub clause: &'static str,
    /// Whether it explains a case.
    holds: fn(&Case<'_>) -> bool,
    /// A case that it explains: version, first byte, body.
    pub example: (ProtocolVersion, u8, &'static [u8]),
}

impl Difference {
    /// Whether it is the reason why the two differ in this case.
    #[must_use]
    pub fn explains(&self, case: &Case<'_>) -> bool {
        let kind = match (&case.ours, &case.theirs) {
            (Err(_), Ok(_)) => Kind::OursRefuses,
            (Ok(_), Err(_)) => Kind::TheirsRefuses,
            _ => Kind::ReadDifferently,
        };
        self.kind == kind && (self.holds)(case)
    }
}

/// The first entry that explains why the two differ.
#[must_use]
pub fn explains(case: &Case<'_>) -> Option<&'static Difference> {
    LIST.iter().find(|difference| difference.explains(case))
}

/// All of them.
pub static LIST: &[Difference] = &[
    Difference {
        kind: Kind::OursRefuses,
        name: "null character",
        reason: "a receiver may close for U+0000, so it is not passed on; the other looks for it in topics only",
        clause: "MQTT-1.5.3-2, MQTT-1.5.4-2",
        holds: |case| {
            refused(case, "a string holds the null character U+0000")
                && read(case).any_text(|text| text.contains('\0'))
        },
        example: (V311, 0x10, b"\0\x04MQTT\x04\x02\0\x3c\0\x01\0"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "long form of a variable byte integer",
        reason: "a value must be written in as few bytes as it needs",
        clause: "MQTT-1.5.5-1",
        holds: |case| {
            refused(case, "a variable byte integer uses more bytes than it needs")
                && case.body.windows(2).any(|pair| pair[0] >= 0x80 && pair[1] == 0)
        },
        example: (V5, 0x20, b"\0\0\x80\0"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "DUP at QoS 0",
        reason: "DUP must be 0 there",
        clause: "MQTT-3.3.1-2",
        holds: |case| {
            refused(case, "DUP is set at QoS 0")
                && read(case).get_number("dup") == Some(1)
                && read(case).get_number("QoS") == Some(0)
        },
        example: (V311, 0x38, b"\0\x01a"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "will retain without a will",
        reason: "the flag must be 0 without a will",
        clause: "MQTT-3.1.2-15, MQTT-3.1.2-13 of MQTT 5",
        holds: |case| refused(case, "there is a will retain flag without a will") && !has(case, "will topic"),
        example: (V311, 0x10, b"\0\x04MQTT\x04\x22\0\x3c\0\x01c"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "password without a user name",
        reason: "before MQTT 5 a password needs a user name",
        clause: "MQTT-3.1.2-22",
        holds: |case| {
            refused(case, "there is a password without a user name")
                && has(case, "password")
                && !has(case, "user name")
                && read(case).get_number("level") < Some(5)
        },
        example: (V311, 0x10, b"\0\x04MQTT\x04\x42\0\x3c\0\x01c\0\x01p"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "empty topic name",
        reason: "a topic name has at least one character, unless a topic alias stands for it",
        clause: "MQTT-4.7.3-1",
        holds: |case| {
            let empty = Value::Text(String::new());
            let is_empty = |name: &str| read(case).values(name).any(|value| *value == empty);
            (refused(case, "the topic name is empty") && is_empty("topic"))
                || (refused(case, "the topic name is empty and there is no topic alias") && is_empty("topic"))
                || (refused(case, "the will's topic name is empty") && is_empty("will topic"))
                || (refused(case, "the response topic is empty")
                    && (is_empty("response topic") || is_empty("will response topic")))
        },
        example: (V311, 0x30, b"\0\0x"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "0 where the standard begins at 1",
        reason: "0 is a protocol error in these properties",
        clause: "3.1.2.11.3, 3.1.2.11.4, 3.8.2.1.2, MQTT-3.3.2-8",
        holds: |case| {
            [
                ("receive maximum", "the receive maximum is 0"),
                ("maximum packet size", "the maximum packet size is 0"),
                ("topic alias", "the topic alias is 0"),
                ("subscription identifier", "a subscription identifier is 0"),
            ]
            .iter()
            .any(|(name, what)| refused(case, what) && read(case).get_number(name) == Some(0))
        },
        example: (V5, 0x30, b"\0\x01a\x03\x23\0\0"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "authentication data without a method",
        reason: "the data is a protocol error without the method that it belongs to",
        clause: "3.1.2.11.10, 3.2.2.3.18",
        holds: |case| {
            refused(case, "there is authentication data without a method")
                && has(case, "authentication data")
                && !has(case, "authentication method")
        },
        example: (V5, 0x20, b"\0\0\x04\x16\0\x01d"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "AUTH without a method",
        reason: "only the short form of AUTH, which means success, may be without one",
        clause: "3.15.2.2.2",
        holds: |case| {
            refused(case, "AUTH has no authentication method") && !has(case, "authentication method")
        },
        example: (V5, 0xF0, b"\x18\0"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "no local on a shared subscription",
        reason: "the two exclude each other",
        clause: "MQTT-3.8.3-4",
        holds: |case| {
            let is_meant = |value: &Value| matches!(value, Value::Filter(filter, options) if filter.starts_with("$share/") && options & 4 != 0);
            refused(case, "no local is set on a shared subscription")
                && read(case).values("filter").any(is_meant)
        },
        example: (V5, 0x82, b"\0\x01\0\0\x0a$share/g/a\x04"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "session present in a refusal",
        reason: "who is refused has no session",
        clause: "MQTT-3.2.2-4, MQTT-3.2.2-6 of MQTT 5",
        holds: |case| {
            refused(case, "a refused connection has a session present")
                && read(case).get_number("session present") == Some(1)
                && read(case).get_number("reason") != Some(0)
        },
        example: (V311, 0x20, b"\x01\x05"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "SUBACK or UNSUBACK without a code",
        reason: "there is a code for each filter, and at least one filter",
        clause: "MQTT-3.9.3-1, MQTT-3.11.3-1, MQTT-3.8.3-2, MQTT-3.10.3-2",
        holds: |case| {
            let is_empty = read(case).values("codes").any(|codes| *codes == Value::Bytes(Vec::new()));
            (refused(case, "SUBACK holds no code") || refused(case, "UNSUBACK holds no code")) && is_empty
        },
        example: (V311, 0x90, b"\0\x01"),
    },
    Difference {
        kind: Kind::OursRefuses,
        name: "+ and more in the last level of a filter",
        reason: "a wildcard fills its level; the other looks only at what stands before it, or before the next /",
        clause: "MQTT-4.7.1-3, MQTT-4.7.1-2 of MQTT 5",
        holds: |case| {
            let is_wrong = |value: &Value| matches!(value, Value::Filter(filter, _) if naive::wrong_with_filter(filter).contains(&"MQTT-4.7.1-3"));
            matches!(case.ours, Err(Refused::Filter(error)) if error.clause == "MQTT-4.7.1-3")
                && read(case).values("filter").any(is_wrong)
        },
        example: (V311, 0x82, b"\0\x01\0\x02+a\0"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "payload that is not the UTF-8 it says it is",
        reason: "a receiver may check that, and need not; Aldis passes payloads on as they are",
        clause: "3.3.2.3.2, 3.1.3.2.3",
        holds: |case| {
            let says_text = |name: &str| read(case).get_number(name) == Some(1);
            case.theirs == Err(Refusal::Error(ErrorV5::InvalidPayloadFormat))
                && (says_text("payload format") || says_text("will payload format"))
        },
        example: (V5, 0x30, b"\0\x01a\x02\x01\x01\xff"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "several subscription identifiers",
        reason: "a PUBLISH to a client carries one for each subscription that it is sent for",
        clause: "MQTT-3.3.4-4",
        holds: |case| {
            let twice = ErrorV5::DuplicatedProperty(PropertyId::SubscriptionIdentifier);
            case.theirs == Err(Refusal::Error(twice))
                && read(case).packet == "PUBLISH"
                && read(case).values("subscription identifier").count() > 1
        },
        example: (V5, 0x30, b"\0\x01a\x04\x0b\x01\x0b\x02"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "bad authentication method in DISCONNECT",
        reason: "the table of all reason codes gives 0x8C to DISCONNECT, the section on DISCONNECT leaves it out",
        clause: "2.4, 3.14.2.1",
        holds: |case| {
            case.theirs == Err(Refusal::Error(ErrorV5::InvalidReasonCode(v5::PacketType::Disconnect, 0x8C)))
                && read(case).get_number("reason") == Some(0x8C)
        },
        example: (V5, 0xE0, b"\x8C"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "flags of the fixed header in MQTT 3.1",
        reason: "3.1 ignores flags that a packet does not use; the other reads it as 3.1.1",
        clause: "section 2.1 of MQTT 3.1",
        holds: |case| is_common(case, &Error::InvalidHeader) && is_v31(case),
        example: (V31, 0x6A, b"\0\x01"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "connect flags in MQTT 3.1",
        reason: "3.1 does not use bit 0, and disregards the will's settings without a will",
        clause: "section 3.1 of MQTT 3.1",
        holds: |case| {
            let refused = matches!(common(case), Some(Error::InvalidConnectFlags(_)));
            refused && is_v31(case) && read(case).packet == "CONNECT"
        },
        example: (V31, 0x10, b"\0\x06MQIsdp\x03\x03\0\x3c\0\x01c"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "missing user name or password in MQTT 3.1",
        reason: "3.1 lets the Remaining Length decide whether they are there",
        clause: "section 3.1 of MQTT 3.1",
        holds: |case| {
            let flags = case.body.get(9).copied().unwrap_or(0);
            let is_missing = (flags & 0x80 != 0 && !has(case, "user name"))
                || (flags & 0x40 != 0 && !has(case, "password"));
            is_v31(case) && read(case).packet == "CONNECT" && is_missing
        },
        example: (V31, 0x10, b"\0\x06MQIsdp\x03\x82\0\x3c\0\x01c"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "upper bits of a requested QoS in MQTT 3.1",
        reason: "3.1 does not use them",
        clause: "section 3.8 of MQTT 3.1",
        holds: |case| {
            let refused =
                matches!(common(case), Some(Error::InvalidQos(qos)) if qos & 0xFC != 0 && qos & 3 != 3);
            refused && is_v31(case) && read(case).packet == "SUBSCRIBE"
        },
        example: (V31, 0x82, b"\0\x01\0\x01a\xFD"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "first byte of CONNACK in MQTT 3.1",
        reason: "3.1 does not use it",
        clause: "section 3.2 of MQTT 3.1",
        holds: |case| matches!(common(case), Some(Error::InvalidConnackFlags(_))) && is_v31(case),
        example: (V31, 0x20, b"\xFF\0"),
    },
    Difference {
        kind: Kind::TheirsRefuses,
        name: "$share before MQTT 5",
        reason: "shared subscriptions are of MQTT 5: to a decoder of 3.x it is a filter like any other",
        clause: "section 4.7 of MQTT 3.1.1",
        holds: |case| {
            let is_shared =
                |value: &Value| matches!(value, Value::Filter(text, _) if text.starts_with("$share/"));
            matches!(common(case), Some(Error::InvalidTopicFilter(text)) if text.starts_with("$share/"))
                && case.version != V5
                && read(case).values("filter").any(is_shared)
        },
        example: (V311, 0x82, b"\0\x01\0\x09$share//a\x01"),
    },
    Difference {
        kind: Kind::ReadDifferently,
        name: "DUP at QoS 0 in MQTT 3.1",
        reason: "3.1 gives it no meaning there, so Aldis reads it as 0",
        clause: "section 2.1 of MQTT 3.1",
        holds: |case| differ_only(case, "dup", (0, 1)) && read(case).get_number("QoS") == Some(0),
        example: (V31, 0x38, b"\0\x01a"),
    },
    Difference {
        kind: Kind::ReadDifferently,
        name: "session present in MQTT 3.1",
        reason: "3.1 has no such flag",
        clause: "section 3.2 of MQTT 3.1",
        holds: |case| differ_only(case, "session present", (0, 1)) && read(case).packet == "CONNACK",
        example: (V31, 0x20, b"\x01\0"),
    },
];

/// Our decoder says so.
fn refused(case: &Case<'_>, what: &str) -> bool {
    matches!(case.ours, Err(Refused::Packet(error)) if error.what == what)
}

/// What the decoder read that took the packet; ours if both did.
fn read<'a>(case: &'a Case<'_>) -> &'a Reading {
    static NOTHING: std::sync::LazyLock<Reading> = std::sync::LazyLock::new(|| Reading::new(""));
    case.ours.as_ref().ok().or(case.theirs.as_ref().ok()).unwrap_or(&NOTHING)
}

fn has(case: &Case<'_>, name: &str) -> bool {
    read(case).values(name).next().is_some()
}

fn common<'a>(case: &'a Case<'_>) -> Option<&'a Error> {
    match &case.theirs {
        Err(Refusal::Error(v5::ErrorV5::Common(error))) => Some(error),
        _ => None,
    }
}

fn is_common(case: &Case<'_>, error: &Error) -> bool {
    common(case) == Some(error)
}

/// MQTT 3.1, by the packet itself where that is CONNECT.
fn is_v31(case: &Case<'_>) -> bool {
    match read(case).get_number("level") {
        Some(level) => level == 3,
        None => case.version == V31,
    }
}

/// In 3.1 both took the packet and differ in one number alone.
fn differ_only(case: &Case<'_>, name: &str, (our, their): (u64, u64)) -> bool {
    let (Ok(ours), Ok(theirs)) = (&case.ours, &case.theirs) else { return false };
    is_v31(case)
        && (ours.get_number(name), theirs.get_number(name)) == (Some(our), Some(their))
        && ours.without(name) == theirs.without(name)
}
