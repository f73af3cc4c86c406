//! A disk that gets full and empty again: nothing that was staged is lost or final, and all goes on by itself. What is
//! prepared is prepared in small steps.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[allow(dead_code, reason = "each test uses some of it")]
mod memory_disk;

use aldis_store::frame::Salt;
use aldis_store::{
    Committer, Condition, Disk, Errand, Fold, Log, Opened, Pace, Record, Recovery, SegmentLog, Stage, Syncs,
};
use memory_disk::MemoryDisk;
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// No checkpoint: what is appended stays.
const PACE: Pace = Pace { checkpoint_after: u64::MAX / 4, spare: u64::MAX / 4 };

fn open(disk: &MemoryDisk) -> (Arc<Stage>, Committer<MemoryDisk>) {
    let recovery = RefCell::new(Recovery::default());
    let Opened { log, .. } = SegmentLog::open(
        Arc::new(disk.clone()),
        Salt(5),
        &mut |epoch, saved| recovery.borrow_mut().load(epoch, saved),
        &mut |place, frame| recovery.borrow_mut().frame(place, frame),
    )
    .unwrap();
    let stage = Arc::new(Stage::default());
    let (fold, _) = recovery.into_inner().finish();
    (Arc::clone(&stage), Committer::new(stage, log, fold, Syncs::Always, PACE))
}

fn fold_on(disk: &MemoryDisk) -> Fold {
    open(disk).1.fold().clone()
}

fn run(committer: &mut Committer<MemoryDisk>, wall: u64) -> io::Result<bool> {
    let goes_on = committer.run_once(Duration::ZERO, || wall)?;
    while let Some(Errand::Prepare(mut preparation)) = committer.errand() {
        let result = preparation.run();
        committer.prepared(preparation, result);
    }
    Ok(goes_on)
}

/// A session with a long name: a record that takes space.
fn session(stage: &Stage, session: u64) {
    let client_id = &format!("{session:040000}");
    stage.append(&Record::Connect { session, client_id, user_name: None, session_expiry: 900, will: None });
}

/// Stages sessions until the log has no place for one.
fn fill(stage: &Stage, committer: &mut Committer<MemoryDisk>) -> u64 {
    for number in 1.. {
        session(stage, number);
        assert!(run(committer, number).unwrap());
        if stage.committed() < number {
            return number;
        }
        assert!(number < 10_000, "it is never full");
    }
    unreachable!()
}

#[test]
fn what_has_no_place_waits_and_is_written_when_there_is_space() {
    let disk = MemoryDisk::new();
    let (stage, mut committer) = open(&disk);
    assert!(run(&mut committer, 0).unwrap());
    disk.set_room(disk.used());
    let last = fill(&stage, &mut committer);
    assert_eq!((stage.committed(), stage.condition()), (last - 1, Condition::Full));
    // However often it is tried, and whatever comes meanwhile.
    for wall in 0..5 {
        session(&stage, last + 1 + wall);
        assert!(run(&mut committer, 10_000 + wall).unwrap());
    }
    assert_eq!((stage.committed(), stage.condition()), (last - 1, Condition::Full));
    // The fold has what is committed, and so has the disk.
    assert_eq!(committer.fold().sessions.len() as u64, last - 1);
    assert_eq!(
        fold_on(&{
            let copy = disk.copy();
            copy.set_room(usize::MAX);
            copy
        })
        .sessions
        .len() as u64,
        last - 1
    );

    disk.set_room(usize::MAX);
    for wall in 0..3 {
        assert!(run(&mut committer, 20_000 + wall).unwrap());
    }
    assert_eq!((stage.committed(), stage.condition()), (last + 5, Condition::Good));
    assert_eq!(fold_on(&disk.copy()).sessions.len() as u64, last + 5);
}

