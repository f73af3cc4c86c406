//! Which packet identifiers are in use. Not here: those that the broker chooses.

use aldis_packet::PacketId;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The identifiers of what this client has sent and the broker has not yet finally acknowledged.
///
/// The lock is right here because the two halves of a client may be used by two tasks, of which the one takes
/// identifiers and the other sees them become free; it is held for a look into a set.
#[derive(Clone, Default, Debug)]
pub(crate) struct PacketIds(Arc<Mutex<InUse>>);

#[derive(Default, Debug)]
struct InUse {
    /// The identifier given out last, 0 at first.
    last: u16,
    ids: HashSet<PacketId>,
}

impl PacketIds {
    /// The next identifier that is not in use, counted from the last one given out: so an identifier comes back
    /// as late as possible. `None` if all are in use. [MQTT-2.2.1-3]
    pub(crate) fn take(&self) -> Option<PacketId> {
        let mut in_use = self.lock();
        let last = in_use.last;
        let after_last = (1..=u16::MAX).filter_map(|step| PacketId::new(last.wrapping_add(step)));
        let around = PacketId::new(last);
        let id = after_last.chain(around).find(|id| !in_use.ids.contains(id))?;
        in_use.last = id.get();
        in_use.ids.insert(id);
        Some(id)
    }

    /// Marks an identifier as in use, whether it was or not.
    pub(crate) fn reserve(&self, id: PacketId) {
        self.lock().ids.insert(id);
    }

    /// Marks an identifier as free.
    pub(crate) fn free(&self, id: PacketId) {
        self.lock().ids.remove(&id);
    }

    /// A panic elsewhere cannot leave the set half changed.
    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
