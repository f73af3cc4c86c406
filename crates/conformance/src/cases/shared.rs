//! 4.8: shared subscriptions.

use super::cases;

cases! {}
