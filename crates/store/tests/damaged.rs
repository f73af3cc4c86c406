//! A store that is damaged in any way is refused or read as it was, a survey names what is wrong, and what is written
//! anew from it is all that is left. A store that is compacted is the same, whenever that is stopped.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[allow(dead_code, reason = "each test uses some of it")]
mod memory_disk;
#[path = "../../topic/tests/random/mod.rs"]
#[allow(dead_code, reason = "topics are not what is drawn here")]
mod random;

use aldis_packet::QoS;
use aldis_store::frame::Salt;
use aldis_store::{
    Committer, Damage, Disk, Errand, Fold, Log, OpenError, Opened, Origin, Pace, Put, Queue, Reader, Record,
    Recovery, SegmentLog, Stage, Survey, Syncs, compact, write_anew,
};
use memory_disk::MemoryDisk;
use random::Random;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const PACE: Pace = Pace { checkpoint_after: 60_000, spare: 0 };
const SESSIONS: u64 = 4;

/// What is kept: the bodies for each client id in order, and those that are retained.
type Kept = (BTreeMap<String, Vec<Vec<u8>>>, BTreeMap<String, Vec<u8>>);

fn open(disk: &MemoryDisk) -> Result<(Opened<MemoryDisk>, Fold), OpenError> {
    let recovery = RefCell::new(Recovery::default());
    let opened = SegmentLog::open(
        Arc::new(disk.clone()),
        Salt(0x5A17),
        &mut |epoch, saved| recovery.borrow_mut().load(epoch, saved),
        &mut |place, frame| recovery.borrow_mut().frame(place, frame),
    )?;
    Ok((opened, recovery.into_inner().finish().0))
}

/// The bodies; `None` if one is damaged.
fn kept(fold: &Fold, reader: &Reader<MemoryDisk>) -> Option<Kept> {
    let body = |message| {
        let (place, length) = fold.body(message).unwrap();
        let bytes = reader.read(place, length as usize).ok()?;
        match Record::decode(&bytes)?.0 {
            Record::Put(put) | Record::Moved(put) if put.message == message => Some(put.payload.to_vec()),
            _ => None,
        }
    };
    let mut kept = Kept::default();
    for state in fold.sessions.values() {
        let bodies: Option<_> = state.deliveries.values().map(|delivery| body(delivery.message)).collect();
        kept.0.insert(state.client_id.to_string(), bodies?);
    }
    for (topic, message) in &fold.retained {
        kept.1.insert(topic.to_string(), body(*message)?);
    }
    Some(kept)
}

fn kept_on(disk: &MemoryDisk) -> Kept {
    let (opened, fold) = open(disk).unwrap();
    kept(&fold, &opened.log.reader()).unwrap()
}

/// A life of a broker: sessions that are away, messages for them, some of which they have got.
fn life(disk: &MemoryDisk, random: &mut Random, messages: usize) {
    let (Opened { log, .. }, fold) = open(disk).unwrap();
    let stage = Arc::new(Stage::default());
    let (mut message, mut queues) = (fold.last_message, BTreeMap::new());
    for session in 1..=SESSIONS {
        let client_id = &format!("client {session}");
        let will = None;
        stage.append(&Record::Connect { session, client_id, user_name: None, session_expiry: 900, will });
        let state = fold.sessions.get(&session);
        let waiting =
            state.map(|state| state.deliveries.iter().map(|(number, _)| number).collect::<Vec<u64>>());
        queues.insert(session, (state.map_or(0, |state| state.last_number), waiting.unwrap_or_default()));
    }
    let mut committer = Committer::new(Arc::clone(&stage), log, fold, Syncs::Always, PACE);
    for _ in 0..messages {
        message += 1;
        publish(&stage, random, message, &mut queues);
        if random.below(3) == 0 {
            commit(&mut committer);
        }
    }
    commit(&mut committer);
    // It has nothing to do for a while, and says so.
    commit(&mut committer);
}

