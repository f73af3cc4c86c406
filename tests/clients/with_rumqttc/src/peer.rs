//! One client as a program would use it: `Peer` asks, while a task of its own runs rumqttc's event loop
//! and records what happens.
//!
//! Never reconnects by itself: a connection that ends is what some scenarios are about.

use crate::connection::{self, Ended, EventLoop, Happened, Options, Requests, Wishes};
use crate::expect::{self, CONTROL_DEADLINE, Failure, Outcome, Settings};
use crate::message::Message;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// One run of one scenario.
pub(crate) struct Run {
    settings: Settings,
    pub(crate) is_five: bool,
    /// How many retained messages there are, for `retained-tree`.
    pub(crate) tree_size: u32,
    /// Topics that may hold a retained message at the end.
    retained: RefCell<BTreeSet<String>>,
}

impl Run {
    pub(crate) fn new(settings: Settings, is_five: bool, tree_size: u32) -> Self {
        Self { settings, is_five, tree_size, retained: RefCell::default() }
    }
}

impl Deref for Run {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

/// What a peer's event loop has reported so far.
#[derive(Default)]
struct Heard {
    session_present: Option<bool>,
    messages: Vec<Message>,
    /// QoS 2 messages whose exchange is not complete.
    incomplete: usize,
    /// Messages of QoS 0 that left.
    sent: usize,
    /// Messages of QoS 1 and 2 that the broker has.
    acknowledged: usize,
    /// Why the broker did not take a message.
    refused: Option<String>,
    granted: VecDeque<Vec<Result<u8, String>>>,
    unsubscribed: usize,
    ended: Option<Ended>,
}

impl Heard {
    fn add(&mut self, happened: Happened) {
        match happened {
            Happened::Connected { session_present } => self.session_present = Some(session_present),
            Happened::Received(message) => {
                self.incomplete += usize::from(message.qos == 2);
                self.messages.push(message);
            }
            Happened::Completed => self.incomplete = self.incomplete.saturating_sub(1),
            Happened::Sent => self.sent += 1,
            Happened::Acknowledged(Ok(())) => self.acknowledged += 1,
            Happened::Acknowledged(Err(why)) => self.refused = Some(why),
            Happened::Granted(codes) => self.granted.push_back(codes),
            Happened::Unsubscribed => self.unsubscribed += 1,
            Happened::Other => {}
        }
    }
}

/// What the task writes and the peer reads. The lock is held for a push or a look, never while waiting.
#[derive(Default)]
struct Inbox {
    heard: Mutex<Heard>,
    changed: Notify,
}

/// Runs the event loop until the connection is over.
async fn listen(mut event_loop: EventLoop, inbox: Arc<Inbox>) {
    loop {
        let happened = event_loop.next().await;
        let is_over = happened.is_err();
        match happened {
            Ok(happened) => inbox.heard.lock().add(happened),
            Err(ended) => inbox.heard.lock().ended = Some(ended),
        }
        inbox.changed.notify_one();
        if is_over {
            return;
        }
    }
}

/// A connected client.
pub(crate) struct Peer<'run> {
    run: &'run Run,
    name: String,
    /// Whether the broker had a session for it.
    pub(crate) session_present: bool,
    requests: Requests,
    inbox: Arc<Inbox>,
    /// Whether it leaves messages unacknowledged.
    is_manual: bool,
    /// The task ends with the connection, and with the peer at the latest.
    listening: JoinSet<()>,
    /// Messages of QoS 0 asked for, and of QoS 1 and 2.
    asked: (usize, usize),
}

impl<'run> Peer<'run> {
    /// Connects with a clean session; returns once CONNACK has come.
    pub(crate) async fn connect(run: &'run Run, name: &str) -> Outcome<Self> {
        Self::connect_with(run, name, Options::CLEAN).await
    }

