//! Whatever a loss of power leaves of what was not synced, a scan finds every frame that was, none that was not
//! written, and no damage; and damage to what was synced is never taken for a torn tail.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "../../topic/tests/random/mod.rs"]
#[allow(dead_code, reason = "topics are not what is drawn here")]
mod random;

use aldis_store::frame::{self, Head, Salt};
use aldis_store::scan::{self, End, Known, Place, Scan};
use random::Random;
use std::collections::BTreeMap;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Bytes of a segment: small, so that lives have many.
const SEGMENT: usize = 8 * SECTOR;
const SALT: Salt = Salt(0xA1D1);

/// Segments as they were when they were synced last, and as they would be now.
#[derive(Default, Clone)]
struct Disk {
    synced: BTreeMap<u64, Vec<u8>>,
    now: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    fn sync(&mut self) {
        self.synced = self.now.clone();
    }

    /// Power is lost: of each sector that was not synced either version is left.
    fn crash(&mut self, random: &mut Random) {
        for (number, now) in &mut self.now {
            let synced = &self.synced[number];
            for (now, synced) in now.chunks_mut(SECTOR).zip(synced.chunks(SECTOR)) {
                if random.below(2) == 0 {
                    now.copy_from_slice(synced);
                }
            }
        }
        // What a start finds it also keeps: it syncs what it has replayed.
        self.sync();
    }
}

/// One life of a broker after the other on one disk.
struct Log {
    disk: Disk,
    at: Place,
    epoch: u32,
    last: u64,
    synced: u64,
    /// Index of the first frame of each segment. What is before the first of them a checkpoint has.
    begins: BTreeMap<u64, u64>,
}

/// Seeds that are tried, each with several lives.
fn seeds() -> u64 {
    if std::env::var_os("ALDIS_LONG").is_some() { 30_000 } else { 1_000 }
}

/// Index, epoch and records of frames that were found.
type Found = Vec<(u64, u32, Vec<u8>)>;

/// Some records. A client chose the bytes of some of them, and wrote what looks like the next frame, and one that says
/// that everything was synced; but for the salt, which it cannot know.
fn records(index: u64, epoch: u32) -> Vec<u8> {
    let size = (index * 37 + u64::from(epoch) * 101) as usize % 1_300;
    let mut records: Vec<u8> = (0..size).map(|at| (at as u64 ^ index ^ u64::from(epoch)) as u8).collect();
    if index.is_multiple_of(4) {
        records.truncate(size / 2 / frame::ALIGNMENT * frame::ALIGNMENT);
        for (index, synced) in [(index, index - 1), (index + 1, index), (index + 5, u64::MAX)] {
            frame::encode(Head { epoch, index, synced, records: 1 }, b"forged", Salt(0), &mut records);
        }
    }
    records
}

impl Log {
    fn new() -> Log {
        let mut log = Log {
            disk: Disk::default(),
            at: Place { segment: 0, offset: 0 },
            epoch: 1,
            last: 0,
            synced: 0,
            begins: BTreeMap::new(),
        };
        log.begin_segment();
        log
    }

    /// A new segment, whose name and size are synced. With several there already it is the oldest one, with all that
    /// is in it.
    fn begin_segment(&mut self) {
        let number = self.at.segment + 1;
        let mut bytes = vec![0; SEGMENT];
        if self.begins.len() > 3 {
            let (oldest, _) = self.begins.pop_first().unwrap();
            self.disk.synced.remove(&oldest);
            bytes = self.disk.now.remove(&oldest).unwrap();
        }
        self.disk.synced.insert(number, bytes.clone());
        self.disk.now.insert(number, bytes);
        self.begins.insert(number, self.last + 1);
        self.at = Place { segment: number, offset: 0 };
    }

    /// Index of the first frame that is not in the checkpoint.
    fn first(&self) -> u64 {
        *self.begins.first_key_value().unwrap().1
    }