/// A batch of several frames of which the first ones fit.
#[test]
fn a_batch_is_written_as_far_as_it_fits() {
    let disk = MemoryDisk::new();
    let (stage, mut committer) = open(&disk);
    assert!(run(&mut committer, 0).unwrap());
    disk.set_room(disk.used() + (6 << 20));
    for number in 1..=400 {
        session(&stage, number);
    }
    assert!(run(&mut committer, 1).unwrap());
    let some = committer.fold().sessions.len();
    assert!(stage.committed() == 0 && (50..400).contains(&some), "{some}");
    let copy = disk.copy();
    assert_eq!(fold_on(&copy).sessions.len(), some);
    disk.set_room(usize::MAX);
    assert!(run(&mut committer, 2_000).unwrap());
    assert_eq!((stage.committed(), committer.fold().sessions.len()), (400, 400));
    assert_eq!(fold_on(&disk.copy()).sessions.len(), 400);
}

#[test]
fn a_broker_that_stops_waits_for_no_space() {
    let disk = MemoryDisk::new();
    let (stage, mut committer) = open(&disk);
    assert!(run(&mut committer, 0).unwrap());
    disk.set_room(disk.used());
    let last = fill(&stage, &mut committer);
    stage.close();
    let error = committer.run_once(Duration::MAX, || 0).unwrap_err();
    assert!(aldis_store::is_full(&error), "{error}");
    disk.set_room(usize::MAX);
    assert_eq!(fold_on(&disk).sessions.len() as u64, last - 1);
}

/// One with nothing to do marks the end of its log, and has no place for that either.
#[test]
fn a_log_that_is_full_to_the_last_byte_is_no_failure() {
    let disk = MemoryDisk::new();
    let (stage, mut committer) = open(&disk);
    assert!(run(&mut committer, 0).unwrap());
    disk.set_room(disk.used());
    fill(&stage, &mut committer);
    disk.set_room(usize::MAX);
    assert!(run(&mut committer, 2_000).unwrap());
    disk.set_room(disk.used());
    for wall in 0..10 {
        assert!(run(&mut committer, 3_000 + wall).unwrap());
    }
    stage.close();
    assert!(!committer.run_once(Duration::MAX, || 0).unwrap());
}

#[test]
fn a_preparation_syncs_what_it_writes_in_steps() {
    let disk = MemoryDisk::new();
    let (stage, mut committer) = open(&disk);
    let mut steps = 0;
    for number in 1..=900 {
        session(&stage, number);
        disk.forget_largest();
        assert!(committer.run_once(Duration::ZERO, || number).unwrap());
        // A segment that a commit waits for is small.
        assert!(disk.largest() <= 1 << 20, "{}", disk.largest());
        while let Some(Errand::Prepare(mut preparation)) = committer.errand() {
            let mut of_this = 1;
            disk.forget_largest();
            while !preparation.step().unwrap() {
                of_this += 1;
                assert!(disk.largest() <= 1 << 20, "{}", disk.largest());
            }
            steps = steps.max(of_this);
            committer.prepared(preparation, Ok(()));
        }
    }
    assert_eq!(steps, 4, "one of 4 MiB holds more than 64 of these commits");
}

/// A store that is started again and again, with little to do, does not grow.
#[test]
fn starts_alone_do_not_make_a_store_larger() {
    let disk = MemoryDisk::new();
    for life in 0..100 {
        let recovery = RefCell::new(Recovery::default());
        let Opened { log, .. } = SegmentLog::open(
            Arc::new(disk.clone()),
            Salt(5),
            &mut |epoch, saved| recovery.borrow_mut().load(epoch, saved),
            &mut |place, frame| recovery.borrow_mut().frame(place, frame),
        )
        .unwrap();
        let stage = Arc::new(Stage::default());
        let fold = recovery.into_inner().finish().0;
        let mut committer = Committer::new(Arc::clone(&stage), log, fold, Syncs::Always, Pace::default());
        session(&stage, 1);
        for wall in 0..3 {
            assert!(committer.run_once(Duration::ZERO, || wall).unwrap());
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
        // What is written before a checkpoint is due, and what a store has at least.
        assert!(disk.used() <= 8 << 20, "{} bytes after {life} starts", disk.used());
    }
    assert!(disk.names().unwrap().len() < 40);
}
