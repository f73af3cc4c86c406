//! What a seed chooses before the run begins: limits, clients and their habits, and what happens at all.
//!
//! A [`Cut`] takes something away from it again. The same seed with the same cut is the same run; shrinking looks
//! for the largest cut with which it still fails.

use crate::random::Random;
use aldis_packet::ProtocolVersion;
use aldis_session::Limits;
use std::time::Duration;

/// Something that can be left out of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    Wills,
    Shared,
    Retained,
    MessageExpiry,
    SessionExpiry,
    Losses,
    TakeOvers,
    SlowReaders,
    Unsubscribes,
    Aliases,
    Limits,
    PacketSizes,
    Refusals,
    KeepAlive,
    Standstills,
    Meanwhile,
    CleanStarts,
    Qos0,
    Qos2,
    Rights,
    Store,
}

impl Feature {
    /// All of them, with the names that the command line knows.
    pub const ALL: [(Feature, &'static str); 21] = [
        (Feature::Wills, "wills"),
        (Feature::Shared, "shared"),
        (Feature::Retained, "retained"),
        (Feature::MessageExpiry, "message-expiry"),
        (Feature::SessionExpiry, "session-expiry"),
        (Feature::Losses, "losses"),
        (Feature::TakeOvers, "take-overs"),
        (Feature::SlowReaders, "slow-readers"),
        (Feature::Unsubscribes, "unsubscribes"),
        (Feature::Aliases, "aliases"),
        (Feature::Limits, "limits"),
        (Feature::PacketSizes, "packet-sizes"),
        (Feature::Refusals, "refusals"),
        (Feature::KeepAlive, "keep-alive"),
        (Feature::Standstills, "standstills"),
        (Feature::Meanwhile, "meanwhile"),
        (Feature::CleanStarts, "clean-starts"),
        (Feature::Qos0, "qos0"),
        (Feature::Qos2, "qos2"),
        (Feature::Rights, "rights"),
        (Feature::Store, "store"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Feature::ALL.iter().find(|(feature, _)| *feature == self).map_or("", |(_, name)| name)
    }
}

/// What is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Clients that never appear.
    pub clients: Vec<usize>,
    /// What does not happen.
    pub features: Vec<Feature>,
    /// Steps before everybody is asked to come to an end; `None` is as many as the seed says.
    pub steps: Option<usize>,
    /// Another order of the same things: shrinking tries a few.
    pub schedule: u64,
}

/// The habits of one client.
#[derive(Debug, Clone)]
pub struct Persona {
    pub version: ProtocolVersion,
    /// How often it publishes, and subscribes, of ten things that it does.
    pub publishes: usize,
    pub subscribes: usize,
    /// Bytes that fit on the way to it.
    pub room: usize,
    /// It reads little, and seldom.
    pub is_slow: bool,
    /// Session expiry intervals that it asks for.
    pub expiries: Vec<u32>,
    /// Receive maximum that it announces.
    pub receive_maximum: Option<u16>,
    pub maximum_packet_size: Option<u32>,
    pub alias_maximum: u16,
    pub keep_alive: u16,
    /// In so many connections there is one clean start.
    pub clean_in: usize,
    /// In so many things that it does the connection is lost.
    pub lost_in: usize,
    /// Bytes of its messages, at the most.
    pub padding: usize,
}

/// Everything that a seed chooses.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub cut: Cut,
    pub limits: Limits,
    pub personas: Vec<Persona>,
    /// Steps before everybody is asked to come to an end.
    pub steps: usize,
    /// Most of it is about shared subscriptions, at QoS 1 and 2.
    pub shares_much: bool,
    /// Commands that may wait for the Broker.
    pub commands: usize,
    /// In so many chances others come in between; 0 is never.
    pub meanwhile_in: usize,
    /// Whether the broker keeps its state on a disk, and what becomes of it.
    pub store: Option<Disasters>,
}

/// What becomes of a broker that keeps its state on a disk.
#[derive(Debug, Clone)]
pub struct Disasters {
    /// How often it crashes, at the most.
    pub crashes: usize,
    /// In so many steps it does.
    pub crash_in: usize,
    /// In so many commits the disk cannot sync.
    pub sync_fails_in: usize,
}

