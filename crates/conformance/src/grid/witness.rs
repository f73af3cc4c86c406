//! A client that listens to the topics of a case, to see what came of it.

use crate::outcome::{Fault, Outcome, failed};
use crate::peer::Peer;
use crate::stage::Doors;
use crate::wire::{Connect, Packet, Publish, Subscribe, Subscription, Unsubscribe, Version};

/// The payload by which a witness knows that everything before has come.
const MARKER: &[u8] = b"marker";

/// A subscriber for one case after another.
pub(super) struct Witness {
    peer: Peer,
    listens: Option<String>,
}

impl Witness {
    /// Connects; the client identifier is to be unique.
    pub(super) fn new(version: Version, doors: &Doors, client_id: &str) -> Outcome<Self> {
        let mut peer = Peer::open(doors.plain, version, doors.patience)?;
        peer.send(Connect::new(version, client_id))?;
        let connack = peer.connack()?;
        if connack.code != 0 {
            return failed(format!("the witness was refused with 0x{:02X}", connack.code));
        }
        Ok(Self { peer, listens: None })
    }

    /// Listens to all topics of the case of that name, and no longer to those of the last.
    pub(super) fn listen(&mut self, name: &str) -> Outcome {
        let version = self.peer.version;
        let mut bytes = Vec::new();
        if let Some(old) = self.listens.replace(name.to_owned()) {
            bytes.extend(Unsubscribe::new(1, [format!("{old}/#")]).to_bytes(version));
        }
        bytes.extend(Subscribe::new(2, Subscription::new(format!("{name}/#"), 0)).to_bytes(version));
        self.peer.send_bytes(&bytes)?;
        loop {
            match self.peer.next("SUBACK for the witness")? {
                Packet::Suback(suback) if suback.codes == [0] => return Ok(()),
                Packet::Suback(suback) => {
                    return failed(format!("the witness got SUBACK {:02X?}", suback.codes));
                }
                // What the last case left behind.
                Packet::Unsuback(_) | Packet::Publish(_) => {}
                other => return failed(format!("{} came to the witness", other.name())),
            }
        }
    }

    /// The messages of the case that came until now: a marker that is sent now is the first after them.
    pub(super) fn seen(&mut self) -> Outcome<Vec<Publish>> {
        let topic = self.topic("marker");
        self.peer.send(Publish::new(&topic, MARKER))?;
        let mut seen = Vec::new();
        loop {
            let publish = self.message("the witness's marker")?;
            if publish.topic == topic.as_bytes() {
                return Ok(seen);
            }
            seen.push(publish);
        }
    }

    /// The next message of the case, which has to come.
    pub(super) fn message(&mut self, wanted: &str) -> Outcome<Publish> {
        let prefix = self.topic("");
        loop {
            match self.peer.next(wanted)? {
                Packet::Publish(publish) if publish.topic.starts_with(prefix.as_bytes()) => {
                    return Ok(publish);
                }
                Packet::Publish(_) | Packet::Unsuback(_) => {}
                other => return Err(Fault::Failed(format!("{} came to the witness", other.name()))),
            }
        }
    }

    /// Passes some time in which the broker reads: a PINGREQ and its PINGRESP.
    pub(super) fn ping(&mut self) -> Outcome {
        self.peer.ping()
    }

    fn topic(&self, suffix: &str) -> String {
        format!("{}/{suffix}", self.listens.as_deref().unwrap_or_default())
    }
}
