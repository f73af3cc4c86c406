//! 3.15 AUTH and 4.12: enhanced authentication.

use super::cases;

cases! {}
