//! What MQTT 5 adds to a message and to a subscription.

use crate::connection::{Options, Wishes};
use crate::expect::{self, Failure, Outcome};
use crate::message::Message;
use crate::peer::{Peer, Run};
use crate::state::pairs;
use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use std::time::Duration;
use tokio::time::sleep;

/// All properties of a PUBLISH passed on unchanged, user properties in order with repeats.
pub(crate) async fn properties(run: &Run) -> Outcome {
    let subscriber = Peer::connect(run, "subscriber").await?;
    subscriber.subscribe(&run.topic("properties/#"), 2).await?;
    let mut publisher = Peer::connect(run, "publisher").await?;
    for level in [0, 1, 2] {
        let topic = run.topic(&format!("properties/{level}"));
        let message = Message::text(&topic, "héllo", level);
        let sent: Vec<Message> = cases().into_iter().map(|case| message.clone().with(case)).collect();
        publisher.send(&sent).await?;
        subscriber.expect_exactly(&format!("properties at QoS {level}"), &sent).await?;
    }
    let kept = Message::text(&run.topic("properties/kept"), "kept", 1).with(every_property()).retained();
    publisher.send(std::slice::from_ref(&kept)).await?;
    subscriber.expect_exactly("retained, live", &[kept.clone().live()]).await?;
    let late = Peer::connect(run, "late").await?;
    late.subscribe(&kept.topic, 2).await?;
    late.expect_exactly("retained", std::slice::from_ref(&kept)).await?;
    let deletion = Message::text(&kept.topic, "", 2).retained();
    let deleted = [deletion.clone().live(), Message::text(&kept.topic, "last", 2)];
    publisher.send(&[deletion]).await?;
    publisher.send(deleted.get(1..).unwrap_or_default()).await?;
    late.expect_exactly("deleted", &deleted).await?;
    subscriber.expect_exactly("deleted", &deleted).await
}

/// Message expiry is counted down while a message waits; what has expired never comes.
pub(crate) async fn expiry(run: &Run) -> Outcome {
    let [topic, kept, gone] = ["a", "kept", "gone"].map(|name| run.topic(&format!("expiry/{name}")));
    let expiring = |topic: &str, payload: &str, seconds| {
        let message_expiry_interval = Some(seconds);
        Message::text(topic, payload, 1)
            .with(PublishProperties { message_expiry_interval, ..PublishProperties::default() })
    };
    let mut publisher = Peer::connect(run, "publisher").await?;
    let away = Peer::connect_with(run, "away", Options::LASTING).await?;
    away.subscribe(&topic, 1).await?;
    for payload in ["live", "live again"] {
        let live = [expiring(&topic, payload, 50)];
        publisher.send(&live).await?;
        away.expect_exactly("live", &live).await?;
    }
    away.disconnect().await?;
    let too_old = expiring(&topic, "too old", 1);
    publisher.send(&[too_old.clone(), expiring(&topic, "fresh", 100), too_old]).await?;
    publisher.send(&[Message::text(&topic, "for ever", 1)]).await?;
    publisher.send(&[expiring(&kept, "kept", 100).retained(), expiring(&gone, "gone", 1).retained()]).await?;
    // Time itself is what is tested.
    sleep(Duration::from_millis(2200)).await;
    let away = Peer::connect_with(run, "away", Options::LASTING).await?;
    let last = Message::text(&topic, "last", 1);
    publisher.send(std::slice::from_ref(&last)).await?;
    let expected = ["fresh", "for ever", "last"].map(|payload| Message::text(&topic, payload, 1));
    let received = away.take_through_last(&expected).await?;
    expect::compare("queued", &counted_down(received, "fresh")?, &expected)?;
    away.disconnect().await?;
    let late = Peer::connect(run, "late").await?;
    late.subscribe(&run.topic("expiry/#"), 1).await?;
    publisher.send(std::slice::from_ref(&last)).await?;
    let expected = [Message::text(&kept, "kept", 1).retained(), last];
    let received = late.take_through_last(&expected).await?;
    expect::compare("retained", &counted_down(received, "kept")?, &expected)?;
    Peer::connect(run, "away").await?.disconnect().await
}

/// What was received, less the expiry of the message `expiring`: 100 s, given more than 2 s ago.
fn counted_down(mut received: Vec<Message>, expiring: &str) -> Outcome<Vec<Message>> {
    for message in received.iter_mut().filter(|message| message.payload == expiring.as_bytes()) {
        let left = message.properties.message_expiry_interval.take();
        if !left.is_some_and(|left| (50..=98).contains(&left)) {
            return Err(Failure(format!("received {expiring} expiring in {left:?} s, expected 50 to 98")));
        }
    }
    Ok(received)
}

/// All that a publisher may say, but for what the broker itself counts or replaces.
fn every_property() -> PublishProperties {
    let long = "x".repeat(5000);
    PublishProperties {
        payload_format_indicator: Some(1),
        content_type: Some("text/plain; charset=utf-8".to_owned()),
        response_topic: Some("answer/here".to_owned()),
        correlation_data: Some((0..=u8::MAX).collect::<Vec<u8>>().into()),
        user_properties: pairs(&[("b", "1"), ("a", "2"), ("b", "3"), ("b", "1"), ("", ""), ("é", &long)]),
        ..PublishProperties::default()
    }
}

