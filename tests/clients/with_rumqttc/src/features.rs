//! What MQTT 5 adds to a message and to a subscription.

use crate::connection::Wishes;
use crate::expect::{self, Outcome};
use crate::message::Message;
use crate::peer::{Peer, Run};
use crate::state::pairs;
use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::PublishProperties;

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
    publisher.send(std::slice::from_ref(&deletion)).await?;
    late.expect_exactly("deleted", &[deletion.live()]).await
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
    subscriber.take();
    subscriber.subscribe_with(&topic, 1, identified(2)).await?;
    let replaced = Message::text(&topic, "replaced", 2);
    publisher.send(std::slice::from_ref(&replaced)).await?;
    subscriber.expect_exactly("replaced", &[carrying(replaced.at(1), &[2])]).await
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
