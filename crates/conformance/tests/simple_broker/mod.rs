//! A broker that looks at nothing it need not look at, and is wrong in one of a few simple ways.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broker for tests")]

use aldis_conformance::wire::{frame, take_frame};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How it is wrong.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Way {
    /// It closes every connection at once.
    Closes,
    /// It reads, and never says anything.
    Silent,
    /// It answers everything with success, and passes it on, whatever is wrong with it.
    Accepts,
    /// It serves until a connection has had its first PINGRESP, and then closes for anything, with the will. A
    /// CONNECT of a client that does nothing but connect is too much already.
    Refuses,
    /// As the last, but then it says nothing more, and does not close.
    Tires,
}

/// Starts one on a port of its own. It runs until the process ends.
pub(crate) fn start(way: Way) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let broker = Arc::new(Broker { way, subscriptions: Mutex::new(Vec::new()) });
        for stream in listener.incoming().flatten() {
            let broker = Arc::clone(&broker);
            std::thread::spawn(move || broker.serve(stream));
        }
    });
    address
}

struct Subscription {
    filter: Vec<u8>,
    qos: u8,
    level: u8,
    stream: TcpStream,
}

struct Broker {
    way: Way,
    subscriptions: Mutex<Vec<Subscription>>,
}

/// What a client said of itself.
#[derive(Default)]
struct Client {
    level: u8,
    id: Vec<u8>,
    /// The topic of its will.
    will: Option<String>,
    /// It has had its first PINGRESP.
    tired: bool,
}

impl Client {
    /// The grid gives clients that do more than connect an `a` at the end, and its witnesses a `w`.
    fn is_prepared(&self) -> bool {
        self.id.ends_with(b"a")
    }

    fn is_witness(&self) -> bool {
        self.id.ends_with(b"w")
    }
}

