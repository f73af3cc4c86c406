//! What the sending half of a lasting session records, and what waits until it is durable.
//!
//! Each record is made under the lock of the Outbox, before anybody can see what it is about: so the order of the log
//! is the order of what happened. Nothing is recorded of QoS 0, nor for a session that ends with its connection.

use crate::away::Away;
use crate::delivery::{Delivery, Terms};
use crate::outbound::Outbound;
use crate::publication::Publication;
use crate::segments::Segments;
use crate::session::Session;
use crate::share::Share;
use crate::window::{Published, Slot};
use crate::workbench::Workbench;
use aldis_packet::QoS;
use aldis_store::{Queue, Record, Sequence, Standing};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Weak;

/// Answers, each with the commit that it waits for.
type Parked = VecDeque<(Sequence, Vec<u8>)>;

/// What the log knows of a session's sending half.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// Number of the session in the log.
    pub(crate) session: u64,
    /// The session itself, to be called after a commit.
    pub(crate) me: Weak<Session>,
    /// The last number of a delivery.
    pub(crate) deliveries: u64,
    /// The log was asked for what waits on disk.
    pub(crate) asks: bool,
    /// Answers that wait for a commit, in the order in which they leave.
    parked: Option<Box<Parked>>,
}

/// A delivery that a start found in the log.
#[derive(Debug)]
pub enum Kept {
    /// With its message, and where it stands.
    Here(Delivery, Standing),
    /// It waits, and its message is on disk only: its number.
    Away(u64, Away),
}

impl Outbound {
    /// Whether a copy at `qos` is recorded: it has a lasting target.
    pub(crate) fn records(&self, qos: QoS, bench: &Workbench) -> bool {
        // What stands behind those on disk is there, too.
        let is_kept = self.terms.lasting || self.queue_has_away();
        is_kept && qos != QoS::AtMostOnce && bench.journal.keeps()
    }

    /// Records that the session is to receive a message, in `slot` of its window if it has one already; answers the
    /// number of the delivery and the record.
    pub(crate) fn record_queued(
        &mut self,
        publication: &Publication,
        terms: &Terms,
        slot: Option<u64>,
        bench: &mut Workbench,
    ) -> (u64, Sequence) {
        self.recording.deliveries += 1;
        let number = self.recording.deliveries;
        bench.has_recorded();
        if let Some(share) = &terms.share {
            share.group.introduce(bench);
        }
        let message = publication.stamp.number(|| bench.journal.next_message());
        let after = bench.journal.append(&Record::Queue(Queue {
            session: self.recording.session,
            number,
            message,
            qos: terms.qos,
            retain: terms.retain,
            ids: Cow::Borrowed(terms.ids.as_slice()),
            slot,
            share: terms.share.as_ref().map(Share::place),
        }));
        // It leaves when its message is durable, which whoever delivers it records next, if it is not recorded yet.
        if terms.qos == QoS::ExactlyOnce && publication.stamp.open().is_some() {
            bench.waits_for_put(&self.recording.me);
        } else if terms.qos == QoS::ExactlyOnce {
            bench.waits_for(after.max(publication.stamp.after()), &self.recording.me);
        }
        (number, after)
    }

    /// Records that a message which waited has `slot` of the window, and so a packet identifier.
    pub(crate) fn record_sent(&self, number: u64, qos: QoS, slot: u64, bench: &mut Workbench) -> Sequence {
        let session = self.recording.session;
        let after = bench.journal.append(&Record::Sent { session, number, slot });
        if qos == QoS::ExactlyOnce {
            bench.waits_for(after, &self.recording.me);
        }
        after
    }

    /// Records that PUBREC has come.
    pub(crate) fn record_received(&self, number: u64, bench: &mut Workbench) -> Sequence {
        let session = self.recording.session;
        if number == 0 || planted!(PubrelBeforeCommit) {
            return 0;
        }
        bench.journal.append(&Record::Received { session, number })
    }

    /// Records that the session is done with a message, if it was recorded.
    pub(crate) fn record_done(&self, number: u64, bench: &Workbench) {
        if number != 0 {
            bench.journal.append(&Record::Done { session: self.recording.session, number });
        }
    }

