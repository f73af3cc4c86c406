//! The settings outside the limits.

use std::time::Duration;

use super::kind::{Kind, Number, Unit};
use super::setting::{Effect, Setting};

/// In the order of [`Draft::durability`].
const DURABILITIES: [&str; 3] = ["fsync", "interval", "memory"];

const DAY_MILLISECONDS: u64 = 24 * 3600 * 1000;

pub(crate) static GENERAL: &[Setting] = &[
    Setting {
        name: "listen",
        kind: Kind::Listeners,
        effect: Effect::Restart,
        default: Some("`tcp://127.0.0.1:1883`, and `tcp://[::1]:1883` where IPv6 exists"),
        help: "Where MQTT is accepted, as URLs `tcp://HOST:PORT`. HOST is an IP address of this machine, \
               `0.0.0.0` (every IPv4 address), `[::]` (every IPv6 address and no IPv4 address; for both list both, \
               or write `*`), `*` or `localhost`; without PORT it is 1883.",
        reason: "A broker that was just installed is for its own machine; a network is opened by saying so.",
    },
    Setting {
        name: "data_dir",
        kind: Kind::Path {
            example: "/var/lib/aldis",
            get: |draft| draft.data_dir.as_ref(),
            set: |draft, path| draft.data_dir = Some(path),
        },
        effect: Effect::Restart,
        default: Some(
            "the first of these that applies: `$STATE_DIRECTORY` (systemd; its first entry), \
             `data` in the checkout (started by `cargo run`), `/var/lib/aldis` (started by root), \
             `$XDG_DATA_HOME/aldis`, `$HOME/.local/share/aldis`",
        ),
        help: "Folder for what the broker keeps: sessions, their queues and subscriptions, retained messages, wills. It \
               is made if it is not there, and belongs to one broker at a time. Not used, and not made, with \
               `durability = \"memory\"`.",
        reason: "Where programs of this kind keep their data.",
    },
    Setting {
        name: "durability",
        kind: Kind::Word {
            words: &DURABILITIES,
            get: |draft| draft.durability,
            set: |draft, which| draft.durability = Some(which),
        },
        effect: Effect::Restart,
        default: Some("`\"fsync\"`"),
        help: "What is safe when the broker acknowledges it. `fsync`: everything that has to be kept is on disk, and \
               survives a loss of power. `interval`: it is handed to the system, and survives the end of the \
               broker; a loss of power takes what came in the last `durability_interval`. `memory`: nothing is \
               kept, whatever `data_dir` says.",
        reason: "An acknowledgement is a promise.",
    },
    Setting {
        name: "durability_interval",
        kind: Kind::Number(Number {
            unit: Unit::Milliseconds,
            range: 10..=3_600_000,
            word: None,
            get: |draft| milliseconds(draft.durability_interval),
            set: |draft, number| draft.durability_interval = Duration::from_millis(number),
        }),
        effect: Effect::Restart,
        default: None,
        help: "With `durability = \"interval\"`: the longest time between two syncs while messages come.",
        reason: "What most other brokers that sync at all do not better.",
    },
    Setting {
        name: "metrics",
        kind: Kind::Metrics,
        effect: Effect::Restart,
        default: Some("`\"off\"`"),
        help: "Where Prometheus metrics (`/metrics`), `/healthz` and `/readyz` are served over HTTP.",
        reason: "Nobody should find an open port that they did not ask for.",
    },
    Setting {
        name: "sys_interval",
        kind: Kind::Number(Number {
            unit: Unit::Milliseconds,
            range: 1_000..=DAY_MILLISECONDS,
            word: Some(("off", 0)),
            get: |draft| milliseconds(draft.sys_interval),
            set: |draft, number| draft.sys_interval = Duration::from_millis(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Time between two publications of the `$SYS` topics.",
        reason: "Mosquitto's interval, which dashboards are drawn for.",
    },
    Setting {
        name: "shutdown_deadline",
        kind: Kind::Number(Number {
            unit: Unit::Milliseconds,
            range: 100..=3_600_000,
            word: None,
            get: |draft| milliseconds(draft.shutdown_deadline),
            set: |draft, number| draft.shutdown_deadline = Duration::from_millis(number),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "Longest time that a clean stop may take to tell the clients and to send what they are owed.",
        reason: "Containers are killed after 10 s, systemd's services after 90 s.",
    },
    Setting {
        name: "auth.allow_anonymous",
        kind: Kind::Flag {
            get: |draft| draft.allow_anonymous,
            set: |draft, flag| draft.allow_anonymous = Some(flag),
        },
        effect: Effect::NewConnections,
        default: Some("`true` if every listener is on a loopback address, else `false`"),
        help: "Whether clients may connect without a user name.",
        reason: "Programs on the same machine need no password to try things; a network does.",
    },
    Setting {
        name: "auth.password_file",
        kind: Kind::Path {
            example: "/etc/aldis/users",
            get: |draft| draft.password_file.as_ref(),
            set: |draft, path| draft.password_file = Some(path),
        },
        effect: Effect::NewConnections,
        default: None,
        help: "Users and password hashes in Mosquitto's format: lines `user:$7$iterations$salt$hash` or \
               `user:$6$salt$hash`, as `mosquitto_passwd` writes them.",
        reason: "There are no default credentials.",
    },
    Setting {
        name: "log.verbosity",
        kind: Kind::Number(Number {
            unit: Unit::Count,
            range: 0..=2,
            word: None,
            get: |draft| u64::from(draft.verbosity),
            set: |draft, number| draft.verbosity = u8::try_from(number).unwrap_or(u8::MAX),
        }),
        effect: Effect::AtOnce,
        default: None,
        help: "0 logs start, stop, listeners, refusals, drops and limits; 1 (`-v`) also connects, subscribes and \
               disconnects; 2 (`-vv`) also every packet.",
        reason: "A quiet log is one in which a refusal is seen.",
    },
];

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
