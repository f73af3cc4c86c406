//! 3.1.2 and 3.1.3: the will.

use super::cases;

cases! {}
