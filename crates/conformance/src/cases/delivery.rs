//! 4.3: the three qualities of service.

use super::cases;

cases! {}
