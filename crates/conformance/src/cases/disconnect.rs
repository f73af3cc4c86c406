//! 3.14 DISCONNECT.

use super::cases;

cases! {}
