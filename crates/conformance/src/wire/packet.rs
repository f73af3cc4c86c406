//! Packets as values, of both directions.

use super::encode::{frame, properties, text};
use super::property::Property;
use super::{Version, first};

/// A CONNECT. The defaults are those of a plain client; `flags` overrules what the fields would give.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.1")]
pub struct Connect {
    pub protocol: Vec<u8>,
    pub level: u8,
    /// Clean Start, or CleanSession in 3.x.
    pub clean: bool,
    /// Seconds; 0 turns it off.
    pub keep_alive: u16,
    pub properties: Vec<Property>,
    pub client_id: Vec<u8>,
    pub will: Option<Will>,
    pub user_name: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
    /// The whole byte of flags, instead of the one that follows from the other fields.
    pub flags: Option<u8>,
}

/// The will in a CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.1")]
pub struct Will {
    pub topic: Vec<u8>,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub properties: Vec<Property>,
}

/// A CONNACK. `code` is the return code in 3.x.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.2")]
pub struct Connack {
    pub session_present: bool,
    pub code: u8,
    pub properties: Vec<Property>,
}

/// A PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.3")]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: Vec<u8>,
    /// Absent at QoS 0.
    pub packet_id: Option<u16>,
    pub properties: Vec<Property>,
    pub payload: Vec<u8>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// First byte of the packet: one of the constants in [`first`].
    pub first: u8,
    /// Of the PUBLISH that is acknowledged.
    pub packet_id: u16,
    /// Reason code, 0 in 3.x.
    pub code: u8,
    /// Of MQTT 5.
    pub properties: Vec<Property>,
}

/// A SUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.8")]
pub struct Subscribe {
    pub packet_id: u16,
    pub properties: Vec<Property>,
    pub subscriptions: Vec<Subscription>,
}

/// A filter and its options, of which 3.x has the QoS alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic filter.
    pub filter: Vec<u8>,
    /// The whole byte: QoS, No Local 0x04, Retain As Published 0x08, Retain Handling 0x10 and 0x20.
    pub options: u8,
}

/// A SUBACK.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.9")]
pub struct Suback {
    pub packet_id: u16,
    pub properties: Vec<Property>,
    pub codes: Vec<u8>,
}

/// An UNSUBSCRIBE.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.10")]
pub struct Unsubscribe {
    pub packet_id: u16,
    pub properties: Vec<Property>,
    pub filters: Vec<Vec<u8>>,
}

/// An UNSUBACK, without codes in 3.x.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.11")]
pub struct Unsuback {
    pub packet_id: u16,
    pub properties: Vec<Property>,
    pub codes: Vec<u8>,
}

/// A DISCONNECT; in 3.x it is always plain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.14")]
pub struct Disconnect {
    pub code: u8,
    pub properties: Vec<Property>,
}

/// An AUTH of MQTT 5.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the fields are those of the packet in section 3.15")]
pub struct Auth {
    pub code: u8,
    pub properties: Vec<Property>,
}

/// Any packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the packet of that name")]
pub enum Packet {
    Connect(Connect),
    Connack(Connack),
    Publish(Publish),
    Ack(Ack),
    Subscribe(Subscribe),
    Suback(Suback),
    Unsubscribe(Unsubscribe),
    Unsuback(Unsuback),
    Pingreq,
    Pingresp,
    Disconnect(Disconnect),
    Auth(Auth),
}

impl Connect {
    /// A clean CONNECT without will, user or properties, and with keep alive off.
    #[must_use]
    pub fn new(version: Version, client_id: impl AsRef<[u8]>) -> Self {
        Self {
            protocol: version.protocol().as_bytes().to_vec(),
            level: version.level(),
            clean: true,
            keep_alive: 0,
            properties: Vec::new(),
            client_id: client_id.as_ref().to_vec(),
            will: None,
            user_name: None,
            password: None,
            flags: None,
        }
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// The byte of flags that follows from the fields.
    #[must_use]
    pub fn usual_flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| 0x04 | will.qos << 3 | u8::from(will.retain) << 5);
        u8::from(self.clean) << 1
            | will
            | u8::from(self.password.is_some()) << 6
            | u8::from(self.user_name.is_some()) << 7
    }

    /// The packet's bytes.
    #[must_use]
    pub fn to_bytes(&self, version: Version) -> Vec<u8> {
        let mut body = text(&self.protocol);
        body.push(self.level);
        body.push(self.flags.unwrap_or_else(|| self.usual_flags()));
        body.extend(self.keep_alive.to_be_bytes());
        put_properties(&mut body, version, &self.properties);
        body.extend(text(&self.client_id));
        if let Some(will) = &self.will {
            put_properties(&mut body, version, &will.properties);
            body.extend(text(&will.topic));
            body.extend(text(&will.payload));
        }
        for field in [&self.user_name, &self.password].into_iter().flatten() {
            body.extend(text(field));
        }
        frame(first::CONNECT, body)
    }
}

