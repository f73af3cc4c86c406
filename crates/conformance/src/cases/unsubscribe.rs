//! 3.10 UNSUBSCRIBE and 3.11 UNSUBACK.

use super::cases;

cases! {}
