//! The inputs that are kept: a folder a target, a file an input. A file is named by the hash of its bytes, or, if
//! it is a finding, by what was wrong.

use std::fs;
use std::io;
use std::path::PathBuf;

/// Where the inputs of a target are.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Names and inputs of a target, by name.
///
/// # Errors
/// The folder cannot be read.
pub fn entries(target: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder(target))? {
        let entry = entry?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?));
    }
    entries.sort();
    Ok(entries)
}

/// The name of an input that is no finding: FNV-1a of its bytes, 64 bits.
#[must_use]
pub fn name(input: &[u8]) -> String {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", input.iter().fold(0xcbf2_9ce4_8422_2325, step))
}