    pub(crate) async fn connect_with(run: &'run Run, name: &str, options: Options) -> Outcome<Self> {
        if let Some(will) = options.will.as_ref().filter(|will| will.retain) {
            run.retained.borrow_mut().insert(will.topic.clone());
        }
        let client_id = format!("{}-{name}", run.prefix);
        let is_manual = options.is_manual;
        let (requests, event_loop) = connection::open(run, run.is_five, &client_id, options);
        let inbox = Arc::new(Inbox::default());
        let mut listening = JoinSet::new();
        listening.spawn(listen(event_loop, Arc::clone(&inbox)));
        let name = format!("rumqttc {name}");
        let session_present = false;
        let mut peer =
            Self { run, name, session_present, requests, inbox, is_manual, listening, asked: (0, 0) };
        let answered = peer.wait(CONTROL_DEADLINE, |heard| heard.session_present).await;
        peer.session_present =
            answered.map_err(|why| Failure(format!("{} could not connect: {why}", peer.name)))?;
        Ok(peer)
    }

    /// Waits until `found` finds something; otherwise says why it never will.
    async fn wait<T>(
        &self,
        limit: Duration,
        mut found: impl FnMut(&mut Heard) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + limit;
        loop {
            {
                let mut heard = self.inbox.heard.lock();
                if let Some(found) = found(&mut heard) {
                    return Ok(found);
                }
                if let Some(ended) = &heard.ended {
                    return Err(format!("the connection is over: {}", ended.why));
                }
            }
            if timeout_at(deadline, self.inbox.changed.notified()).await.is_err() {
                return Err(format!("the deadline of {} s passed", limit.as_secs_f64()));
            }
        }
    }

    /// Waits for what is no message: an acknowledgement of `what`.
    async fn acknowledgement<T>(&self, what: &str, found: impl FnMut(&mut Heard) -> Option<T>) -> Outcome<T> {
        let waited = self.wait(CONTROL_DEADLINE, found).await;
        waited.map_err(|why| Failure(format!("{}: no acknowledgement of {what}: {why}", self.name)))
    }

    fn asking(&self, what: &str, outcome: Result<(), String>) -> Outcome {
        outcome.map_err(|why| Failure(format!("{} could not {what}: {why}", self.name)))
    }

    /// Subscribes to one filter, waits for SUBACK, and checks that the QoS was granted.
    pub(crate) async fn subscribe(&self, filter: &str, qos: u8) -> Outcome {
        self.subscribe_with(filter, qos, Wishes::default()).await
    }

    pub(crate) async fn subscribe_with(&self, filter: &str, qos: u8, wishes: Wishes) -> Outcome {
        let heard = self.run.heard_filter(filter);
        self.asking("subscribe", self.requests.subscribe(heard, qos, wishes).await)?;
        let granted = self.acknowledgement("SUBSCRIBE", |heard| heard.granted.pop_front()).await?;
        expect::equal(&format!("granted for {filter}"), granted, vec![Ok(qos)])
    }

    pub(crate) async fn unsubscribe(&self, filter: &str) -> Outcome {
        let before = self.inbox.heard.lock().unsubscribed;
        self.asking("unsubscribe", self.requests.unsubscribe(self.run.heard_filter(filter)).await)?;
        let is_done = |heard: &mut Heard| (heard.unsubscribed > before).then_some(());
        self.acknowledgement("UNSUBSCRIBE", is_done).await
    }

    /// Publishes without waiting; `flush` waits for everything published so far.
    pub(crate) async fn publish(&mut self, message: Message) -> Outcome {
        if message.retain {
            self.run.retained.borrow_mut().insert(message.topic.clone());
        }
        match message.qos {
            0 => self.asked.0 += 1,
            _ => self.asked.1 += 1,
        }
        self.asking("publish", self.requests.publish(message).await)
    }

    /// Waits until QoS 0 has left and the broker has acknowledged the rest.
    pub(crate) async fn flush(&self) -> Outcome {
        let is_done = |heard: &mut Heard| match heard.refused.take() {
            Some(why) => Some(Err(why)),
            None => ((heard.sent, heard.acknowledged) == self.asked).then_some(Ok(())),
        };
        let outcome = self.acknowledgement("PUBLISH", is_done).await?;
        outcome.map_err(|why| Failure(format!("{}: the broker refused a message: {why}", self.name)))
    }

    /// Publishes these and waits until the broker has them.
    pub(crate) async fn send(&mut self, messages: &[Message]) -> Outcome {
        for message in messages {
            self.publish(message.clone()).await?;
        }
        self.flush().await
    }

