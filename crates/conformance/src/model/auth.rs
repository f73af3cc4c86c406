//! Enhanced authentication (4.12): SCRAM-SHA-256 for the one user there is.

use super::broker::Broker;
use super::reader::{Read, protocol_error};
use super::rule::Rule::V5;
use crate::wire::{Auth, Connect, reason};

/// An exchange of enhanced authentication.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) method: Vec<u8>,
}

impl Broker {
    /// A CONNECT names a method of authentication.
    pub(super) fn begin_login(&mut self, number: u64, _connect: Connect, _method: Vec<u8>) {
        let rules = &[V5("MQTT-4.12.0-1")];
        self.reject(number, reason::BAD_AUTHENTICATION_METHOD, "an unknown method of authentication", rules);
    }

    /// AUTH came.
    pub(super) fn auth(&mut self, _number: u64, _auth: Auth) -> Read<()> {
        protocol_error("AUTH without a method of authentication in CONNECT")
    }
}
