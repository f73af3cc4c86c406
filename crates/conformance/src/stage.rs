//! Where one test plays: the broker's doors, a version, and names that no other test uses.

use crate::offers::Feature;
use crate::outcome::{Fault, Outcome};
use crate::peer::Peer;
use crate::wire::{Connack, Connect, Packet, Property, Publish, Version, property, reason};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How to reach the broker, and as whom.
#[derive(Debug, Clone)]
pub struct Doors {
    /// Lets anybody in.
    pub plain: SocketAddr,
    /// Lets in the user below only.
    pub login: Option<SocketAddr>,
    /// Lets anybody in, and refuses messages to the topic below; the plain door where there is none.
    pub rights: Option<SocketAddr>,
    /// Announces that it can do less: Maximum QoS, Retain Available, Server Keep Alive.
    pub limited: Option<SocketAddr>,
    /// Speaks WebSocket.
    pub websocket: Option<SocketAddr>,
    /// A user whom `login` lets in.
    pub user: String,
    /// Its password.
    pub password: String,
    /// A topic that clients of `rights` may not publish to.
    pub denied_topic: String,
    /// How long an answer may take before it counts as missing.
    pub patience: Duration,
    /// What the broker declares that it lacks.
    pub not_offered: Vec<Feature>,
}

impl Doors {
    /// One door that lets anybody in, and the usual names for the rest.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            plain: address,
            login: None,
            rights: None,
            limited: None,
            websocket: None,
            user: "conformance".to_owned(),
            password: "conformance".to_owned(),
            denied_topic: "$SYS/conformance/denied".to_owned(),
            patience: Duration::from_secs(10),
            not_offered: Vec::new(),
        }
    }
}

/// Where one test plays.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The version that the test speaks.
    pub version: Version,
    /// How to reach the broker.
    pub doors: &'a Doors,
    name: String,
    retained: Mutex<Vec<Vec<u8>>>,
}

impl<'a> Stage<'a> {
    /// A stage for one test. The name is to be unique in the life of the broker, letters and digits, and at
    /// most 16 of them.
    #[must_use]
    pub fn new(version: Version, doors: &'a Doors, name: String) -> Self {
        Self { version, doors, name, retained: Mutex::new(Vec::new()) }
    }