impl Plan {
    /// What `seed` chooses, without what `cut` leaves out.
    pub fn new(seed: u64, cut: Cut) -> Plan {
        let mut random = Random::new(seed, 1);
        let count = 3 + random.below(10);
        let has = |feature| !cut.features.contains(&feature);
        let mut limits = limits(&mut random, has(Feature::Limits));
        let personas = (0..count).map(|_| persona(&mut random, &has)).collect();
        let steps = 500 + random.below(300);
        let meanwhile_in = random.pick(&[2, 4, 10]);
        let shares_much = random.one_in(4) && has(Feature::Shared);
        let mut of_store = Random::new(seed, 3);
        let store = (of_store.one_in(2) && has(Feature::Store)).then(|| Disasters {
            crashes: of_store.below(4),
            crash_in: of_store.pick(&[60, 150, 400]),
            sync_fails_in: of_store.pick(&[usize::MAX, usize::MAX, usize::MAX, 40]),
        });
        // Little is in memory of a queue, and the rest on disk.
        limits.queue_in_memory = of_store.pick(&[1, 2, 5, 512]);
        Plan {
            seed,
            limits,
            personas,
            steps: cut.steps.unwrap_or(steps),
            shares_much,
            commands: 1 + random.below(4),
            meanwhile_in: if has(Feature::Meanwhile) { meanwhile_in } else { 0 },
            store,
            cut,
        }
    }

    /// Whether something happens in this run.
    pub fn has(&self, feature: Feature) -> bool {
        !self.cut.features.contains(&feature)
    }
}

/// Half of all runs have room for everything, so that nothing may be dropped in them; the others run into one or
/// the other limit.
fn limits(random: &mut Random, tight: bool) -> Limits {
    let mut limits = Limits {
        packet_size: 4_000,
        first_packet_size: 2_000,
        first_packet_timeout: Duration::from_millis(500),
        receive_maximum: random.pick(&[3, 20]),
        in_flight: random.pick(&[2, 5, 50]),
        outbox_bytes: random.pick(&[300, 2_000, 100_000]),
        session_expiry_default: random.pick(&[3, 60]),
        session_expiry_max: 600,
        topic_alias_maximum: 2,
        topic_aliases_out: 3,
        queue_qos0: random.one_in(3),
        keep_alive_max: 0,
        ..Limits::default()
    };
    let which = random.below(19);
    let (few, bytes) = (random.pick(&[2, 5, 12]), random.pick(&[1_500, 6_000]));
    let (watermark, sessions) = (random.pick(&[8_000, 20_000]), 2 + random.below(3));
    if !tight {
        return limits;
    }
    match which {
        0 | 1 => limits.queue_messages = few,
        2 => limits.queue_bytes = bytes,
        3 | 4 => limits.memory_watermark = watermark,
        5 => limits.sessions = sessions,
        6 => limits.retained_messages = few,
        7 => limits.subscriptions = few,
        8 => limits.retained_bytes = bytes,
        9 => (limits.answers_bytes, limits.packet_size, limits.outbox_bytes) = (100, 700, 300),
        10 => limits.shared_subscriptions = 1 + few / 5,
        _ => {}
    }
    limits
}

fn persona(random: &mut Random, has: &impl Fn(Feature) -> bool) -> Persona {
    let versions = [ProtocolVersion::V5, ProtocolVersion::V5, ProtocolVersion::V5, ProtocolVersion::V311];
    let version = if random.one_in(20) { ProtocolVersion::V31 } else { random.pick(&versions) };
    let is_slow = random.one_in(4);
    let room = random.pick(&[60, 300, 1_000]);
    let (short, long): (&[u32], &[u32]) = (&[0, 1, 3], &[60, 300, 600]);
    let expiries = if random.one_in(3) { short } else { long };
    let receive_maximum = random.pick(&[None, Some(1), Some(2), Some(10)]);
    let maximum_packet_size = random.pick(&[None, None, None, None, Some(90), Some(400)]);
    let alias_maximum = random.pick(&[0, 0, 2, 10]);
    let keep_alive = random.pick(&[0, 0, 0, 1, 2]);
    let clean_in = random.pick(&[1, 4, 10, 1_000]);
    let lost_in = random.pick(&[8, 30, 1_000]);
    let publishes = random.pick(&[1, 3, 6]);
    let padding = random.pick(&[0, 30, 30, 600]);
    let v5 = version == ProtocolVersion::V5;
    Persona {
        version,
        publishes,
        subscribes: 8 - publishes,
        is_slow: is_slow && has(Feature::SlowReaders),
        room: if has(Feature::SlowReaders) { room } else { usize::MAX },
        expiries: if has(Feature::SessionExpiry) { expiries.to_vec() } else { vec![600] },
        receive_maximum: receive_maximum.filter(|_| v5),
        maximum_packet_size: maximum_packet_size.filter(|_| v5 && has(Feature::PacketSizes)),
        alias_maximum: if v5 && has(Feature::Aliases) { alias_maximum } else { 0 },
        keep_alive: if has(Feature::KeepAlive) { keep_alive } else { 0 },
        clean_in: if has(Feature::CleanStarts) { clean_in } else { usize::MAX },
        lost_in: if has(Feature::Losses) { lost_in } else { usize::MAX },
        padding,
    }
}
