//! The figures: what a run of `mqload` says, and what the runs of all rounds say together.

use super::broker::Broker;
use super::workloads::{ALLOWED_NOW, IDLE_BAR, IDLE_CONNECTIONS, Workload};
use super::{ALDIS, RELAY, Runs};
use serde_json::Value;
use std::fmt;

/// One run of a workload with messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// Microseconds of broker CPU for each delivered message; none when nothing was measured.
    pub(super) cpu: Option<f64>,
    /// Deliveries a second.
    pub(super) rate: f64,
    lost: u64,
    gaps: u64,
    reorders: u64,
    has_stalled: bool,
    error: Option<String>,
}

impl Measured {
    /// From `mqload`'s line; a line that is none becomes the error.
    pub(super) fn read(line: &str) -> Self {
        let Ok(value) = serde_json::from_str::<Value>(line.trim()) else {
            return Self { error: Some(line.trim().to_owned()), ..Self::default() };
        };
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        if let Some(said) = value.get("error").and_then(Value::as_str) {
            return Self { error: Some(said.to_owned()), ..Self::default() };
        }
        let count = |key: &str| value.get(key).and_then(Value::as_u64);
        let (cpu, rate) = (number("cpu_us_per_msg"), number("msgs_per_s"));
        let wrong = (count("lost"), count("gaps"), count("reorders"));
        let stalled = value.get("stalled").and_then(Value::as_bool);
        // A figure that is not there is not 0.
        let (Some(cpu), Some(rate), (Some(lost), Some(gaps), Some(reorders)), Some(has_stalled)) =
            (cpu, rate, wrong, stalled)
        else {
            return Self {
                error: Some(format!("a figure is missing in {}", line.trim())),
                ..Self::default()
            };
        };
        Self { cpu: Some(cpu), rate, lost, gaps, reorders, has_stalled, error: None }
    }

    /// What a correct broker never shows.
    pub(super) fn fault(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(error.clone());
        }
        let Self { lost, gaps, reorders, has_stalled, .. } = self;
        let is_clean = *lost == 0 && *gaps == 0 && *reorders == 0 && !has_stalled;
        let stalled = if *has_stalled { ", stalled" } else { "" };
        (!is_clean).then(|| format!("{lost} lost, {gaps} gaps, {reorders} out of order{stalled}"))
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(cpu) = self.cpu else {
            return write!(out, "{}", self.error.as_deref().unwrap_or("not measured"));
        };
        write!(out, "{cpu:7.3} us/msg {:10.0} msgs/s", self.rate)?;
        self.fault().map_or(Ok(()), |fault| write!(out, "  {fault}"))
    }
}

/// The memory of connections without messages, in bytes for each.
pub(super) struct Idle {
    pub(super) fresh: Option<f64>,
    pub(super) used: Option<f64>,
    pub(super) error: Option<String>,
}

impl Idle {
    /// The median of all rounds; the first error there was.
    pub(super) fn median(rounds: &[Idle]) -> Idle {
        let of = |what: fn(&Idle) -> Option<f64>| {
            Spread::of(rounds.iter().filter_map(what).collect()).map(|spread| spread.median)
        };
        let error = rounds.iter().find_map(|round| round.error.clone());
        Idle { fresh: of(|round| round.fresh), used: of(|round| round.used), error }
    }

    /// What it holds above what is allowed at present.
    pub(super) fn excess(&self) -> Option<String> {
        let fresh = self.fresh?;
        (fresh > IDLE_BAR).then(|| format!("idle: {fresh:.0} bytes a connection, {IDLE_BAR:.0} are allowed"))
    }

    /// From `mqload`'s line.
    pub(super) fn read(line: &str) -> Self {
        let value = serde_json::from_str::<Value>(line.trim()).unwrap_or_default();
        let number = |key: &str| value.get(key).and_then(Value::as_f64);
        let (fresh, used) = (number("bytes_per_conn"), number("bytes_per_conn_once_used"));
        let answered = value.get("answered").and_then(Value::as_u64).unwrap_or_default();
        let error = match fresh {
            None => Some(line.trim().to_owned()),
            Some(_) if answered < u64::from(IDLE_CONNECTIONS) => {
                Some(format!("of {IDLE_CONNECTIONS} clients {answered} got their message"))
            }
            Some(_) => None,
        };
        Self { fresh, used, error }
    }
}

/// Median, smallest and largest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// None of nothing.
    pub(super) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median =
            if values.len() % 2 == 1 { upper } else { (upper + values.get(middle.checked_sub(1)?)?) / 2.0 };
        Some(Self { median, least: *values.first()?, most: *values.last()? })
    }

    /// In another unit.
    pub(super) fn scaled(self, by: f64) -> Self {
        Self { median: self.median * by, least: self.least * by, most: self.most * by }
    }
}

/// All rounds of one workload.
pub(super) struct Series {
    pub(super) workload: &'static str,
    pub(super) bar: Option<f64>,
    pub(super) relay: Option<Spread>,
    pub(super) aldis: Spread,
    /// Aldis' cost divided by the relay's, round by round.
    pub(super) ratio: Option<Spread>,
    /// Deliveries a second, median.
    pub(super) rate: f64,
    /// What Aldis did wrong, over all rounds: lost, gaps, out of order.
    pub(super) wrong: [u64; 3],
    /// Other brokers: name, cost, and that divided by the relay's.
    pub(super) others: Vec<(String, Option<Spread>, Option<Spread>)>,
}

