//! Slots of the in-flight window that are sent again after a resume, or at last when they are durable.

use crate::counters::DropReason;
use crate::outbound::Outbound;
use crate::rights::Act;
use crate::segments::Segments;
use crate::window::{Published, Slot, Window};
use crate::workbench::Workbench;
use aldis_store::Sequence;

/// What became of a slot that was to be sent.
pub(super) enum Sent {
    /// It was, or there is nothing to send for it.
    Yes,
    /// The receive maximum of this connection is used up.
    NoRoom,
    /// It waits for a commit.
    NotDurable,
}

impl Outbound {
    /// Sends slot `number`, again or at last.
    pub(super) fn send_again(&mut self, number: u64, bytes: &mut Segments, bench: &mut Workbench) -> Sent {
        let id = Window::packet_id(number);
        let next = Some(number + 1).filter(|next| *next < self.window.end());
        match self.window.slot(number) {
            None | Some(Slot::Free) | Some(Slot::Published(Published { kept: None, .. })) => {}
            Some(Slot::Released { after, .. }) => {
                if *after > bench.journal.committed() {
                    bench.waits_for(*after, &self.recording.me);
                    return Sent::NotDurable;
                }
                self.outstanding += 1;
                self.encode_pubrel(id, bytes, bench);
            }
            Some(Slot::Published(published @ Published { kept: Some(kept), sent, .. })) => {
                let gate = published.gate();
                if gate > bench.journal.committed() && !planted!(DeliveredBeforeCommit) {
                    if gate != Sequence::MAX {
                        bench.waits_for(gate, &self.recording.me);
                    }
                    return Sent::NotDurable;
                }
                if self.outstanding >= self.terms.receive_maximum {
                    return Sent::NoRoom;
                }
                let (kept, dup) = (kept.clone(), *sent && !planted!(NoDup));
                let refused = if !self.identity.may(Act::Receive, &kept.publication.topic) {
                    Some(DropReason::NotAuthorized)
                } else if self.encode(&kept.offering(), &kept.terms, Some(id), dup, bytes, bench) {
                    None
                } else {
                    Some(DropReason::TooLarge)
                };
                match refused {
                    None => self.outstanding += 1,
                    Some(reason) => {
                        self.free(id, bench);
                        self.drop_one(reason, bench);
                    }
                }
            }
        }
        if let Some(Slot::Published(published)) = self.window.slot_mut(number) {
            published.sent = true;
        }
        self.resend = next;
        Sent::Yes
    }
}
