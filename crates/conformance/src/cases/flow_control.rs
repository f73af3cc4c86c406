//! 3.3.4 and 4.9: Receive Maximum.

use super::cases;

cases! {}
