//! One level of a topic as the key of a child node, small and without an allocation where it is short.
//!
//! A tree is searched by comparing keys. Kept in place, the keys of a node lie side by side in memory;
//! kept behind a pointer each, every comparison would be a cache miss, and every key an allocation.

use std::borrow::Borrow;
use std::cmp::Ordering;

/// What fits in 24 bytes beside the length and the tag. Levels are seldom longer (a UUID is: 36).
const INLINE: usize = 22;

/// The bytes of one level. Ordered by bytes.
#[derive(Debug)]
pub(crate) enum Level {
    Short { len: u8, bytes: [u8; INLINE] },
    Long(Box<[u8]>),
}

impl Level {
    pub(crate) fn new(level: &str) -> Level {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..level.len()), u8::try_from(level.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(level.as_bytes());
                Level::Short { len, bytes }
            }
            _ => Level::Long(Box::from(level.as_bytes())),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Level::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Level::Long(bytes) => bytes,
        }
    }

    /// The level as text. It was made from text, so it is never anything else.
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Borrow<[u8]> for Level {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl PartialEq for Level {
    fn eq(&self, other: &Level) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Level {}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Level) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Level {
    fn cmp(&self, other: &Level) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn short_and_long_levels_keep_their_text_and_order() {
        assert_eq!(size_of::<Level>(), 24);
        let long = "x".repeat(300);
        let texts =
            ["", "a", "ä", &"b".repeat(22), &"b".repeat(23), &"b".repeat(255), &"b".repeat(256), &long];
        for left in texts {
            assert_eq!(Level::new(left).as_str(), left);
            for right in texts {
                assert_eq!(Level::new(left).cmp(&Level::new(right)), left.as_bytes().cmp(right.as_bytes()));
            }
        }
    }
}
