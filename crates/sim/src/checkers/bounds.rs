//! Every bound is held, at every step.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::{Fact, Figures};
use aldis_session::Session;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes above the watermark that one step may add before it is noticed: one read of every client.
const ABOVE: usize = 64 << 10;

pub(super) struct Bounds;

fn of_session(session: &Session, figures: &Figures<'_>, census: &mut Census) -> Verdict {
    let limits = figures.limits;
    let outbox = session.outbox.lock();
    let (queued, in_flight, bytes) =
        (outbox.outbound.queued(), outbox.outbound.in_flight(), outbox.waiting_bytes());
    if queued > limits.queue_messages {
        return Err(format!("{queued} messages wait for {session:?}, of {} allowed", limits.queue_messages));
    }
    if in_flight > usize::from(limits.in_flight) {
        return Err(format!("{in_flight} messages are in flight to {session:?}, of {}", limits.in_flight));
    }
    // One refill goes up to 64 KiB, and the last packet may be a whole one.
    let most = limits.outbox_bytes.max(64 << 10) + limits.answers_bytes + 2 * limits.packet_size;
    if bytes > most {
        return Err(format!("{bytes} bytes wait for the socket of {session:?}, of {most} allowed"));
    }
    if in_flight == usize::from(limits.in_flight) {
        census.count("limit: in flight");
    }
    if session.groups().len() > limits.subscriptions.min(limits.shared_subscriptions) {
        return Err(format!("{session:?} is in more groups than it may have shared subscriptions"));
    }
    Ok(())
}

impl Checker for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        let Fact::Calm(figures) = fact else { return Ok(()) };
        let limits = figures.limits;
        for session in figures.sessions {
            of_session(session, figures, census)?;
            for group in session.groups() {
                if group.queued() > limits.queue_messages + 64 {
                    return Err(format!("{} messages wait in {group:?}", group.queued()));
                }
            }
        }
        let sessions = figures.population.sessions.load(Relaxed);
        if sessions == limits.sessions {
            census.count("limit: sessions");
        }
        if sessions > limits.sessions {
            return Err(format!("there are {sessions} sessions, of {} allowed", limits.sessions));
        }
        // What was taken away, and not on disk when the broker crashed, is back beside what came in its place.
        let back = if ground.is_stored { ground.life_of.len() } else { 0 };
        if figures.retained.messages() > limits.retained_messages.saturating_add(back) {
            return Err(format!("{} messages are retained", figures.retained.messages()));
        }
        if figures.retained.bytes() > limits.retained_bytes {
            return Err(format!("{} bytes are retained", figures.retained.bytes()));
        }
        let held = figures.counters.held_bytes.load(Relaxed);
        let Ok(held) = usize::try_from(held) else { return Err(format!("{held} bytes are held")) };
        if held > limits.memory_watermark.saturating_add(ABOVE) {
            return Err(format!("{held} bytes are held, and the watermark is {}", limits.memory_watermark));
        }
        if held > limits.memory_watermark {
            census.count("limit: memory watermark");
        }
        Ok(())
    }
}
