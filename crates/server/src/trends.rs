//! What has to be remembered between two looks at the counters: load averages, and a maximum.
//!
//! A load is a rate a minute, averaged exponentially over 1, 5 and 15 minutes, as Mosquitto does it
//! and as systems do it with their run queue: after a time `t` in which the rate was `r`, an average
//! over a period `p` is `r + e^(-t/p) × (average - r)`. All begin at zero.

use crate::process::Process;
use crate::snapshot::Snapshot;
use aldis_packet::PacketType;
use std::time::Instant;

/// A load: its topic below `$SYS/broker/load/`, what it is a rate of, and the count it comes from.
pub(crate) struct Load {
    pub(crate) topic: &'static str,
    pub(crate) what: &'static str,
    count: fn(&Snapshot) -> u64,
}

/// Every load there is.
pub(crate) const LOADS: [Load; 9] = [
    Load { topic: "messages/received", what: "Packets received", count: |s| s.packets_received.iter().sum() },
    Load { topic: "messages/sent", what: "Packets sent", count: |s| s.packets_sent.iter().sum() },
    Load {
        topic: "publish/received",
        what: "PUBLISH packets received",
        count: |s| s.received(PacketType::Publish),
    },
    Load { topic: "publish/sent", what: "PUBLISH packets sent", count: |s| s.sent(PacketType::Publish) },
    Load {
        topic: "publish/dropped",
        what: "Deliveries dropped because of a limit",
        count: Snapshot::dropped_by_limits,
    },
    Load { topic: "bytes/received", what: "Bytes received", count: |s| s.bytes_received },
    Load { topic: "bytes/sent", what: "Bytes sent", count: |s| s.bytes_sent },
    Load { topic: "sockets", what: "Connections opened", count: |s| s.accepted + s.turned_away },
    Load {
        topic: "connections",
        what: "CONNECT packets received",
        count: |s| s.received(PacketType::Connect),
    },
];

/// A period of averaging: its name, and its length in seconds.
pub(crate) const PERIODS: [(&str, f64); 3] = [("1min", 60.0), ("5min", 300.0), ("15min", 900.0)];

type Counts = [u64; LOADS.len()];

/// The averages so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trends {
    last: Option<(Instant, Counts)>,
    averages: [[f64; PERIODS.len()]; LOADS.len()],
    /// The highest that [`Process::anonymous_bytes`] has been seen at.
    pub(crate) heap_maximum: Option<u64>,
}

impl Trends {
    /// Takes in what was counted until `now`. The first time only sets the beginning.
    pub(crate) fn observe(&mut self, snapshot: &Snapshot, process: &Process, now: Instant) {
        self.heap_maximum = self.heap_maximum.max(process.anonymous_bytes);
        let counts = LOADS.map(|load| (load.count)(snapshot));
        if let Some((before, last)) = self.last {
            let seconds = now.saturating_duration_since(before).as_secs_f64();
            if seconds == 0.0 {
                return;
            }
            for (averages, (count, last)) in self.averages.iter_mut().zip(counts.iter().zip(last)) {
                let a_minute = count.saturating_sub(last) as f64 * 60.0 / seconds;
                for (average, (_, period)) in averages.iter_mut().zip(PERIODS) {
                    *average = a_minute + (-seconds / period).exp() * (*average - a_minute);
                }
            }
        }
        self.last = Some((now, counts));
    }

    /// Each load with its averages, in the order of [`PERIODS`].
    pub(crate) fn loads(&self) -> impl Iterator<Item = (&'static Load, [f64; PERIODS.len()])> {
        LOADS.iter().zip(self.averages)
    }
}

#[cfg(test)]
mod tests {
    use super::{Process, Snapshot, Trends};
    use crate::clock;
    use std::time::Duration;

    fn bytes_received(trends: &Trends) -> [f64; 3] {
        trends.loads().find(|(load, _)| load.topic == "bytes/received").unwrap().1
    }

    fn feed(seconds: u64, steps: u64, a_step: u64) -> Trends {
        let (mut trends, mut snapshot, start) = (Trends::default(), Snapshot::default(), clock::now());
        trends.observe(&snapshot, &Process::default(), start);
        for step in 1..=steps {
            snapshot.bytes_received += a_step;
            trends.observe(&snapshot, &Process::default(), start + Duration::from_secs(seconds * step));
        }
        trends
    }

    #[test]
    fn a_minute_of_a_steady_rate_gets_the_averages_most_of_the_way() {
        // 100 bytes each 10 s are 600 a minute; an average over p begins at 0 and is 600 × (1 - e^(-60/p)).
        let averages = bytes_received(&feed(10, 6, 100));
        for (average, period) in averages.into_iter().zip([60.0, 300.0, 900.0_f64]) {
            let expected = 600.0 * (1.0 - (-60.0 / period).exp());
            assert!((average - expected).abs() < 1e-6, "{average} {expected}");
        }
    }

    #[test]
    fn the_step_does_not_matter() {
        let (fine, coarse) = (bytes_received(&feed(1, 60, 10)), bytes_received(&feed(60, 1, 600)));
        for (fine, coarse) in fine.into_iter().zip(coarse) {
            assert!((fine - coarse).abs() < 1e-6, "{fine} {coarse}");
        }
    }

    #[test]
    fn what_was_counted_before_the_first_look_is_no_load() {
        let mut trends = Trends::default();
        let snapshot = Snapshot { bytes_received: 1_000_000, ..Snapshot::default() };
        let now = clock::now();
        trends.observe(&snapshot, &Process::default(), now);
        trends.observe(&snapshot, &Process::default(), now);
        trends.observe(&snapshot, &Process::default(), now + Duration::from_secs(1));
        assert_eq!(bytes_received(&trends), [0.0; 3]);
    }

    #[test]
    fn the_maximum_stays() {
        let mut trends = Trends::default();
        for bytes in [None, Some(5), Some(9), Some(7), None] {
            let process = Process { anonymous_bytes: bytes, ..Process::default() };
            trends.observe(&Snapshot::default(), &process, clock::now());
        }
        assert_eq!(trends.heap_maximum, Some(9));
    }
}
