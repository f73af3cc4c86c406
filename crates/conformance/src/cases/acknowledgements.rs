//! 3.4 PUBACK to 3.7 PUBCOMP.

use super::cases;

cases! {}