fn publish(stage: &Stage, random: &mut Random, message: u64, queues: &mut BTreeMap<u64, (u64, Vec<u64>)>) {
    let topic = &format!("topic {}", random.below(9));
    let retain = random.below(4) == 0;
    for (session, (last, waiting)) in queues.iter_mut() {
        if random.below(2) == 0 {
            *last += 1;
            waiting.push(*last);
            let (session, number, qos) = (*session, *last, QoS::AtLeastOnce);
            let ids = vec![].into();
            stage.append(&Record::Queue(Queue {
                session,
                number,
                message,
                qos,
                retain: false,
                ids,
                slot: None,
                share: None,
            }));
        }
        if waiting.len() > 12 {
            stage.append(&Record::Done { session: *session, number: waiting.remove(0) });
        }
    }
    if retain {
        stage.append(&Record::Retain { message, topic, removes: false });
    }
    let payload = vec![random.below(251) as u8; random.below(3_000)];
    stage.append(&Record::Put(Put {
        message,
        origin: Origin::Nothing,
        publisher: Some("publisher"),
        topic,
        properties: b"",
        payload: &payload,
        qos: QoS::AtLeastOnce,
        retain,
        expires_at: None,
    }));
}

fn commit(committer: &mut Committer<MemoryDisk>) {
    assert!(committer.run_once(Duration::ZERO, || 0).unwrap());
    while let Some(errand) = committer.errand() {
        match errand {
            Errand::Prepare(mut preparation) => {
                let result = preparation.run();
                committer.prepared(preparation, result);
            }
            Errand::Checkpoint(mut job) => {
                job.run().unwrap();
                committer.checkpointed();
            }
        }
    }
}

/// A store after some lives.
fn store(seed: u64) -> (MemoryDisk, Random) {
    let (disk, mut random) = (MemoryDisk::new(), Random::new(seed));
    for _ in 0..1 + random.below(3) {
        let messages = 20 + random.below(300);
        life(&disk, &mut random, messages);
    }
    (disk, random)
}

fn seeds() -> u64 {
    if std::env::var_os("ALDIS_LONG").is_some() { 400 } else { 15 }
}

fn survey(disk: &MemoryDisk) -> Result<Survey<MemoryDisk>, OpenError> {
    let mut survey = Survey::read(Arc::new(disk.clone()))?;
    survey.check_bodies();
    Ok(survey)
}

#[test]
fn a_survey_of_a_good_store_is_what_a_start_finds_and_changes_nothing() {
    for seed in 0..seeds() {
        let (disk, _) = store(seed);
        let before = disk.operations();
        let found = survey(&disk).unwrap();
        assert!(found.damage.is_empty(), "seed {seed}: {:?}", found.damage);
        assert!(found.losses == Default::default() && found.cut.is_none(), "seed {seed}: {:?}", found.losses);
        assert!(disk.operations() > before);
        let seen = kept(&found.fold, &found.reader()).unwrap();
        let copy = disk.copy();
        assert_eq!(seen, kept_on(&copy), "seed {seed}");
        let live: u64 = found.segments.iter().map(|segment| segment.live_bytes).sum();
        assert_eq!(live, found.fold.all_live_bytes(), "seed {seed}");
    }
}

#[test]
fn a_compacted_store_is_the_same_and_small() {
    for seed in 0..seeds() {
        let (disk, _) = store(seed);
        let before = kept_on(&disk.copy());
        let sizes = compact(Arc::new(disk.clone())).unwrap();
        assert_eq!(sizes.after, disk.used() as u64, "seed {seed}");
        let live = survey(&disk).unwrap().fold.all_live_bytes();
        assert!(
            sizes.after < sizes.before && sizes.after <= live + (768 << 10),
            "seed {seed}: {sizes:?} {live}"
        );
        assert!(survey(&disk).unwrap().damage.is_empty(), "seed {seed}");
        assert_eq!(kept_on(&disk), before, "seed {seed}");
        // It goes on, and is compacted again.
        life(&disk, &mut Random::new(seed), 50);
        compact(Arc::new(disk.clone())).unwrap();
        assert!(survey(&disk).unwrap().damage.is_empty(), "seed {seed}");
    }
}

