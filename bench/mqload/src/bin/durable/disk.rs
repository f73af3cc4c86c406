//! The disk alone: batches written one behind the other into a file that was written before, each synced. What a
//! broker with a log can reach at most.

use crate::Asked;
use crate::hist::Hist;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of the file; it begins anew at its end.
const FILE: u64 = 64 << 20;

/// Writes and syncs for as long as asked.
pub fn run(asked: &Asked) -> io::Result<String> {
    if asked.bytes == 0 || asked.bytes as u64 > FILE {
        return Err(io::Error::other("--bytes is from 1 to 64 MiB"));
    }
    let path = Path::new(&asked.folder).join("reference");
    let file = prepared(&path)?;
    let batch = vec![0x5a; asked.bytes];
    let (mut at, mut syncs, mut times) = (0, 0u64, Hist::new());
    let start = Instant::now();
    let end = asked.end();
    while Instant::now() < end {
        if asked.rate > 0.0 {
            let due = start + Duration::from_secs_f64(syncs as f64 / asked.rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        if at + batch.len() as u64 > FILE {
            at = 0;
        }
        let begun = Instant::now();
        file.write_all_at(&batch, at)?;
        file.sync_data()?;
        times.record(begun.elapsed().as_nanos() as u64);
        // As frames of a log: the next one begins in the block where this one ended.
        at += (batch.len() as u64).next_multiple_of(8);
        syncs += 1;
    }
    let secs = start.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(&path)?;
    Ok(format!(
        "{{\"syncs_per_s\":{:.1},\"bytes_per_s\":{:.0},\"p50_us\":{:.1},\"p99_us\":{:.1},\"max_us\":{:.1}}}",
        syncs as f64 / secs,
        syncs as f64 * asked.bytes as f64 / secs,
        times.quantile(0.5) as f64 / 1e3,
        times.quantile(0.99) as f64 / 1e3,
        times.max as f64 / 1e3,
    ))
}

/// A file of zeros that is on disk, so that writing into it changes no metadata.
fn prepared(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..FILE).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    Ok(file)
}
