//! The seams of the pure crates: where they ask for a route or show a packet, others come in between.
//!
//! A turn of a Client holds no Outbox there, so whatever can happen to Outboxes, routes and sessions between
//! two packets, or between a route and its use, happens here.

use crate::stage;
use aldis_broker::Routes;
use aldis_packet::{PacketType, QoS, ReasonCode};
use aldis_session::{Act, FilterRefusal, Observer, RefuseReason, Rights, Route, Router, Verdict};
use std::fmt;
use std::sync::Arc;

/// The Broker's routes, seen by the connection with this number.
pub struct Seam<'a> {
    /// The routes.
    pub routes: &'a Routes,
    /// Who asks.
    pub number: usize,
}

impl Router for Seam<'_> {
    fn generation(&self) -> u64 {
        stage::with(|world| world.routes(self.number));
        let generation = self.routes.generation();
        // From here on a route that was kept may be old when it is used.
        stage::with(|world| world.meanwhile());
        generation
    }

    fn resolve(&self, topic: &str) -> Arc<Route> {
        let route = self.routes.resolve(topic);
        // And so may a new one.
        stage::with(|world| world.meanwhile());
        route
    }
}

/// Lets others come in between two packets of one read.
pub struct Between;

impl Observer for Between {
    fn traces(&self) -> bool {
        true
    }
    fn received(&self, _: &str, _: &dyn fmt::Display) {
        stage::with(|world| {
            world.handles();
            world.meanwhile();
        });
    }
    // An Outbox is locked here.
    fn sent(&self, _: &str, _: &dyn fmt::Display) {}
    fn refused(&self, _: &str, _: &str, _: RefuseReason, _: &dyn fmt::Display) {}
    fn refused_filter(&self, _: &str, _: PacketType, _: &str, _: &FilterRefusal) {}
    fn subscribed(&self, _: &str, _: &str, _: QoS) {}
    fn unsubscribed(&self, _: &str, _: &str, _: ReasonCode) {}
}

/// The policy of every run: nobody with an even number hears of `d/0`, nobody with an odd one publishes to
/// `d/1`, and `d/2` cannot be subscribed to.
pub struct Policy;

impl Policy {
    /// The same, for checkers.
    pub fn allows(client: usize, act: Act, topic: &str) -> bool {
        match (act, topic) {
            (Act::Receive, "d/0") => client % 2 == 1,
            (Act::Publish, "d/1") => client.is_multiple_of(2),
            (Act::Subscribe, "d/2") => false,
            _ => true,
        }
    }
}

impl Rights for Policy {
    fn allows(&self, client_id: &str, _: Option<&str>, act: Act, topic: &str) -> Verdict {
        let client = client_id.trim_start_matches('c').parse().unwrap_or(0);
        Verdict::from(Policy::allows(client, act, topic))
    }
}
