//! A program with a broker inside: it publishes and subscribes without a socket, serves a TCP client
//! beside that, and shuts down. Run it with `cargo run -p aldis-server --example embed`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use aldis_client::{Client, Options, Outgoing};
use aldis_server::{Listener, Message, QoS, Server, Settings};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Port 0: the system chooses a free one. Without listeners there would be no socket at all.
    let free_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let settings = Settings { listeners: vec![Listener::tcp(free_port)], ..Settings::default() };
    let server = Server::builder().settings(settings).start().await?;
    let address = *server.addresses().first().ok_or("the broker does not listen")?;
    println!("the broker listens on {address}");

    // From inside to inside, retained.
    let publisher = server.publisher();
    publisher.publish(Message::new("home/hall/lamp", "on").retained()).await?;
    let mut lamps = server.subscribe("home/+/lamp", QoS::AtLeastOnce).await?;
    if let Some(message) = lamps.recv().await {
        println!("inside:  {} is {:?}, retained: {}", message.topic, message.payload, message.retain);
    }

    // From outside to inside: any MQTT client, here over TCP.
    let (mut client, _) = Client::tcp(address, Options::new("kitchen")).await?;
    client.publish_and_wait(Outgoing::new("home/kitchen/lamp", "off").qos(QoS::AtLeastOnce)).await?;
    if let Some(message) = lamps.recv().await {
        println!("inside:  {} is {:?}", message.topic, message.payload);
    }

    // From inside to outside.
    client.subscribe(&[("alarm/#", aldis_packet::SubscriptionOptions::new(QoS::ExactlyOnce))], None).await?;
    publisher.publish(Message::new("alarm/kitchen", "smoke").qos(QoS::ExactlyOnce)).await?;
    let message = client.next_message().await?;
    client.acknowledge(&message).await?;
    println!("outside: {} says {:?}", message.topic, message.payload);
    client.disconnect().await?;

    // Every client is told, a subscriber inside by `None`.
    let (cut_off, after) = tokio::join!(server.shutdown(), lamps.recv());
    println!("shut down: {cut_off} connections cut off, the subscriber hears {after:?}");
    Ok(())
}
