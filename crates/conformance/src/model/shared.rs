//! Shared subscriptions (4.8.2): of all sessions that subscribed to one `$share/NAME/FILTER`, one gets a message.

use super::broker::Broker;
use super::rule::Rule::V5;
use super::session::{Held, Message, Outgoing, Session, Step};
use super::topic;
use std::collections::BTreeMap;

impl Broker {
    /// For each shared subscription that wants this message, the session that gets it.
    pub(super) fn chosen_of_shared(&mut self, message: &Message) -> Vec<(Vec<u8>, Outgoing)> {
        let mut shares: BTreeMap<Vec<u8>, ()> = BTreeMap::new();
        for held in self.sessions.values().flat_map(|session| &session.subscriptions) {
            if held.share.is_some() && topic::matches(self.rules, &held.matched, &message.publish.topic) {
                shares.insert(held.filter.clone(), ());
            }
        }
        if !self.keeps(&[V5("MQTT-4.8.2-1: all members")]) {
            return self.all_of_shared(message);
        }
        shares.keys().filter_map(|filter| self.choose(filter, message, &[])).collect()
    }

    /// All members, where the rule that one is chosen is broken.
    fn all_of_shared(&self, message: &Message) -> Vec<(Vec<u8>, Outgoing)> {
        let mut all = Vec::new();
        for (client_id, session) in &self.sessions {
            for held in session.subscriptions.iter().filter(|held| held.share.is_some()) {
                if topic::matches(self.rules, &held.matched, &message.publish.topic) {
                    all.push((
                        client_id.clone(),
                        self.copy_for(message, held, Vec::from_iter(held.identifier)),
                    ));
                }
            }
        }
        all
    }

    /// The member of a shared subscription whose turn it is; one that is connected comes before one that is not.
    fn choose(&mut self, filter: &[u8], message: &Message, not: &[u8]) -> Option<(Vec<u8>, Outgoing)> {
        let members: Vec<(&Vec<u8>, &Session, &Held)> = self
            .sessions
            .iter()
            .filter(|(client_id, _)| client_id.as_slice() != not)
            .filter_map(|(id, session)| {
                let held = session
                    .subscriptions
                    .iter()
                    .find(|held| held.share.is_some() && held.filter == filter)?;
                Some((id, session, held))
            })
            .collect();
        let connected: Vec<_> =
            members.iter().filter(|(_, session, _)| session.connection.is_some()).collect();
        let of_all = members.iter().collect();
        let among = if connected.is_empty() { of_all } else { connected };
        let (id, _, held) = among.get(self.turn % among.len().max(1))?;
        let chosen = ((*id).clone(), self.copy_for(message, held, Vec::from_iter(held.identifier)));
        self.turn += 1;
        Some(chosen)
    }

    /// Gives a message of a shared subscription to a session other than this one.
    pub(super) fn give_to_another(&mut self, outgoing: Outgoing, not: &[u8]) {
        let Some(filter) = &outgoing.shared else { return };
        if let Some((client_id, outgoing)) = self.choose(filter, &outgoing.message, not) {
            self.enqueue(&client_id, outgoing);
        }
    }

    /// A member's connection is gone: QoS 2 exchanges that have begun wait for it, and go to nobody else. Nothing
    /// happens here unless that is broken.
    pub(super) fn forget_shared(&mut self, client_id: &[u8]) {
        if self.keeps(&[V5("MQTT-4.8.2-4")]) {
            return;
        }
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let (moved, kept) = std::mem::take(&mut session.in_flight)
            .into_iter()
            .partition(|one| one.outgoing.shared.is_some() && one.step == Step::Publish);
        session.in_flight = kept;
        for exchange in moved {
            self.give_to_another(exchange.outgoing, client_id);
        }
    }

    /// A member's session is over: what was not sent to it yet goes to another, what was begun at QoS 2 to nobody.
    pub(super) fn pass_on_shared(&mut self, session: &Session) {
        let waiting = session.queue.iter();
        let begun = match self.keeps(&[V5("MQTT-4.8.2-5")]) {
            true => [].iter(),
            false => session.in_flight.iter(),
        };
        let passed: Vec<Outgoing> = waiting.chain(begun.map(|one| &one.outgoing)).cloned().collect();
        for outgoing in passed.into_iter().filter(|one| one.shared.is_some()) {
            self.give_to_another(outgoing, &[]);
        }
    }
}