/// All properties, none, and each alone.
fn cases() -> Vec<PublishProperties> {
    let all = every_property();
    let none = PublishProperties::default();
    let many = (0..50).map(|number| ("key".to_owned(), number.to_string())).collect();
    vec![
        all.clone(),
        none.clone(),
        PublishProperties { payload_format_indicator: Some(0), ..none.clone() },
        PublishProperties { payload_format_indicator: Some(1), ..none.clone() },
        PublishProperties { content_type: all.content_type, ..none.clone() },
        PublishProperties { response_topic: all.response_topic, ..none.clone() },
        PublishProperties { correlation_data: all.correlation_data, ..none.clone() },
        PublishProperties { correlation_data: Some(Bytes::new()), ..none.clone() },
        PublishProperties { user_properties: all.user_properties, ..none.clone() },
        PublishProperties { user_properties: many, ..none },
    ]
}

/// No local, retain as published, and retain handling 0, 1 and 2.
pub(crate) async fn subscribe_options(run: &Run) -> Outcome {
    let topic = run.topic("options");
    let mut publisher = Peer::connect(run, "publisher").await?;
    let kept = Message::text(&topic, "kept", 1).retained();
    publisher.send(std::slice::from_ref(&kept)).await?;
    let handling = |retain_handling| Wishes { retain_handling, ..Wishes::default() };
    let always = Peer::connect(run, "always").await?;
    for _ in 0..2 {
        always.subscribe_with(&topic, 1, handling(0)).await?;
        always.expect_exactly("retain handling 0", std::slice::from_ref(&kept)).await?;
    }
    let new = Peer::connect(run, "new").await?;
    new.subscribe_with(&topic, 1, handling(1)).await?;
    new.expect_exactly("retain handling 1, new", std::slice::from_ref(&kept)).await?;
    new.subscribe_with(&topic, 1, handling(1)).await?;
    let never = Peer::connect(run, "never").await?;
    never.subscribe_with(&topic, 1, handling(2)).await?;

    let published = Peer::connect(run, "published").await?;
    let as_published = Wishes { retain_as_published: true, ..Wishes::default() };
    published.subscribe_with(&topic, 1, as_published).await?;
    published.expect_exactly("retained", std::slice::from_ref(&kept)).await?;
    let mut local = Peer::connect(run, "local").await?;
    local.subscribe_with(&topic, 1, Wishes { no_local: true, ..Wishes::default() }).await?;
    local.expect_exactly("no local, retained by another", &[kept]).await?;

    let from_local = Message::text(&topic, "from local", 1).retained();
    local.send(std::slice::from_ref(&from_local)).await?;
    let last = Message::text(&topic, "last", 1);
    publisher.send(std::slice::from_ref(&last)).await?;
    local.expect_exactly("no local", std::slice::from_ref(&last)).await?;
    published.expect_exactly("retain as published", &[from_local.clone(), last.clone()]).await?;
    for peer in [always, new, never] {
        peer.expect_exactly("live", &[from_local.clone().live(), last.clone()]).await?;
    }
    Ok(())
}

/// Each delivery carries the identifiers of all the subscriptions it answers to.
pub(crate) async fn subscription_identifiers(run: &Run) -> Outcome {
    /// The largest that MQTT allows.
    const LARGEST: usize = 268_435_455;
    let identified = |identifier| Wishes { identifier: Some(identifier), ..Wishes::default() };
    let carrying = |message: Message, identifiers: &[usize]| {
        let subscription_identifiers = identifiers.to_vec();
        message.with(PublishProperties { subscription_identifiers, ..PublishProperties::default() })
    };
    let (topic, last) = (run.topic("identified/a"), run.topic("identified/last"));
    let subscriber = Peer::connect(run, "subscriber").await?;
    subscriber.subscribe_with(&topic, 0, identified(1)).await?;
    subscriber.subscribe_with(&run.topic("identified/+"), 2, identified(LARGEST)).await?;
    subscriber.subscribe(&run.topic("identified/#"), 1).await?;
    let other = Peer::connect(run, "other").await?;
    other.subscribe_with(&topic, 1, identified(9)).await?;
    let mut publisher = Peer::connect(run, "publisher").await?;
    let both = Message::text(&topic, "both", 2);
    publisher.send(std::slice::from_ref(&both)).await?;
    other.expect_exactly("its own", &[carrying(both.clone().at(1), &[9])]).await?;
    let last = Message::text(&last, "last", 2);
    publisher.send(std::slice::from_ref(&last)).await?;
    let expected = [carrying(both, &[1, LARGEST]), carrying(last.clone(), &[LARGEST])];
    let has_come = |got: &[Message]| got.iter().any(|got| got.topic == last.topic && got.qos == 2);
    subscriber.wait_until("the last message", has_come).await?;
    let mut received = subscriber.take();
    if run.is_against_mosquitto {
        received = merged(received);
    }
    received.iter_mut().for_each(|message| message.properties.subscription_identifiers.sort_unstable());
    expect::compare("both identifiers", &received, &expected)?;

    subscriber.unsubscribe(&run.topic("identified/+")).await?;
    subscriber.unsubscribe(&run.topic("identified/#")).await?;
    subscriber.subscribe_with(&topic, 1, identified(2)).await?;
    let replaced = ["replaced", "last"].map(|payload| Message::text(&topic, payload, 2));
    publisher.send(&replaced).await?;
    let as_received = |identifier| replaced.clone().map(|message| carrying(message.at(1), &[identifier]));
    subscriber.expect_exactly("replaced", &as_received(2)).await?;
    other.expect_exactly("its own", &as_received(9)).await
}

/// Mosquitto sends a copy for each subscription, with its identifier: one message of them.
fn merged(copies: Vec<Message>) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for copy in copies {
        match messages.iter_mut().find(|message| message.topic == copy.topic) {
            Some(message) => {
                let identifiers = &mut message.properties.subscription_identifiers;
                identifiers.extend(copy.properties.subscription_identifiers);
            }
            None => messages.push(copy.at(2)),
        }
    }
    messages
}
