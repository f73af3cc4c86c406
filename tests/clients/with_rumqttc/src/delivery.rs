//! What is published arrives, whole, in order, as often as it must.

use crate::expect::{self, Failure, Outcome};
use crate::message::{Message, numbered};
use crate::peer::{Peer, Run};
use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use tokio::time::{Duration, Instant, sleep};

const QOS_LEVELS: [u8; 3] = [0, 1, 2];

/// Every QoS published to a subscription of every QoS: the lower of the two arrives.
pub(crate) async fn qos(run: &Run) -> Outcome {
    let mut subscribers = Vec::new();
    for level in QOS_LEVELS {
        let subscriber = Peer::connect(run, &format!("qos{level}")).await?;
        subscriber.subscribe(&run.topic("qos/#"), level).await?;
        subscribers.push((level, subscriber));
    }
    let mut publisher = Peer::connect(run, "publisher").await?;
    for published in QOS_LEVELS {
        let sent = numbered(&run.topic(&format!("qos/{published}")), 200, published);
        publisher.send(&sent).await?;
        for (level, subscriber) in &subscribers {
            let expected: Vec<Message> =
                sent.iter().map(|message| message.clone().at(published.min(*level))).collect();
            subscriber.expect_exactly(&format!("published at QoS {published}"), &expected).await?;
        }
    }
    let last = Message::text(&run.topic("qos/last"), "", 2);
    publisher.send(std::slice::from_ref(&last)).await?;
    for (level, subscriber) in &subscribers {
        subscriber.expect_exactly("last", &[last.clone().at(*level)]).await?;
    }
    Ok(())
}

/// 200 KB and exactly 1 MiB at each QoS, byte by byte.
pub(crate) async fn large(run: &Run) -> Outcome {
    let subscriber = Peer::connect(run, "large").await?;
    subscriber.subscribe(&run.topic("large/#"), 2).await?;
    let mut publisher = Peer::connect(run, "publisher").await?;
    for level in QOS_LEVELS {
        let mut sent = Vec::new();
        for size in [200_000, 1024 * 1024, 200_001] {
            let topic = run.topic(&format!("large/{level}/{size}"));
            sent.push(Message::new(&topic, noise(size, level), level));
        }
        publisher.send(&sent).await?;
        subscriber.expect_exactly(&format!("large at QoS {level}"), &sent).await?;
    }
    let last = [Message::text(&run.topic("large/last"), "last", 2)];
    publisher.send(&last).await?;
    subscriber.expect_exactly("last", &last).await
}

/// `size` bytes without a pattern that a shifted or repeated piece would fit into (an xorshift generator).
fn noise(size: usize, seed: u8) -> Vec<u8> {
    let mut state = size as u64 ^ (u64::from(seed) + 1) << 32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(size).collect()
}

/// Overlapping subscriptions of different QoS: one delivery, at the highest.
pub(crate) async fn overlap(run: &Run) -> Outcome {
    let subscriber = Peer::connect(run, "overlap").await?;
    for (filter, level) in [("overlap/#", 0), ("overlap/+", 2), ("overlap/a", 1)] {
        subscriber.subscribe(&run.topic(filter), level).await?;
    }
    let mut publisher = Peer::connect(run, "publisher").await?;
    let mut expected = numbered(&run.topic("overlap/a"), 10, 2);
    expected.push(Message::text(&run.topic("overlap/last"), "last", 2));
    for message in &expected {
        publisher.send(std::slice::from_ref(message)).await?;
    }
    let has_come = |got: &[Message]| expected.last().is_some_and(|last| got.contains(last));
    subscriber.wait_until("the last message", has_come).await?;
    let mut received = subscriber.take();
    if run.is_against_mosquitto {
        // It sends copies (allowed), in 3.1.1 one at any QoS (a fault).
        received.iter_mut().for_each(|message| message.qos = 2);
        received.dedup();
    }
    expect::compare("overlap", &received, &expected)
}

/// Groups of two and of three members, each QoS, and an ordinary subscriber beside them.
pub(crate) async fn shared(run: &Run) -> Outcome {
    let whole = Peer::connect(run, "whole").await?;
    whole.subscribe(&run.topic("shared/#"), 2).await?;
    let mut groups = Vec::new();
    for size in [2, 3] {
        let share = format!("$share/{}-{size}/{}", run.prefix, run.topic("shared/#"));
        let mut group = Vec::new();
        for index in 0..size {
            let member = Peer::connect(run, &format!("member{size}-{index}")).await?;
            member.subscribe(&share, 2).await?;
            member.subscribe(&run.topic("done"), 2).await?;
            group.push(member);
        }
        groups.push(group);
    }
    let mut publisher = Peer::connect(run, "publisher").await?;
    for level in QOS_LEVELS {
        let sent = numbered(&run.topic(&format!("shared/{level}")), 300, level);
        publisher.send(&sent).await?;
        whole.expect_exactly(&format!("beside the groups at QoS {level}"), &sent).await?;
        for group in &groups {
            received_together(run, group, sent.len()).await?;
        }
        let done = Message::text(&run.topic("done"), &format!("done {level}"), 2);
        publisher.send(std::slice::from_ref(&done)).await?;
        for group in &groups {
            shared_exactly(group, &sent, &done).await?;
        }
    }
    Ok(())
}

