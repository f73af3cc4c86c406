//! What happens because time passes: keep alive, delayed wills, the end of sessions.

use super::broker::Broker;
use super::rule::Rule::{V5, V311};
use super::session::Message;
use crate::wire::{Packet, reason};
use std::time::{Duration, Instant};

/// How long a broken rule delays something: longer than what follows takes, shorter than a test waits.
pub(super) const DELAY: Duration = Duration::from_millis(150);

/// Something that a broken rule puts off.
#[derive(Debug)]
pub(super) enum Late {
    Packet(u64, Packet),
    Message(Message),
}

impl Broker {
    /// Does what has become due.
    pub(super) fn tick(&mut self) {
        self.now = Instant::now();
        self.drop_silent_clients();
        self.end_sessions();
        self.forget_too_early();
        self.send_again_too_early();
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.late).into_iter().partition(|(time, _)| *time <= now);
        self.late = later;
        for (_, late) in due {
            match late {
                Late::Packet(number, packet) => self.send(number, packet),
                Late::Message(message) => {
                    self.distribute(message);
                }
            }
        }
    }

    /// A client that was silent for one and a half times its keep alive is gone (3.1.2.10).
    fn drop_silent_clients(&mut self) {
        if !self.keeps(&[V311("MQTT-3.1.2-24"), V5("MQTT-3.1.2-22"), V5("MQTT-3.2.2-22")]) {
            return;
        }
        let now = self.now;
        let early = !self.keeps(&[V311("MQTT-3.1.2-24: early"), V5("MQTT-3.1.2-22: early")]);
        let times = if early { 0.9 } else { 1.5 };
        let silent: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, one)| {
                one.is_open() && one.keep_alive.is_some_and(|time| now > one.last_heard + time.mul_f64(times))
            })
            .map(|(number, _)| *number)
            .collect();
        for number in silent {
            self.forget_will(number, &[V311("MQTT-3.1.2-24: will"), V5("MQTT-3.1.2-22: will")]);
            self.dismiss(number, reason::KEEP_ALIVE_TIMEOUT, "nothing came in one and a half keep alives");
        }
    }

    fn end_sessions(&mut self) {
        let now = self.now;
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        let wills: Vec<_> =
            self.sessions.iter().filter(|(_, one)| due(one.will_due)).map(|(id, _)| id.clone()).collect();
        for client_id in wills {
            self.publish_will(&client_id);
        }
        let over: Vec<_> =
            self.sessions.iter().filter(|(_, one)| due(one.ends)).map(|(id, _)| id.clone()).collect();
        for client_id in over {
            self.end_session(&client_id);
        }
    }

    /// A session lasts at least as long as its connection (4.1): nothing happens here unless that is broken.
    fn forget_too_early(&mut self) {
        if self.keeps(&[V311("MQTT-4.1.0-2"), V5("MQTT-4.1.0-1")]) {
            return;
        }
        for session in self.sessions.values_mut() {
            if self.now > session.since + DELAY {
                session.subscriptions.clear();
            }
        }
    }

    /// What is unacknowledged is sent again on a new connection and at no other time (4.4): nothing happens here
    /// unless that is broken.
    fn send_again_too_early(&mut self) {
        if self.keeps(&[V5("MQTT-4.4.0-1: at any time")]) {
            return;
        }
        let now = self.now;
        let mut waiting = Vec::new();
        for (client_id, session) in &mut self.sessions {
            if now > session.since + DELAY && session.in_flight.iter().any(|one| one.sent) {
                session.since = now;
                session.in_flight.iter_mut().for_each(|one| one.sent = false);
                waiting.push(client_id.clone());
            }
        }
        for client_id in waiting {
            self.flush(&client_id);
        }
    }

    /// Puts a packet off.
    pub(super) fn send_late(&mut self, number: u64, packet: Packet) {
        self.late.push((self.now + DELAY, Late::Packet(number, packet)));
    }

    /// Puts a message off.
    pub(super) fn distribute_late(&mut self, message: Message) {
        self.late.push((self.now + DELAY, Late::Message(message)));
    }
}
