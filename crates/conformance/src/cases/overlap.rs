//! 3.3.4: overlapping subscriptions and their identifiers.

use super::cases;

cases! {}
