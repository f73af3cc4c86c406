//! What a store takes of the disk over many starts, and how it lives on a full one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use aldis_store::frame::Salt;
use aldis_store::{
    Committer, Condition, Disk, Errand, Fold, Log, Origin, Pace, Put, Record, SegmentLog, Stage, Syncs, apply,
};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Files in memory, and how many bytes there is room for.
#[derive(Default)]
struct SmallDisk {
    files: Mutex<BTreeMap<String, SmallFile>>,
    room: Mutex<Option<usize>>,
}

type SmallFile = Arc<Mutex<Vec<u8>>>;

impl SmallDisk {
    fn used(&self) -> usize {
        self.files.lock().unwrap().values().map(|file| file.lock().unwrap().len()).sum()
    }

    fn file(&self, name: &str) -> io::Result<SmallFile> {
        self.files.lock().unwrap().get(name).map(Arc::clone).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SmallDisk {
    type File = SmallFile;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<SmallFile> {
        let file = SmallFile::default();
        let before = self.files.lock().unwrap().insert(name.to_owned(), Arc::clone(&file));
        assert!(before.is_none(), "{name} is made twice");
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<SmallFile> {
        self.file(name)
    }

    fn size(&self, file: &SmallFile) -> io::Result<u64> {
        Ok(file.lock().unwrap().len() as u64)
    }

    fn read_at(&self, file: &SmallFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let at = offset as usize;
        buffer.copy_from_slice(&file.lock().unwrap()[at..at + buffer.len()]);
        Ok(())
    }

    fn write_at(&self, file: &SmallFile, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset as usize + bytes.len();
        let more = end.saturating_sub(file.lock().unwrap().len());
        let room = *self.room.lock().unwrap();
        if more > 0 && room.is_some_and(|room| self.used() + more > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut content = file.lock().unwrap();
        let size = content.len().max(end);
        content.resize(size, 0);
        content[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync_data(&self, _: &SmallFile) -> io::Result<()> {
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().unwrap().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A broker's store for one life, which ends without a word.
struct Life {
    stage: Arc<Stage>,
    committer: Committer<SmallDisk>,
    wall: u64,
    /// What the other thread has done and the committer has not heard of.
    reports: Vec<Report>,
}

enum Report {
    Prepared(aldis_store::Preparation<SmallDisk>, io::Result<()>),
    Checkpointed(io::Result<()>),
}

impl Life {
    fn start(disk: &Arc<SmallDisk>) -> Life {
        let fold = std::cell::RefCell::new(Fold::default());
        let opened = SegmentLog::open(
            Arc::clone(disk),
            Salt(7),
            &mut |_, saved| {
                *fold.borrow_mut() = Fold::load(saved).unwrap();
                true
            },
            &mut |place, frame| apply(&mut fold.borrow_mut(), frame.records, place),
        );
        let log = opened.map_err(|error| error.to_string()).unwrap().log;
        let stage = Arc::new(Stage::default());
        let fold = fold.into_inner();
        let mut committer = Committer::new(Arc::clone(&stage), log, fold, Syncs::Always, Pace::default());
        committer.restore_reserve();
        let mut life = Life { stage, committer, wall: 0, reports: Vec::new() };
        life.turn();
        life
    }

    /// One turn of the committer's thread, and then one of the other, of which the committer hears in its next.
    fn turn(&mut self) {
        self.wall += 700;
        let wall = self.wall;
        assert!(self.committer.run_once(Duration::ZERO, || wall).unwrap());
        for report in self.reports.drain(..) {
            match report {
                Report::Prepared(preparation, result) => self.committer.prepared(preparation, result),
                Report::Checkpointed(Ok(())) => self.committer.checkpointed(),
                Report::Checkpointed(Err(_)) => self.committer.checkpoint_failed(),
            }
        }
        while let Some(errand) = self.committer.errand() {
            self.reports.push(match errand {
                Errand::Prepare(mut preparation) => {
                    let result = preparation.run();
                    Report::Prepared(preparation, result)
                }
                Errand::Checkpoint(mut job) => Report::Checkpointed(job.run()),
            });
        }
    }

    fn keep(&mut self, record: &Record<'_>) {
        self.stage.append(record);
        self.turn();
    }

    /// A message of 10,000 bytes that is retained.
    fn retain(&mut self, number: u64) {
        let topic = &format!("topic/{number}");
        self.stage.append(&Record::Retain { message: number, topic, removes: false });
        self.keep(&Record::Put(Put {
            message: number,
            origin: Origin::Nothing,
            publisher: None,
            topic,
            properties: &[],
            payload: &[1; 10_000],
            qos: aldis_packet::QoS::AtLeastOnce,
            retain: true,
            expires_at: None,
        }));
    }

    /// Fills the disk up; the number of messages that are kept.
    fn fill(&mut self) -> usize {
        let before = self.committer.fold().retained.len();
        for number in 1_000.. {
            self.retain(number);
            if self.stage.condition() == Condition::Full {
                break;
            }
        }
        self.committer.fold().retained.len() - before
    }
}

#[test]
fn starts_without_anything_new_do_not_grow_the_store() {
    let disk = Arc::new(SmallDisk::default());
    Life::start(&disk).retain(1);
    let mut used = Vec::new();
    for _ in 0..50 {
        let mut life = Life::start(&disk);
        (0..5).for_each(|_| life.turn());
        assert_eq!(life.committer.fold().retained.len(), 1);
        used.push(disk.used());
    }
    assert_eq!(used[10], used[49], "{used:?}");
}

#[test]
fn starts_with_little_that_is_new_do_not_grow_the_store_for_ever() {
    let disk = Arc::new(SmallDisk::default());
    let mut used = Vec::new();
    for number in 0..100 {
        let mut life = Life::start(&disk);
        life.retain(1);
        life.keep(&Record::Clock { at: number });
        used.push(disk.used());
    }
    assert!(used[99] <= 8 << 20, "{used:?}");
}

#[test]
fn a_full_disk_can_be_started_from_again_and_again() {
    for writes in [false, true] {
        let disk = Arc::new(SmallDisk::default());
        *disk.room.lock().unwrap() = Some(5 << 20);
        let count = Life::start(&disk).fill();
        assert!(count > 100, "{count}");
        for number in 0..30 {
            let mut life = Life::start(&disk);
            assert_eq!(life.committer.fold().retained.len(), count, "start {number}");
            if writes {
                life.keep(&Record::Clock { at: number });
            }
        }
        // What frees space is taken to the end, and then there is some.
        let mut life = Life::start(&disk);
        for number in 1_000..1_000 + count as u64 {
            life.keep(&Record::Unretain { topic: &format!("topic/{number}") });
        }
        (0..5).for_each(|_| life.turn());
        assert_eq!(life.stage.condition(), Condition::Good);
        assert!(life.fill() > count / 2);
    }
}

#[test]
fn a_full_disk_is_said_to_be_full_until_there_is_space() {
    let disk = Arc::new(SmallDisk::default());
    *disk.room.lock().unwrap() = Some(5 << 20);
    let mut life = Life::start(&disk);
    life.fill();
    for turn in 0..10 {
        life.turn();
        assert_eq!(life.stage.condition(), Condition::Full, "turn {turn}");
    }
    *disk.room.lock().unwrap() = None;
    (0..3).for_each(|_| life.turn());
    assert_eq!(life.stage.condition(), Condition::Good);
}
