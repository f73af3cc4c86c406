//! 3.1 CONNECT: what the packet may hold, and what follows from it.

use super::cases;

cases! {}