    /// A message of a shared subscription is with a session that is not kept: at QoS 1 it has its place in the log until
    /// it is acknowledged. At QoS 2 it is sent when it has none any more.
    pub(crate) fn record_held(&self, kept: &Delivery, bench: &mut Workbench) -> Sequence {
        let Some(share) = &kept.terms.share else { return 0 };
        if kept.terms.qos == QoS::AtLeastOnce {
            share.record_held(&kept.publication, bench);
            return 0;
        }
        let after = share.record_done(&kept.publication, bench);
        if after != 0 {
            bench.waits_for(after, &self.recording.me);
        }
        after
    }

    /// Records that the session is done with what a slot of its window stood for.
    pub(crate) fn record_over(&self, slot: &Slot, bench: &Workbench) {
        self.record_done(slot.number(), bench);
        if let Slot::Published(Published { qos: QoS::AtLeastOnce, kept: Some(kept), .. }) = slot
            && kept.number == 0
            && let Some(share) = &kept.terms.share
        {
            share.record_done(&kept.publication, bench);
        }
    }

    /// Records that all retained messages for a filter are with the session.
    pub(crate) fn record_replayed(&self, filter: &str, bench: &Workbench) {
        if self.terms.lasting && bench.journal.keeps() {
            bench.journal.append(&Record::Replayed { session: self.recording.session, filter });
        }
    }

    /// Puts back what a start found in the log: deliveries in the order of their numbers, each with where it stands,
    /// and the numbers that are used up. What may have been sent may still be acknowledged by the identifier it had,
    /// so none of those that were in use, or could have been, is given out soon.
    pub fn restore(
        &mut self,
        deliveries: impl IntoIterator<Item = Kept>,
        (last_number, next_slot): (u64, u64),
        bench: &mut Workbench,
    ) {
        self.recording.deliveries = last_number;
        let mut slots = Vec::new();
        for kept in deliveries {
            self.ledger.offered += 1;
            bench.tally.offered += 1;
            let (delivery, standing) = match kept {
                Kept::Here(delivery, standing) => (delivery, standing),
                Kept::Away(number, away) => {
                    self.put_away(number, away, bench);
                    continue;
                }
            };
            let (number, qos) = (delivery.number, delivery.terms.qos);
            match standing {
                Standing::Queued => self.put_in_queue(delivery, bench),
                Standing::Received(slot) => slots.push((slot, Slot::Released { number, after: 0 })),
                Standing::Sent(slot) => {
                    self.keep(&delivery, bench);
                    let kept = Some(Box::new(delivery));
                    slots.push((slot, Slot::Published(Published { qos, kept, sent: true, after: 0 })));
                }
            }
        }
        slots.sort_unstable_by_key(|(slot, _)| *slot);
        bench.tally.in_flight += slots.len() as i64;
        for (slot, standing) in slots {
            self.window_mut().restore(slot, standing);
        }
        let spare = u64::from(self.limits.in_flight);
        self.window_mut().skip_to(next_slot + spare);
    }

    /// Puts `answers` behind those that wait: they leave when `after` is committed.
    pub(crate) fn park(&mut self, after: Sequence, answers: &[u8], bench: &mut Workbench) {
        let parked = self.recording.parked.get_or_insert_default();
        match parked.back_mut() {
            Some((last, bytes)) if *last == after => bytes.extend_from_slice(answers),
            _ => parked.push_back((after, answers.to_vec())),
        }
        bench.waits_for(after, &self.recording.me);
    }

    /// Whether answers wait for a commit.
    pub(crate) fn has_parked(&self) -> bool {
        self.recording.parked.is_some()
    }

    /// Moves answers whose commit has happened to `bytes`.
    pub(crate) fn release_parked(&mut self, bytes: &mut Segments, bench: &mut Workbench) {
        let committed = bench.journal.committed();
        let Some(parked) = &mut self.recording.parked else { return };
        while let Some((_, answers)) = parked.front().filter(|(after, _)| *after <= committed) {
            bytes.open(&mut bench.spare).extend_from_slice(answers);
            parked.pop_front();
        }
        if parked.is_empty() {
            self.recording.parked = None;
        }
    }

    /// The connection that the answers were for is gone: its client sends again what they were about.
    pub(crate) fn forget_parked(&mut self) {
        self.recording.parked = None;
    }
}