    fn append(&mut self, records: &[u8]) {
        if self.at.offset + frame::size(records.len()) > SEGMENT {
            // What is in the segment before is synced first: the log has no holes between segments.
            self.sync();
            self.begin_segment();
        }
        self.last += 1;
        let head = Head { epoch: self.epoch, index: self.last, synced: self.synced, records: 1 };
        let mut bytes = Vec::new();
        frame::encode(head, records, SALT, &mut bytes);
        let segment = self.disk.now.get_mut(&self.at.segment).unwrap();
        segment[self.at.offset..self.at.offset + bytes.len()].copy_from_slice(&bytes);
        self.at.offset += bytes.len();
    }

    fn sync(&mut self) {
        self.disk.sync();
        self.synced = self.last;
    }

    fn scan(&self) -> (Found, Vec<(Place, usize)>, Scan) {
        let (mut scan, mut frames, mut places) = (Scan::from(self.first(), 0, SALT), Vec::new(), Vec::new());
        for (number, bytes) in &self.disk.now {
            scan.segment(*number, bytes, 0, &mut |place, frame| {
                frames.push((frame.head.index, frame.head.epoch, frame.records.to_vec()));
                places.push((place, frame.records.len()));
            });
        }
        (frames, places, scan)
    }

    /// The next life goes on where the last one ends.
    fn restart(&mut self, scan: &Scan, random: &mut Random) {
        self.epoch += 1;
        self.last = scan.next() - 1;
        self.synced = self.last;
        self.at = scan.place();
        // What was torn may become whole when other bytes are written over it: seed 20,177 had a frame come back of which
        // only zeros were missing.
        let segment = self.disk.now.get_mut(&self.at.segment).unwrap();
        let end = SEGMENT.min(self.at.offset + frame::HEADER);
        segment[self.at.offset..end].fill(0);
        self.disk.sync();
        if random.below(2) == 0 {
            self.begin_segment();
        }
    }
}

/// Lives that end in a loss of power each; `told` is asked after each crash.
fn lives(seed: u64, mut told: impl FnMut(&Scan)) -> (Log, Random) {
    let (mut random, mut log) = (Random::new(seed), Log::new());
    // What each index holds that was synced, or found after a crash.
    let mut promised: BTreeMap<u64, (u32, Vec<u8>)> = BTreeMap::new();
    for _ in 0..1 + random.below(6) {
        let mut written = BTreeMap::new();
        for _ in 0..random.below(60) {
            let records = records(log.last + 1, log.epoch);
            log.append(&records);
            written.insert(log.last, (log.epoch, records));
            if random.below(4) == 0 {
                log.sync();
            }
            // Beginning a segment syncs the one before.
            promised.extend(written.range(..=log.synced).map(|(index, what)| (*index, what.clone())));
        }
        log.disk.crash(&mut random);
        let (frames, _, scan) = log.scan();
        let (last, synced) = (log.last, log.synced);
        assert!(
            (synced + 1..=last + 1).contains(&scan.next()),
            "seed {seed}: {} of {synced}..{last}",
            scan.next()
        );
        for ((index, epoch, records), expected) in frames.into_iter().zip(log.first()..) {
            assert_eq!(index, expected, "seed {seed}");
            let what = promised.get(&index).or_else(|| written.get(&index)).unwrap();
            assert!(
                (epoch, &records) == (what.0, &what.1),
                "seed {seed}: frame {index} is not what was written"
            );
            promised.insert(index, (epoch, records));
        }
        assert!(!matches!(scan.end(), End::Damaged { .. }), "seed {seed}: {:?}", scan.end());
        told(&scan);
        log.restart(&scan, &mut random);
    }
    (log, random)
}

#[test]
fn a_loss_of_power_loses_nothing_that_was_synced_and_brings_nothing_back() {
    let (mut clean, mut torn, mut cut_off) = (0, 0, 0);
    for seed in (0..seeds()).chain([20_177]) {
        lives(seed, |scan| match scan.end() {
            End::Clean => clean += 1,
            End::Torn { frames, .. } => {
                torn += 1;
                cut_off += frames;
            }
            End::Damaged { .. } => {}
        });
    }
    // Each of them happened, and often.
    assert!([clean, torn, cut_off].iter().all(|count| *count > seeds() / 4), "{clean} {torn} {cut_off}");
}

