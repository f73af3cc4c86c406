//! rumqttc's part in with_together: the tree of retained messages that another client has set.
//!
//! `tests/clients/tree.py` says the same in Python.

use crate::expect::{self, Outcome};
use crate::message::Message;
use crate::peer::{Peer, Run};

/// How much longer than others this may take: 100,000 messages.
const PATIENCE: u32 = 3;

/// Subscribes to `#` and fails unless the tree is there, whole, and nothing else of this run.
pub(crate) async fn read(run: &Run) -> Outcome {
    let count = run.tree_size;
    let mut reader = Peer::connect(run, "rumqttc-reader").await?;
    reader.subscribe("#", 1).await?;
    let ours = format!("{}/", run.prefix);
    let (mut seen, mut found) = (0, 0);
    // Each message is looked at once, however often this is asked.
    let is_there = |messages: &[Message]| {
        let fresh = messages.get(seen..).unwrap_or_default();
        found += fresh.iter().filter(|message| message.topic.starts_with(&ours)).count();
        seen = messages.len();
        found > count as usize
    };
    let what = format!("{count} retained messages and a marker");
    reader.wait_longer(PATIENCE, &what, is_there).await?;
    let last = Message::text(&run.topic("rumqttc-last"), "last", 1);
    reader.send(std::slice::from_ref(&last)).await?;
    reader.wait_until("the last message", |messages| messages.iter().rev().any(|got| *got == last)).await?;
    let mut received = reader.take();
    // Other readers publish a last message each, and other runs what they like.
    let is_others = |topic: &str| topic.ends_with("-last") && topic != last.topic;
    received.retain(|message| message.topic.starts_with(&ours) && !is_others(&message.topic));
    let value = |number| {
        let topic = run.topic(&format!("tree/{}/{}", number / 1000, number % 1000));
        Message::text(&topic, &format!("value {number}"), 1).retained()
    };
    let mut expected: Vec<Message> = (0..count).map(value).collect();
    expected.push(Message::text(&run.topic("marker"), "marker", 1).retained());
    expected.push(last);
    received.sort_by(|one, other| one.topic.cmp(&other.topic));
    expected.sort_by(|one, other| one.topic.cmp(&other.topic));
    expect::compare("rumqttc", &received, &expected)
}