/// Killed, or without power, before each operation in turn.
#[test]
fn a_store_that_was_being_compacted_is_whole_whenever_that_stops() {
    let (disk, mut random) = store(3);
    let before = kept_on(&disk.copy());
    let all = disk.copy();
    let used = all.operations();
    compact(Arc::new(all.clone())).unwrap();
    let operations = all.operations() - used;
    assert!(operations > 40);
    for at in 0..operations {
        for loses_power in [false, true] {
            let disk = disk.copy();
            disk.end_after(at);
            assert!(compact(Arc::new(disk.clone())).is_err(), "at {at} of {operations}");
            match loses_power {
                true => disk.lose_power(|| random.below(2) == 0),
                false => disk.go_on(),
            }
            assert_eq!(kept_on(&disk), before, "at {at} of {operations}, power lost: {loses_power}");
        }
    }
}

/// Whatever it is, nothing is lost in silence: a start finds all of it, or refuses; and then the survey names something,
/// and what is written anew holds nothing that was not there.
fn nothing_is_lost_in_silence(disk: &MemoryDisk, before: &Kept, what: &str) -> Outcome {
    let opened = open(&disk.copy());
    match opened.and_then(|(opened, fold)| opened.log.has_all_of(&fold).map(|()| (opened, fold))) {
        Ok((opened, fold)) => {
            let is_cut = opened.cut.is_some();
            match kept(&fold, &opened.log.reader()) {
                Some(after) if after == *before => return Outcome::Same,
                // The last frame is not known to be synced.
                Some(_) if is_cut => return Outcome::Cut,
                Some(_) => panic!("{what}: it is another state"),
                None => {}
            }
        }
        Err(error) => assert!(error.is_damage(), "{what}: {error}"),
    }
    let survey = survey(disk).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(!survey.damage.is_empty(), "{what}: refused, and nothing is wrong");
    let anew = MemoryDisk::new();
    let reader = survey.reader();
    write_anew(survey.fold.clone(), &reader, Arc::new(anew.clone()), Salt(1)).unwrap();
    let after = kept_on(&anew);
    // What was acknowledged in frames that are lost comes back; else nothing does.
    let is_body = |damage: &Damage| matches!(damage, Damage::Body { .. } | Damage::Head);
    if survey.damage.iter().all(is_body) {
        for (client, bodies) in &after.0 {
            let all = before.0.get(client).unwrap();
            assert!(bodies.iter().all(|body| all.contains(body)), "{what}: {client}");
        }
    }
    let is_all = |mine: &Vec<Vec<u8>>, all: &Vec<Vec<u8>>| all.iter().all(|body| mine.contains(body));
    let lost = before.0.iter().any(|(client, all)| after.0.get(client).is_none_or(|mine| !is_all(mine, all)));
    let names_loss = |damage: &Damage| !matches!(damage, Damage::Head | Damage::Checkpoint { .. });
    let names_loss = survey.damage.iter().any(names_loss);
    assert!(!lost || names_loss, "{what}: messages are lost, and only {:?} is named", survey.damage);
    if lost { Outcome::Less } else { Outcome::Saved }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Same,
    Cut,
    Saved,
    Less,
}

#[test]
fn a_flipped_bit_anywhere_is_harmless_or_told() {
    let mut outcomes = BTreeMap::<Outcome, u32>::new();
    for seed in 0..seeds() {
        let (disk, mut random) = store(seed);
        let before = kept_on(&disk.copy());
        for _ in 0..12 {
            let damaged = disk.copy();
            let names = damaged.names().unwrap();
            let name = &names[random.below(names.len())];
            let mut bytes = damaged.bytes(name);
            if name.starts_with("spare") || bytes.is_empty() {
                continue;
            }
            let end = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
            let at = random.below(end);
            bytes[at] ^= 1 << random.below(8);
            damaged.set_bytes(name, bytes);
            // A version that is higher is taken for what it says.
            if name == "aldis.store" && (8..12).contains(&at) {
                continue;
            }
            let what = format!("seed {seed}, byte {at} of {name}");
            *outcomes.entry(nothing_is_lost_in_silence(&damaged, &before, &what)).or_default() += 1;
        }
    }
    assert!(outcomes.len() >= 3, "{outcomes:?}");
}

