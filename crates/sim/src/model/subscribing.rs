//! What a client subscribes to, and no longer.

use super::client::Client;
use crate::plan::Feature;
use crate::world::World;
use aldis_packet::{Packet, QoS, RetainHandling, Subscribe, SubscriptionOptions, Unsubscribe};

/// Filters to choose from; some overlap.
const FILTERS: [&str; 14] =
    ["t/0", "t/+", "t/#", "t/1", "r/1/#", "t/2", "r/+/0", "r/#", "r/+/+", "w/#", "w/+", "d/#", "d/0", "d/2"];
/// Shared subscriptions.
const SHARED: [&str; 3] = ["$share/g/s/+", "$share/h/s/0", "$share/g/s/1"];

impl Client {
    /// Subscribes or unsubscribes; one question at a time.
    pub fn change_filters(&mut self, world: &World) {
        if self.connection.as_ref().is_none_or(|connection| !connection.asked.is_empty()) {
            return;
        }
        if self.filters.len() > 4 || (!self.filters.is_empty() && self.random.one_in(3)) {
            if world.plan.has(Feature::Unsubscribes) {
                self.unsubscribe(world);
            }
            return;
        }
        self.subscribe(world);
    }

    fn subscribe(&mut self, world: &World) {
        let count = 1 + self.random.below(3);
        let mut filters: Vec<(String, SubscriptionOptions)> = Vec::new();
        for _ in 0..count {
            let mut filter = self.random.pick(&FILTERS);
            let shares_in = if world.plan.shares_much { 2 } else { 4 };
            if self.random.one_in(shares_in) && world.plan.has(Feature::Shared) {
                filter = self.random.pick(&SHARED);
            }
            if filter.starts_with("d/") && !world.plan.has(Feature::Rights) {
                filter = "t/+";
            }
            if filters.iter().any(|(known, _)| known == filter) {
                continue;
            }
            let mut qos = QoS::from_u8(self.random.below(3) as u8).unwrap_or_default();
            if world.plan.shares_much && filter.starts_with("$share") {
                qos = qos.max(QoS::AtLeastOnce);
            }
            let mut options = SubscriptionOptions::new(qos);
            if self.is_v5() {
                options.no_local = self.random.one_in(6) && !filter.starts_with("$share");
                options.retain_as_published = self.random.one_in(5);
                let handlings = [
                    RetainHandling::Send,
                    RetainHandling::Send,
                    RetainHandling::SendIfNew,
                    RetainHandling::DoNotSend,
                ];
                options.retain_handling = self.random.pick(&handlings);
            }
            self.filters.insert(filter.to_owned());
            filters.push((filter.to_owned(), options));
        }
        let id = self.next_id();
        let subscription_id =
            (self.is_v5() && self.random.one_in(2)).then(|| 1 + self.random.below(100) as u32);
        let subscribe = Subscribe { packet_id: id, filters, subscription_id, user_properties: Vec::new() };
        if let Some(connection) = &mut self.connection {
            connection.asked.insert(id.get());
        }
        self.encode(&Packet::Subscribe(subscribe));
        world.count("a client subscribed");
    }

    fn unsubscribe(&mut self, world: &World) {
        let all: Vec<String> = self.filters.iter().cloned().collect();
        let filter = all[self.random.below(all.len())].clone();
        self.filters.remove(&filter);
        let id = self.next_id();
        if let Some(connection) = &mut self.connection {
            connection.asked.insert(id.get());
        }
        let unsubscribe = Unsubscribe { packet_id: id, filters: vec![filter], user_properties: Vec::new() };
        self.encode(&Packet::Unsubscribe(unsubscribe));
        world.count("a client unsubscribed");
    }
}
