//! 1.5 Data representation, and 2 MQTT control packet format: strings, lengths, flags, packet identifiers.

use super::cases;

cases! {}