async fn received_together(run: &Run, group: &[Peer<'_>], wanted: usize) -> Outcome {
    let deadline = Instant::now() + run.deadline;
    // No single event tells that several members have received something together.
    loop {
        let count: usize = group.iter().map(Peer::count).sum();
        if count >= wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            let size = group.len();
            return Err(Failure(format!("{size} members received {count} of {wanted} messages together")));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// The members together have received each message once, each in order, and each member some.
async fn shared_exactly(group: &[Peer<'_>], sent: &[Message], done: &Message) -> Outcome {
    let size = group.len();
    let mut together = Vec::new();
    for member in group {
        member.wait_until("the last message", |got| got.contains(done)).await?;
        let mut part = member.take();
        expect::equal("the last message", part.pop().as_ref(), Some(done))?;
        if part.is_empty() {
            return Err(Failure(format!("one of {size} members received nothing")));
        }
        let mut in_order = part.clone();
        in_order.sort_by_key(Message::key);
        expect::compare("the part of one member", &part, &in_order)?;
        together.extend(part);
    }
    together.sort_by_key(Message::key);
    expect::compare(&format!("group of {size}"), &together, sent)
}

/// At each QoS, a request is answered on the topic it names, with its correlation data.
pub(crate) async fn request_response(run: &Run) -> Outcome {
    let mut asking = Peer::connect(run, "asking").await?;
    let mut answering = Peer::connect(run, "answering").await?;
    asking.subscribe(&run.topic("response/+"), 2).await?;
    answering.subscribe(&run.topic("request"), 2).await?;
    for (number, level) in (0..21_u8).zip(QOS_LEVELS.into_iter().cycle()) {
        let response = run.topic(&format!("response/{number}"));
        let mut request = Message::text(&run.topic("request"), &response, level);
        let mut answer = Message::text(&response, &format!("answer {number}"), level);
        if run.is_five {
            let data = [&[number, 0, 255], b"correlation".as_slice()].concat();
            request.properties.response_topic = Some(response.clone());
            request.properties.correlation_data = Some(Bytes::from(data));
            answer.properties.correlation_data.clone_from(&request.properties.correlation_data);
        }
        asking.send(std::slice::from_ref(&request)).await?;
        answering.expect_exactly("request", &[request]).await?;
        answering.send(std::slice::from_ref(&answer)).await?;
        asking.expect_exactly("response", &[answer]).await?;
    }
    let last = ["request", "response/last"].map(|name| Message::text(&run.topic(name), "last", 2));
    asking.send(&last).await?;
    let [request, response] = last;
    answering.expect_exactly("last", &[request]).await?;
    asking.expect_exactly("last", &[response]).await
}

/// 100 clients at once, 20 numbered messages each: complete, each publisher's in order.
pub(crate) async fn many(run: &Run) -> Outcome {
    let (count, each) = if run.is_small { (20, 5) } else { (100, 20) };
    let subscriber = Peer::connect(run, "many").await?;
    subscriber.subscribe(&run.topic("many/#"), 2).await?;
    let mut publishers = Vec::new();
    for (index, level) in (0..count).zip(QOS_LEVELS.into_iter().cycle()) {
        let publisher = Peer::connect(run, &format!("publisher{index}")).await?;
        publishers.push((publisher, numbered(&run.topic(&format!("many/{index}")), each, level)));
    }
    for number in 0..each as usize {
        for (publisher, messages) in &mut publishers {
            if let Some(message) = messages.get(number) {
                publisher.publish(message.clone()).await?;
            }
        }
    }
    for (publisher, _) in &publishers {
        publisher.flush().await?;
    }
    let all = publishers.len() * each as usize;
    subscriber.wait_count(all).await?;
    let last = Message::text(&run.topic("many/last"), "last", 2);
    if let Some((publisher, _)) = publishers.first_mut() {
        publisher.send(std::slice::from_ref(&last)).await?;
    }
    subscriber.wait_count(all + 1).await?;
    let mut received = subscriber.take();
    // A stable sort: the messages of one topic keep the order they came in.
    received.sort_by(|one, other| one.topic.cmp(&other.topic));
    let mut expected: Vec<Message> = publishers.into_iter().flat_map(|(_, messages)| messages).collect();
    expected.push(last);
    expected.sort_by(|one, other| one.topic.cmp(&other.topic));
    expect::compare("many", &received, &expected)
}

/// A client sends a topic once and then its alias, sets it anew, and both arrive in full.
pub(crate) async fn topic_alias(run: &Run) -> Outcome {
    let subscriber = Peer::connect(run, "alias").await?;
    subscriber.subscribe(&run.topic("alias/#"), 2).await?;
    let mut publisher = Peer::connect(run, "publisher").await?;
    for level in QOS_LEVELS {
        let mut expected = Vec::new();
        for round in ["first", "second"] {
            let messages = numbered(&run.topic(&format!("alias/{round}/{level}")), 20, level);
            for (number, message) in messages.iter().enumerate() {
                let alias = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
                let mut sent = message.clone().with(alias);
                if number > 0 {
                    sent.topic.clear();
                }
                publisher.publish(sent).await?;
            }
            expected.extend(messages);
        }
        publisher.flush().await?;
        subscriber.expect_exactly(&format!("aliased at QoS {level}"), &expected).await?;
    }
    let last = [Message::text(&run.topic("alias/last"), "last", 2)];
    publisher.send(&last).await?;
    subscriber.expect_exactly("last", &last).await
}
