//! 4.7: topic names and topic filters.

use super::cases;

cases! {}
