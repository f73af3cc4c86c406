//! 3.3.1: retained messages.

use super::cases;

cases! {}
