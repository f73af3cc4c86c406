//! The table of what the standards allow: each packet with its fields, in good values.
//!
//! Everything else of the grid follows from it. A packet may have several variants where one cannot show all
//! of its fields; a variant spoils only the fields that are its own.

use super::part::{HOLE, Kind, Role};
use crate::wire::property::Holder;
use crate::wire::{Version, first};

/// The kind of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the packet of that name; `Reserved` is a type that no packet has")]
pub enum Form {
    Reserved,
    Connect,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    Auth,
}

impl Form {
    /// Those that a client may send.
    pub const OF_CLIENTS: [Form; 11] = [
        Form::Connect,
        Form::Publish,
        Form::Puback,
        Form::Pubrec,
        Form::Pubrel,
        Form::Pubcomp,
        Form::Subscribe,
        Form::Unsubscribe,
        Form::Pingreq,
        Form::Disconnect,
        Form::Auth,
    ];

    /// Its name in the standard.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Form::Reserved => "reserved type",
            Form::Connect => "CONNECT",
            Form::Connack => "CONNACK",
            Form::Publish => "PUBLISH",
            Form::Puback => "PUBACK",
            Form::Pubrec => "PUBREC",
            Form::Pubrel => "PUBREL",
            Form::Pubcomp => "PUBCOMP",
            Form::Subscribe => "SUBSCRIBE",
            Form::Suback => "SUBACK",
            Form::Unsubscribe => "UNSUBSCRIBE",
            Form::Unsuback => "UNSUBACK",
            Form::Pingreq => "PINGREQ",
            Form::Pingresp => "PINGRESP",
            Form::Disconnect => "DISCONNECT",
            Form::Auth => "AUTH",
        }
    }

    /// Whether a client may send it at all.
    #[must_use]
    pub fn is_of_clients(self) -> bool {
        Form::OF_CLIENTS.contains(&self)
    }

    /// Whether it answers a packet that the broker sent, under the identifier that the broker chose.
    #[must_use]
    pub fn answers_the_broker(self) -> bool {
        matches!(self, Form::Puback | Form::Pubrec | Form::Pubcomp)
    }
}

/// A field of a packet, with a good value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Whether 3.x has it, too.
    in_3: bool,
    /// Whether it is spoiled here, and not only there to make the packet whole.
    pub(super) own: bool,
    /// Whether the packet may end before it.
    pub(super) optional: bool,
}

/// A packet, or a variant of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) form: Form,
    /// Which variant; empty for the first.
    pub(super) variant: &'static str,
    pub(super) first: u8,
    /// The low four bits that the standard allows in this packet.
    pub(super) flags: &'static [u8],
    versions: &'static [Version],
    fields: &'static [Field],
}

impl Row {
    /// The fields that the packet has in this version.
    pub(super) fn fields(&self, version: Version) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().filter(move |field| field.in_3 || version.is_5())
    }
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, in_3: true, own: true, optional: false }
}

/// A field of MQTT 5 alone.
const fn new(name: &'static str, kind: Kind) -> Field {
    Field { in_3: false, ..field(name, kind) }
}

/// A field of MQTT 5 before which the packet may end.
const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { optional: true, ..new(name, kind) }
}

/// A field that another variant spoils.
const fn given(field: Field) -> Field {
    Field { own: false, ..field }
}

const fn row(form: Form, first: u8, fields: &'static [Field]) -> Row {
    Row { form, variant: "", first, flags: &[], versions: &Version::ALL, fields }
}

const PROTOCOL: Field = field("protocol name", Kind::Protocol);
const LEVEL: Field = field("protocol level", Kind::Level);
const KEEP_ALIVE: Field = field("keep alive", Kind::KeepAlive);
const ID: Field = field("packet identifier", Kind::Id);
const CLIENT_ID: Field = field("client identifier", Kind::Text(Role::ClientId, HOLE));
const TOPIC: Field = field("topic name", Kind::Text(Role::TopicName, "/t"));
const PAYLOAD: Field = field("payload", Kind::Payload);
const FILTER: Field = field("topic filter", Kind::Text(Role::Filter, "/f"));

const fn properties(holder: Holder) -> Field {
    new("properties", Kind::Properties(holder))
}

/// The rows that have that packet in that version.
pub(super) fn rows(version: Version) -> impl Iterator<Item = &'static Row> {
    ROWS.iter().filter(move |row| row.versions.contains(&version))
}