    /// A client id of at most 23 letters and digits that no other test uses. The suffix is up to 7 of them.
    #[must_use]
    pub fn client_id(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.name)
    }

    /// A topic, or a filter, that no other test uses.
    #[must_use]
    pub fn topic(&self, suffix: &str) -> String {
        format!("{}/{suffix}", self.name)
    }

    /// Filters that a broker may refuse, for a right or for a limit, and then has something to say about.
    #[must_use]
    pub fn refusable_filters(&self) -> [String; 2] {
        [self.doors.denied_topic.clone(), format!("{}{}", self.topic("deep"), "/x".repeat(1_000))]
    }

    /// A CONNECT in this stage's version: clean, no keep alive, with a client id of this test.
    #[must_use]
    pub fn connect(&self, suffix: &str) -> Connect {
        Connect::new(self.version, self.client_id(suffix))
    }

    /// A CONNECT whose session lasts: it resumes one that is there, and stays for ten minutes.
    #[must_use]
    pub fn lasting(&self, suffix: &str) -> Connect {
        let mut connect = Connect { clean: false, ..self.connect(suffix) };
        if self.version.is_5() {
            connect.properties.push(Property::four(property::SESSION_EXPIRY, 600));
        }
        connect
    }

    /// A connected client, clean and plain.
    pub fn client(&self, suffix: &str) -> Outcome<Peer> {
        self.open(self.connect(suffix))
    }

    /// A connected client: the CONNECT has to be accepted.
    pub fn open(&self, connect: Connect) -> Outcome<Peer> {
        Ok(self.accepted(connect)?.0)
    }

    /// A connected client and its CONNACK, which has to accept it.
    pub fn accepted(&self, connect: Connect) -> Outcome<(Peer, Connack)> {
        let (peer, connack) = self.attempt(connect)?;
        if connack.code == 0 {
            Ok((peer, connack))
        } else {
            Err(Fault::Failed(format!("a good CONNECT was refused with 0x{:02X}", connack.code)))
        }
    }

    /// A connected client at another door, which has to accept it.
    pub fn open_at(&self, door: SocketAddr, connect: Connect) -> Outcome<Peer> {
        let mut peer = self.socket_to(door)?;
        peer.send(connect)?;
        match peer.connack()?.code {
            0 => Ok(peer),
            code => Err(Fault::Failed(format!("a good CONNECT was refused with 0x{code:02X}"))),
        }
    }

    /// Sends a CONNECT and takes whatever CONNACK comes.
    pub fn attempt(&self, connect: Connect) -> Outcome<(Peer, Connack)> {
        let mut peer = self.socket()?;
        peer.send(connect)?;
        let connack = peer.connack()?;
        Ok((peer, connack))
    }

    /// A client with this Maximum Packet Size; none where the broker's CONNACK does not fit into it, and so cannot
    /// be sent.
    pub fn narrow(&self, door: SocketAddr, limit: Property) -> Outcome<Option<Peer>> {
        match self.answered_at(door, self.connect("n").with(limit))? {
            None => Ok(None),
            Some((_, connack)) if connack.code == reason::PACKET_TOO_LARGE => Ok(None),
            Some((peer, connack)) if connack.code == 0 => Ok(Some(peer)),
            Some((_, connack)) => Err(Fault::Failed(format!(
                "a client with a small Maximum Packet Size was refused with 0x{:02X}",
                connack.code
            ))),
        }
    }

    /// Sends a CONNECT that a broker may not like: it may answer with a CONNACK, or close without one.
    pub fn answered_at(&self, door: SocketAddr, connect: Connect) -> Outcome<Option<(Peer, Connack)>> {
        let mut peer = self.socket_to(door)?;
        peer.send(connect)?;
        match peer.closed_or_packet()? {
            Some(Packet::Connack(connack)) => Ok(Some((peer, connack))),
            Some(other) => Err(Fault::Failed(format!("{other:?} came where CONNACK was due"))),
            None => Ok(None),
        }
    }

    /// A connection on which nothing was sent yet.
    pub fn socket(&self) -> Outcome<Peer> {
        self.socket_to(self.doors.plain)
    }

    /// The same, to another door.
    pub fn socket_to(&self, address: SocketAddr) -> Outcome<Peer> {
        Peer::open(address, self.version, self.doors.patience)
    }

    /// The door that a feature needs; the test ends as not offered where there is none.
    pub fn door(&self, feature: Feature) -> Outcome<SocketAddr> {
        let door = match feature {
            _ if self.doors.not_offered.contains(&feature) => None,
            Feature::WebSocket => self.doors.websocket,
            Feature::Login => self.doors.login,
            Feature::MaximumQos | Feature::NoRetain | Feature::ServerKeepAlive => self.doors.limited,
            Feature::Rights => Some(self.doors.rights.unwrap_or(self.doors.plain)),
            Feature::EnhancedAuthentication | Feature::TopicAliases => Some(self.doors.plain),
        };
        door.ok_or(Fault::NotOffered(feature))
    }

    /// Publishes a retained message, and removes it when the test is over. Returns once it is stored.
    pub fn retain(&self, publish: Publish) -> Outcome {
        self.will_retain(&publish.topic);
        let mut publisher = self.client("retain")?;
        publisher.publish(Publish { retain: true, qos: publish.qos.max(1), ..publish })?;
        publisher.disconnect()
    }

    /// Remembers that this topic may hold a retained message when the test is over, to remove it.
    pub fn will_retain(&self, topic: impl AsRef<[u8]>) {
        if let Ok(mut topics) = self.retained.lock() {
            topics.push(topic.as_ref().to_vec());
        }
    }

    /// Removes what the test left behind, and sees that the broker still serves: a new client gets its
    /// CONNACK and its PINGRESP.
    pub fn leave(self) -> Outcome {
        let topics = self.retained.into_inner().unwrap_or_default();
        let mut peer = Peer::open(self.doors.plain, self.version, self.doors.patience)?;
        peer.send(Connect::new(self.version, format!("{}after", self.name)))?;
        let connack = peer.connack()?;
        if connack.code != 0 {
            return Err(Fault::Failed(format!(
                "afterwards a new client was refused: 0x{:02X}",
                connack.code
            )));
        }
        for topic in topics {
            peer.publish(Publish::new(topic, "").qos(1).retained())?;
        }
        peer.ping()?;
        peer.disconnect()
    }

    /// Waits until this much time has passed since `start`: for what a standard says happens after a while.
    pub fn until(&self, start: Instant, elapsed: Duration) {
        std::thread::sleep(elapsed.saturating_sub(start.elapsed()));
    }
}
