//! Law 10: offered = completed + in flight + waiting + expired + dropped by reason, for the whole broker and for
//! each session; and every publication that came was routed, found nobody, or was refused.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::{Fact, Figures};
use aldis_packet::PacketType;
use aldis_session::Session;
use std::sync::atomic::Ordering::Relaxed;

pub(super) struct Ledger;

fn totals(figures: &Figures<'_>) -> Verdict {
    let counters = figures.counters;
    let dropped: u64 = counters.dropped.iter().map(|count| count.load(Relaxed)).sum();
    let (offered, waiting, in_flight) =
        (counters.offered.load(Relaxed), counters.waiting.load(Relaxed), counters.in_flight.load(Relaxed));
    let (completed, expired) = (counters.completed.load(Relaxed), counters.expired.load(Relaxed));
    let sum = i128::from(completed)
        + i128::from(in_flight)
        + i128::from(waiting)
        + i128::from(expired)
        + i128::from(dropped);
    if i128::from(offered) == sum && waiting >= 0 && in_flight >= 0 {
        return Ok(());
    }
    Err(format!(
        "{offered} deliveries were offered; {completed} completed, {in_flight} in flight, {waiting} waiting, \
         {expired} expired and {dropped} dropped are {sum}"
    ))
}

fn of_session(session: &Session) -> Verdict {
    let outbox = session.outbox.lock();
    let outbound = &outbox.outbound;
    let ledger = &outbound.ledger;
    let known = ledger.completed
        + outbound.in_flight() as u64
        + outbound.queued() as u64
        + ledger.expired
        + ledger.dropped_in_all();
    // What is missing are messages of QoS 0 among the bytes for the socket, or on their way there.
    let ended = outbox.state() == aldis_session::State::Closed;
    if known <= ledger.offered || ended {
        return Ok(());
    }
    Err(format!("{session:?} was offered {} deliveries, and knows the end of {known}", ledger.offered))
}

fn publications(figures: &Figures<'_>) -> Verdict {
    let counters = figures.counters;
    let received = counters.packets_received[PacketType::Publish as usize].load(Relaxed) + figures.inner;
    let refused: u64 = counters.refused.iter().map(|count| count.load(Relaxed)).sum();
    let (routed, nobody) = (counters.routed.load(Relaxed), counters.no_subscriber.load(Relaxed));
    if received == routed + nobody + refused {
        return Ok(());
    }
    Err(format!(
        "{received} publications came; {routed} were routed, {nobody} found nobody, {refused} were refused"
    ))
}

impl Checker for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn see(&mut self, fact: &Fact<'_>, _: &Ground, _: &mut Census) -> Verdict {
        match fact {
            Fact::Calm(figures) => {
                totals(figures)?;
                figures.sessions.iter().try_for_each(|session| of_session(session))
            }
            Fact::Rest(figures) | Fact::End(figures) => {
                totals(figures)?;
                publications(figures)
            }
            _ => Ok(()),
        }
    }
}