/// One bit of a frame that was synced changes, and later frames say that it was.
#[test]
fn damage_to_what_was_synced_is_told_from_a_torn_tail() {
    let mut damaged = 0;
    for seed in 0..seeds() {
        let (mut log, mut random) = lives(seed, |_| ());
        for _ in 0..1 + random.below(60) {
            log.append(&records(log.last + 1, log.epoch));
        }
        log.sync();
        // What a log that has nothing to do writes, so that its last records are covered, too.
        log.append(&[]);
        let (frames, places, scan) = log.scan();
        assert!(matches!(scan.end(), End::Clean), "seed {seed}: {:?}", scan.end());
        // Not the last one, which nobody knows to be synced.
        let which = random.below(places.len() - 1);
        let (place, size) = places[which];
        let at = place.offset + random.below(frame::HEADER + size);
        log.disk.now.get_mut(&place.segment).unwrap()[at] ^= 1 << random.below(8);
        let (left, _, scan) = log.scan();
        assert!(left == frames[..which], "seed {seed}: what comes before the damage is not what it was");
        match scan.end() {
            End::Damaged { index, witness, synced, .. } => {
                assert_eq!(index, frames[which].0, "seed {seed}");
                assert!(synced >= index && witness > place, "seed {seed}: {:?}", scan.end());
                damaged += 1;
            }
            other => panic!("seed {seed}: frame {} was damaged, and the end is {other:?}", which + 1),
        }
    }
    assert_eq!(damaged, seeds());
}

/// Whoever passes over damage finds every other frame that its own life knew to be synced, nothing that was not there,
/// and knows of each that is missing.
#[test]
fn what_is_left_behind_damage_is_found_and_nothing_that_was_cut_off() {
    let (mut found_behind, mut passed_over) = (0, 0);
    for seed in 0..seeds() {
        let (mut log, mut random) = lives(seed, |_| ());
        for _ in 0..20 + random.below(40) {
            log.append(&records(log.last + 1, log.epoch));
            if random.below(4) == 0 {
                log.sync();
            }
        }
        log.sync();
        log.append(&[]);
        let (frames, places, _) = log.scan();
        for _ in 0..1 + random.below(3) {
            let (place, size) = places[random.below(places.len() - 1)];
            let at = place.offset + random.below(frame::HEADER + size);
            log.disk.now.get_mut(&place.segment).unwrap()[at] ^= 1 << random.below(8);
        }
        let mut known = Known::new();
        for bytes in log.disk.now.values() {
            for (_, frame) in scan::frames(bytes, SALT) {
                let synced = known.entry(frame.head.epoch).or_default();
                *synced = frame.head.synced.max(*synced);
            }
        }
        let (mut scan, mut left) = (Scan::from(log.first(), 0, SALT).passing_over(known), Vec::new());
        for (number, bytes) in &log.disk.now {
            scan.segment(*number, bytes, 0, &mut |_, frame| {
                left.push((frame.head.index, frame.head.epoch, frame.records.to_vec()));
            });
        }
        assert!(left.iter().all(|frame| frames.contains(frame)), "seed {seed}: a frame that was not there");
        assert!(left.len() < frames.len(), "seed {seed}");
        let in_gap = |index| scan.gaps().iter().any(|gap| (gap.first..=gap.last).contains(&index));
        for frame in &frames {
            let is_behind = frame.0 >= scan.next();
            assert!(
                left.contains(frame) || in_gap(frame.0) || is_behind,
                "seed {seed}: {} in silence",
                frame.0
            );
        }
        // The last frame says that all before it was synced.
        assert_eq!(scan.next(), log.last + 1, "seed {seed}: {:?}", scan.end());
        let first = scan.gaps()[0].first;
        found_behind += left.iter().filter(|frame| frame.0 > first).count();
        passed_over += frames.len() - left.len();
    }
    assert!(found_behind > 5 * passed_over, "{found_behind} found, {passed_over} passed over");
}
