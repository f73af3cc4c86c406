//! Connections: opened by clients, read and written by the broker, and watched by the tap.

use super::World;
use crate::agenda::Actor;
use crate::ground::Conn;
use crate::plan::Feature;
use crate::shell::client::Task;
use crate::shell::desk;
use crate::tap::Way;
use crate::watch::Fact;
use crate::wire::{Link, Wrote};
use aldis_session::Session;
use std::sync::Arc;

impl World {
    /// A client opens a connection with so much room on the way to it.
    pub fn open(&self, client: usize, room: usize) -> Arc<Link> {
        let number = self.links.borrow().len();
        let link = Arc::new(Link::new(number, room));
        self.links.borrow_mut().push(Arc::clone(&link));
        self.tasks.borrow_mut().push(Some(Box::new(Task::new(Arc::clone(&link), self.now()))));
        self.watch.borrow_mut().ground.conns.push(Conn::new(client));
        self.call_soon(Actor::Task(number));
        link
    }

    /// Whether a connection finds all places taken: it may only end another one of its client.
    pub fn has_no_place(&self) -> bool {
        let chance = self.random.borrow_mut().one_in(40);
        let has_none = chance && self.plan.has(Feature::Limits) && !self.is_draining();
        if has_none {
            self.count("limit: connections");
        }
        has_none
    }

    /// Whether a Client dies here, in the middle of its work.
    pub fn dies(&self) -> bool {
        let chance = self.random.borrow_mut().one_in(2_000);
        let dies = chance && self.plan.has(Feature::Losses) && !self.is_draining();
        if dies {
            self.count("a Client died");
        }
        dies
    }

    /// Bytes that one read of the broker asks for.
    pub fn read_size(&self) -> usize {
        let mut random = self.random.borrow_mut();
        if random.one_in(5) { 1 + random.below(30) } else { 100_000 }
    }

    /// The broker has read bytes.
    pub fn read(&self, number: usize, bytes: &[u8]) {
        let mut watch = self.watch.borrow_mut();
        watch.tap(number, Way::Up, bytes);
        self.note(&watch);
    }

    /// The turn at hand begins to handle its next packet.
    pub fn handles(&self) {
        let number = self.turning.borrow().last().copied();
        let Some(number) = number else { return };
        let mut watch = self.watch.borrow_mut();
        watch.handles(number);
        self.note(&watch);
    }

    /// The broker has written bytes.
    pub fn wrote(&self, number: usize, wrote: Wrote, bytes: &[u8]) {
        match wrote {
            Wrote::All => {}
            Wrote::Part => self.count("a part of a write was taken"),
            Wrote::Nothing => self.count("a socket was full"),
            Wrote::Failed => self.count("a write failed"),
        }
        {
            let mut watch = self.watch.borrow_mut();
            watch.tap(number, Way::Down, bytes);
            // What was not taken is in the hands of the writer.
            if wrote == Wrote::All && self.nothing_waits(number) {
                watch.ground.nothing_waits(number);
            }
            if !watch.ground.conns[number].down.is_empty() {
                watch.census.count("half a frame written");
            }
            self.note(&watch);
        }
        self.call_client(number);
    }

    /// Whether everything that was added for the client of a connection has been written to it.
    fn nothing_waits(&self, number: usize) -> bool {
        let attached = self.attached.borrow();
        let session = attached.iter().find(|(_, conn)| **conn == number).map(|((session, _), _)| *session);
        let sessions = self.sessions.borrow();
        let known = sessions.iter().filter_map(std::sync::Weak::upgrade);
        known.filter(|known| Some(known.number) == session).any(|session| {
            let outbox = session.outbox.lock();
            outbox.waiting_bytes() == 0 && !outbox.outbound.has_backlog()
        })
    }

    /// Somebody begins to write to a connection.
    pub fn watch_writer(&self, number: usize, alone: bool) {
        let mut watch = self.watch.borrow_mut();
        watch.see(&Fact::Writes { conn: number, alone });
        self.note(&watch);
    }

    /// The broker asks where a message of this connection goes.
    pub fn routes(&self, number: usize) {
        let mut watch = self.watch.borrow_mut();
        watch.ground.tick();
        watch.tell(|_| format!("#{number} asks for a route"));
        watch.see(&Fact::Routes { conn: number });
        self.note(&watch);
    }

    /// Gives Outboxes away to be written.
    pub fn hand_part(&self, dirty: Vec<Arc<Session>>) {
        let number = self.handed.get();
        self.handed.set(number + 1);
        self.parts.borrow_mut().insert(number, dirty);
        self.count("writes were given away");
        self.call_soon(desk::part(number));
    }
}
