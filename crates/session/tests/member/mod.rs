//! Members of one shared subscription, which do what a Client and the Broker do with them.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

#[path = "../scripted_wire/mod.rs"]
pub mod scripted_wire;

use aldis_packet::{AckKind, QoS, ReasonCode};
use aldis_session::{ClientTerms, Group, Limits, Session, Subscription, Workbench};
use scripted_wire::{Peer, acknowledge, connected, subscription, terms};
use std::sync::Arc;

pub struct Member {
    pub session: Arc<Session>,
    pub subscription: Arc<Subscription>,
    pub peer: Peer,
    pub connection: u32,
}

impl Member {
    /// A connected session that has joined.
    pub fn join(group: &Arc<Group>, number: u64, terms: ClientTerms, bench: &mut Workbench) -> Member {
        let client_id = format!("m{number}");
        let (session, peer, connection) = connected(number, &client_id, terms, &Limits::default(), bench);
        let subscription = subscription(&session, "$share/g/#", QoS::ExactlyOnce);
        session.add_group(group);
        group.join(&subscription);
        Member { session, subscription, peer, connection }
    }

    /// What the Client of this member does when it is woken, until it has nothing more to do; how many errands
    /// it had.
    pub fn see_to_errands(&self, bench: &mut Workbench) -> usize {
        for count in 0..1_000 {
            let errands = self.session.outbox.lock().errands(self.connection);
            if errands.flush
                || errands.blocked && self.session.outbox.lock().unblocked(self.connection, bench)
            {
                bench.owe(&self.session);
            } else if errands.pump {
                self.session.pull_from_groups(bench);
            } else {
                return count;
            }
            bench.finish();
        }
        panic!("an errand that never ends");
    }

    /// Acknowledges and takes more, as a turn of the Client does.
    pub fn ack(&self, kind: AckKind, id: u16, bench: &mut Workbench) {
        acknowledge(&self.session, self.connection, kind, id, ReasonCode::Success, bench).unwrap();
        self.session.pull_from_groups(bench);
        bench.finish();
    }

    /// The end of the session, as the Broker does it.
    pub fn end(&self, group: &Arc<Group>, bench: &mut Workbench) -> bool {
        group.offline(self.session.number);
        let given = scripted_wire::end(&self.session, bench);
        group.take_back(given, bench);
        self.leave(group, bench)
    }

    /// True if nobody is left.
    pub fn leave(&self, group: &Arc<Group>, bench: &mut Workbench) -> bool {
        self.subscription.end();
        self.session.remove_group(group.number);
        let discarded = group.leave(self.session.number, bench);
        bench.finish();
        discarded.is_some()
    }
}

pub fn group() -> Arc<Group> {
    Arc::new(Group::new(9, Arc::from("$share/g/#"), Arc::new(Limits::default()), &Arc::default()))
}

/// A client with room for so many messages at a time.
pub fn window(receive_maximum: u16) -> ClientTerms {
    ClientTerms { receive_maximum, ..terms() }
}