impl Will {
    /// A will at QoS 0, not retained.
    #[must_use]
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            retain: false,
            properties: Vec::new(),
        }
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }
}

impl Publish {
    /// A message at QoS 0.
    #[must_use]
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self { topic: topic.as_ref().to_vec(), payload: payload.as_ref().to_vec(), ..Self::default() }
    }

    /// At this QoS. Above 0 the packet needs an identifier: [`Publish::id`], or a peer gives it one.
    #[must_use]
    pub fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    /// With this packet identifier.
    #[must_use]
    pub fn id(mut self, packet_id: u16) -> Self {
        self.packet_id = Some(packet_id);
        self
    }

    /// With RETAIN.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With DUP.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.dup = true;
        self
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// The packet's bytes.
    #[must_use]
    pub fn to_bytes(&self, version: Version) -> Vec<u8> {
        let mut body = text(&self.topic);
        if let Some(packet_id) = self.packet_id {
            body.extend(packet_id.to_be_bytes());
        }
        put_properties(&mut body, version, &self.properties);
        body.extend(&self.payload);
        let flags = u8::from(self.dup) << 3 | (self.qos & 3) << 1 | u8::from(self.retain);
        frame(first::PUBLISH | flags, body)
    }
}

impl Ack {
    /// An acknowledgement with code 0.
    #[must_use]
    pub fn new(first: u8, packet_id: u16) -> Self {
        Self { first, packet_id, code: 0, properties: Vec::new() }
    }

    /// With this reason code of MQTT 5.
    #[must_use]
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// The packet's bytes, in the shortest form.
    #[must_use]
    pub fn to_bytes(&self, version: Version) -> Vec<u8> {
        let mut body = self.packet_id.to_be_bytes().to_vec();
        put_ending(&mut body, version, self.code, &self.properties);
        frame(self.first, body)
    }
}

impl Subscription {
    /// A filter at this QoS, with the other options 0.
    #[must_use]
    pub fn new(filter: impl AsRef<[u8]>, qos: u8) -> Self {
        Self { filter: filter.as_ref().to_vec(), options: qos }
    }

    /// No Local.
    #[must_use]
    pub fn no_local(mut self) -> Self {
        self.options |= 0x04;
        self
    }

    /// Retain As Published.
    #[must_use]
    pub fn retain_as_published(mut self) -> Self {
        self.options |= 0x08;
        self
    }

    /// Retain Handling, 0 to 3.
    #[must_use]
    pub fn retain_handling(mut self, handling: u8) -> Self {
        self.options |= handling << 4;
        self
    }
}

impl Subscribe {
    /// A SUBSCRIBE of one filter.
    #[must_use]
    pub fn new(packet_id: u16, subscription: Subscription) -> Self {
        Self { packet_id, properties: Vec::new(), subscriptions: vec![subscription] }
    }

    /// With one more filter.
    #[must_use]
    pub fn and(mut self, subscription: Subscription) -> Self {
        self.subscriptions.push(subscription);
        self
    }

    /// With one more property.
    #[must_use]
    pub fn with(mut self, property: Property) -> Self {
        self.properties.push(property);
        self
    }

    /// The packet's bytes.
    #[must_use]
    pub fn to_bytes(&self, version: Version) -> Vec<u8> {
        let mut body = self.packet_id.to_be_bytes().to_vec();
        put_properties(&mut body, version, &self.properties);
        for subscription in &self.subscriptions {
            body.extend(text(&subscription.filter));
            body.push(subscription.options);
        }
        frame(first::SUBSCRIBE, body)
    }
}