impl Broker {
    fn serve(&self, mut stream: TcpStream) {
        let mut client = Client::default();
        let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
        if self.way == Way::Closes {
            return;
        }
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            bytes.extend_from_slice(&chunk[..count]);
            if self.way == Way::Refuses && client.tired {
                if let Some(will) = client.will {
                    self.publish(will.as_bytes(), 0, b"will");
                }
                break;
            }
            while let Some((first, body)) = next_packet(&mut bytes) {
                let quiet = self.way == Way::Silent || self.way == Way::Tires && client.tired;
                if !quiet && self.answer(first, &body, &mut client, &stream).is_none() {
                    self.forget(&stream);
                    return;
                }
            }
        }
        self.forget(&stream);
    }

    /// Ends the connection, which its subscriptions would hold open.
    fn forget(&self, stream: &TcpStream) {
        let peer = stream.peer_addr().ok();
        self.subscriptions.lock().unwrap().retain(|other| other.stream.peer_addr().ok() != peer);
    }

    /// Answers with success; none if the connection is to be closed.
    fn answer(&self, first: u8, body: &[u8], client: &mut Client, mut stream: &TcpStream) -> Option<()> {
        let early = client.level == 0 && first >> 4 != 1;
        match self.way {
            Way::Refuses if early => return None,
            Way::Tires if early => return Some(()),
            _ => {}
        }
        let is_5 = client.level == 5;
        let id = body.get(..2).unwrap_or(&[0, 1]);
        let plain = |first: u8| [&[first, 2][..], id].concat();
        let answer = match first >> 4 {
            1 => self.connect(body, client)?,
            3 => self.take(first >> 1 & 3, body, is_5),
            5 if is_5 && body.get(2).is_some_and(|code| *code >= 0x80) => Vec::new(),
            5 => plain(0x62),
            6 => plain(0x70),
            8 => self.subscribe(body, client.level, stream),
            10 if is_5 => [&[0xB0, 4][..], id, &[0, 0]].concat(),
            10 => plain(0xB0),
            12 => {
                client.tired = client.is_prepared();
                vec![0xD0, 0]
            }
            14 => return None,
            _ => Vec::new(),
        };
        stream.write_all(&answer).ok()
    }

    fn connect(&self, body: &[u8], client: &mut Client) -> Option<Vec<u8>> {
        let name = usize::from(body.get(1).copied().unwrap_or(4));
        client.level = body.get(2 + name).copied().unwrap_or(4);
        let properties = properties_at(body, 6 + name, client.level == 5);
        let id = body.get(6 + name + properties..).unwrap_or_default();
        let length = usize::from(id.get(1).copied().unwrap_or(0));
        client.id = id.get(2..2 + length).unwrap_or_default().to_vec();
        // The grid's wills have such topics.
        let has_will = body.get(3 + name).is_some_and(|flags| flags & 4 != 0);
        let topic = String::from_utf8_lossy(client.id.strip_suffix(b"a").unwrap_or_default()) + "/will";
        client.will = has_will.then(|| topic.into_owned());
        let served = client.is_prepared() || client.is_witness();
        match self.way {
            Way::Refuses if !served => None,
            Way::Tires if !served => {
                client.tired = true;
                Some(Vec::new())
            }
            _ if client.level == 5 => Some(vec![0x20, 3, 0, 0, 0]),
            _ => Some(vec![0x20, 2, 0, 0]),
        }
    }

    fn subscribe(&self, body: &[u8], level: u8, stream: &TcpStream) -> Vec<u8> {
        let properties = properties_at(body, 2, level == 5);
        let filter = body.get(2 + properties..).unwrap_or_default();
        let length = usize::from(filter.get(1).copied().unwrap_or(0));
        let filter = filter.get(2..2 + length).unwrap_or_default().to_vec();
        let qos = body.last().copied().unwrap_or(0) & 3;
        let stream = stream.try_clone().unwrap();
        self.subscriptions.lock().unwrap().push(Subscription { filter, qos, level, stream });
        let id = body.get(..2).unwrap_or(&[0, 1]);
        let end: &[u8] = if level == 5 { &[0, qos] } else { &[qos] };
        [&[0x90, 2 + end.len() as u8][..], id, end].concat()
    }

    /// Passes a message on and acknowledges it.
    fn take(&self, qos: u8, body: &[u8], is_5: bool) -> Vec<u8> {
        let id = 2 + body.get(..2).map_or(0, |two| usize::from(two[0]) << 8 | usize::from(two[1]));
        let properties = id + if qos > 0 { 2 } else { 0 };
        let payload = properties + properties_at(body, properties, is_5);
        self.publish(body.get(2..id).unwrap_or_default(), qos, body.get(payload..).unwrap_or_default());
        let id = body.get(id..id + 2).unwrap_or(&[0, 1]);
        match qos {
            0 => Vec::new(),
            1 => [&[0x40, 2][..], id].concat(),
            _ => [&[0x50, 2][..], id].concat(),
        }
    }

    fn publish(&self, topic: &[u8], qos: u8, payload: &[u8]) {
        for subscription in &*self.subscriptions.lock().unwrap() {
            let matches = match subscription.filter.strip_suffix(b"#") {
                Some(prefix) => topic.starts_with(prefix),
                None => subscription.filter == topic,
            };
            if matches {
                let qos = qos.min(subscription.qos);
                let mut body = (topic.len() as u16).to_be_bytes().to_vec();
                body.extend(topic);
                body.extend(if qos > 0 { &[0, 7][..] } else { &[] });
                body.extend(if subscription.level == 5 { &[0][..] } else { &[] });
                body.extend(payload);
                let _ = (&subscription.stream).write_all(&frame(0x30 | qos << 1, body));
            }
        }
    }
}

/// How many bytes of properties stand there.
fn properties_at(body: &[u8], place: usize, is_5: bool) -> usize {
    if is_5 { 1 + usize::from(body.get(place).copied().unwrap_or(0)) } else { 0 }
}

/// The next packet. If its length is none, all that is there is taken for it.
fn next_packet(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    if let Ok(packet) = take_frame(bytes) {
        return packet;
    }
    let first = bytes.first().copied()?;
    let length = bytes.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let body = bytes.get(1 + length..).unwrap_or_default().to_vec();
    bytes.clear();
    Some((first, body))
}
