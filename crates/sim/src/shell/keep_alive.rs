//! Keep alive: who was not heard for one and a half times its interval is ended [MQTT-3.1.2-22].

use crate::agenda::{Actor, MILLI, Time};
use crate::world::World;

/// When a connection was heard, in microseconds.
#[derive(Debug, Default, Clone, Copy)]
pub struct Heard {
    last: Time,
    /// Since when its Client does not read, for reasons of its own.
    left_off: Option<Time>,
    patience: Time,
    silent: bool,
}

impl World {
    /// Watches a connection with a keep alive of `seconds`; 0 is none.
    pub fn watch_silence(&self, number: usize, seconds: u16) {
        let (now, patience) = (self.now(), Time::from(seconds) * 1_500 * MILLI);
        self.heard.borrow_mut().insert(number, Heard { last: now, patience, ..Heard::default() });
        if seconds > 0 {
            self.call(Actor::KeepAlive(number), now + patience);
        }
    }

    fn of_heard<T: Default>(&self, number: usize, with: impl FnOnce(&mut Heard, Time) -> T) -> T {
        let now = self.now();
        self.heard.borrow_mut().get_mut(&number).map_or_else(T::default, |heard| with(heard, now))
    }

    /// The client was heard.
    pub fn hear(&self, number: usize) {
        self.of_heard(number, |heard, now| heard.last = now);
    }

    /// Its Client does not read for a while.
    pub fn leave_off(&self, number: usize) {
        self.of_heard(number, |heard, now| heard.left_off = Some(now));
    }

    /// Its Client reads again; the time between is forgiven.
    pub fn go_on(&self, number: usize) {
        self.of_heard(number, |heard, now| {
            if let Some(since) = heard.left_off.take() {
                heard.last += now.saturating_sub(since);
            }
        });
    }

    /// Whether keep alive has passed.
    pub fn is_silent(&self, number: usize) -> bool {
        self.of_heard(number, |heard, _| heard.silent)
    }

    /// The connection has ended.
    pub fn forget_silence(&self, number: usize) {
        self.heard.borrow_mut().remove(&number);
    }

    /// The time has come at which a connection could be late; answers when to look again.
    pub fn look_for_silence(&self, number: usize) -> Option<Time> {
        let at = self.of_heard(number, |heard, now| {
            let last = if heard.left_off.is_some() { now } else { heard.last };
            Some(last + heard.patience)
        });
        match at {
            None => None,
            Some(at) if at <= self.now() => {
                self.of_heard(number, |heard, _| heard.silent = true);
                self.count("keep alive ended a connection");
                self.ring(number);
                None
            }
            later => later,
        }
    }
}
