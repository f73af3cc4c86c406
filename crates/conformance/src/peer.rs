//! One connection of a test: sends anything, and reads what comes back strictly.

use crate::outcome::{Fault, Outcome, ensure, failed, granted, same};
use crate::web_socket;
use crate::wire::{
    Ack, Connack, Disconnect, Packet, Publish, Suback, Subscribe, Subscription, Unsuback, Unsubscribe,
    Version, decode_from_broker, first, take_frame,
};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How many times [`Peer::patience`] a connection may be listened to.
const LONGEST: u32 = 30;

/// One connection to the broker.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    /// The version that packets are read and written in.
    pub version: Version,
    /// How long an answer may take before it counts as missing.
    pub patience: Duration,
    /// When the test has taken too long: a broker that never stops sending must not keep it for ever.
    end: Instant,
    bytes: Vec<u8>,
    /// Over WebSocket: what was read of a frame that is not whole.
    frames: Option<Vec<u8>>,
    /// What a broker may not do, found while bytes were read.
    offence: Option<String>,
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
                end: Instant::now() + patience * LONGEST,
                bytes: Vec::new(),
                frames: None,
                offence: None,
                waiting: VecDeque::new(),
                last_id: 0,
            }),
            Err(error) => failed(format!("no connection to {address}: {error}")),
        }
    }

    /// Connects over WebSocket and offers these subprotocols. Returns the one that the broker chose, too.
    pub fn open_web_socket(
        address: SocketAddr,
        version: Version,
        patience: Duration,
        subprotocols: &str,
    ) -> Outcome<(Self, Option<String>)> {
        let mut peer = Self::open(address, version, patience)?;
        let key = "dGhlIGFsZGlzIHNpZ25hbA==";
        peer.send_bytes(web_socket::request(&address.to_string(), key, subprotocols).as_bytes())?;
        let deadline = Instant::now() + patience;
        let end = b"\r\n\r\n";
        let length = loop {
            if let Some(place) = peer.bytes.windows(end.len()).position(|window| window == end) {
                break place + end.len();
            }
            if peer.fill(deadline) != Some(true) {
                return failed("no answer to a request to upgrade to WebSocket");
            }
        };
        let frames = peer.bytes.split_off(length);
        let head = String::from_utf8_lossy(&std::mem::take(&mut peer.bytes)).into_owned();
        peer.frames = Some(frames);
        ensure(head.starts_with("HTTP/1.1 101"), || {
            format!("the upgrade to WebSocket was answered with {head}")
        })?;
        let accepted = web_socket::header(&head, "Sec-WebSocket-Accept");
        same("Sec-WebSocket-Accept", &accepted, &Some(web_socket::accept_key(key).as_str()))?;
        let chosen = web_socket::header(&head, "Sec-WebSocket-Protocol").map(str::to_owned);
        Ok((peer, chosen))
    }

    /// Sends a packet as it is.
    pub fn send(&mut self, packet: impl Into<Packet>) -> Outcome {
        self.send_bytes(&packet.into().to_bytes(self.version))
    }

    /// Sends bytes, which need not be a packet. A broker that has closed already is no failure: what it did
    /// shows in what is read.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Outcome {
        match self.frames {
            Some(_) => self.send_frame(web_socket::BINARY, true, bytes),
            None => self.write(bytes),
        }
    }

    /// Sends one frame of a WebSocket connection, masked as a client's frames have to be.
    pub fn send_frame(&mut self, opcode: u8, is_last: bool, payload: &[u8]) -> Outcome {
        self.write(&web_socket::frame(opcode, is_last, Some([0x6D, 0x71, 0x74, 0x74]), payload))
    }

    fn write(&mut self, bytes: &[u8]) -> Outcome {
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
            if let Some(offence) = &self.offence {
                return failed(format!("the broker sent {offence}"));
            }
            if Instant::now() > self.end {
                return failed("the broker went on sending for so long that the test gave up");
            }
            match self.fill(deadline) {
                Some(true) => {}
                Some(false) => return Ok(Frame::Closed),
                None => return Ok(Frame::Nothing),
            }
        }
    }

    /// Reads more bytes. False when the connection has ended, none when the time is over.
    fn fill(&mut self, deadline: Instant) -> Option<bool> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return None;
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(false),
                Ok(count) => {
                    let Some(frames) = &mut self.frames else {
                        self.bytes.extend(chunk.iter().take(count));
                        return Some(true);
                    };
                    frames.extend(chunk.iter().take(count));
                    return Some(self.unframe());
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return None,
                    ErrorKind::Interrupted => {}
                    _ => return Some(false),
                },
            }
        }
    }

    /// Takes MQTT out of the frames that are whole. False when the broker has said that it closes.
    fn unframe(&mut self) -> bool {
        let Some(mut frames) = self.frames.take() else { return true };
        let mut is_open = true;
        while let Some(frame) = web_socket::take_frame(&mut frames) {
            match frame.opcode {
                web_socket::BINARY | web_socket::CONTINUATION => self.bytes.extend(frame.payload),
                web_socket::CLOSE => is_open = false,
                web_socket::PONG | web_socket::PING => {}
                opcode => self.offence = Some(format!("a WebSocket frame with opcode {opcode}")),
            }
            if frame.was_masked {
                self.offence = Some("a masked frame, which only a client sends".to_owned());
            }
        }
        self.frames = Some(frames);
        is_open
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

    /// The next PUBLISH if one comes within this time. It is not acknowledged.
    pub fn message_within(&mut self, time: Duration) -> Outcome<Option<Publish>> {
        let next = match self.waiting.pop_front() {
            Some(packet) => Next::Packet(Box::new(packet)),
            None => self.read(Instant::now() + time)?,
        };
        match next {
            Next::Nothing => Ok(None),
            Next::Closed => failed("the broker closed the connection where a PUBLISH may come"),
            Next::Packet(packet) => match *packet {
                Packet::Publish(publish) => Ok(Some(publish)),
                other => failed(format!("{other:?} came where a PUBLISH may come")),
            },
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

    /// The same for a marker of another topic or QoS, which other messages may come behind: those up to the answer to
    /// a PINGREQ are among the returned.
    pub fn around(&mut self, payload: impl AsRef<[u8]>) -> Outcome<Vec<Publish>> {
        let mut messages = self.until(payload)?;
        for late in self.pending()? {
            self.acknowledge(&late)?;
            messages.push(late);
        }
        Ok(messages)
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

    /// The messages that were on their way to this client, not acknowledged: all that come before the answer to a
    /// PINGREQ.
    pub fn pending(&mut self) -> Outcome<Vec<Publish>> {
        self.send(Packet::Pingreq)?;
        let mut messages = Vec::new();
        loop {
            match self.next("PINGRESP")? {
                Packet::Pingresp => return Ok(messages),
                Packet::Publish(publish) => messages.push(publish),
                other => return failed(format!("{other:?} came where messages were due")),
            }
        }
    }

    /// Subscribes to one filter, which has to be granted at that QoS. A broker may grant less, and then does not show
    /// what the test is about.
    pub fn subscribe(&mut self, filter: impl AsRef<[u8]>, qos: u8) -> Outcome {
        let suback = self.subscribe_with(Subscription::new(filter, qos))?;
        granted(&suback.codes, &[qos])
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

    /// Forgets what was read and not asked for.
    pub fn drain(&mut self) {
        self.waiting.clear();
    }

    // ---- endings ----

    /// Says DISCONNECT, closes, and waits until the broker has closed, too.
    pub fn disconnect(mut self) -> Outcome {
        self.send(Disconnect::default())?;
        self.left()
    }

    /// What a client has to do after its DISCONNECT: closes, and waits until the broker has closed, too. A broker
    /// should close by itself, and need not; sending anything more is a failure.
    pub fn left(&mut self) -> Outcome {
        self.end();
        self.closed_without_a_word()
    }

    /// Closes the client's half of the connection.
    pub(crate) fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection without a DISCONNECT, and waits until the broker has noticed.
    ///
    /// The broker sees the end of the stream, as when a client's process dies.
    pub fn vanish(mut self) -> Outcome {
        self.end();
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

    /// The next packet, or none if the broker closes the connection instead, with a DISCONNECT or without.
    pub fn closed_or_next(&mut self) -> Outcome<Option<Packet>> {
        match self.closed_or_packet()? {
            Some(Packet::Disconnect(_)) => self.closed_without_a_word().map(|()| None),
            packet => Ok(packet),
        }
    }

    /// The next packet, a DISCONNECT included, or none if the broker closes the connection.
    pub fn closed_or_packet(&mut self) -> Outcome<Option<Packet>> {
        if let Some(packet) = self.waiting.pop_front() {
            return Ok(Some(packet));
        }
        match self.read(Instant::now() + self.patience)? {
            Next::Closed => Ok(None),
            Next::Packet(packet) => Ok(Some(*packet)),
            Next::Nothing => failed(format!("neither a packet nor the end came within {:?}", self.patience)),
        }
    }

    /// The broker has to close, and to send nothing before it does.
    pub fn closed_without_a_word(&mut self) -> Outcome {
        match self.closed_or_packet()? {
            None => Ok(()),
            Some(packet) => failed(format!("{packet:?} came where the connection was to be closed")),
        }
    }

    /// The broker has to close after a CONNECT whose version it may not know: before that a CONNACK may come in the
    /// form of any version, with one of these codes. Returns the code.
    pub fn refused_in_any_version(&mut self, codes: &[u8]) -> Outcome<Option<u8>> {
        let deadline = Instant::now() + self.patience;
        let mut code = None;
        loop {
            let (first, body) = match self.frame(deadline)? {
                Frame::Whole(first, body) => (first, body),
                Frame::Closed => return Ok(code),
                Frame::Nothing => {
                    return failed(format!(
                        "the broker did not close the connection within {:?}",
                        self.patience
                    ));
                }
            };
            match (first, body.as_slice(), code) {
                (first::CONNACK, [0, found, ..], None) if codes.contains(found) => code = Some(*found),
                _ => {
                    return failed(format!(
                        "a packet 0x{first:02X} with {body:02X?} came for such a CONNECT"
                    ));
                }
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
