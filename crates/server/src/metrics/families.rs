//! Every metric: its name, its unit and where it comes from. Pure computation.
//!
//! Three families. `aldis_…` with labels are our own; `broker_…` are the topics of `$SYS` as the
//! Mosquitto exporter names them, so that boards made for it go on working; `process_…` are what
//! every program tells Prometheus about itself. `docs/metrics.md` names each.

use super::exposition::Exposition;
use crate::process::Process;
use crate::snapshot::Snapshot;
use crate::sys_topics::figures::{Figure, Kind, Value, figures};
use crate::trends::Trends;
use aldis_packet::PacketType;
use aldis_session::{DropReason, FilterReason, RefuseReason};
use aldis_store::Written;

/// The whole text.
pub(crate) fn exposition(snapshot: &Snapshot, trends: &Trends, process: &Process) -> String {
    let mut to = Exposition::default();
    to.labelled(
        "aldis_build_info",
        Kind::Gauge,
        "Version of the broker; the value is always 1",
        "version",
        [(env!("CARGO_PKG_VERSION"), 1)],
    );
    packets(snapshot, &mut to);
    traffic(snapshot, &mut to);
    deliveries(snapshot, &mut to);
    held(snapshot, &mut to);
    store(snapshot, &mut to);
    clients(snapshot, &mut to);
    of_the_process(process, &mut to);
    for figure in figures(snapshot, trends, process) {
        mosquitto(&figure, &mut to);
    }
    to.into_text()
}

fn packets(snapshot: &Snapshot, to: &mut Exposition) {
    let by_type = |count: fn(&Snapshot, PacketType) -> u64| {
        PacketType::ALL.map(|of| (of.name().to_lowercase(), count(snapshot, of)))
    };
    to.labelled(
        "aldis_packets_received_total",
        Kind::Counter,
        "Packets received, by packet type",
        "type",
        by_type(Snapshot::received),
    );
    to.labelled(
        "aldis_packets_sent_total",
        Kind::Counter,
        "Packets handed to connections, by packet type",
        "type",
        by_type(Snapshot::sent),
    );
    to.labelled(
        "aldis_packet_bytes_received_total",
        Kind::Counter,
        "Bytes of the packets received, fixed headers included, by packet type",
        "type",
        by_type(Snapshot::received_bytes),
    );
    to.labelled(
        "aldis_packet_bytes_sent_total",
        Kind::Counter,
        "Bytes of the packets handed to connections, fixed headers included, by packet type",
        "type",
        by_type(Snapshot::sent_bytes),
    );
}

fn traffic(snapshot: &Snapshot, to: &mut Exposition) {
    for (name, help, count) in [
        ("aldis_bytes_received_total", "Bytes read from connections", snapshot.bytes_received),
        ("aldis_bytes_sent_total", "Bytes written to connections", snapshot.bytes_sent),
        (
            "aldis_publish_bytes_received_total",
            "Payload bytes of the PUBLISH packets received",
            snapshot.publish_bytes_received,
        ),
        (
            "aldis_publish_bytes_sent_total",
            "Payload bytes of the PUBLISH packets handed to connections",
            snapshot.publish_bytes_sent,
        ),
        (
            "aldis_not_retained_total",
            "Retained publications that were delivered and not kept, because of a limit",
            snapshot.not_retained,
        ),
        (
            "aldis_publications_routed_total",
            "Publications that at least one subscription matched",
            snapshot.routed,
        ),
        (
            "aldis_publications_no_subscriber_total",
            "Publications that no subscription matched",
            snapshot.no_subscriber,
        ),
    ] {
        to.single(name, Kind::Counter, help, count);
    }
    to.labelled(
        "aldis_refused_total",
        Kind::Counter,
        "Publications that were not routed, by reason",
        "reason",
        RefuseReason::ALL.iter().map(|reason| reason.name()).zip(snapshot.refused),
    );
    to.labelled(
        "aldis_filters_refused_total",
        Kind::Counter,
        "Filters of SUBSCRIBE and UNSUBSCRIBE packets refused, by reason",
        "reason",
        FilterReason::ALL.iter().map(|reason| reason.name()).zip(snapshot.filters_refused),
    );
}

