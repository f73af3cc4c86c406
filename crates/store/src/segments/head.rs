//! The file that says that a folder is a store, in which format, and with which salt.

use super::OpenError;
use super::folder::{HEAD, UNFINISHED};
use crate::disk::Disk;
use crate::frame::Salt;
use crc32c::crc32c;

/// What it begins with.
const MAGIC: &[u8; 8] = b"aldislog";
/// Version of the format that this code reads and writes.
pub(super) const VERSION: u32 = 1;
/// Bytes of it: magic, version, salt, checksum.
const SIZE: usize = 8 + 4 + 4 + 4;

/// Makes it, whole or not at all.
pub(super) fn make<D: Disk>(disk: &D, salt: Salt) -> Result<(), OpenError> {
    let mut head = Vec::with_capacity(SIZE);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&salt.0.to_le_bytes());
    head.extend_from_slice(&crc32c(&head).to_le_bytes());
    let unfinished = format!("{HEAD}{UNFINISHED}");
    if disk.names()?.contains(&unfinished) {
        disk.remove(&unfinished)?;
    }
    let file = disk.create(&unfinished)?;
    disk.write_at(&file, &head, 0)?;
    disk.sync_data(&file)?;
    disk.rename(&unfinished, HEAD)?;
    disk.sync_names()?;
    Ok(())
}

/// The salt that is in it.
pub(super) fn read<D: Disk>(disk: &D) -> Result<Salt, OpenError> {
    let file = disk.open(HEAD)?;
    let size = usize::try_from(disk.size(&file)?).unwrap_or(usize::MAX);
    let mut head = vec![0; size.min(SIZE)];
    disk.read_at(&file, &mut head, 0)?;
    salt_in(&head).unwrap_or(Err(OpenError::BadHead))
}

fn salt_in(head: &[u8]) -> Option<Result<Salt, OpenError>> {
    let (magic, rest) = head.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let version = u32::from_le_bytes(*version);
    if magic != MAGIC {
        return None;
    }
    // Whatever a later version has behind it.
    if version > VERSION {
        return Some(Err(OpenError::FutureVersion { found: version }));
    }
    let (salt, sum) = rest.split_first_chunk::<4>()?;
    let sum = sum.first_chunk().map(|sum| u32::from_le_bytes(*sum));
    let is_good = sum == head.get(..SIZE - 4).map(crc32c);
    is_good.then_some(Ok(Salt(u32::from_le_bytes(*salt))))
}
