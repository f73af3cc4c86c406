//! A broker that keeps every statement of MQTT 3.1.1 and 5, or all but one that it is told to break.
//!
//! It is what the suite is tested with: with all rules kept every test has to pass, and with one rule broken the
//! tests of that rule have to fail. It reads as the standards do, part by part: `reader`, `decode` and
//! `decode_connect` say which packets are well formed; `connect` who comes in; `attach` what becomes of a session,
//! and `session` what is in it; `publish`, `deliver` and `send_publish` how a message goes through; `subscribe`,
//! `shared` and `retained` who gets it; `will` and `timers` what comes later; `auth` and `websocket` what their
//! names say. Wherever a rule is kept, the code asks by name whether it is ([`Rule`]), and what it does otherwise is
//! the error that a test has to find.
//!
//! It is no broker to use: one lock holds the whole state, nothing is bounded, nothing is stored.

mod attach;
mod auth;
mod broker;
mod connect;
mod connection;
mod decode;
mod decode_connect;
mod deliver;
mod manner;
mod plants;
mod publish;
mod reader;
mod retained;
mod rule;
mod send_publish;
mod session;
mod shared;
mod subscribe;
mod threads;
mod timers;
mod topic;
mod websocket;
mod will;

pub use manner::Manner;
pub use plants::PLANTS;
pub use rule::Rule;

use crate::stage::Doors;
use broker::Broker;
use rule::Rules;
use std::net::{SocketAddr, TcpListener, TcpStream};
use threads::Shared;

/// The one user that the login door lets in, and its password.
const USER: &str = "conformance";
const PASSWORD: &str = "conformance";
/// Where nobody may publish.
const DENIED_TOPIC: &str = "$SYS/conformance/denied";
/// What CONNACK announces. Small enough that a test goes beyond it soon.
const MAXIMUM_PACKET_SIZE: usize = 256 << 10;
/// What the limited door announces beside.
const SERVER_KEEP_ALIVE: u16 = 2;

/// Where a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Plain,
    Login,
    Limited,
    WebSocket,
}

/// A running model. It stops when it is dropped.
#[derive(Debug)]
pub struct Model {
    shared: Shared,
    doors: Doors,
    addresses: Vec<SocketAddr>,
}

impl Model {
    /// Starts a model on free ports of this machine. It breaks the given rule, and keeps all others. What the standards leave to it
    /// is as the manner says.
    pub fn start(broken: Option<Rule>, manner: Manner) -> std::io::Result<Self> {
        let shared = Shared::new(Broker::new(Rules { broken }, manner));
        let mut addresses = Vec::new();
        for door in [Door::Plain, Door::Login, Door::Limited, Door::WebSocket] {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            addresses.push(listener.local_addr()?);
            let shared = shared.clone();
            std::thread::spawn(move || shared.accept(door, &listener));
        }
        let ticking = shared.clone();
        std::thread::spawn(move || ticking.tick());
        let door = |index: usize| addresses.get(index).copied();
        let plain = door(0).ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        let doors = Doors {
            login: door(1),
            limited: door(2),
            websocket: door(3),
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            denied_topic: DENIED_TOPIC.to_owned(),
            ..Doors::plain(plain)
        };
        Ok(Self { shared, doors, addresses })
    }

    /// How to reach it. The time that an answer may take is the usual one.
    #[must_use]
    pub fn doors(&self) -> Doors {
        self.doors.clone()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.stop();
        for address in &self.addresses {
            // Each door waits for one more client, to see that it is to close.
            let _ = TcpStream::connect(address);
        }
    }
}
