//! What is measured, and the bar for each: the broker's CPU time for each delivered message as a
//! multiple of the relay's.

/// The workload of connections without messages.
pub(super) const IDLE: &str = "idle";
/// Connections in it.
pub(super) const IDLE_CONNECTIONS: u32 = 10_000;
/// Bytes of memory for each idle connection with one subscription: what is allowed now, and what later.
pub(super) const IDLE_BAR: f64 = 3500.0;
pub(super) const IDLE_GOAL: f64 = 2500.0;

/// The multiple of the bar that is allowed at present.
pub(super) const ALLOWED_NOW: f64 = 2.0;

/// One workload of `mqload` at one quality of service.
pub(super) struct Workload {
    /// How tables and `--only` call it.
    pub(super) name: &'static str,
    /// How `mqload` calls it.
    pub(super) load: &'static str,
    pub(super) qos: u8,
    /// At most this many times the relay's CPU time; none where there is no bar yet.
    pub(super) bar: Option<f64>,
}

const fn workload(name: &'static str, load: &'static str, qos: u8, bar: Option<f64>) -> Workload {
    Workload { name, load, qos, bar }
}

/// In the order of the tables. The bars are what a prototype of the data path reached, rounded up. At
/// QoS 1 the relay passes acknowledgements on only where a publisher has one subscriber and a subscriber
/// one publisher, so the other workloads have no relay to compare with.
pub(super) const WORKLOADS: [Workload; 10] = [
    workload("one2one-q0", "one2one", 0, Some(2.0)),
    workload("fanout-q0", "fanout", 0, Some(1.1)),
    workload("fanin-q0", "fanin", 0, Some(1.6)),
    workload("pairs-q0", "pairs", 0, Some(1.5)),
    workload("telemetry-q0", "telemetry", 0, Some(1.75)),
    workload("one2one-q1", "one2one", 1, Some(2.2)),
    workload("pairs-q1", "pairs", 1, Some(2.2)),
    workload("fanout-q1", "fanout", 1, None),
    workload("fanin-q1", "fanin", 1, None),
    workload("telemetry-q1", "telemetry", 1, None),
];

impl Workload {
    /// Whether the relay can be given it.
    pub(super) fn suits_relay(&self) -> bool {
        self.qos == 0 || matches!(self.load, "one2one" | "pairs")
    }
}
