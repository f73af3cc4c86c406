//! Who watches: the ground that is known, the checkers that judge, the census that counts, the story that is
//! told.

use crate::agenda::Time;
use crate::census::Census;
use crate::checkers::{self, Checker};
use crate::ground::{Ground, Published};
use aldis_broker::{Population, Retained, Routes};
use aldis_packet::Packet;
use aldis_session::{Counters, Limits, Session};
use std::sync::Arc;

/// What a checker is told.
pub enum Fact<'a> {
    /// The broker has read a whole packet.
    Up { conn: usize, packet: &'a Packet<'a>, publish: Option<&'a Published> },
    /// The broker has written a whole packet of `size` bytes.
    Down { conn: usize, packet: &'a Packet<'a>, publish: Option<&'a Published>, size: usize },
    /// The application of a client gets a message.
    Taken { client: usize, life: usize, publish: &'a Published },
    /// Somebody writes to a connection; `alone` says whether nobody else is in the middle of that.
    Writes { conn: usize, alone: bool },
    /// The broker asks where a message of this connection goes.
    Routes { conn: usize },
    /// A connection has its session.
    Attached { conn: usize },
    /// A connection has let go of its session.
    Detached { conn: usize },
    /// A will is handed to the publisher.
    WillDue { message: usize },
    /// A will was offered to all that subscribe.
    WillRouted { message: usize },
    /// The broker is about to crash.
    Crashes(&'a Figures<'a>),
    /// A step is over.
    Calm(&'a Figures<'a>),
    /// Everybody was there and has read and acknowledged everything.
    Rest(&'a Figures<'a>),
    /// Every session was ended.
    End(&'a Figures<'a>),
}

/// What the broker says of itself.
pub struct Figures<'a> {
    pub counters: &'a Counters,
    pub limits: &'a Limits,
    pub sessions: &'a [Arc<Session>],
    pub population: &'a Population,
    pub routes: &'a Routes,
    pub retained: &'a Retained,
    /// PUBLISH packets that are held until the Broker has stored what is retained.
    pub held: usize,
    /// Publications from inside: wills.
    pub inner: u64,
    /// The Broker wants to be called, or has something to do.
    pub is_due: bool,
    /// When everything that was recorded was on disk last.
    pub whole_at: Time,
}

/// What was found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The checker.
    pub checker: &'static str,
    /// In words.
    pub what: String,
    /// At which step.
    pub step: usize,
}

/// Everybody who watches a run.
pub struct Watch {
    pub ground: Ground,
    pub census: Census,
    pub failure: Option<Failure>,
    pub step: usize,
    /// Session expiry of 3.x, and the longest.
    pub expiries: (u32, u32),
    /// The story, if it is told.
    pub story: Option<Vec<String>>,
    checkers: Vec<Box<dyn Checker>>,
}

impl Watch {
    /// Watches a run from its start.
    pub fn new(expiries: (u32, u32), tells: bool) -> Watch {
        Watch {
            ground: Ground::default(),
            census: Census::default(),
            failure: None,
            step: 0,
            expiries,
            story: tells.then(Vec::new),
            checkers: checkers::all(),
        }
    }

    /// Shows a fact to every checker.
    pub fn see(&mut self, fact: &Fact<'_>) {
        if self.failure.is_some() {
            return;
        }
        for checker in &mut self.checkers {
            if let Err(what) = checker.see(fact, &self.ground, &mut self.census) {
                self.failure = Some(Failure { checker: checker.name(), what, step: self.step });
                return;
            }
        }
    }

    /// Counts what the broker counted itself.
    pub fn close_census(&mut self, counters: &Counters, population: &Population) {
        self.census.count_broker(counters, population);
    }

    /// Something is wrong; the first thing counts.
    pub fn fail(&mut self, checker: &'static str, what: String) {
        let step = self.step;
        self.failure.get_or_insert(Failure { checker, what, step });
    }

    /// Adds a line to the story.
    pub fn tell(&mut self, line: impl FnOnce(&Ground) -> String) {
        if let Some(story) = &mut self.story {
            let at = self.ground.now as f64 / 1_000_000.0;
            story.push(format!("{:5}  {at:10.6} s  {}", self.step, line(&self.ground)));
        }
    }
}