    /// Waits until the broker has read the acknowledgements of all that was received.
    pub(crate) async fn settle(&mut self) -> Outcome {
        let is_manual = self.is_manual;
        let is_done = |heard: &mut Heard| (is_manual || heard.incomplete == 0).then_some(());
        self.acknowledgement("PUBREC", is_done).await?;
        self.send(&[Message::text(&self.run.topic("settled"), "", 1)]).await
    }

    /// Sends DISCONNECT; returns when the broker has closed the connection.
    pub(crate) async fn disconnect(mut self) -> Outcome {
        self.settle().await?;
        self.asking("disconnect", self.requests.disconnect().await)?;
        self.ended().await.map(|_| ())
    }

    /// Ends the connection without DISCONNECT.
    pub(crate) async fn kill(mut self) -> Outcome {
        self.settle().await?;
        self.listening.shutdown().await;
        Ok(())
    }

    /// Waits until the broker ends the connection.
    pub(crate) async fn ended(&self) -> Outcome<Ended> {
        let ended = self.wait(CONTROL_DEADLINE, |heard| heard.ended.clone()).await;
        ended.map_err(|why| Failure(format!("{} is still connected: {why}", self.name)))
    }

    /// Waits until what was received makes `condition` true.
    pub(crate) async fn wait_until(&self, what: &str, condition: impl FnMut(&[Message]) -> bool) -> Outcome {
        self.wait_longer(1, what, condition).await
    }

    /// The same with `times` the deadline.
    pub(crate) async fn wait_longer(
        &self,
        times: u32,
        what: &str,
        mut condition: impl FnMut(&[Message]) -> bool,
    ) -> Outcome {
        let deadline = self.run.deadline * times;
        let waited = self.wait(deadline, |heard| condition(&heard.messages).then_some(())).await;
        waited.map_err(|why| {
            let heard = self.inbox.heard.lock();
            let last = heard.messages.last().map_or_else(|| "none".to_owned(), expect::shorten);
            let (name, count) = (&self.name, heard.messages.len());
            Failure(format!(
                "{name} received {count} messages, waiting for {what}: {why}; the last one: {last}"
            ))
        })
    }

    pub(crate) async fn wait_count(&self, count: usize) -> Outcome {
        self.wait_until(&format!("{count} messages"), |messages| messages.len() >= count).await
    }

    /// Waits for `expected`, the last of which is the last to come, and takes the complete list.
    pub(crate) async fn take_through_last(&self, expected: &[Message]) -> Outcome<Vec<Message>> {
        let has_come =
            |got: &[Message]| got.last().map(|got| &got.payload) == expected.last().map(|last| &last.payload);
        self.wait_until("the last message", has_come).await?;
        Ok(self.take())
    }

    /// Takes what was received so far: the next comparison begins here.
    pub(crate) fn take(&self) -> Vec<Message> {
        std::mem::take(&mut self.inbox.heard.lock().messages)
    }

    /// How many messages were received and not taken.
    pub(crate) fn count(&self) -> usize {
        self.inbox.heard.lock().messages.len()
    }

    /// Waits for `expected` and compares the complete list.
    pub(crate) async fn expect_exactly(&self, what: &str, expected: &[Message]) -> Outcome {
        self.wait_count(expected.len()).await?;
        expect::compare(&format!("{}, {what}", self.name), &self.take(), expected)
    }

    /// The same where the order among topics is the broker's own: a retained replay.
    pub(crate) async fn expect_any_order(&self, what: &str, expected: &[Message]) -> Outcome {
        self.wait_count(expected.len()).await?;
        let (mut received, mut expected) = (self.take(), expected.to_vec());
        received.sort_by_key(Message::key);
        expected.sort_by_key(Message::key);
        expect::compare(&format!("{}, {what}", self.name), &received, &expected)
    }
}

/// Deletes what was retained, with one more client, and leaves.
pub(crate) async fn clean_up(run: &Run) -> Outcome {
    let topics: Vec<String> = run.retained.borrow().iter().cloned().collect();
    if topics.is_empty() {
        return Ok(());
    }
    let mut cleaner = Peer::connect(run, "cleaner").await?;
    for topic in topics {
        cleaner.publish(Message::text(&topic, "", 1).retained()).await?;
    }
    cleaner.disconnect().await
}