/// Every packet of the three versions.
const ROWS: [Row; 22] = [
    Row {
        flags: &[0],
        ..row(
            Form::Connect,
            first::CONNECT,
            &[
                PROTOCOL,
                LEVEL,
                field("connect flags", Kind::ConnectFlags(0x06)),
                KEEP_ALIVE,
                properties(Holder::Connect),
                CLIENT_ID,
                new("will properties", Kind::Properties(Holder::Will)),
                field("will topic", Kind::Text(Role::WillTopic, "/will")),
                field("will payload", Kind::Binary),
            ],
        )
    },
    Row {
        variant: "with a user",
        flags: &[0],
        ..row(
            Form::Connect,
            first::CONNECT,
            &[
                given(PROTOCOL),
                given(LEVEL),
                given(field("connect flags", Kind::ConnectFlags(0xC2))),
                given(KEEP_ALIVE),
                given(properties(Holder::Connect)),
                given(CLIENT_ID),
                field("user name", Kind::Text(Role::UserName, "user")),
                field("password", Kind::Binary),
            ],
        )
    },
    Row {
        variant: "QoS 0",
        flags: &[0, 1],
        ..row(
            Form::Publish,
            first::PUBLISH,
            &[given(TOPIC), given(properties(Holder::Publish)), given(PAYLOAD)],
        )
    },
    Row {
        variant: "QoS 1",
        flags: &[2, 3, 10, 11],
        ..row(Form::Publish, first::PUBLISH | 2, &[TOPIC, ID, properties(Holder::Publish), PAYLOAD])
    },
    Row {
        variant: "QoS 2",
        flags: &[4, 5, 12, 13],
        ..row(
            Form::Publish,
            first::PUBLISH | 4,
            &[given(TOPIC), ID, given(properties(Holder::Publish)), given(PAYLOAD)],
        )
    },
    acknowledgement(Form::Puback, first::PUBACK, &acknowledged(Holder::Puback)),
    acknowledgement(Form::Pubrec, first::PUBREC, &acknowledged(Holder::Pubrec)),
    Row { flags: &[2], ..acknowledgement(Form::Pubrel, first::PUBREL, &acknowledged(Holder::Pubrel)) },
    acknowledgement(Form::Pubcomp, first::PUBCOMP, &acknowledged(Holder::Pubcomp)),
    Row {
        flags: &[2],
        ..row(
            Form::Subscribe,
            first::SUBSCRIBE,
            &[ID, properties(Holder::Subscribe), FILTER, field("options", Kind::Options)],
        )
    },
    Row {
        variant: "second filter",
        flags: &[2],
        ..row(
            Form::Subscribe,
            first::SUBSCRIBE,
            &[
                given(ID),
                given(properties(Holder::Subscribe)),
                given(FILTER),
                given(field("options", Kind::Options)),
                // After one filter the packet may end.
                Field { optional: true, ..field("second filter", Kind::Text(Role::Filter, "/g")) },
                field("its options", Kind::Options),
            ],
        )
    },
    Row {
        flags: &[2],
        ..row(Form::Unsubscribe, first::UNSUBSCRIBE, &[ID, properties(Holder::Unsubscribe), FILTER])
    },
    Row { flags: &[0], ..row(Form::Pingreq, first::PINGREQ, &[]) },
    Row {
        flags: &[0],
        ..row(
            Form::Disconnect,
            first::DISCONNECT,
            &[
                optional("reason code", Kind::Code(Holder::Disconnect)),
                optional("properties", Kind::Properties(Holder::Disconnect)),
            ],
        )
    },
    Row {
        flags: &[0],
        versions: &[Version::V5],
        ..row(
            Form::Auth,
            first::AUTH,
            &[new("reason code", Kind::Code(Holder::Auth)), properties(Holder::Auth)],
        )
    },
    of_servers(Form::Connack, first::CONNACK, &[BYTE, BYTE, properties(Holder::Connack)]),
    of_servers(Form::Suback, first::SUBACK, &[given(ID), properties(Holder::Suback), BYTE]),
    of_servers(
        Form::Unsuback,
        first::UNSUBACK,
        &[given(ID), properties(Holder::Unsuback), given(new("reason code", Kind::Zero))],
    ),
    of_servers(Form::Pingresp, first::PINGRESP, &[]),
    Row { variant: "0", ..of_servers(Form::Reserved, 0x00, &[]) },
    Row { variant: "0 with a body", ..of_servers(Form::Reserved, 0x00, &[given(ID), BYTE]) },
    Row { variant: "15", versions: &[Version::V31, Version::V311], ..of_servers(Form::Reserved, 0xF0, &[]) },
];

const BYTE: Field = given(field("a byte", Kind::Zero));

const fn acknowledged(holder: Holder) -> [Field; 3] {
    [ID, optional("reason code", Kind::Code(holder)), optional("properties", Kind::Properties(holder))]
}

const fn acknowledgement(form: Form, first: u8, fields: &'static [Field; 3]) -> Row {
    Row { flags: &[0], ..row(form, first, fields) }
}

/// No client may send these, so nothing of them needs spoiling; an empty list of flags says so.
const fn of_servers(form: Form, first: u8, fields: &'static [Field]) -> Row {
    row(form, first, fields)
}
