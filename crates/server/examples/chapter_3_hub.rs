//! Chapter 3: a hub. One task owns the subscriptions, the others send it messages. See
//! docs/chapters/3-hub.md.
//!
//! ```sh
//! cargo run -p aldis-server --example chapter_3_hub
//! mosquitto_sub -t 'home/#' -v &
//! mosquitto_pub -t home/kitchen -m warm
//! ```
#![allow(clippy::print_stdout, reason = "the terminal is where this program reports")]
#![allow(clippy::disallowed_methods, reason = "a task for each connection, which ends with it")]

use aldis_packet::{
    Connack, DecodeLimits, Framed, Packet, ProtocolVersion, Publish, PublishProperties, QoS, ReasonCode,
    Suback, decode, encode_pingresp, next_frame,
};
use aldis_topic::TopicFilter;
use bytes::Bytes;
use std::io::{self, Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const LARGEST_PACKET: usize = 64 << 10;
/// Bytes that one read may bring: the more, the fewer system calls.
const READ: usize = 64 << 10;
/// Commands that may wait for the hub. Clients wait for a place, and do not read meanwhile.
const COMMANDS: usize = 64;
/// Messages that may wait for one client. The hub waits for nobody: what does not fit is dropped.
const MESSAGES: usize = 4096;

/// Everything that can happen to the hub.
enum Command {
    Subscribe { client: u64, filter: TopicFilter, messages: mpsc::Sender<Message> },
    Publish(Message),
    Gone { client: u64 },
}

#[derive(Clone)]
struct Message {
    topic: Bytes,
    payload: Bytes,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:1883").await?;
    println!("listening on {}; try: mosquitto_sub -t 'home/#' -v", listener.local_addr()?);
    serve(listener).await
}

pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    let (commands, received) = mpsc::channel(COMMANDS);
    tokio::spawn(hub(received));
    for client in 0.. {
        let (stream, _) = listener.accept().await?;
        let commands = commands.clone();
        tokio::spawn(async move {
            // A client that breaks the protocol or is lost harms nobody else.
            let _ = serve_one(client, stream, &commands).await;
            let _ = commands.send(Command::Gone { client }).await;
        });
    }
    Ok(())
}

/// The one owner of all subscriptions. Nothing is locked, because nobody else can reach them; one
/// command is done before the next begins.
async fn hub(mut commands: mpsc::Receiver<Command>) {
    let mut subscriptions: Vec<(u64, TopicFilter, mpsc::Sender<Message>)> = Vec::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Subscribe { client, filter, messages } => subscriptions.push((client, filter, messages)),
            Command::Gone { client } => subscriptions.retain(|(other, ..)| *other != client),
            Command::Publish(message) => {
                let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
                for (.., messages) in subscriptions.iter().filter(|(_, filter, _)| filter.matches(topic)) {
                    // Full: this client is too slow. To wait for it would stop everybody.
                    let _ = messages.try_send(message.clone());
                }
            }
        }
    }
}

/// The middleman: MQTT on one side, commands and messages on the other.
async fn serve_one(client: u64, mut stream: TcpStream, commands: &mpsc::Sender<Command>) -> io::Result<()> {
    // We write whole batches; to hold small ones back (Nagle's algorithm) would only cost time.
    stream.set_nodelay(true)?;
    let (to_us, mut messages) = mpsc::channel(MESSAGES);
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    let mut version = ProtocolVersion::V311;
    let broken = |error| Error::new(ErrorKind::InvalidData, error);
    loop {
        bytes.reserve(READ);
        // What waits for the client first, then what brings more.
        tokio::select! {
            biased;
            Some(message) = messages.recv() => deliver(&message, version, &mut out),
            count = stream.read_buf(&mut bytes) => if count? == 0 { return Ok(()) },
        }
        while let Framed::Whole { frame, size } = next_frame(&bytes, LARGEST_PACKET).map_err(broken)? {
            match decode(&frame, version, &DecodeLimits::default()).map_err(broken)? {
                Packet::Connect(connect) => {
                    version = connect.version;
                    Connack::new(false, ReasonCode::Success).encode(version, u32::MAX, &mut out);
                }
                Packet::Publish(publish) => {
                    let topic = Bytes::copy_from_slice(publish.topic.as_bytes());
                    let message = Message { topic, payload: Bytes::copy_from_slice(publish.payload) };
                    let _ = commands.send(Command::Publish(message)).await;
                }
                Packet::Subscribe(subscribe) => {
                    let mut reasons = Vec::new();
                    for (filter, _) in &subscribe.filters {
                        let parsed = TopicFilter::parse(filter, 128);
                        reasons.push(if parsed.is_ok() { 0x00 } else { 0x80 });
                        if let Ok(filter) = parsed {
                            let messages = to_us.clone();
                            let _ = commands.send(Command::Subscribe { client, filter, messages }).await;
                        }
                    }
                    Suback::new(subscribe.packet_id, reasons).encode(version, u32::MAX, &mut out);
                }
                Packet::Pingreq => encode_pingresp(&mut out),
                Packet::Disconnect(_) => return Ok(()),
                _ => {}
            }
            bytes.drain(..size);
        }
        stream.write_all(&out).await?;
        out.clear();
    }
}

fn deliver(message: &Message, version: ProtocolVersion, out: &mut Vec<u8>) {
    let topic = std::str::from_utf8(&message.topic).unwrap_or_default();
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic,
        packet_id: None,
        properties: PublishProperties::default(),
        payload: &message.payload,
    };
    publish.encode(version, out);
}
