//! One connection of a test: sends anything, and reads what comes back strictly.

use crate::outcome::{Fault, Outcome, ensure, failed};
use crate::wire::{
    Ack, Connack, Disconnect, Packet, Publish, Suback, Subscribe, Subscription, Unsuback, Unsubscribe,
    Version, decode_from_broker, first, take_frame,
};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One connection to the broker.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    /// The version that packets are read and written in.
    pub version: Version,
    /// How long an answer may take before it counts as missing.
    pub patience: Duration,
    bytes: Vec<u8>,
    /// Read, and not asked for yet.
    waiting: VecDeque<Packet>,
    last_id: u16,
}

/// What came next, not read as a packet yet.
pub(crate) enum Frame {
    /// The first byte of a packet, and its body.
    Whole(u8, Vec<u8>),
    /// The broker closed or reset the connection.
    Closed,
    /// The time is over.
    Nothing,
}

/// What came next.
enum Next {
    Packet(Box<Packet>),
    /// The broker closed or reset the connection.
    Closed,
    Nothing,
}

impl Peer {
    /// Connects the socket; nothing is sent.
    pub fn open(address: SocketAddr, version: Version, patience: Duration) -> Outcome<Self> {
        let connected = TcpStream::connect_timeout(&address, patience).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => Ok(Self {
                stream,
                version,
                patience,
                bytes: Vec::new(),
                waiting: VecDeque::new(),
                last_id: 0,
            }),
            Err(error) => failed(format!("no connection to {address}: {error}")),
        }
    }

    /// Sends a packet as it is.
    pub fn send(&mut self, packet: impl Into<Packet>) -> Outcome {
        self.send_bytes(&packet.into().to_bytes(self.version))
    }

    /// Sends bytes, which need not be a packet. A broker that has closed already is no failure: what it did
    /// shows in what is read.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Outcome {
        match self.stream.write_all(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                failed("the broker did not read for so long that nothing more could be sent")
            }
            _ => Ok(()),
        }
    }

    /// A packet identifier that this connection has not used yet.
    pub fn new_id(&mut self) -> u16 {
        self.last_id += 1;
        self.last_id
    }

    // ---- reading ----

    /// Reads until a packet is whole, the connection ends, or the time is over.
    fn read(&mut self, deadline: Instant) -> Outcome<Next> {
        match self.frame(deadline)? {
            Frame::Closed => Ok(Next::Closed),
            Frame::Nothing => Ok(Next::Nothing),
            Frame::Whole(first, body) => match decode_from_broker(self.version, first, &body) {
                Ok(packet) => Ok(Next::Packet(Box::new(packet))),
                Err(malformed) => failed(format!("the broker sent {malformed}")),
            },
        }
    }

    /// The same, without a look into the packet. Packets that were read and not asked for are not among these.
    pub(crate) fn frame(&mut self, deadline: Instant) -> Outcome<Frame> {
        loop {
            match take_frame(&mut self.bytes) {
                Err(malformed) => return failed(format!("the broker sent {malformed}")),
                Ok(Some((first, body))) => return Ok(Frame::Whole(first, body)),
                Ok(None) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return Ok(Frame::Nothing);
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(Frame::Closed),
                Ok(count) => self.bytes.extend(chunk.iter().take(count)),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Frame::Nothing),
                    ErrorKind::Interrupted => {}
                    _ => return Ok(Frame::Closed),
                },
            }
        }
    }

    /// The next packet, whatever it is; `wanted` is for the message when none comes.
    pub fn next(&mut self, wanted: &str) -> Outcome<Packet> {
        if let Some(packet) = self.waiting.pop_front() {
            return Ok(packet);
        }
        match self.read(Instant::now() + self.patience)? {
            Next::Packet(packet) => Ok(*packet),
            Next::Closed => failed(format!("the broker closed the connection where {wanted} was due")),
            Next::Nothing => failed(format!("no {wanted} came within {:?}", self.patience)),
        }
    }

    /// The next packet of one kind. What comes before it stays, in order, for later.
    pub fn pick<T>(&mut self, wanted: &str, mut choose: impl FnMut(&Packet) -> Option<T>) -> Outcome<T> {
        let mut passed = VecDeque::new();
        let outcome = loop {
            match self.next(wanted) {
                Err(fault) => break Err(fault),
                Ok(packet) => match choose(&packet) {
                    Some(chosen) => break Ok(chosen),
                    None => passed.push_back(packet),
                },
            }
        };
        let seen: Vec<_> = passed.iter().map(Packet::name).collect();
        passed.append(&mut self.waiting);
        self.waiting = passed;
        outcome.map_err(|fault| match fault {
            Fault::Failed(why) if !seen.is_empty() => {
                Fault::Failed(format!("{why}; {} came", seen.join(", ")))
            }
            other => other,
        })
    }

    /// The next packet, which has to be a CONNACK.
    pub fn connack(&mut self) -> Outcome<Connack> {
        match self.next("CONNACK")? {
            Packet::Connack(connack) => Ok(connack),
            other => failed(format!("{} came where CONNACK was due", other.name())),
        }
    }

    /// The next packet, which has to be a PUBLISH. It is not acknowledged.
    pub fn message(&mut self) -> Outcome<Publish> {
        match self.next("PUBLISH")? {
            Packet::Publish(publish) => Ok(publish),
            other => failed(format!("{other:?} came where a PUBLISH was due")),
        }
    }

    /// The next packet, which has to be that acknowledgement ([`first::PUBACK`] and so on) of that identifier.
    pub fn ack(&mut self, first: u8, packet_id: u16) -> Outcome<Ack> {
        let wanted = Packet::from(Ack::new(first, packet_id));
        match self.next(wanted.name())? {
            Packet::Ack(ack) if ack.first == first && ack.packet_id == packet_id => Ok(ack),
            other => failed(format!("{other:?} came where {} {packet_id} was due", wanted.name())),
        }
    }

    /// The next PUBLISH, acknowledged as its QoS demands, to the end of the exchange.
    pub fn receive(&mut self) -> Outcome<Publish> {
        let publish = self.message()?;
        self.acknowledge(&publish)?;
        Ok(publish)
    }

    /// Acknowledges a PUBLISH as its QoS demands; at QoS 2 waits for the PUBREL between.
    pub fn acknowledge(&mut self, publish: &Publish) -> Outcome {
        match (publish.qos, publish.packet_id) {
            (1, Some(packet_id)) => self.send(Ack::new(first::PUBACK, packet_id)),
            (2, Some(packet_id)) => {
                self.send(Ack::new(first::PUBREC, packet_id))?;
                self.pick("PUBREL", |packet| match packet {
                    Packet::Ack(ack) if ack.first == first::PUBREL && ack.packet_id == packet_id => Some(()),
                    _ => None,
                })?;
                self.send(Ack::new(first::PUBCOMP, packet_id))
            }
            _ => Ok(()),
        }
    }

    /// Receives and acknowledges messages up to the one with that payload, and returns those before it.
    ///
    /// So a test sees that something did not come: a message sent after it, which must come, was first.
    pub fn until(&mut self, payload: impl AsRef<[u8]>) -> Outcome<Vec<Publish>> {
        let mut before = Vec::new();
        loop {
            let publish = self.receive()?;
            if publish.payload == payload.as_ref() {
                return Ok(before);
            }
            before.push(publish);
        }
    }

    // ---- exchanges that have to go well ----

    /// PINGREQ and its PINGRESP. Packets that come between stay for later.
    pub fn ping(&mut self) -> Outcome {
        self.send(Packet::Pingreq)?;
        self.pick("PINGRESP", |packet| matches!(packet, Packet::Pingresp).then_some(()))
    }

    /// Nothing was on its way to this client: the answer to a PINGREQ is the next that comes.
    ///
    /// It proves that for what the broker had appended before it read the PINGREQ; for messages of another
    /// client, [`Peer::until`] proves more.
    pub fn quiet(&mut self) -> Outcome {
        self.send(Packet::Pingreq)?;
        match self.next("PINGRESP")? {
            Packet::Pingresp => Ok(()),
            other => failed(format!("{other:?} came, and nothing should have")),
        }
    }

    /// Subscribes to one filter, which has to be granted at that QoS.
    pub fn subscribe(&mut self, filter: impl AsRef<[u8]>, qos: u8) -> Outcome {
        let suback = self.subscribe_with(Subscription::new(filter, qos))?;
        ensure(suback.codes == [qos], || {
            format!("SUBACK {:02X?} where QoS {qos} was asked for", suback.codes)
        })
    }

    /// Subscribes to one filter, with its options, and returns the SUBACK.
    pub fn subscribe_with(&mut self, subscription: Subscription) -> Outcome<Suback> {
        let packet_id = self.new_id();
        self.exchange_subscribe(Subscribe::new(packet_id, subscription))
    }

    /// Sends a SUBSCRIBE and returns its SUBACK. Messages that come before stay for later.
    pub fn exchange_subscribe(&mut self, subscribe: Subscribe) -> Outcome<Suback> {
        let packet_id = subscribe.packet_id;
        self.send(subscribe)?;
        self.pick("SUBACK", |packet| match packet {
            Packet::Suback(suback) if suback.packet_id == packet_id => Some(suback.clone()),
            _ => None,
        })
    }

    /// Unsubscribes from one filter, and returns the UNSUBACK.
    pub fn unsubscribe(&mut self, filter: impl AsRef<[u8]>) -> Outcome<Unsuback> {
        let packet_id = self.new_id();
        self.send(Unsubscribe::new(packet_id, [filter]))?;
        self.pick("UNSUBACK", |packet| match packet {
            Packet::Unsuback(unsuback) if unsuback.packet_id == packet_id => Some(unsuback.clone()),
            _ => None,
        })
    }

    /// Publishes, with a fresh identifier above QoS 0, and carries the exchange to its end. At QoS 0 a
    /// PINGRESP says that the broker has read it. Returns the reason code of PUBACK or PUBREC.
    pub fn publish(&mut self, mut publish: Publish) -> Outcome<u8> {
        if publish.qos == 0 {
            self.send(publish)?;
            self.ping()?;
            return Ok(0);
        }
        let packet_id = publish.packet_id.unwrap_or_else(|| self.new_id());
        publish.packet_id = Some(packet_id);
        let qos = publish.qos;
        self.send(publish)?;
        if qos == 1 {
            return Ok(self.pick_ack(first::PUBACK, packet_id)?.code);
        }
        let code = self.pick_ack(first::PUBREC, packet_id)?.code;
        if code < 0x80 {
            self.send(Ack::new(first::PUBREL, packet_id))?;
            self.pick_ack(first::PUBCOMP, packet_id)?;
        }
        Ok(code)
    }

    /// That acknowledgement of that identifier; what comes before it stays for later.
    pub fn pick_ack(&mut self, first: u8, packet_id: u16) -> Outcome<Ack> {
        self.pick(Packet::from(Ack::new(first, packet_id)).name(), |packet| match packet {
            Packet::Ack(ack) if ack.first == first && ack.packet_id == packet_id => Some(ack.clone()),
            _ => None,
        })
    }

    // ---- endings ----

    /// Says DISCONNECT and waits until the broker has closed.
    pub fn disconnect(mut self) -> Outcome {
        self.send(Disconnect::default())?;
        self.closed().map(drop)
    }

    /// Ends the connection without a DISCONNECT, and waits until the broker has noticed.
    ///
    /// The broker sees the end of the stream, as when a client's process dies.
    pub fn vanish(mut self) -> Outcome {
        let _ = self.stream.shutdown(Shutdown::Write);
        let deadline = Instant::now() + self.patience;
        loop {
            match self.read(deadline)? {
                Next::Packet(_) => {}
                Next::Closed => return Ok(()),
                Next::Nothing => {
                    return failed("the broker did not close a connection that its client ended");
                }
            }
        }
    }

    /// The broker has to close the connection, and may say DISCONNECT before it in MQTT 5. Any other packet on
    /// the way, or no end in time, is a failure.
    pub fn closed(&mut self) -> Outcome<Option<Disconnect>> {
        self.closed_within(self.patience)
    }

    /// The same, with a time of its own.
    pub fn closed_within(&mut self, time: Duration) -> Outcome<Option<Disconnect>> {
        let deadline = Instant::now() + time;
        let mut said = None;
        loop {
            let next = match self.waiting.pop_front() {
                Some(packet) => Next::Packet(Box::new(packet)),
                None => self.read(deadline)?,
            };
            match next {
                Next::Closed => return Ok(said),
                Next::Nothing => {
                    return failed(format!("the broker did not close the connection within {time:?}"));
                }
                Next::Packet(packet) => match *packet {
                    Packet::Disconnect(disconnect) if said.is_none() => said = Some(disconnect),
                    other => return failed(format!("{other:?} came where the connection was to be closed")),
                },
            }
        }
    }

    /// The broker has to close because of what was sent last. In MQTT 5 it may say why, with one of these codes.
    pub fn refused(&mut self, codes: &[u8]) -> Outcome {
        match self.closed()? {
            Some(disconnect) if !codes.contains(&disconnect.code) => {
                failed(format!("DISCONNECT 0x{:02X} where one of {codes:02X?} was due", disconnect.code))
            }
            _ => Ok(()),
        }
    }
}
