//! How a log on a real disk grows: many messages are kept in a few large segments, not in hundreds of small ones, of
//! which each costs its creation, a rename and a sync of the directory beside the commits.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use aldis_packet::QoS;
use aldis_store::{
    Committer, Errand, FileDisk, Fold, Log, Opened, Origin, Pace, Put, Queue, Record, SegmentLog, Stage,
    Syncs, frame::Salt,
};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("aldis-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// Sizes of the files whose names begin with this.
    fn sizes(&self, prefix: &str) -> Vec<u64> {
        let files = std::fs::read_dir(&self.0).unwrap().map(|file| file.unwrap());
        let meant = files.filter(|file| file.file_name().to_str().unwrap().starts_with(prefix));
        meant.map(|file| file.metadata().unwrap().len()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(folder: &Path) -> (Arc<Stage>, Committer<FileDisk>) {
    let disk = Arc::new(FileDisk::new(folder));
    let Opened { log, .. } = SegmentLog::open(disk, Salt(7), &mut |_, _| true, &mut |_, _| true).unwrap();
    let stage = Arc::new(Stage::default());
    let committer = Committer::new(Arc::clone(&stage), log, Fold::default(), Syncs::Always, Pace::default());
    (stage, committer)
}

/// Commits what is staged, and does what is to be done after it, as the thread of the store has it.
fn commit(committer: &mut Committer<FileDisk>) {
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

fn publish(stage: &Stage, message: u64) {
    let slot = None;
    let queue = Queue {
        session: 1,
        number: message,
        message,
        qos: QoS::AtLeastOnce,
        retain: false,
        ids: Cow::Borrowed(&[]),
        slot,
        share: None,
    };
    stage.append(&Record::Queue(queue));
    stage.append(&Record::Put(Put {
        message,
        origin: Origin::Nothing,
        publisher: None,
        topic: "plant/line/sensor",
        properties: &[],
        payload: &[1; 2000],
        qos: QoS::AtLeastOnce,
        retain: false,
        expires_at: None,
    }));
}

#[test]
fn segments_double_while_they_fill() {
    let folder = Folder::new("doubles");
    let (stage, mut committer) = open(&folder.0);
    let connect = Record::Connect {
        session: 1,
        client_id: "keeper",
        user_name: None,
        session_expiry: 3600,
        will: None,
    };
    stage.append(&connect);
    // 65 MB in commits of 131 kB.
    for batch in 0..500 {
        (0..64).for_each(|one| publish(&stage, 1 + batch * 64 + one));
        commit(&mut committer);
    }
    let sizes = folder.sizes("segment-");
    let bytes: u64 = sizes.iter().sum();
    assert!(bytes > 60 * MIB, "{bytes}");
    assert!(sizes.len() <= 24, "{} segments: {sizes:?}", sizes.len());
    assert!(sizes.iter().any(|size| *size >= 8 * MIB), "{sizes:?}");
    let written = stage.written();
    // What is prepared for later is bounded, too.
    assert!(written.log > 60 * MIB && written.zeros < 3 * written.log, "{written:?}");
    assert!(written.syncs <= 500 + sizes.len() as u64 + 10, "{written:?}");
}

#[test]
fn where_commits_are_small_segments_stay_small() {
    let folder = Folder::new("slow");
    let (stage, mut committer) = open(&folder.0);
    for message in 1..=1000 {
        publish(&stage, message);
        commit(&mut committer);
    }
    let sizes = folder.sizes("");
    assert!(sizes.iter().all(|size| *size <= MIB / 4), "{sizes:?}");
}

#[test]
fn a_store_that_is_used_little_stays_small() {
    let folder = Folder::new("small");
    for life in 0..10 {
        let (stage, mut committer) = open(&folder.0);
        publish(&stage, 1 + life);
        commit(&mut committer);
    }
    let sizes = folder.sizes("");
    let bytes: u64 = sizes.iter().sum();
    assert!(bytes <= 5 * MIB, "{bytes} bytes: {sizes:?}");
}
