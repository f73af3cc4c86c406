//! 3.3 PUBLISH: flags, topic names, answers.

use super::cases;

cases! {}
