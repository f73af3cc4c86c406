//! Chapter 4: no message goes through a channel. The publisher's task finds the route and appends to
//! each subscriber's Outbox, and writes each once a batch. See docs/chapters/4-outbox.md.
//!
//! ```sh
//! cargo run -p aldis-server --example chapter_4_outbox
//! mosquitto_sub -t 'home/#' -v &
//! mosquitto_pub -t home/kitchen -m warm
//! ```
#![allow(clippy::print_stdout, reason = "the terminal is where this program reports")]
#![allow(clippy::disallowed_methods, reason = "a task for each connection, which ends with it")]

mod socket;

use aldis_packet::{
    DecodeLimits, Framed, Packet, ProtocolVersion, Publish, QoS, Suback, decode, encode_pingresp, next_frame,
};
use aldis_session::{
    Identity, Limits, Offering, Outbound, Route, Session, Subscription, Target, Wire, Workbench,
};
use aldis_topic::{Keyed, SubscriptionTrie, TopicFilter};
use parking_lot::RwLock;
use socket::Socket;
use std::{cell::OnceCell, io, sync::Arc};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:1883").await?;
    println!("listening on {}; try: mosquitto_sub -t 'home/#' -v", listener.local_addr()?);
    serve(listener).await
}

/// What all clients share. A PUBLISH reads the routes, a SUBSCRIBE writes them, for microseconds each.
#[derive(Default)]
struct Shared {
    routes: RwLock<SubscriptionTrie<Leaf>>,
    limits: Arc<Limits>,
}

struct Leaf(Arc<Subscription>);

impl Keyed for Leaf {
    fn key(&self) -> u64 {
        self.0.session.number
    }
}

pub(crate) async fn serve(listener: TcpListener) -> io::Result<()> {
    let shared = Arc::new(Shared::default());
    for number in 1.. {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve_one(number, stream, Arc::clone(&shared)));
    }
    Ok(())
}

/// Serves one connection; whatever is wrong with it ends it.
async fn serve_one(number: u64, stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let (mut socket, negotiated) = Socket::greet(stream, &shared.limits, number).await?;
    let (terms, mut connack) = (negotiated.terms, Vec::new());
    negotiated.connack(false).encode(terms.version, u32::MAX, &mut connack);
    let identity = Identity { client_id: negotiated.client_id, user_name: None, rights: None };
    let outbound = Outbound::new(identity.clone(), terms, Arc::clone(&shared.limits));
    let session = Session::new(number, outbound);
    let wire = Arc::clone(&socket.link) as Arc<dyn Wire>;
    let connection = session.outbox.lock().attach(wire, identity, terms);
    let mut bench = socket::workbench();
    if session.outbox.lock().begin(connection, &connack, &mut bench) {
        bench.owe(&session);
    }
    let version = terms.version;
    let mut client = Client { session, connection, version, shared, bench, filters: Vec::new() };
    // A batch is read and handled, then each Outbox that it appended to is written, once.
    while client.batch(&mut socket.bytes).is_some()
        && socket.wait(&client.session, connection, &mut client.bench).await.is_ok()
    {}
    for filter in client.filters {
        client.shared.routes.write().remove(filter.filter(), number);
    }
    client.session.outbox.lock().end(&mut client.bench);
    Some(())
}

struct Client {
    session: Arc<Session>,
    connection: u32,
    version: ProtocolVersion,
    shared: Arc<Shared>,
    bench: Workbench,
    filters: Vec<TopicFilter>,
}

impl Client {
    /// Handles the whole packets in `bytes`; `None` at the end of the conversation.
    fn batch(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let (mut consumed, mut answers) = (0, Vec::new());
        while let Framed::Whole { frame, size } =
            next_frame(bytes.get(consumed..)?, self.shared.limits.packet_size).ok()?
        {
            match decode(&frame, self.version, &DecodeLimits::default()).ok()? {
                Packet::Publish(publish) => self.publish(&publish),
                Packet::Subscribe(subscribe) => {
                    let granted =
                        subscribe.filters.iter().map(|(filter, _)| self.subscribe(filter)).collect();
                    Suback::new(subscribe.packet_id, granted).encode(self.version, u32::MAX, &mut answers);
                }
                Packet::Pingreq => encode_pingresp(&mut answers),
                Packet::Disconnect(_) => return None,
                _ => {}
            }
            consumed += size;
        }
        bytes.drain(..consumed);
        if self.session.outbox.lock().answer(self.connection, &answers, &mut self.bench) {
            self.bench.owe(&self.session);
        }
        Some(())
    }

    /// Appends a message to the Outbox of every subscriber; nothing is copied in between.
    fn publish(&mut self, publish: &Publish<'_>) {
        let mut route = Route::default();
        self.shared.routes.read().matches(publish.topic, &mut |leaf| {
            route.targets.push(Target::One(Arc::clone(&leaf.0)));
        });
        let offering = Offering {
            topic: publish.topic,
            payload: publish.payload,
            properties: &publish.properties.forwarded,
            qos: QoS::AtMostOnce,
            retain: false,
            expires_at: None,
            publisher: Some(&self.session.client_id),
            buffer: None,
            owned: OnceCell::new(),
        };
        route.deliver(&offering, &mut self.bench);
    }

    /// Makes a subscription visible to every publisher; gives the code for the SUBACK.
    fn subscribe(&mut self, filter: &str) -> u8 {
        let Ok(filter) = TopicFilter::parse(filter, self.shared.limits.topic_levels) else { return 0x80 };
        let subscription =
            Subscription::new(Arc::clone(&self.session), filter.clone(), Default::default(), None);
        self.shared.routes.write().insert(filter.filter(), Leaf(Arc::new(subscription)));
        self.filters.push(filter);
        0
    }
}
