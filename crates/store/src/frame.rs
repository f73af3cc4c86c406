//! Frames: what the log is made of on disk.
//!
//! A frame holds the records of one commit, or a part of them. It says which life of the broker wrote it (its
//! *epoch*), its place in the log (its *index*, one more than that of the frame before it), and how far the log was
//! known to be synced when it was written. These three are what tells, after a crash, a frame that never reached the
//! disk from one that was damaged there, and a frame of this life from one that an earlier life left behind
//! ([`Scan`](crate::scan::Scan)). What is in the records is nobody's business here.
//!
//! ```text
//!  0  CRC-32C of the rest of the header       u32
//!  4  CRC-32C of the records                  u32
//!  8  length of the records in bytes          u32
//! 12  how many records                        u32
//! 16  epoch                                   u32
//! 20  0                                       u32
//! 24  index                                   u64
//! 32  synced index                            u64
//! 40  records, then zeros up to a multiple of 8
//! ```
//!
//! Numbers are little-endian. Frames begin at multiples of 8 bytes, so that a search behind a damaged one finds the
//! next; the header has a checksum of its own, so that the search is quick. Both checksums begin with the *salt*, a
//! random number of each store: clients choose what is in the records, and one who knew it could write a payload that
//! is taken for a frame when the one around it is torn.

use crc32c::crc32c_append;
use std::fmt;

/// Bytes of a frame before its records.
pub const HEADER: usize = 40;

/// Frames begin and end at multiples of so many bytes.
pub const ALIGNMENT: usize = 8;

/// The most bytes of records in one frame: the largest packet of MQTT (256 MiB) as one record, and some more.
pub const RECORDS: usize = 320 << 20;

/// What a frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The life of the broker that wrote it. It grows with every start.
    pub epoch: u32,
    /// Its place in the log, from 1 on.
    pub index: u64,
    /// The last index that was known to be synced when it was written.
    pub synced: u64,
    /// How many records are in it; none if it is there only to say what is synced.
    pub records: u32,
}

/// A number that a store chooses at random when it is made, and that nobody outside of it learns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub u32);

impl Salt {
    fn sum(self, bytes: &[u8]) -> u32 {
        crc32c_append(self.0, bytes)
    }
}

/// The polynomial of CRC-32C, the highest power in the lowest bit.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// The salt of the store that `bytes` are a frame of, which has to be whole. A checksum can be followed back from its
/// end to what it began with: so a store can still be read whose file with the salt is lost.
#[must_use]
pub fn salt_of(bytes: &[u8]) -> Option<Salt> {
    let (sum, rest) = bytes.split_first_chunk::<4>()?;
    let (header, _) = rest.split_first_chunk::<{ HEADER - 4 }>()?;
    let mut state = !u32::from_le_bytes(*sum);
    for byte in header.iter().rev() {
        for _ in 0..8 {
            let was_odd = state >> 31 == 1;
            state = if was_odd { (state ^ POLYNOMIAL) << 1 | 1 } else { state << 1 };
        }
        state ^= u32::from(*byte);
    }
    let salt = Salt(!state);
    // The records have a checksum that begins with it, too.
    decode(bytes, salt).map(|_| salt)
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(hidden)")
    }
}

/// A frame whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says of itself.
    pub head: Head,
    /// Its records, encoded.
    pub records: &'a [u8],
}

/// Bytes that a frame with so many bytes of records takes on disk.
#[must_use]
pub fn size(records: usize) -> usize {
    (HEADER + records).next_multiple_of(ALIGNMENT)
}

/// Appends a frame to `out`, whose length has to be a multiple of [`ALIGNMENT`]; `records` are at most [`RECORDS`]
/// bytes.
pub fn encode(head: Head, records: &[u8], salt: Salt, out: &mut Vec<u8>) {
    debug_assert!(out.len().is_multiple_of(ALIGNMENT) && records.len() <= RECORDS);
    let end = out.len() + size(records.len());
    let length = u32::try_from(records.len()).unwrap_or(u32::MAX);
    let numbers =
        [salt.sum(records), length, head.records, head.epoch, 0].into_iter().flat_map(u32::to_le_bytes);
    let long = [head.index, head.synced].into_iter().flat_map(u64::to_le_bytes);
    let mut header = [0; HEADER - 4];
    header.iter_mut().zip(numbers.chain(long)).for_each(|(place, byte)| *place = byte);
    out.extend_from_slice(&salt.sum(&header).to_le_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(records);
    out.resize(end, 0);
}

/// A header whose checksum is right, and what it says of the records behind it.
pub(crate) struct Header {
    pub(crate) head: Head,
    length: usize,
    sum: u32,
}

/// The header that `bytes` begin with, if there is one.
pub(crate) fn header(bytes: &[u8], salt: Salt) -> Option<Header> {
    let (sum, bytes) = bytes.split_first_chunk::<4>()?;
    let (header, _) = bytes.split_first_chunk::<{ HEADER - 4 }>()?;
    if u32::from_le_bytes(*sum) != salt.sum(header) {
        return None;
    }
    let (sum, rest) = short(header)?;
    let (length, rest) = short(rest)?;
    let (records, rest) = short(rest)?;
    let (epoch, rest) = short(rest)?;
    let (_, rest) = short(rest)?;
    let (index, rest) = long(rest)?;
    let (synced, _) = long(rest)?;
    let length = usize::try_from(length).ok().filter(|length| *length <= RECORDS)?;
    // With a salt of bad luck a header of zeros has the right checksum; no frame has the index 0.
    let head = Head { epoch, index, synced, records };
    (index > 0).then_some(Header { head, length, sum })
}

/// The frame that `bytes` begin with; `None` if there is none, or not a whole one.
#[must_use]
pub fn decode(bytes: &[u8], salt: Salt) -> Option<Frame<'_>> {
    let Header { head, length, sum } = header(bytes, salt)?;
    let records = bytes.get(HEADER..HEADER + length)?;
    (salt.sum(records) == sum).then_some(Frame { head, records })
}

