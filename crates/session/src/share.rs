//! A message of a shared subscription, and what the log knows of it.
//!
//! As long as a member is kept, the log knows each message that the group has: at its place in the group, or in the
//! session of a member that took it, which the same record takes out of its place. With a member whose session is not
//! kept a message stays at its place until it is acknowledged: if the broker is killed meanwhile, another member gets
//! it. At QoS 2 such a member is sent nothing before the log is done with the place: what may have been sent goes to
//! nobody else [MQTT-4.8.2-5].

use crate::group::Group;
use crate::publication::Publication;
use crate::workbench::Workbench;
use aldis_store::{Record, Sequence, SharePlace};
use std::sync::Arc;

/// The place of a message in a shared subscription.
#[derive(Debug, Clone)]
pub struct Share {
    /// The shared subscription.
    pub group: Arc<Group>,
    /// Its place there, to which it goes back if its member never has it; never used again.
    pub number: u64,
}

impl Share {
    /// The place as the log names it.
    pub(crate) fn place(&self) -> SharePlace {
        self.group.place(self.number)
    }

    /// A member whose session is not kept takes a message: it stays at its place, if anybody is kept.
    pub(crate) fn record_held(&self, publication: &Publication, bench: &mut Workbench) {
        if self.group.is_kept(bench) {
            self.group.record(self.number, publication, bench);
        }
    }

    /// The group is done with a message; 0 if the log knows nothing of it.
    pub(crate) fn record_done(&self, publication: &Publication, bench: &Workbench) -> Sequence {
        self.group.record_done(self.number, publication, bench)
    }

    /// Whether the log may know the message at its place.
    pub(crate) fn is_known(&self, publication: Option<&Arc<Publication>>) -> bool {
        self.group.is_recorded() && publication.is_some_and(|known| known.stamp.known_number() != 0)
    }
}

impl Group {
    fn place(&self, number: u64) -> SharePlace {
        SharePlace { group: self.number, number }
    }

    /// Whether messages of this group are recorded: a member outlives its connection.
    pub(crate) fn is_kept(&self, bench: &Workbench) -> bool {
        self.lasting() > 0 && bench.journal.keeps()
    }

    /// The log knows the group from here on, if it did not before.
    pub(crate) fn introduce(&self, bench: &Workbench) {
        if !self.is_recorded() {
            // Twice, if two do so at once, is no harm.
            bench.journal.append(&Record::Group { group: self.number, filter: &self.filter, last: 0 });
            self.set_recorded();
        }
    }

    /// Records that a message waits at a place.
    pub(crate) fn record(&self, number: u64, publication: &Publication, bench: &mut Workbench) {
        self.introduce(bench);
        bench.has_recorded();
        let message = publication.stamp.number(|| bench.journal.next_message());
        bench.journal.append(&Record::Share { place: self.place(number), message });
    }

    /// Records that the group is done with a message, if it was recorded; 0 if it was not.
    pub(crate) fn record_done(&self, number: u64, publication: &Publication, bench: &Workbench) -> Sequence {
        if !self.is_recorded() || publication.stamp.known_number() == 0 {
            return 0;
        }
        bench.journal.append(&Record::ShareDone { place: self.place(number) })
    }
}
