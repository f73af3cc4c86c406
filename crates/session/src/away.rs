//! What waits for a session and is on disk only.
//!
//! Of a long queue the next messages are in memory ([`Head`]); of those behind them the queue knows their numbers,
//! their sizes and when they expire. When few of the next are left the log is asked for more
//! ([`Journal::want`](crate::Journal::want)), and brings them back in their order.

use crate::counters::DropReason;
use crate::delivery::{Delivery, SubscriptionIds, Terms};
use crate::line::Waiting;
use crate::outbound::Outbound;
use crate::remains::leave_queue;
use crate::workbench::Workbench;
use aldis_store::{DeliveryState, Found, FoundDelivery};
use std::sync::Arc;
use std::time::Instant;

/// What is known of a message that is on disk only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// Bytes of the message.
    pub size: u32,
    /// When it expires, if it does.
    pub expires_at: Option<Instant>,
}

/// What the state of the log holds in memory for a message that waits.
const IN_THE_LOG: usize = 120;

impl Waiting for Away {
    fn weight(&self) -> usize {
        self.size as usize + self.place()
    }
    fn place(&self) -> usize {
        size_of::<(u64, Option<Away>)>() + IN_THE_LOG
    }
    fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }
}

impl Outbound {
    /// A delivery that is recorded waits on disk only.
    pub(crate) fn put_away(&mut self, number: u64, away: Away, bench: &mut Workbench) {
        bench.tally.waiting += 1;
        bench.tally.queued_bytes += away.weight() as i64;
        bench.tally.held_bytes += away.place() as i64;
        self.queue_mut().push_away(number, away);
    }

    /// Asks the log for what waits on disk, when little of what comes before it is left.
    pub(crate) fn ask_for_more(&mut self, bench: &Workbench) {
        let head = self.limits.queue_head();
        if self.recording.asks || !self.queue_mut().wants_more(head) {
            return;
        }
        let Some(from) = self.queue_mut().first_away() else { return };
        self.recording.asks = true;
        let (session, me) = (self.recording.session, &self.recording.me);
        bench.journal.want(session, from, head, me);
    }

    /// What waited on disk has come. What expired meanwhile is not waited for any more.
    pub(crate) fn take_in(&mut self, found: &Found, bench: &mut Workbench) {
        self.recording.asks = false;
        for one in &found.deliveries {
            let Some(away) = self.queue_mut().take_away(one.number) else { continue };
            leave_queue(&away, bench);
            match delivery(one, bench) {
                Some(delivery) => self.put_in_queue(delivery, bench),
                None => {
                    self.record_done(one.number, bench);
                    self.drop_one(DropReason::StoreDamaged, bench);
                }
            }
        }
    }
}

fn delivery(found: &FoundDelivery, bench: &Workbench) -> Option<Delivery> {
    let publication = Arc::new(bench.journal.publication(&found.put()?).counted(bench.counters()));
    Some(Delivery { publication, terms: kept_terms(&found.state), number: found.number })
}

/// The terms of a delivery that the log knows, but for its place in a shared subscription.
#[must_use]
pub fn kept_terms(state: &DeliveryState) -> Terms {
    let mut ids = SubscriptionIds::None;
    state.ids().iter().for_each(|id| ids.add(*id));
    Terms { qos: state.qos, retain: state.retain, ids, share: None }
}
