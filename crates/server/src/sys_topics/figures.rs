//! From what was counted to `$SYS`: pure computation, also of the `broker_…` metrics.
//!
//! The names are Mosquitto's, and so are the meanings, as its manual gives them; where Aldis counts
//! something else, `docs/metrics.md` says so.

use crate::process::Process;
use crate::snapshot::Snapshot;
use crate::trends::{PERIODS, Trends};
use aldis_packet::PacketType;
use std::fmt;

/// Whether a figure only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Counted since the start.
    Counter,
    /// As it is now.
    Gauge,
}

/// What a figure says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// No number at all.
    Text(String),
    /// Whole seconds, which `$SYS` writes with their unit.
    Seconds(u64),
    /// A number of something.
    Count(u64),
    /// A rate a minute.
    Rate(f64),
}

/// The number alone.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Seconds(count) | Value::Count(count) => write!(f, "{count}"),
            Value::Rate(rate) => write!(f, "{rate:.2}"),
        }
    }
}

/// One topic of `$SYS`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// The whole topic name.
    pub(crate) topic: String,
    pub(crate) kind: Kind,
    pub(crate) value: Value,
    /// One sentence, without its full stop.
    pub(crate) help: String,
}

impl Figure {
    fn new(topic: &str, kind: Kind, help: &str, value: Value) -> Figure {
        Figure { topic: format!("$SYS/broker/{topic}"), kind, value, help: help.to_owned() }
    }

    /// The payload.
    pub(crate) fn payload(&self) -> String {
        match self.value {
            Value::Seconds(seconds) => format!("{seconds} seconds"),
            _ => self.value.to_string(),
        }
    }
}

/// Every figure, in the order of the document.
pub(crate) fn figures(snapshot: &Snapshot, trends: &Trends, process: &Process) -> Vec<Figure> {
    let version = format!("aldis version {}", env!("CARGO_PKG_VERSION"));
    let mut all = vec![
        Figure::new("version", Kind::Gauge, "Version of the broker", Value::Text(version)),
        Figure::new(
            "uptime",
            Kind::Counter,
            "Seconds since the broker started",
            Value::Seconds(snapshot.uptime_seconds),
        ),
    ];
    let count = |kind| move |(topic, help, count)| Figure::new(topic, kind, help, Value::Count(count));
    all.extend(clients(snapshot).map(count(Kind::Gauge)));
    all.extend(traffic(snapshot).map(count(Kind::Counter)));
    all.extend(held(snapshot).map(count(Kind::Gauge)));
    all.extend(heap(trends, process).map(count(Kind::Gauge)));
    for (load, averages) in trends.loads() {
        for ((period, _), average) in PERIODS.iter().zip(averages) {
            let topic = format!("load/{}/{period}", load.topic);
            let help = format!("{} a minute, averaged over {period}", load.what);
            all.push(Figure::new(&topic, Kind::Gauge, &help, Value::Rate(average)));
        }
    }
    all
}

type Row = (&'static str, &'static str, u64);

fn clients(snapshot: &Snapshot) -> impl Iterator<Item = Row> {
    let disconnected = snapshot.sessions.saturating_sub(snapshot.connected);
    let rows = [
        ("clients/connected", "Clients that are connected", snapshot.connected),
        ("clients/active", "The same as connected, under its old name", snapshot.connected),
        ("clients/disconnected", "Sessions kept for clients that are not connected", disconnected),
        ("clients/inactive", "The same as disconnected, under its old name", disconnected),
        ("clients/total", "Sessions, whether their client is connected or not", snapshot.sessions),
        ("clients/maximum", "Most clients connected at the same time", snapshot.connected_maximum),
        ("clients/expired", "Sessions ended because their expiry interval passed", snapshot.sessions_expired),
    ];
    rows.into_iter()
}

fn traffic(snapshot: &Snapshot) -> impl Iterator<Item = Row> {
    let rows = [
        ("messages/received", "Packets of any type received", snapshot.packets_received.iter().sum()),
        ("messages/sent", "Packets of any type sent", snapshot.packets_sent.iter().sum()),
        ("publish/messages/received", "PUBLISH packets received", snapshot.received(PacketType::Publish)),
        ("publish/messages/sent", "PUBLISH packets sent", snapshot.sent(PacketType::Publish)),
        (
            "publish/messages/dropped",
            "Deliveries dropped because of a limit of the queue, of memory or of the client's packet size",
            snapshot.dropped_by_limits(),
        ),
        (
            "publish/bytes/received",
            "Payload bytes of the PUBLISH packets received",
            snapshot.publish_bytes_received,
        ),
        ("publish/bytes/sent", "Payload bytes of the PUBLISH packets sent", snapshot.publish_bytes_sent),
        ("bytes/received", "Bytes received", snapshot.bytes_received),
        ("bytes/sent", "Bytes sent", snapshot.bytes_sent),
    ];
    rows.into_iter()
}

fn held(snapshot: &Snapshot) -> impl Iterator<Item = Row> {
    let stored = snapshot.waiting + snapshot.in_flight + snapshot.retained_messages;
    let bytes = snapshot.queued_bytes + snapshot.retained_bytes;
    let plain = snapshot.subscriptions.saturating_sub(snapshot.shared_subscriptions);
    let rows = [
        ("messages/stored", "The same as store/messages/count, under its old name", stored),
        ("store/messages/count", "Messages held: retained, waiting and in flight", stored),
        ("store/messages/bytes", "Bytes of the messages held, retained or waiting", bytes),
        (
            "store/condition",
            "Whether the store takes everything (0), is full (1) or has failed (2)",
            snapshot.store_condition,
        ),
        ("retained messages/count", "Retained messages", snapshot.retained_messages),
        ("subscriptions/count", "Subscriptions, without shared ones", plain),
        ("shared_subscriptions/count", "Members of shared subscriptions", snapshot.shared_subscriptions),
    ];
    rows.into_iter()
}

