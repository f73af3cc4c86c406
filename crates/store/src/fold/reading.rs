//! Which messages of the fold are in memory, and which are read when their turn comes.

use super::{DeliveryState, Fold, Standing};
use crate::lookup::Head;
use crate::scan::Place;
use std::collections::HashSet;

impl Fold {
    /// Deliveries that wait for a session, from number `from` on, with their messages: up to the first whose message is
    /// not closed yet. `None` if there is no such session.
    pub(crate) fn waiting(
        &self,
        session: u64,
        from: u64,
    ) -> Option<impl Iterator<Item = (u64, DeliveryState, Place, u32)>> {
        let state = self.sessions.get(&session)?;
        let waiting = state.deliveries.from(from).filter(|(_, state)| state.standing == Standing::Queued);
        Some(waiting.map_while(|(number, state)| {
            let (place, length) = self.body(state.message)?;
            Some((number, state.clone(), place, length))
        }))
    }

    /// The messages that a broker holds in memory: all but those that only wait for sessions, behind the next of each.
    #[must_use]
    pub fn at_hand(&self, head: Head) -> HashSet<u64> {
        let retained = self.retained.values().copied();
        let shared = self.groups.values().flat_map(|group| group.queue.values().copied());
        let mut at_hand: HashSet<u64> = retained.chain(shared).collect();
        for state in self.sessions.values() {
            let (mut messages, mut bytes) = (0, 0);
            for (_, delivery) in state.deliveries.iter() {
                if delivery.standing == Standing::Queued {
                    messages += 1;
                    bytes += self.body(delivery.message).map_or(0, |(_, length)| length as usize);
                    if messages > 1 && (messages > head.messages || bytes > head.bytes) {
                        continue;
                    }
                }
                at_hand.insert(delivery.message);
            }
        }
        at_hand
    }
}
