//! 3.3.2: what a broker passes on unaltered, and message expiry.

use super::cases;

cases! {}
