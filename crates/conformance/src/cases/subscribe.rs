//! 3.8 SUBSCRIBE and 3.9 SUBACK.

use super::cases;

cases! {}