fn short(bytes: &[u8]) -> Option<(u32, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u32::from_le_bytes(*number), rest))
}

fn long(bytes: &[u8]) -> Option<(u64, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u64::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt(0x5EED);
    const HEAD: Head = Head { epoch: 3, index: 1 << 40, synced: 77, records: 2 };

    fn encoded(records: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(HEAD, records, SALT, &mut bytes);
        bytes
    }

    #[test]
    fn a_frame_comes_back_as_it_was_and_ends_where_the_next_may_begin() {
        for count in [0, 1, 7, 8, 9, 1000] {
            let records: Vec<u8> = (0..count).map(|number| number as u8).collect();
            let bytes = encoded(&records);
            assert_eq!(bytes.len(), size(records.len()));
            assert_eq!(bytes.len() % ALIGNMENT, 0);
            assert_eq!(decode(&bytes, SALT), Some(Frame { head: HEAD, records: &records }));
            let behind = [bytes.as_slice(), b"whatever"].concat();
            assert_eq!(decode(&behind, SALT), Some(Frame { head: HEAD, records: &records }));
        }
    }

    #[test]
    fn no_bit_may_be_another_and_no_byte_may_be_missing() {
        let records = b"some records";
        let bytes = encoded(records);
        for at in 0..HEADER + records.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(decode(&bad, SALT), None, "bit {bit} of byte {at}");
            }
            assert_eq!(decode(&bytes[..at], SALT), None, "{at} bytes");
        }
    }

    #[test]
    fn a_frame_of_another_store_is_none() {
        let bytes = encoded(b"some records");
        assert!(decode(&bytes, SALT).is_some());
        assert_eq!(decode(&bytes, Salt(SALT.0 + 1)), None);
        assert_eq!(format!("{SALT:?}"), "Salt(hidden)");
    }

    /// The salt with which a header of zeros has a checksum of zero: what continues a checksum can be undone a bit at
    /// a time, as each bit of the salt changes a bit of the result of its own.
    fn unlucky() -> Salt {
        let sum = |salt| Salt(salt).sum(&[0; HEADER - 4]);
        let mut rows: Vec<(u32, u32)> = (0..32).map(|bit| (sum(1 << bit) ^ sum(0), 1 << bit)).collect();
        let (mut left, mut salt) = (sum(0), 0);
        for bit in 0..32 {
            let Some(at) = rows.iter().position(|(row, _)| row >> bit & 1 == 1) else { continue };
            let (row, made) = rows.swap_remove(at);
            for (other, of) in &mut rows {
                if *other >> bit & 1 == 1 {
                    (*other, *of) = (*other ^ row, *of ^ made);
                }
            }
            if left >> bit & 1 == 1 {
                (left, salt) = (left ^ row, salt ^ made);
            }
        }
        assert_eq!(sum(salt), 0);
        Salt(salt)
    }

    #[test]
    fn the_salt_can_be_told_from_a_frame() {
        for salt in [SALT, Salt(0), Salt(u32::MAX)] {
            for records in [&b""[..], b"some records"] {
                let mut bytes = Vec::new();
                encode(HEAD, records, salt, &mut bytes);
                assert!(salt_of(&bytes) == Some(salt));
                bytes[20] ^= 1;
                assert!(salt_of(&bytes).is_none());
            }
        }
        assert!(salt_of(&[0; 39]).is_none() && salt_of(&[]).is_none());
    }

    #[test]
    fn zeros_are_no_frame() {
        for salt in [SALT, Salt(0), unlucky()] {
            assert_eq!(decode(&[0; 4096], salt), None);
        }
        assert_eq!(decode(&[], SALT), None);
    }
}
