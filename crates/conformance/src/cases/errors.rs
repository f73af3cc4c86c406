//! 4.8 of 3.1.1 and 4.13 of 5: what follows from an error.

use super::cases;

cases! {}
