//! Chapter 6: the server. The same Broker and the same Conversation, with the limits, the deadlines and
//! the endings that make it fit for strangers. See docs/chapters/6-server.md.
//!
//! ```sh
//! cargo run -p aldis-server --example chapter_6_server
//! mosquitto_sub -i me -c -q 2 -t 'home/#' -v &
//! mosquitto_pub -q 2 -r -t home/kitchen -m warm
//! ```
#![allow(clippy::print_stdout, reason = "the terminal is where this program reports")]

use aldis_server::{Limits, Listener, QoS, Server, Settings, Subscriber};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = start(SocketAddr::from((Ipv4Addr::LOCALHOST, 1883))).await?;
    println!("listening on {:?}; try: mosquitto_sub -t '#' -v; Ctrl-C ends it", server.addresses());
    // The program listens as well: a subscriber like any other, without a socket.
    let mut everything = server.subscribe("#", QoS::AtMostOnce).await?;
    // The end first: it is wanted more than one more line.
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {}
        () = report(&mut everything, |line| println!("{line}")) => {}
    }
    // Every client is told why, gets what is written for it, and has until the deadline to leave.
    let (cut_off, ()) = tokio::join!(server.shutdown(), report(&mut everything, |line| println!("{line}")));
    println!("stopped; {cut_off} connections had to be cut off");
    Ok(())
}

/// A server for strangers: everything they can ask for has a bound. Every field of `Limits` says why it
/// has the default that it has.
pub(crate) async fn start(address: SocketAddr) -> Result<Server, Box<dyn Error>> {
    let limits = Limits {
        connections: 10_000,
        packet_size: 256 << 10,
        first_packet_timeout: Duration::from_secs(5),
        queue_messages: 10_000,
        keep_alive_max: 600,
        ..Limits::default()
    };
    let settings = Settings {
        listeners: vec![Listener::tcp(address)],
        limits,
        shutdown_deadline: Duration::from_secs(5),
        ..Settings::default()
    };
    Ok(Server::builder().settings(settings).start().await?)
}

/// Reports every message until the broker ends.
pub(crate) async fn report(subscriber: &mut Subscriber, say: impl Fn(String)) {
    while let Some(message) = subscriber.recv().await {
        say(format!("{}: {}", message.topic, String::from_utf8_lossy(&message.payload)));
    }
}