/// The account of law 10: offered is the sum of all the others.
fn deliveries(snapshot: &Snapshot, to: &mut Exposition) {
    for (name, kind, help, count) in [
        (
            "aldis_deliveries_offered_total",
            Kind::Counter,
            "Copies of messages offered to subscribers",
            snapshot.offered,
        ),
        (
            "aldis_deliveries_completed_total",
            Kind::Counter,
            "Deliveries completed: QoS 0 written, QoS 1 PUBACK, QoS 2 PUBCOMP",
            snapshot.completed,
        ),
        (
            "aldis_deliveries_expired_total",
            Kind::Counter,
            "Deliveries that expired before they were sent",
            snapshot.expired,
        ),
        (
            "aldis_deliveries_waiting",
            Kind::Gauge,
            "Deliveries that wait in queues or, at QoS 0, for their socket",
            snapshot.waiting,
        ),
        (
            "aldis_deliveries_in_flight",
            Kind::Gauge,
            "Deliveries sent at QoS 1 or 2 and not yet completed",
            snapshot.in_flight,
        ),
    ] {
        to.single(name, kind, help, count);
    }
    to.labelled(
        "aldis_dropped_total",
        Kind::Counter,
        "Deliveries dropped, by reason",
        "reason",
        DropReason::ALL.iter().map(|reason| reason.name()).zip(snapshot.dropped),
    );
}

fn held(snapshot: &Snapshot, to: &mut Exposition) {
    for (name, help, count) in [
        ("aldis_queued_bytes", "Bytes of the messages that wait in queues", snapshot.queued_bytes),
        ("aldis_held_bytes", "Bytes of memory held for clients", snapshot.held_bytes),
        ("aldis_retained_messages", "Retained messages", snapshot.retained_messages),
        ("aldis_retained_bytes", "Bytes of the retained messages", snapshot.retained_bytes),
        (
            "aldis_store_condition",
            "What the store takes: 0 everything, 1 nothing as its disk is full, 2 nothing as it has failed",
            snapshot.store_condition,
        ),
        (
            "aldis_memory_watermark_bytes",
            "Bytes held above which publishers are slowed",
            snapshot.memory_watermark,
        ),
        (
            "aldis_memory_watermark_reached",
            "Whether the bytes held are above the watermark, 0 or 1",
            u64::from(snapshot.memory_full),
        ),
    ] {
        to.single(name, Kind::Gauge, help, count);
    }
}

fn store(snapshot: &Snapshot, to: &mut Exposition) {
    let Written { syncs, log, zeros, checkpoints } = snapshot.store_written;
    to.single("aldis_store_syncs_total", Kind::Counter, "How often the log of the store was synced", syncs);
    to.labelled(
        "aldis_store_written_bytes_total",
        Kind::Counter,
        "Bytes that the store has written, by what they are for",
        "purpose",
        [("log", log), ("zeros", zeros), ("checkpoints", checkpoints)],
    );
}

fn clients(snapshot: &Snapshot, to: &mut Exposition) {
    to.labelled(
        "aldis_connections_ended_total",
        Kind::Counter,
        "Connections that the broker refused or ended, by reason code",
        "reason",
        snapshot.ended.iter().map(|(reason, count)| (reason.as_str(), *count)),
    );
    for (name, kind, help, count) in [
        (
            "aldis_connections",
            Kind::Gauge,
            "Connections open, those without a session included",
            snapshot.open,
        ),
        (
            "aldis_connections_accepted_total",
            Kind::Counter,
            "Connections that were given a place",
            snapshot.accepted,
        ),
        (
            "aldis_connections_turned_away_total",
            Kind::Counter,
            "Connections for which all places of limits.connections were taken",
            snapshot.turned_away,
        ),
        (
            "aldis_first_packet_timeouts_total",
            Kind::Counter,
            "Connections closed for want of a CONNECT within limits.first_packet_timeout",
            snapshot.first_packet_timeouts,
        ),
        ("aldis_sessions", Kind::Gauge, "Sessions, connected or not", snapshot.sessions),
        ("aldis_sessions_connected", Kind::Gauge, "Sessions with a connection", snapshot.connected),
        (
            "aldis_sessions_expired_total",
            Kind::Counter,
            "Sessions ended because their expiry interval passed",
            snapshot.sessions_expired,
        ),
        (
            "aldis_taken_over_total",
            Kind::Counter,
            "Connections ended because their client id connected anew",
            snapshot.taken_over,
        ),
        ("aldis_wills_published_total", Kind::Counter, "Wills published", snapshot.wills),
        (
            "aldis_subscriptions",
            Kind::Gauge,
            "Subscriptions, members of shared ones included",
            snapshot.subscriptions,
        ),
        (
            "aldis_shared_subscriptions",
            Kind::Gauge,
            "Subscriptions that are members of a shared one",
            snapshot.shared_subscriptions,
        ),
    ] {
        to.single(name, kind, help, count);
    }
}

