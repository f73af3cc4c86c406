//! 3.1.2: keep alive.

use super::cases;

cases! {}