#[test]
fn a_file_that_is_gone_or_cut_is_told() {
    let mut outcomes = BTreeMap::<Outcome, u32>::new();
    for seed in 0..seeds() {
        let (disk, mut random) = store(seed);
        let before = kept_on(&disk.copy());
        for name in disk.names().unwrap() {
            if name.starts_with("spare") {
                continue;
            }
            let damaged = disk.copy();
            damaged.remove(&name).unwrap();
            let what = format!("seed {seed}, without {name}");
            let outcome = nothing_is_lost_in_silence(&damaged, &before, &what);
            if name.starts_with("newest") {
                assert_eq!(outcome, Outcome::Same, "{what}");
            }
            *outcomes.entry(outcome).or_default() += 1;
            let bytes = disk.bytes(&name);
            if name.starts_with("segment") {
                let damaged = disk.copy();
                let length = random.below(bytes.len());
                damaged.set_bytes(&name, bytes[..length].to_vec());
                let what = format!("seed {seed}, {name} cut at {length}");
                assert!(open(&damaged.copy()).is_err(), "{what}");
                nothing_is_lost_in_silence(&damaged, &before, &what);
            }
        }
    }
    assert!(outcomes.len() >= 3, "{outcomes:?}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_where_an_older_one_and_the_log_make_the_same_state() {
    let mut passed_over = 0;
    for seed in 0..seeds() {
        let (disk, mut random) = (MemoryDisk::new(), Random::new(seed));
        life(&disk, &mut random, 200);
        let older: Vec<_> =
            disk.names().unwrap().into_iter().filter(|name| name.starts_with("checkpoint")).collect();
        let Some(older) = older.last().map(|name| (name.clone(), disk.bytes(name))) else { continue };
        life(&disk, &mut random, 60);
        let newest = disk.names().unwrap().into_iter().rfind(|name| name.starts_with("checkpoint")).unwrap();
        if newest == older.0 {
            continue;
        }
        let before = kept_on(&disk.copy());
        // As after a crash before it was removed.
        disk.create(&older.0).unwrap();
        disk.set_bytes(&older.0, older.1);
        let mut bytes = disk.bytes(&newest);
        bytes[50] ^= 1;
        disk.set_bytes(&newest, bytes);
        match open(&disk.copy()) {
            Ok((opened, fold)) => {
                assert_eq!(opened.passed_over, [newest], "seed {seed}");
                assert_eq!(kept(&fold, &opened.log.reader()).unwrap(), before, "seed {seed}");
                passed_over += 1;
            }
            // Segments in between were used again.
            Err(error) => assert!(matches!(error, OpenError::Missing { .. }), "seed {seed}: {error}"),
        }
    }
    assert!(passed_over > 0);
}

#[test]
fn what_is_no_store_is_told_from_one() {
    let disk = MemoryDisk::new();
    disk.create("notes.tmp").unwrap();
    assert!(matches!(Survey::read(Arc::new(disk.clone())), Err(OpenError::NoStore)));
    assert!(matches!(compact(Arc::new(disk.clone())), Err(OpenError::NoStore)));
    // Files of others stay as they are.
    life(&disk, &mut Random::new(1), 9);
    assert!(disk.names().unwrap().contains(&"notes.tmp".to_owned()));
    disk.remove("aldis.store").unwrap();
    assert!(matches!(open(&disk), Err(OpenError::BadHead)));
    disk.create("aldis.store").unwrap();
    disk.set_bytes("aldis.store", [b"aldislog".as_slice(), &[2, 0, 0, 0]].concat());
    assert!(matches!(open(&disk), Err(OpenError::FutureVersion { found: 2 })));
    assert!(matches!(Survey::read(Arc::new(disk)), Err(OpenError::FutureVersion { found: 2 })));
}