impl Unsubscribe {
    /// An UNSUBSCRIBE of these filters.
    #[must_use]
    pub fn new<F: AsRef<[u8]>>(packet_id: u16, filters: impl IntoIterator<Item = F>) -> Self {
        let filters = filters.into_iter().map(|filter| filter.as_ref().to_vec()).collect();
        Self { packet_id, properties: Vec::new(), filters }
    }

    /// The packet's bytes.
    #[must_use]
    pub fn to_bytes(&self, version: Version) -> Vec<u8> {
        let mut body = self.packet_id.to_be_bytes().to_vec();
        put_properties(&mut body, version, &self.properties);
        for filter in &self.filters {
            body.extend(text(filter));
        }
        frame(first::UNSUBSCRIBE, body)
    }
}

impl Packet {
    /// Any packet's bytes.
    #[must_use]
    pub fn to_bytes(&self, version: Version) -> Vec<u8> {
        match self {
            Packet::Connect(packet) => packet.to_bytes(version),
            Packet::Publish(packet) => packet.to_bytes(version),
            Packet::Ack(packet) => packet.to_bytes(version),
            Packet::Subscribe(packet) => packet.to_bytes(version),
            Packet::Unsubscribe(packet) => packet.to_bytes(version),
            Packet::Pingreq => frame(first::PINGREQ, []),
            Packet::Pingresp => frame(first::PINGRESP, []),
            Packet::Connack(packet) => {
                let mut body = vec![u8::from(packet.session_present), packet.code];
                put_properties(&mut body, version, &packet.properties);
                frame(first::CONNACK, body)
            }
            Packet::Suback(Suback { packet_id, properties, codes }) => {
                answer(first::SUBACK, version, *packet_id, properties, codes)
            }
            Packet::Unsuback(Unsuback { packet_id, properties, codes }) => {
                answer(first::UNSUBACK, version, *packet_id, properties, codes)
            }
            Packet::Disconnect(Disconnect { code, properties }) => {
                let mut body = Vec::new();
                put_ending(&mut body, version, *code, properties);
                frame(first::DISCONNECT, body)
            }
            Packet::Auth(Auth { code, properties }) => {
                let mut body = Vec::new();
                put_ending(&mut body, version, *code, properties);
                frame(first::AUTH, body)
            }
        }
    }

    /// Its name in the standard.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Packet::Connect(_) => "CONNECT",
            Packet::Connack(_) => "CONNACK",
            Packet::Publish(_) => "PUBLISH",
            Packet::Ack(ack) => match ack.first {
                first::PUBACK => "PUBACK",
                first::PUBREC => "PUBREC",
                first::PUBCOMP => "PUBCOMP",
                _ => "PUBREL",
            },
            Packet::Subscribe(_) => "SUBSCRIBE",
            Packet::Suback(_) => "SUBACK",
            Packet::Unsubscribe(_) => "UNSUBSCRIBE",
            Packet::Unsuback(_) => "UNSUBACK",
            Packet::Pingreq => "PINGREQ",
            Packet::Pingresp => "PINGRESP",
            Packet::Disconnect(_) => "DISCONNECT",
            Packet::Auth(_) => "AUTH",
        }
    }
}

fn answer(first: u8, version: Version, packet_id: u16, properties: &[Property], codes: &[u8]) -> Vec<u8> {
    let mut body = packet_id.to_be_bytes().to_vec();
    put_properties(&mut body, version, properties);
    body.extend(codes);
    frame(first, body)
}

fn put_properties(body: &mut Vec<u8>, version: Version, list: &[Property]) {
    if version.is_5() {
        body.extend(properties(list));
    }
}

/// Reason code and properties, left out as far as they may be.
fn put_ending(body: &mut Vec<u8>, version: Version, code: u8, list: &[Property]) {
    if version.is_5() && (code != 0 || !list.is_empty()) {
        body.push(code);
        if !list.is_empty() {
            body.extend(properties(list));
        }
    }
}

macro_rules! into_packet {
    ($($kind:ident),*) => {$(
        impl From<$kind> for Packet {
            fn from(packet: $kind) -> Packet {
                Packet::$kind(packet)
            }
        }
    )*};
}

into_packet!(Connect, Connack, Publish, Ack, Subscribe, Suback, Unsubscribe, Unsuback, Disconnect, Auth);
