//! 4.6: order of messages.

use super::cases;

cases! {}