impl Series {
    /// None when Aldis has no figure.
    pub(super) fn of(workload: &Workload, runs: &Runs, brokers: &[Broker]) -> Option<Self> {
        let of = |broker: &str| {
            runs.get(&(workload.name, broker.to_owned())).map(Vec::as_slice).unwrap_or_default()
        };
        let costs = |broker: &str| Spread::of(of(broker).iter().filter_map(|run| run.cpu).collect());
        let ratios = |broker: &str| {
            let rounds = of(broker).iter().zip(of(RELAY));
            Spread::of(
                rounds
                    .filter_map(|(run, relay)| Some(run.cpu? / relay.cpu.filter(|cpu| *cpu > 0.0)?))
                    .collect(),
            )
        };
        let others =
            brokers.iter().map(|broker| broker.name.as_str()).filter(|name| ![ALDIS, RELAY].contains(name));
        let total = |what: fn(&Measured) -> u64| of(ALDIS).iter().map(what).sum();
        Some(Self {
            workload: workload.name,
            bar: workload.bar,
            relay: costs(RELAY),
            aldis: costs(ALDIS)?,
            ratio: ratios(ALDIS),
            rate: Spread::of(of(ALDIS).iter().map(|run| run.rate).collect())?.median,
            wrong: [total(|run| run.lost), total(|run| run.gaps), total(|run| run.reorders)],
            others: others.map(|name| (name.to_owned(), costs(name), ratios(name))).collect(),
        })
    }

    /// What it costs above what is allowed at present.
    pub(super) fn excess(&self) -> Option<String> {
        let (ratio, bar) = (self.ratio?.median, self.bar?);
        let most = ALLOWED_NOW * bar;
        (ratio > most)
            .then(|| format!("{}: {ratio:.2} × the relay's cost, {most:.2} are allowed", self.workload))
    }

    /// Whether the ratio is within what is allowed at present, and within the bar itself.
    pub(super) fn is_within(&self) -> Option<(bool, bool)> {
        let (ratio, bar) = (self.ratio?.median, self.bar?);
        Some((ratio <= ALLOWED_NOW * bar, ratio <= bar))
    }
}

#[cfg(test)]
mod tests {
    use super::{Broker, Idle, Measured, Runs, Series, Spread};
    use crate::bench::workloads::WORKLOADS;

    const LINE: &str = "{\"workload\":\"pairs\",\"cpu_us_per_msg\":0.5,\"msgs_per_s\":5200129,\"lost\":0,\"gaps\":0,\"reorders\":0,\"stalled\":false}\n";

    #[test]
    fn a_run_is_read_from_its_line_and_faults_are_named() {
        let good = Measured::read(LINE);
        assert_eq!((good.cpu, good.fault()), (Some(0.5), None));
        let bad = Measured::read(&LINE.replace("\"reorders\":0", "\"reorders\":2"));
        assert_eq!(bad.fault().unwrap(), "0 lost, 0 gaps, 2 out of order");
        assert_eq!(Measured::read("{\"error\":\"refused\"}").fault().unwrap(), "refused");
        assert_eq!(Measured::read("panicked\n").fault().unwrap(), "panicked");
        for figure in ["0.5", "5200129", "\"lost\":0", "\"gaps\":0", "\"reorders\":0", "false"] {
            let without = LINE.replace(figure, if figure.starts_with('"') { "\"x\":0" } else { "null" });
            assert!(Measured::read(&without).fault().unwrap().contains("missing"), "{without}");
        }
    }

    #[test]
    fn idle_clients_must_all_be_served() {
        let line = "{\"bytes_per_conn\":1700,\"bytes_per_conn_once_used\":1800,\"answered\":10000}";
        assert_eq!(Idle::read(line).error, None);
        assert_eq!(
            Idle::read(&line.replace("10000", "9999")).error.unwrap(),
            "of 10000 clients 9999 got their message"
        );
        assert_eq!(Idle::read("{\"error\":\"refused\"}").error.unwrap(), "{\"error\":\"refused\"}");
        let rounds = ["3400", "3600", "3700"].map(|bytes| Idle::read(&line.replace("1700", bytes)));
        let median = Idle::median(&rounds);
        assert_eq!((median.fresh, median.error.clone()), (Some(3600.0), None));
        assert_eq!(median.excess().unwrap(), "idle: 3600 bytes a connection, 3500 are allowed");
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let run = |cpu: f64| Measured { cpu: Some(cpu), ..Measured::default() };
        let mut runs = Runs::new();
        let name = WORKLOADS[0].name;
        runs.insert((name, "relay".to_owned()), vec![run(1.0), run(2.0), run(4.0)]);
        runs.insert((name, "aldis".to_owned()), vec![run(2.0), run(6.0), run(4.0)]);
        let series = Series::of(&WORKLOADS[0], &runs, &[] as &[Broker]).unwrap();
        assert_eq!(series.ratio, Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(series.aldis.median, 4.0);
        assert_eq!((series.is_within(), series.excess()), (Some((true, true)), None));
        runs.insert((name, "aldis".to_owned()), vec![run(5.0), run(10.0), run(20.0)]);
        let series = Series::of(&WORKLOADS[0], &runs, &[] as &[Broker]).unwrap();
        assert_eq!(series.excess().unwrap(), "one2one-q0: 5.00 × the relay's cost, 4.00 are allowed");
    }

    #[test]
    fn the_median_of_an_even_count_is_the_mean_of_the_middle() {
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(vec![]), None);
    }
}
