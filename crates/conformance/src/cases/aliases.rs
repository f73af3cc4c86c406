//! 3.3.2: topic aliases.

use super::cases;

cases! {}
