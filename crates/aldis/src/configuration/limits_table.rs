//! The settings of the group `limits`: one for each field of [`Limits`](aldis_session::Limits).

use std::time::Duration;

use super::kind::{Kind, Number, Unit};
use super::setting::{Effect, Setting};

/// The largest packet that MQTT can express: five bytes of fixed header and what they can count.
const MAX_PACKET: u64 = 268_435_460;
/// More memory than any machine has, and far from overflowing a sum.
const MAX_BYTES: u64 = 1 << 50;
/// The session expiry interval that MQTT 5 calls "does not expire".
const NEVER: u64 = 0xffff_ffff;
/// `usize::MAX` on 64-bit machines; a number that cannot be typed in TOML.
const UNLIMITED: u64 = u64::MAX;
/// The word for a value that follows from the machine.
const AUTO: Option<(&str, u64)> = Some(("auto", UNLIMITED));

pub(crate) static LIMITS: &[Setting] = &[
    Setting {
        name: "limits.connections",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=10_000_000,
            word: AUTO,
            get: |draft| draft.connections.map_or(UNLIMITED, wide),
            set: |draft, number| draft.connections = chosen(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Connections open at one time; one more is told so and closed. `\"auto\"` is 100_000, or \
               fewer where the process may not open as many files (`ulimit -Hn`, `LimitNOFILE=`).",
        reason: "A few kilobytes each, so about a gigabyte at the most.",
    },
    Setting {
        name: "limits.sessions",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=100_000_000,
            word: None,
            get: |draft| wide(draft.limits.sessions),
            set: |draft, number| draft.limits.sessions = narrow(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Sessions in all, with a connection or without.",
        reason: "A fleet, at a kilobyte or two each.",
    },
    Setting {
        name: "limits.packet_size",
        kind: Kind::Number(Number {
            unit: Unit::Bytes,
            range: 1024..=MAX_PACKET,
            word: None,
            get: |draft| wide(draft.limits.packet_size),
            set: |draft, number| draft.limits.packet_size = narrow(number),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Largest packet taken or sent, fixed header included.",
        reason: "Pictures and firmware chunks pass, and a thousand clients that announce one cannot \
               exhaust a small machine.",
    },
    Setting {
        name: "limits.first_packet_size",
        kind: Kind::Number(Number {
            unit: Unit::Bytes,
            range: 1024..=MAX_PACKET,
            word: None,
            get: |draft| wide(draft.limits.first_packet_size),
            set: |draft, number| draft.limits.first_packet_size = narrow(number),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Largest first packet (CONNECT), which comes from a stranger.",
        reason: "Room for every will that is worth sending; it is only buffered as it arrives.",
    },
    Setting {
        name: "limits.first_packet_timeout",
        kind: Kind::Number(Number {
            unit: Unit::Milliseconds,
            range: 100..=3_600_000,
            word: None,
            get: |draft| u64::try_from(draft.limits.first_packet_timeout.as_millis()).unwrap_or(u64::MAX),
            set: |draft, number| draft.limits.first_packet_timeout = Duration::from_millis(number),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "How long a new connection may take until its CONNECT is whole.",
        reason: "Slow radio links need seconds; an idle flood should not get minutes.",
    },
    Setting {
        name: "limits.user_properties",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 0..=100_000,
            word: None,
            get: |draft| wide(draft.limits.user_properties),
            set: |draft, number| draft.limits.user_properties = narrow(number),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "User properties in one packet.",
        reason: "Hundreds are in use, tens of thousands are an attack.",
    },
    Setting {
        name: "limits.topic_levels",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=65_536,
            word: None,
            get: |draft| wide(draft.limits.topic_levels),
            set: |draft, number| draft.limits.topic_levels = narrow(number),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Levels of a topic name or filter.",
        reason: "Deeper ones are a way to burn memory and time.",
    },
    Setting {
        name: "limits.topic_bytes",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=65_535,
            word: None,
            get: |draft| wide(draft.limits.topic_bytes),
            set: |draft, number| draft.limits.topic_bytes = narrow(number),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Bytes of a topic name or filter.",
        reason: "All that the standard can express.",
    },
    Setting {
        name: "limits.filters_in_packet",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=1_000_000,
            word: None,
            get: |draft| wide(draft.limits.filters_in_packet),
            set: |draft, number| draft.limits.filters_in_packet = narrow(number),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Topic filters in one SUBSCRIBE or UNSUBSCRIBE; a packet with more ends its connection.",
        reason: "All of a large gateway at once, while a packet full of the shortest ones would hold \
               twenty times its size in memory until its turn comes.",
    },
    Setting {
        name: "limits.subscriptions",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=10_000_000,
            word: None,
            get: |draft| wide(draft.limits.subscriptions),
            set: |draft, number| draft.limits.subscriptions = narrow(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Subscriptions of one session.",
        reason: "More than any gateway has been seen to hold.",
    },
    Setting {
        name: "limits.shared_subscriptions",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=10_000_000,
            word: None,
            get: |draft| wide(draft.limits.shared_subscriptions),
            set: |draft, number| draft.limits.shared_subscriptions = narrow(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Shared subscriptions of one session, which count among its subscriptions, too.",
        reason: "Whoever shares work shares a few topics, and each is seen to whenever its member connects.",
    },
    Setting {
        name: "limits.in_flight",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=65_535,
            word: None,
            get: |draft| u64::from(draft.limits.in_flight),
            set: |draft, number| draft.limits.in_flight = u16::try_from(number).unwrap_or(u16::MAX),
        }),
        effect: Effect::NewSessions,
        default: None,
        help: "Messages of QoS 1 and 2 that may be in flight towards one client, whatever its own \
               receive maximum.",
        reason: "Fills fast links, and bounds what a reconnect has to send again.",
    },
    Setting {
        name: "limits.receive_maximum",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=65_535,
            word: None,
            get: |draft| u64::from(draft.limits.receive_maximum),
            set: |draft, number| draft.limits.receive_maximum = u16::try_from(number).unwrap_or(u16::MAX),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Receive maximum announced to MQTT 5 clients and enforced on them.",
        reason: "As `limits.in_flight`, in the other direction.",
    },
    Setting {
        name: "limits.queue_messages",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 0..=1_000_000_000,
            word: None,
            get: |draft| wide(draft.limits.queue_messages),
            set: |draft, number| draft.limits.queue_messages = narrow(number),
        }),
        effect: Effect::NewSessions,
        default: None,
        help: "Messages that wait for one client that is slow or offline.",
        reason: "A night of telemetry at one message a second, three times over.",
    },
    Setting {
        name: "limits.queue_bytes",
        kind: Kind::Number(Number {
            unit: Unit::Bytes,
            range: 0..=MAX_BYTES,
            word: None,
            get: |draft| wide(draft.limits.queue_bytes),
            set: |draft, number| draft.limits.queue_bytes = narrow(number),
        }),
        effect: Effect::NewSessions,
        default: None,
        help: "Bytes of the messages that wait for one client.",
        reason: "Room for the queue above with messages of some 600 bytes.",
    },
    Setting {
        name: "limits.queue_in_memory",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 1..=1_000_000_000,
            word: None,
            get: |draft| wide(draft.limits.queue_in_memory),
            set: |draft, number| draft.limits.queue_in_memory = narrow(number),
        }),
        effect: Effect::NewSessions,
        default: None,
        help: "Of the messages that wait for one client and are on disk, how many are in memory, too: the next ones, \
               or fewer if they have more than half a kilobyte each.",
        reason: "More than a socket takes at once; the rest is read back while these are sent.",
    },
    Setting {
        name: "limits.queue_qos0",
        kind: Kind::Flag {
            get: |draft| Some(draft.limits.queue_qos0),
            set: |draft, flag| draft.limits.queue_qos0 = flag,
        },
        effect: Effect::NewSessions,
        default: Some("`false`"),
        help: "Whether QoS 0 messages wait for a client that is offline.",
        reason: "The standard lets them go, and a device that comes back wants the newest reading, not \
               the oldest.",
    },
    Setting {
        name: "limits.retained_messages",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 0..=1_000_000_000_000,
            word: Some(("unlimited", UNLIMITED)),
            get: |draft| wide(draft.limits.retained_messages),
            set: |draft, number| draft.limits.retained_messages = narrow(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Retained messages in all.",
        reason: "The memory watermark bounds them.",
    },
    Setting {
        name: "limits.retained_bytes",
        kind: Kind::Number(Number {
            unit: Unit::Bytes,
            range: 0..=MAX_BYTES,
            word: Some(("unlimited", UNLIMITED)),
            get: |draft| wide(draft.limits.retained_bytes),
            set: |draft, number| draft.limits.retained_bytes = narrow(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Bytes of all retained messages.",
        reason: "The memory watermark bounds them.",
    },
    Setting {
        name: "limits.session_expiry_max",
        kind: Kind::Number(Number {
            unit: Unit::Seconds,
            range: 0..=NEVER,
            word: Some(("never", NEVER)),
            get: |draft| u64::from(draft.limits.session_expiry_max),
            set: |draft, number| draft.limits.session_expiry_max = u32::try_from(number).unwrap_or(u32::MAX),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Longest session expiry interval that is granted. `\"never\"`: whatever a client asks \
               for, up to for ever.",
        reason: "Clients are taken at their word; the queue limits bound what that costs.",
    },
    Setting {
        name: "limits.session_expiry_default",
        kind: Kind::Number(Number {
            unit: Unit::Seconds,
            range: 0..=NEVER,
            word: Some(("never", NEVER)),
            get: |draft| u64::from(draft.limits.session_expiry_default),
            set: |draft, number| {
                draft.limits.session_expiry_default = u32::try_from(number).unwrap_or(u32::MAX)
            },
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Session expiry interval of MQTT 3.1 and 3.1.1 sessions that are not clean; those \
               versions cannot ask for one.",
        reason: "Long enough for a holiday, short enough that forgotten test clients do not queue for \
               ever.",
    },
    Setting {
        name: "limits.keep_alive_max",
        kind: Kind::Number(Number {
            unit: Unit::Seconds,
            range: 1..=65_535,
            word: Some(("unlimited", 0)),
            get: |draft| u64::from(draft.limits.keep_alive_max),
            set: |draft, number| draft.limits.keep_alive_max = u16::try_from(number).unwrap_or(u16::MAX),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Longest keep alive granted. A longer one, or none, is lowered to it: MQTT 5 clients are \
               told, older ones are held to it.",
        reason: "Clients know their links best.",
    },
    Setting {
        name: "limits.topic_alias_maximum",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 0..=65_535,
            word: None,
            get: |draft| u64::from(draft.limits.topic_alias_maximum),
            set: |draft, number| draft.limits.topic_alias_maximum = u16::try_from(number).unwrap_or(u16::MAX),
        }),
        effect: Effect::NewConnections,
        default: None,
        help: "Topic aliases that an MQTT 5 client may use towards the broker.",
        reason: "An alias costs its topic in memory, for each connection.",
    },
    Setting {
        name: "limits.topic_aliases_out",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 0..=65_535,
            word: None,
            get: |draft| u64::from(draft.limits.topic_aliases_out),
            set: |draft, number| draft.limits.topic_aliases_out = u16::try_from(number).unwrap_or(u16::MAX),
        }),
        effect: Effect::NewSessions,
        default: None,
        help: "Topic aliases that the broker uses towards a client that allows them.",
        reason: "As above.",
    },
    Setting {
        name: "limits.outbox_bytes",
        kind: Kind::Number(Number {
            unit: Unit::Bytes,
            range: 4096..=1 << 30,
            word: None,
            get: |draft| wide(draft.limits.outbox_bytes),
            set: |draft, number| draft.limits.outbox_bytes = narrow(number),
        }),
        effect: Effect::NewSessions,
        default: None,
        help: "Encoded bytes that wait for one client's socket before its messages queue instead.",
        reason: "Two full reads of a publisher; more than a socket takes at once.",
    },
    Setting {
        name: "limits.answers_bytes",
        kind: Kind::Number(Number {
            unit: Unit::Bytes,
            range: 1024..=1 << 30,
            word: None,
            get: |draft| wide(draft.limits.answers_bytes),
            set: |draft, number| draft.limits.answers_bytes = narrow(number),
        }),
        effect: Effect::NewSessions,
        default: None,
        help: "Acknowledgements and other answers that a client may leave unread before it is \
               disconnected (0x97).",
        reason: "A quarter of a million of them.",
    },
    Setting {
        name: "limits.memory_watermark",
        kind: Kind::Number(Number {
            unit: Unit::Bytes,
            range: 1 << 20..=MAX_BYTES,
            word: AUTO,
            get: |draft| draft.memory_watermark.map_or(UNLIMITED, wide),
            set: |draft, number| draft.memory_watermark = chosen(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Bytes of messages held for all clients together, retained ones included, above which \
               publishers are slowed and nothing more is queued. `\"auto\"` is half of the memory that \
               the machine or its container has, and at least 64 MiB.",
        reason: "The other half is for connections, for subscriptions and for other programs.",
    },
];

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// On a 32-bit machine, more than it can address is as much as it can.
fn narrow(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// What stands for [`AUTO`] is no number that anybody chose.
fn chosen(number: u64) -> Option<usize> {
    (number != UNLIMITED).then(|| narrow(number))
}