fn of_the_process(process: &Process, to: &mut Exposition) {
    if let Some(bytes) = process.resident_bytes {
        to.single("process_resident_memory_bytes", Kind::Gauge, "Bytes of memory in RAM", bytes);
    }
    if let Some(seconds) = process.cpu_seconds {
        let help = "CPU time used, user and system, in seconds";
        to.single("process_cpu_seconds_total", Kind::Counter, help, seconds);
    }
    if let Some(seconds) = process.started_at {
        let help = "When the process started, in seconds since 1970";
        to.single("process_start_time_seconds", Kind::Gauge, help, seconds);
    }
}

/// A topic of `$SYS` under the name that the Mosquitto exporter gives it.
fn mosquitto(figure: &Figure, to: &mut Exposition) {
    if let Value::Text(_) = figure.value {
        return;
    }
    let name = figure.topic.trim_start_matches("$SYS/").replace(['/', ' '], "_");
    to.single(&name, figure.kind, &figure.help, &figure.value);
}

#[cfg(test)]
mod tests {
    use super::{Process, Snapshot, Trends, exposition};
    use crate::server::Ended;
    use std::collections::BTreeSet;

    fn scrape(snapshot: &Snapshot) -> String {
        exposition(snapshot, &Trends::default(), &Process::default())
    }

    #[test]
    fn every_reason_and_type_is_there_from_the_start() {
        let text = scrape(&Snapshot::default());
        for line in [
            "aldis_dropped_total{reason=\"queue_full\"} 0",
            "aldis_dropped_total{reason=\"no_member\"} 0",
            "aldis_refused_total{reason=\"not_authorized\"} 0",
            "aldis_filters_refused_total{reason=\"topic_levels\"} 0",
            "aldis_packets_received_total{type=\"connect\"} 0",
            "aldis_packets_sent_total{type=\"auth\"} 0",
            "aldis_packet_bytes_received_total{type=\"publish\"} 0",
            "aldis_packet_bytes_sent_total{type=\"suback\"} 0",
            "aldis_memory_watermark_reached 0",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn names_are_those_of_the_exporter() {
        let snapshot =
            Snapshot { uptime_seconds: 5, retained_messages: 6, connected: 7, ..Snapshot::default() };
        let text = scrape(&snapshot);
        for line in [
            "broker_uptime 5",
            "broker_retained_messages_count 6",
            "broker_clients_connected 7",
            "broker_load_messages_received_1min 0.00",
            "# TYPE broker_publish_messages_received counter",
            "# TYPE broker_clients_connected gauge",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("broker_version"), "text is no metric");
    }

    #[test]
    fn no_metric_is_there_twice_and_all_have_help_type_and_a_value() {
        let ended = Ended::default().counts();
        assert!(ended.contains(&("packet_too_large".to_owned(), 0)), "{ended:?}");
        let text = scrape(&Snapshot { ended, ..Snapshot::default() });
        let names = |prefix: &str| -> Vec<&str> {
            text.lines().filter_map(|line| line.strip_prefix(prefix)?.split(' ').next()).collect()
        };
        let (helped, typed) = (names("# HELP "), names("# TYPE "));
        assert_eq!(helped, typed);
        let unique: BTreeSet<_> = helped.iter().copied().collect();
        assert_eq!(unique.len(), helped.len());
        let valued: BTreeSet<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        assert_eq!(valued, unique);
    }
}
