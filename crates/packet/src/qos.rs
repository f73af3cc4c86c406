//! The quality of service of a delivery. Not here: what each level demands of the two sides (crate `session`).

use std::fmt;

/// Quality of service (4.3 of 3.1.1 and 5.0). Ordered: the higher promises more.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum QoS {
    /// Delivered once or not at all, without an acknowledgement.
    #[default]
    AtMostOnce = 0,
    /// Delivered at least once, acknowledged by PUBACK.
    AtLeastOnce = 1,
    /// Delivered exactly once, by PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

impl QoS {
    /// The level that a number from a packet means; `None` above 2.
    #[inline]
    #[must_use]
    pub fn from_u8(value: u8) -> Option<QoS> {
        match value {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }

    /// The number that packets carry.
    #[inline]
    #[must_use]
    pub fn value(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for QoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QoS {}", self.value())
    }
}
