//! A packet in its parts, so that one of them can be replaced by something else.

use super::form::{Field, Form, Row};
use crate::wire::property::{self, Holder};
use crate::wire::{Property, Version, binary, frame, properties, reason, text};

/// Stands in a packet where the name of the case goes, when it is played: no two cases share a name.
pub(super) const HOLE: &str = "@hole@hole@@";

/// The packet identifier of a packet whose sender, the client, chooses it.
pub(super) const OWN_ID: u16 = 100;

/// Stands in an acknowledgement where the identifier goes that the broker chose.
pub(super) const GIVEN_ID: u16 = 0xA75C;

/// What a field holds. `/t` and the like are topics below the name of the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Protocol,
    Level,
    ConnectFlags(u8),
    KeepAlive,
    Id,
    Text(Role, &'static str),
    Binary,
    Properties(Holder),
    /// Subscription options, QoS 0.
    Options,
    /// A reason code, 0; of AUTH the one that a client may send first.
    Code(Holder),
    Payload,
    /// A byte that is 0, of a packet that is wrong in whole.
    Zero,
}

/// What a string is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    ClientId,
    TopicName,
    WillTopic,
    Filter,
    UserName,
}

impl Role {
    /// What has to stand before a string so that an effect of it would be seen, and is no other case's.
    pub(super) fn prefix(self) -> String {
        match self {
            Role::TopicName | Role::WillTopic | Role::Filter => format!("{HOLE}/"),
            Role::ClientId => HOLE.to_owned(),
            Role::UserName => String::new(),
        }
    }
}

/// One field with its bytes.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) field: &'static Field,
    pub(super) bytes: Vec<u8>,
}

/// A good packet in its parts.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) row: &'static Row,
    pub(super) version: Version,
    pub(super) parts: Vec<Part>,
}

impl Shape {
    pub(super) fn new(row: &'static Row, version: Version) -> Self {
        let parts = row.fields(version).map(|field| Part { field, bytes: good(field.kind, row, version) });
        Self { row, version, parts: parts.collect() }
    }

    pub(super) fn form(&self) -> Form {
        self.row.form
    }

    /// The good packet.
    pub(super) fn bytes(&self) -> Vec<u8> {
        frame(self.row.first, self.body())
    }

    pub(super) fn body(&self) -> Vec<u8> {
        self.parts.iter().flat_map(|part| part.bytes.iter().copied()).collect()
    }

    /// The packet with other bytes in the place of one part.
    pub(super) fn with(&self, place: usize, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut body = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            body.extend_from_slice(if index == place { bytes.as_ref() } else { &part.bytes });
        }
        frame(self.row.first, body)
    }

    /// The shape with other bytes in the field of that name.
    pub(super) fn set(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        for part in self.parts.iter_mut().filter(|part| part.field.name == name) {
            part.bytes = bytes.as_ref().to_vec();
        }
        self
    }

    /// The shape without the fields of these names.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        self.parts.retain(|part| !names.contains(&part.field.name));
        self
    }

    /// The packet cut off so many bytes into one part, and whole as far as its Remaining Length says.
    pub(super) fn cut(&self, place: usize, into: usize) -> Vec<u8> {
        let before: usize = self.parts.iter().take(place).map(|part| part.bytes.len()).sum();
        let mut body = self.body();
        body.truncate(before + into);
        frame(self.row.first, body)
    }

    /// The bytes that stand behind one part.
    pub(super) fn behind(&self, place: usize) -> usize {
        self.parts.iter().skip(place + 1).map(|part| part.bytes.len()).sum()
    }
}

fn good(kind: Kind, row: &Row, version: Version) -> Vec<u8> {
    match kind {
        Kind::Protocol => text(version.protocol()),
        Kind::Level => vec![version.level()],
        Kind::ConnectFlags(flags) => vec![flags],
        Kind::KeepAlive => 600_u16.to_be_bytes().to_vec(),
        Kind::Id if row.form.answers_the_broker() => GIVEN_ID.to_be_bytes().to_vec(),
        Kind::Id => OWN_ID.to_be_bytes().to_vec(),
        Kind::Text(_, suffix) if suffix.starts_with('/') => text(format!("{HOLE}{suffix}")),
        Kind::Text(_, value) => text(value),
        Kind::Binary => binary("binary"),
        Kind::Properties(holder) => properties(&usual(holder)),
        Kind::Code(Holder::Auth) => vec![reason::CONTINUE_AUTHENTICATION],
        Kind::Options | Kind::Code(_) | Kind::Zero => vec![0],
        Kind::Payload => b"payload".to_vec(),
    }
}

/// The properties of a good packet: one that every packet may carry, but for AUTH, which needs its method.
fn usual(holder: Holder) -> Vec<Property> {
    match holder {
        Holder::Auth => vec![Property::text(property::AUTHENTICATION_METHOD, "none")],
        _ => vec![Property::user("name", "value")],
    }
}
