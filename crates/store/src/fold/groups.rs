//! Shared subscriptions in the fold: what waits in each of them.
//!
//! A message has its place in the queue of a shared subscription as long as no member whose session is kept has taken
//! it; with a member whose session is not kept it stays where it was until it is done. If the session of a member ends,
//! what it had not had goes back to the places it came from, by the same rule by which the broker gives it back.

use super::{DeliveryState, Fold, Standing};
use crate::record::{Record, SharePlace};
use aldis_packet::QoS;
use std::collections::{BTreeMap, BTreeSet};

/// What is kept of a shared subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupState {
    /// The filter with `$share/name/`.
    pub filter: Box<str>,
    /// The messages that wait, by their places.
    pub queue: BTreeMap<u64, u64>,
    /// The last place that was used.
    pub last: u64,
}

impl DeliveryState {
    /// Whether another member of its shared subscription gets it when the session ends: at QoS 1 what was not
    /// acknowledged, and whatever was never sent [MQTT-4.8.2-5].
    pub(super) fn goes_back(&self) -> bool {
        match self.standing {
            Standing::Queued => true,
            Standing::Sent(_) => self.qos == QoS::AtLeastOnce,
            Standing::Received(_) => false,
        }
    }
}

impl Fold {
    pub(super) fn of_group(&mut self, record: &Record<'_>) {
        match record {
            Record::Group { group, filter, last } => {
                self.last_session = self.last_session.max(*group);
                let state = self.groups.entry(*group).or_default();
                state.filter = (*filter).into();
                state.last = state.last.max(*last);
            }
            Record::Share { place, message } => {
                self.last_message = self.last_message.max(*message);
                self.share(*place, *message);
            }
            Record::ShareDone { place } => {
                if let Some(message) = self.take_share(*place) {
                    self.let_go(message);
                }
            }
            Record::GroupEnd { group } => self.end_group(*group),
            _ => {}
        }
    }

    /// A message waits in a shared subscription.
    pub(super) fn share(&mut self, place: SharePlace, message: u64) {
        let Some(group) = self.groups.get_mut(&place.group) else { return };
        group.last = group.last.max(place.number);
        if group.queue.insert(place.number, message).is_none() {
            self.refer_to(message);
        }
    }

    /// The message that waited at a place, and waits there no longer; its reference is the caller's.
    pub(super) fn take_share(&mut self, place: SharePlace) -> Option<u64> {
        let group = self.groups.get_mut(&place.group)?;
        group.last = group.last.max(place.number);
        group.queue.remove(&place.number)
    }

    fn end_group(&mut self, group: u64) {
        let Some(ended) = self.groups.remove(&group) else { return };
        for message in ended.queue.into_values() {
            self.let_go(message);
        }
    }

    /// A life of the broker is over: shared subscriptions without a member that is kept have none left.
    pub(super) fn end_deserted_groups(&mut self) {
        let filters = self.sessions.values().flat_map(|state| state.subscriptions.keys());
        let shared: BTreeSet<Box<str>> = filters.filter(|filter| filter.starts_with('$')).cloned().collect();
        let deserted = self.groups.iter().filter(|(_, group)| !shared.contains(&group.filter));
        let deserted: Vec<u64> = deserted.map(|(number, _)| *number).collect();
        for group in deserted {
            self.end_group(group);
        }
    }
}

impl GroupState {
    pub(super) fn save(&self, group: u64, out: &mut Vec<u8>) {
        Record::Group { group, filter: &self.filter, last: self.last }.encode(out);
        for (number, message) in &self.queue {
            Record::Share { place: SharePlace { group, number: *number }, message: *message }.encode(out);
        }
    }
}
