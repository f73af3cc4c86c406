//! A policy of one's own: who may do what is decided by topic. Run it with
//! `cargo run -p aldis-server --example rights`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use aldis_client::{Client, Options, Outgoing};
use aldis_packet::SubscriptionOptions;
use aldis_server::{Act, Message, QoS, ReasonCode, Rights, Server, Settings, Subscriber, Verdict};
use std::error::Error;
use std::sync::Arc;

/// A device speaks under `devices/<its client id>/` and nowhere else; everybody may listen to
/// everything, but nobody hears what stands under `…/private/`.
///
/// The broker asks on every path: before it routes a message or takes a will, before it makes a
/// subscription, and before each single delivery, retained and queued ones too. It asks while it
/// works on messages, so an answer must come at once: look things up beforehand.
struct ByTopic;

impl Rights for ByTopic {
    fn allows(&self, client_id: &str, _user_name: Option<&str>, act: Act, topic: &str) -> Verdict {
        let mut levels = topic.split('/');
        match act {
            Act::Publish if levels.next() != Some("devices") || levels.next() != Some(client_id) => {
                // Named in the log, beside the client and the topic.
                Verdict::denied_by("a device speaks under devices/<its client id>/")
            }
            Act::Publish | Act::Subscribe => Verdict::Allowed,
            Act::Receive => Verdict::from(!levels.any(|level| level == "private")),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings { listeners: Vec::new(), ..Settings::default() };
    let server = Server::builder().settings(settings).rights(Arc::new(ByTopic)).start().await?;
    let mut everything = server.subscribe("#", QoS::AtLeastOnce).await?;

    let (mut boiler, _) = Client::connect(server.connect(64 << 10), Options::new("boiler")).await?;
    for topic in ["devices/boiler/temperature", "devices/heater/temperature", "devices/boiler/private/key"] {
        let message = Outgoing::new(topic, "61").qos(QoS::AtLeastOnce);
        println!("boiler publishes to {topic}: {}", boiler.publish_and_wait(message).await?);
    }
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    let suback = boiler.subscribe(&[("devices/#", options)], None).await?;
    let granted = suback.reasons.first().and_then(|code| ReasonCode::from_u8(*code));
    println!("boiler subscribes to devices/#: {granted:?}");
    boiler.disconnect().await?;

    // What the program itself publishes is not asked about; who hears of it still is.
    server.publisher().publish(Message::new("notice/private/all", "unheard")).await?;
    server.publisher().publish(Message::new("notice/all", "maintenance at noon")).await?;
    hear_two(&mut everything).await;
    server.shutdown().await;
    Ok(())
}

async fn hear_two(subscriber: &mut Subscriber) {
    for _ in 0..2 {
        if let Some(message) = subscriber.recv().await {
            println!("everybody hears {}: {:?}", message.topic, message.payload);
        }
    }
}
