//! The way of a message to its subscribers (3.3.4, 4.3, 4.5, 4.9): who gets it, and when it is sent.

use super::Manner;
use super::broker::Broker;
use super::connection::Connection;
use super::rule::Rule::{self, V5, V311};
use super::session::{Held, InFlight, Message, Outgoing, Session, Step};
use super::topic;
use crate::wire::{Ack, first};

impl Broker {
    /// The session that a connection belongs to.
    pub(super) fn session_of(&mut self, number: u64) -> Option<&mut Session> {
        let client_id = &self.connections.get(&number)?.client_id;
        self.sessions.get_mut(client_id).filter(|session| session.connection == Some(number))
    }

    /// Stores a message that is to be retained, and gives it to all that have subscribed. Returns whether anyone
    /// has.
    pub(super) fn distribute(&mut self, message: Message) -> bool {
        self.retain(&message);
        let mut receivers: Vec<(Vec<u8>, Outgoing)> = Vec::new();
        for (client_id, session) in &self.sessions {
            let matching = self.matching(client_id, session, &message);
            let outgoing = self.copies_of(&message, &matching);
            receivers.extend(outgoing.into_iter().map(|one| (client_id.clone(), one)));
        }
        receivers.extend(self.chosen_of_shared(&message));
        if !self.keeps(&[V311("MQTT-4.5.0-1"), V5("MQTT-4.5.0-1")]) {
            receivers.truncate(1);
        }
        let removal = message.publish.retain && message.publish.payload.is_empty();
        if removal && !self.keeps(&[V311("MQTT-3.3.1-10: not delivered"), V5("MQTT-3.3.1-6: not delivered")])
        {
            receivers.clear();
        }
        let any = !receivers.is_empty();
        for (client_id, outgoing) in receivers {
            self.enqueue(&client_id, outgoing);
        }
        any
    }

