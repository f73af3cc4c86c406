//! 3.2 CONNACK.

use super::cases;

cases! {}
