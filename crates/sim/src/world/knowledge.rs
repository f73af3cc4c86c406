//! What is known of a run, and who is told.

use super::{Lights, Phase, World};
use crate::ground::Message;
use crate::watch::{Fact, Watch};
use aldis_broker::Population;
use aldis_packet::Publish;
use aldis_session::Counters;
use std::sync::{Arc, Weak};

impl World {
    /// How many there are of what the Broker owns.
    pub fn population(&self) -> Arc<Population> {
        Arc::clone(&self.lights.borrow().population)
    }

    /// The totals.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.lights.borrow().counters)
    }

    /// What everybody sees of the broker.
    pub fn lights(&self) -> Lights {
        self.lights.borrow().clone()
    }

    /// Whether what is held for all is above the watermark.
    pub fn memory_full(&self) -> bool {
        self.counters().holds_more_than(self.limits.memory_watermark)
    }

    /// Whether everybody only reads and acknowledges.
    pub fn is_draining(&self) -> bool {
        self.phase.get() != Phase::Running
    }

    /// Whether nobody comes back.
    pub fn is_ending(&self) -> bool {
        self.phase.get() == Phase::Ending
    }

    pub(super) fn note(&self, watch: &Watch) {
        self.failed.set(watch.failure.is_some());
    }

    /// Something is wrong.
    pub fn fail(&self, checker: &'static str, what: String) {
        let mut watch = self.watch.borrow_mut();
        watch.fail(checker, what);
        self.note(&watch);
    }

    /// It happened once more.
    pub fn count(&self, kind: &'static str) {
        self.watch.borrow_mut().census.count(kind);
    }

    /// Whether somebody is in the middle of a replay of retained messages.
    pub fn is_replaying(&self) -> bool {
        let sessions = self.sessions.borrow();
        sessions.iter().filter_map(Weak::upgrade).any(|session| session.outbox.lock().waiting_replays() > 0)
    }

    /// Adds a line to the story.
    pub fn tell(&self, line: impl FnOnce() -> String) {
        let mut watch = self.watch.borrow_mut();
        watch.ground.now = self.now();
        watch.tell(|_| line());
    }

    /// A client is going to publish this.
    pub fn new_message(&self, message: Message) -> usize {
        let messages = &mut self.watch.borrow_mut().ground.messages;
        messages.push(message);
        messages.len() - 1
    }

    /// The message with this number.
    pub fn message(&self, number: usize) -> Message {
        self.watch.borrow().ground.messages[number].clone()
    }

    /// The next message without a payload on this connection is that one.
    pub fn sends_empty(&self, number: usize, message: usize) {
        self.watch.borrow_mut().ground.conns[number].empties.push_back(message);
    }

    /// Topics that may have a retained message.
    pub fn retained_topics(&self) -> std::collections::BTreeSet<String> {
        let watch = self.watch.borrow();
        let retained = watch.ground.messages.iter().filter(|message| message.retain);
        retained.map(|message| message.topic.clone()).collect()
    }

    /// The newest life of a client's session.
    pub fn life_of(&self, client: usize) -> usize {
        self.watch.borrow().ground.life_of.get(&client).copied().unwrap_or(usize::MAX)
    }

    /// The application of a client gets a message.
    pub fn taken(&self, client: usize, life: usize, publish: &Publish<'_>, topic: String) {
        let mut watch = self.watch.borrow_mut();
        let published = crate::ground::Published {
            message: watch.ground.message_in(publish.payload),
            topic,
            qos: publish.qos.value(),
            id: publish.packet_id.map_or(0, |id| id.get()),
            dup: publish.dup,
            retain: publish.retain,
            is_repeat: false,
            may_be_repeat: false,
        };
        watch.see(&Fact::Taken { client, life, publish: &published });
        self.note(&watch);
    }

    /// A will is handed to the publisher.
    pub fn will_is_due(&self, payload: &[u8]) {
        let mut watch = self.watch.borrow_mut();
        let Some(message) = watch.ground.message_in(payload) else { return };
        let moment = watch.ground.tick();
        watch.ground.messages[message].read_at = Some(moment);
        watch.tell(|ground| {
            format!(
                "the will of {} is due (message {message})",
                ground.name(ground.messages[message].publisher)
            )
        });
        watch.see(&Fact::WillDue { message });
        self.note(&watch);
    }

    /// A will was offered.
    pub fn will_is_routed(&self, payload: &[u8]) {
        let mut watch = self.watch.borrow_mut();
        let Some(message) = watch.ground.message_in(payload) else { return };
        let moment = watch.ground.tick();
        watch.ground.messages[message].answered_at = Some(moment);
        watch.see(&Fact::WillRouted { message });
        self.note(&watch);
    }

    /// A publication from inside.
    pub fn inner_publication(&self) {
        self.inner.set(self.inner.get() + 1);
    }
}
