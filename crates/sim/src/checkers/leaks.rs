//! Nothing stays behind: once everybody has acknowledged everything nothing is in flight or waits for somebody who
//! is there, and once every session has ended there is nothing at all.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::{Fact, Figures};
use aldis_session::State;
use std::sync::atomic::Ordering::Relaxed;

pub(super) struct Leaks;

fn rest(figures: &Figures<'_>) -> Verdict {
    for session in figures.sessions {
        let outbox = session.outbox.lock();
        let (state, bytes) = (outbox.state(), outbox.waiting_bytes());
        let (in_flight, queued) = (outbox.outbound.in_flight(), outbox.outbound.queued());
        let replays = outbox.waiting_replays();
        drop(outbox);
        if matches!(state, State::Offline | State::Closed) {
            continue;
        }
        if state != State::Idle || bytes > 0 || in_flight > 0 || queued > 0 {
            return Err(format!(
                "{session:?} has read and acknowledged everything; it is {state:?}, with {bytes} bytes for its \
                 socket, {in_flight} messages in flight and {queued} waiting"
            ));
        }
        if replays > 0 {
            return Err(format!("{session:?} reads, and a replay of retained messages does not go on"));
        }
        for group in session.groups() {
            if group.queued() > 0 {
                return Err(format!(
                    "{} messages wait in {group:?}, and {session:?} is there",
                    group.queued()
                ));
            }
        }
    }
    Ok(())
}

fn end(figures: &Figures<'_>) -> Verdict {
    let (counters, population) = (figures.counters, figures.population);
    let left = [
        ("sessions", population.sessions.load(Relaxed)),
        ("sessions with a connection", population.connected.load(Relaxed)),
        ("subscriptions", population.subscriptions.load(Relaxed)),
        ("shared subscriptions", population.shared_subscriptions.load(Relaxed)),
        ("routes", figures.routes.len()),
        ("retained messages", figures.retained.messages()),
        ("bytes of retained messages", figures.retained.bytes()),
        ("sessions that somebody still holds", figures.sessions.len()),
        ("timers or chores", usize::from(figures.is_due)),
        ("wills on their way", figures.held),
    ];
    if let Some((what, count)) = left.iter().find(|(_, count)| *count > 0) {
        return Err(format!("every session has ended, and there are {count} {what}"));
    }
    let levels = [
        ("messages wait", counters.waiting.load(Relaxed)),
        ("messages are in flight", counters.in_flight.load(Relaxed)),
        ("bytes are queued", counters.queued_bytes.load(Relaxed)),
        ("bytes are held", counters.held_bytes.load(Relaxed)),
    ];
    match levels.iter().find(|(_, count)| *count != 0) {
        None => Ok(()),
        Some((what, count)) => Err(format!("every session has ended, and {count} {what}")),
    }
}

impl Checker for Leaks {
    fn name(&self) -> &'static str {
        "leaks"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &Ground, _: &mut Census) -> Verdict {
        match fact {
            Fact::Rest(figures) => rest(figures),
            Fact::End(figures) => end(figures),
            _ => Ok(()),
        }
    }
}