    /// The subscriptions of one session that want this message, apart from shared ones.
    fn matching<'a>(&self, client_id: &[u8], session: &'a Session, message: &Message) -> Vec<&'a Held> {
        let anything = !self.keeps(&[V311("MQTT-3.3.2-3"), V5("MQTT-3.3.2-3")]);
        let echoes = !self.keeps(&[V5("MQTT-3.8.3-3")]);
        session
            .subscriptions
            .iter()
            .filter(|held| held.share.is_none() && held.deaf_until.is_none_or(|time| time < self.now))
            .filter(|held| anything || topic::matches(self.rules, &held.matched, &message.publish.topic))
            .filter(|held| !held.no_local || message.publisher != client_id || echoes)
            .collect()
    }

    /// What one client gets: a single copy for all its matching subscriptions, or one for each.
    fn copies_of(&self, message: &Message, matching: &[&Held]) -> Vec<Outgoing> {
        let all: Vec<u32> = match self.keeps(&[V5("MQTT-3.3.4-3")]) {
            true => matching.iter().filter_map(|held| held.identifier).collect(),
            false => Vec::new(),
        };
        let copies: Vec<Outgoing> = matching
            .iter()
            .map(|held| self.copy_for(message, held, Vec::from_iter(held.identifier)))
            .collect();
        if self.manner != Manner::OneCopy {
            let own = self.keeps(&[V5("MQTT-3.3.4-5")]);
            let told = |copy: Outgoing| Outgoing {
                identifiers: if own { copy.identifiers } else { all.clone() },
                ..copy
            };
            return copies.into_iter().map(told).collect();
        }
        let highest = self.keeps(&[V311("MQTT-3.3.5-1"), V5("MQTT-3.3.4-2")]);
        let qos = copies.iter().map(|copy| copy.qos);
        let Some(qos) = (if highest { qos.max() } else { qos.min() }) else { return Vec::new() };
        let retain = copies.iter().any(|copy| copy.retain);
        let shown = if self.keeps(&[V5("MQTT-3.3.4-4")]) { all.len() } else { 1 };
        let identifiers = all.into_iter().take(shown).collect();
        vec![Outgoing { message: message.clone(), qos, retain, identifiers, shared: None }]
    }

    /// The copy of a message for one subscription.
    pub(super) fn copy_for(&self, message: &Message, held: &Held, identifiers: Vec<u32>) -> Outgoing {
        let published = message.publish.qos;
        let respects = match held.share {
            Some(_) => self.keeps(&[V5("MQTT-4.8.2-3")]),
            None => self.keeps(&[V311("MQTT-3.8.4-6"), V5("MQTT-3.8.4-8")]),
        };
        let as_published = match held.retain_as_published {
            true => self.keeps(&[V5("MQTT-3.3.1-13")]),
            false => !self.keeps(&[V311("MQTT-3.3.1-9"), V5("MQTT-3.3.1-12")]),
        };
        Outgoing {
            message: message.clone(),
            qos: if respects { published.min(held.qos) } else { published },
            retain: as_published && message.publish.retain,
            identifiers,
            shared: held.share.as_ref().map(|_| held.filter.clone()),
        }
    }

    /// Puts a message into a session: at QoS 0 it is sent at once or never, above that in its turn.
    pub(super) fn enqueue(&mut self, client_id: &[u8], outgoing: Outgoing) {
        let stores =
            self.keeps(&[V311("MQTT-3.1.2-5"), V311("MQTT-4.5.0-1: away"), V5("MQTT-4.5.0-1: away")]);
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        match (outgoing.qos, session.connection) {
            (0, Some(number)) => {
                self.send_publish(number, &outgoing, None, false);
            }
            (0, None) if !self.manner.is_sparing() => {}
            (_, None) if !stores => {}
            _ => {
                session.queue.push_back(outgoing);
                self.flush(client_id);
            }
        }
    }

    /// Sends what a session holds, as far as its connection takes it.
    pub(super) fn flush(&mut self, client_id: &[u8]) {
        let Some(number) = self.sessions.get(client_id).and_then(|session| session.connection) else {
            return;
        };
        self.send_again(client_id, number);
        while self.send_next(client_id, number).is_some() {}
    }

    /// How many exchanges may be open at a time with this client (4.9).
    pub(super) fn quota(&self, connection: &Connection) -> usize {
        if !self.keeps(&[V5("MQTT-3.3.4-9"), V5("MQTT-4.9.0-2")]) {
            return usize::MAX;
        }
        let more = usize::from(!self.keeps(&[V5("MQTT-4.9.0-1")]));
        connection.receive_maximum + more
    }

    /// Sends the next message of the queue; none is sent if the queue is empty or the quota used up.
    fn send_next(&mut self, client_id: &[u8], number: u64) -> Option<()> {
        let (rules, now) = (self.rules, self.now);
        let quota = self.quota(self.connections.get(&number)?);
        let session = self.sessions.get_mut(client_id)?;
        if session.in_flight.iter().any(|one| !one.sent) || session.unacknowledged() >= quota {
            return None;
        }
        let outgoing = session.queue.pop_front()?;
        if outgoing.message.is_expired(now) && rules.keep(&[V5("MQTT-3.3.2-5")]) {
            return Some(());
        }
        let passes_over = rules.keep(&[V311("MQTT-2.3.1-4: around"), V5("MQTT-2.2.1-4: around")]);
        let packet_id = if rules.keep(rules_of_identifiers(outgoing.qos)) {
            session.new_packet_id(passes_over)
        } else {
            1
        };
        let dup = self.dup_of_first(&outgoing);
        let sent = self.send_publish(number, &outgoing, Some(packet_id), dup);
        let session = self.sessions.get_mut(client_id)?;
        if sent {
            session.in_flight.push(InFlight { packet_id, outgoing, step: Step::Publish, sent: true });
        } else if !rules.keep(&[V5("MQTT-3.1.2-25")]) {
            // What is too large counts as delivered; here it blocks the way.
            session.queue.push_front(outgoing);
            return None;
        }
        Some(())
    }

    /// DUP of a packet that is sent for the first time is 0.
    fn dup_of_first(&self, outgoing: &Outgoing) -> bool {
        let rules = match outgoing.qos {
            1 => [V311("MQTT-4.3.2-1: DUP"), V5("MQTT-4.3.2-2")],
            _ => [V311("MQTT-4.3.3-1: DUP"), V5("MQTT-4.3.3-2")],
        };
        let copied = !self.keeps(&[V311("MQTT-3.3.1-3"), V5("MQTT-3.3.1-3")]);
        !self.keeps(&rules) || (copied && outgoing.message.publish.dup)
    }

    /// On a new connection the exchanges of the session go on: each PUBLISH and PUBREL that waits for its answer
    /// is sent again, oldest first (4.4).
    fn send_again(&mut self, client_id: &[u8], number: u64) {
        let rules = self.rules;
        self.forget_exchanges(client_id);
        let Some(connection) = self.connections.get(&number) else { return };
        let quota = self.quota(connection);
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        let room = quota.saturating_sub(session.unacknowledged());
        let mut again = Vec::new();
        for exchange in session.in_flight.iter_mut().filter(|one| !one.sent).take(room) {
            exchange.sent = true;
            let same = &[V311("MQTT-4.4.0-1: new identifiers"), V5("MQTT-4.4.0-1: new identifiers")];
            if exchange.step == Step::Publish && !rules.keep(same) {
                exchange.packet_id += 100;
            }
            again.push(exchange.clone());
        }
        if !rules.keep(&[V311("MQTT-4.6.0-1")]) {
            again.reverse();
        }
        for exchange in again {
            self.send_exchange_again(number, exchange);
        }
    }

    fn send_exchange_again(&mut self, number: u64, exchange: InFlight) {
        let InFlight { packet_id, outgoing, step, .. } = exchange;
        if step == Step::Publish || !self.keeps(&[V5("MQTT-4.3.3-6")]) {
            let dup = self.keeps(&[V311("MQTT-3.3.1-1"), V5("MQTT-3.3.1-1")])
                && (outgoing.qos == 1
                    || self.keeps(&[V311("MQTT-3.3.1-1: QoS 2"), V5("MQTT-3.3.1-1: QoS 2")]));
            self.send_publish(number, &outgoing, Some(packet_id), dup);
        } else if self.keeps(&[V311("MQTT-4.4.0-1: PUBREL"), V5("MQTT-4.4.0-1: PUBREL")]) {
            self.explain(number, Ack::new(first::PUBREL, packet_id), "again");
        }
    }

    /// Nothing is forgotten before its exchange is over, and no message expires once it was sent: nothing happens
    /// here unless a rule is broken.
    fn forget_exchanges(&mut self, client_id: &[u8]) {
        let rules = self.rules;
        let now = self.now;
        let Some(session) = self.sessions.get_mut(client_id) else { return };
        session.in_flight.retain(|one| {
            let kept = match (one.step, one.outgoing.qos) {
                (Step::Publish, 1) => rules.keep(&[V311("MQTT-4.3.2-1"), V5("MQTT-4.3.2-3")]),
                (Step::Publish, _) => rules.keep(&[V311("MQTT-4.3.3-1"), V5("MQTT-4.3.3-3")]),
                (Step::Release, _) => rules.keep(&[V5("MQTT-4.3.3-5")]),
            };
            let lasts = !one.outgoing.message.is_expired(now) || rules.keep(&[V5("MQTT-4.3.3-7")]);
            one.sent || (kept && lasts && rules.keep(&[V311("MQTT-4.4.0-1"), V5("MQTT-4.4.0-1")]))
        });
    }
}

/// The rules that give a new message an identifier which is not in use.
fn rules_of_identifiers(qos: u8) -> &'static [Rule] {
    match qos {
        1 => {
            &[V311("MQTT-2.3.1-4"), V5("MQTT-2.2.1-4"), V311("MQTT-4.3.2-1: identifiers"), V5("MQTT-4.3.2-1")]
        }
        _ => {
            &[V311("MQTT-2.3.1-4"), V5("MQTT-2.2.1-4"), V311("MQTT-4.3.3-1: identifiers"), V5("MQTT-4.3.3-1")]
        }
    }
}
