//! 6: MQTT over WebSocket.

use super::cases;

cases! {}
