//! 4.4 and 4.5: what is sent again, and who gets a message.

use super::cases;

cases! {}