fn heap(trends: &Trends, process: &Process) -> impl Iterator<Item = Row> {
    let current = process.anonymous_bytes;
    let rows = [
        ("heap/current", "Bytes of anonymous memory in RAM, the heap and the stacks", current),
        ("heap/maximum", "The most that heap/current has been seen at", trends.heap_maximum.max(current)),
    ];
    rows.into_iter().filter_map(|(topic, help, bytes)| Some((topic, help, bytes?)))
}

#[cfg(test)]
mod tests {
    use super::{Figure, Snapshot, figures};
    use crate::clock;
    use crate::process::Process;
    use crate::trends::Trends;
    use aldis_session::DropReason;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn payloads(figures: &[Figure]) -> BTreeMap<&str, String> {
        let by_topic: BTreeMap<_, _> = figures.iter().map(|f| (f.topic.as_str(), f.payload())).collect();
        assert_eq!(by_topic.len(), figures.len(), "a topic is there twice");
        by_topic
    }

    #[test]
    fn each_figure_comes_from_its_count() {
        let mut snapshot = Snapshot {
            uptime_seconds: 75,
            sessions: 7,
            connected: 4,
            connected_maximum: 5,
            sessions_expired: 2,
            subscriptions: 9,
            shared_subscriptions: 3,
            waiting: 10,
            in_flight: 20,
            queued_bytes: 1000,
            retained_messages: 30,
            store_condition: 2,
            retained_bytes: 2000,
            publish_bytes_received: 11,
            publish_bytes_sent: 12,
            bytes_received: 13,
            bytes_sent: 14,
            ..Snapshot::default()
        };
        snapshot.packets_received[1] = 4;
        snapshot.packets_received[3] = 6;
        snapshot.packets_sent[2] = 4;
        snapshot.packets_sent[3] = 8;
        snapshot.dropped = DropReason::ALL.map(|reason| 10_u64.pow(reason as u32));
        let all = figures(&snapshot, &Trends::default(), &Process::default());
        let all = payloads(&all);
        for (topic, payload) in [
            ("version", concat!("aldis version ", env!("CARGO_PKG_VERSION"))),
            ("uptime", "75 seconds"),
            ("clients/connected", "4"),
            ("clients/active", "4"),
            ("clients/disconnected", "3"),
            ("clients/inactive", "3"),
            ("clients/total", "7"),
            ("clients/maximum", "5"),
            ("clients/expired", "2"),
            ("messages/received", "10"),
            ("messages/sent", "12"),
            ("messages/stored", "60"),
            ("publish/messages/received", "6"),
            ("publish/messages/sent", "8"),
            // queue full, memory watermark and too large: 1 + 10 + 1000.
            ("publish/messages/dropped", "1011"),
            ("publish/bytes/received", "11"),
            ("publish/bytes/sent", "12"),
            ("bytes/received", "13"),
            ("bytes/sent", "14"),
            ("store/messages/count", "60"),
            ("store/messages/bytes", "3000"),
            ("store/condition", "2"),
            ("retained messages/count", "30"),
            ("subscriptions/count", "6"),
            ("shared_subscriptions/count", "3"),
            ("load/connections/15min", "0.00"),
        ] {
            assert_eq!(all[format!("$SYS/broker/{topic}").as_str()], payload, "{topic}");
        }
        assert!(!all.contains_key("$SYS/broker/heap/current"), "nothing is made up where /proc is not");
    }

    #[test]
    fn loads_are_there_for_each_period() {
        let (mut trends, start) = (Trends::default(), clock::now());
        let mut snapshot = Snapshot::default();
        trends.observe(&snapshot, &Process::default(), start);
        snapshot.packets_received[1] = 2;
        snapshot.accepted = 3;
        snapshot.turned_away = 1;
        trends.observe(&snapshot, &Process::default(), start + Duration::from_secs(60));
        let all = figures(&snapshot, &trends, &Process::default());
        let all = payloads(&all);
        // A minute at a steady rate: 1 - 1/e, 1 - e^(-1/5) and 1 - e^(-1/15) of it.
        for (topic, payload) in [
            ("connections/1min", "1.26"),
            ("connections/5min", "0.36"),
            ("connections/15min", "0.13"),
            ("messages/received/1min", "1.26"),
            ("sockets/1min", "2.53"),
            ("publish/sent/1min", "0.00"),
        ] {
            assert_eq!(all[format!("$SYS/broker/load/{topic}").as_str()], payload, "{topic}");
        }
    }

    #[test]
    fn the_heap_is_what_the_system_says() {
        let process = Process { anonymous_bytes: Some(4096), ..Process::default() };
        let mut trends = Trends::default();
        trends.heap_maximum = Some(8192);
        let all = figures(&Snapshot::default(), &trends, &process);
        let all = payloads(&all);
        assert_eq!(all["$SYS/broker/heap/current"], "4096");
        assert_eq!(all["$SYS/broker/heap/maximum"], "8192");
    }
}
