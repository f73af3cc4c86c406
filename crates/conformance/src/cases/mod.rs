//! The tests, by section of the standards. One function may test a statement of 3.1.1 and the one of 5 that
//! says the same; each line of a table names the version and the identifier.
//!
//! A test asserts what it saw: a packet, a reason code, an effect on another client. That nothing came is shown
//! by something later that did come. Where the standard demands that the connection is closed, the same packet
//! without its fault is served first, so that the fault is what the broker closed for.

mod acknowledgements;
mod aliases;
mod auth;
mod client_id;
mod connack;
mod connect;
mod delivery;
mod disconnect;
mod errors;
mod flow_control;
mod forwarding;
mod keep_alive;
mod order;
mod overlap;
mod packet_format;
mod ping;
mod publish;
mod redelivery;
mod retained;
mod session;
mod shared;
mod strings;
mod subscribe;
mod topics;
mod transport;
mod unsubscribe;
mod websocket;
mod will;
mod wishes;

use crate::runner::Case;

/// Builds a table of tests: `V5 "MQTT-3.12.4-1" a_function;`.
macro_rules! cases {
    ($($version:ident $id:literal $run:ident;)*) => {
        pub(super) const CASES: &[crate::runner::Case] = &[$(crate::runner::Case {
            version: crate::wire::Version::$version,
            id: $id,
            name: stringify!($run),
            run: $run,
        }),*];
    };
}
use cases;

/// All tests, in the order of the sections.
#[must_use]
pub fn all() -> Vec<Case> {
    [
        strings::CASES,
        packet_format::CASES,
        connect::CASES,
        session::CASES,
        will::CASES,
        keep_alive::CASES,
        wishes::CASES,
        client_id::CASES,
        connack::CASES,
        publish::CASES,
        retained::CASES,
        forwarding::CASES,
        aliases::CASES,
        overlap::CASES,
        flow_control::CASES,
        acknowledgements::CASES,
        delivery::CASES,
        redelivery::CASES,
        order::CASES,
        subscribe::CASES,
        unsubscribe::CASES,
        ping::CASES,
        disconnect::CASES,
        auth::CASES,
        topics::CASES,
        shared::CASES,
        errors::CASES,
        transport::CASES,
        websocket::CASES,
    ]
    .concat()
}
