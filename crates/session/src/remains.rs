//! What is left of a session that ended: messages in flight and in its queue, which are dropped and
//! counted, or given back to a shared subscription.
//!
//! There may be a hundred thousand of them, so they are taken out of the Outbox at once and seen to in
//! steps, the oldest first. What is given back goes to the place in its group that it came from.

use crate::counters::{DropReason, Ledger};
use crate::delivery::Delivery;
use crate::line::{Line, Waiting};
use crate::publication::Publication;
use crate::queue::Queue;
use crate::share::Share;
use crate::window::{Published, Slot};
use crate::workbench::Workbench;
use aldis_packet::QoS;
use std::collections::VecDeque;
use std::sync::Arc;

/// A message that a session which ended gives back to its shared subscription.
pub struct GivenBack {
    /// The shared subscription, and its place there.
    pub share: Share,
    /// The message.
    pub publication: Arc<Publication>,
}

/// Messages of a session that ended.
#[derive(Debug, Default)]
pub struct Remains {
    in_flight: VecDeque<Slot>,
    queue: Queue,
}

impl Remains {
    pub(crate) fn new(in_flight: VecDeque<Slot>, queue: Queue) -> Remains {
        Remains { in_flight, queue }
    }

    /// Whether nothing is left to be seen to.
    pub fn is_empty(&self) -> bool {
        self.in_flight.is_empty() && self.queue.is_empty()
    }

    /// Drops and counts the next `count` messages, but for what a shared subscription gets back: QoS 1 that
    /// was not acknowledged, and whatever was never sent. A QoS 2 message that was sent goes to nobody else
    /// [MQTT-4.8.2-5].
    pub fn settle(&mut self, count: usize, ledger: &mut Ledger, bench: &mut Workbench) -> Vec<GivenBack> {
        let mut given_back = Vec::new();
        for _ in 0..count {
            // In flight is QoS 1 or 2.
            let mut reason = DropReason::SessionEnded;
            let back = match self.in_flight.pop_front() {
                Some(Slot::Free) => continue,
                Some(slot) => leave_window(slot, bench),
                None => {
                    if let Some(delivery) = self.queue.pop(true) {
                        leave_queue(&delivery, bench);
                        reason = DropReason::session_ended(delivery.terms.qos);
                        Some(delivery)
                    } else if let Some(away) = self.queue.pop_away() {
                        leave_queue(&away, bench);
                        None
                    } else {
                        break;
                    }
                }
            };
            match back.and_then(|back| Some((back.terms.share?, back.publication))) {
                None => ledger.drop_delivery(reason, 1, &mut bench.tally),
                Some(_) if planted!(SharedForgotten) => {
                    ledger.completed += 1;
                    bench.tally.completed += 1;
                }
                Some((share, publication)) => {
                    ledger.offered -= 1;
                    bench.tally.offered -= 1;
                    given_back.push(GivenBack { share, publication });
                }
            }
        }
        given_back
    }
}

/// An exchange ends unfinished; the message, if another member may get it.
fn leave_window(slot: Slot, bench: &mut Workbench) -> Option<Delivery> {
    bench.tally.in_flight -= 1;
    let Slot::Published(Published { qos, kept: Some(kept), .. }) = slot else { return None };
    bench.tally.held_bytes -= kept.place() as i64;
    (qos == QoS::AtLeastOnce).then_some(*kept)
}

/// A delivery leaves a queue.
pub(crate) fn leave_queue(delivery: &impl Waiting, bench: &mut Workbench) {
    bench.tally.waiting -= 1;
    bench.tally.queued_bytes -= delivery.weight() as i64;
    bench.tally.held_bytes -= delivery.place() as i64;
}

/// Messages that are dropped and counted already: only their memory is left to be given up, in steps.
#[derive(Debug, Default)]
pub struct Discarded {
    of_client: Queue,
    of_group: Line<Arc<Publication>>,
}

impl Discarded {
    pub(crate) fn of_client(of_client: Queue) -> Discarded {
        Discarded { of_client, of_group: Line::default() }
    }

    pub(crate) fn of_group(of_group: Line<Arc<Publication>>) -> Discarded {
        Discarded { of_client: Queue::default(), of_group }
    }

    /// Gives up the memory of `count` of them; true if none is left.
    pub fn give_up(&mut self, count: usize) -> bool {
        for _ in 0..count {
            if self.of_client.pop_back().is_none() && self.of_group.pop_back().is_none() {
                return true;
            }
        }
        false
    }
}
