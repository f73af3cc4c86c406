//! A little randomness from the standard library's hasher keys: for names, not for secrets.

use std::hash::{BuildHasher, RandomState};

/// 64 bits that no other call has given.
pub(crate) fn u64() -> u64 {
    RandomState::new().hash_one(0_u8)
}
