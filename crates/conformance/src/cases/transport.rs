//! 4.2 and 7: the transport.

use super::cases;

cases! {}
