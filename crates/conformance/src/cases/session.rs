//! 3.1.2 and 4.1: sessions begin, go on, and end.

use super::cases;

cases! {}
