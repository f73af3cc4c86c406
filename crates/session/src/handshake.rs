//! From the first byte of a connection to an accepted CONNECT.
//!
//! Nothing here changes any state: until a CONNECT is whole, well formed and allowed, a stranger
//! costs the bytes it sent and no more (law 12). Who the client is gets decided by the shell, which
//! can wait for a password to be hashed; the session it gets, by the Broker.

use crate::conversation::Agreed;
use crate::limits::Limits;
use crate::outbound::ClientTerms;
use crate::violation::Violation;
use aldis_packet::{
    Connack, ConnackProperties, Connect, ConnectError, DecodeLimits, Framed, PacketType, ProtocolVersion,
    ReasonCode, Will, next_frame,
};
use std::sync::Arc;

/// A connection that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What to send before closing; empty where the standard wants silence.
    pub answer: Vec<u8>,
    /// The same as a packet.
    pub connack: Option<Box<Connack>>,
    /// Why, for the log.
    pub why: Violation,
}

/// What the bytes received so far amount to.
#[derive(Debug)]
pub enum First {
    /// The CONNECT is not whole; its whole size in bytes, once that is known.
    Partial(Option<usize>),
    /// A well-formed CONNECT of this many bytes.
    Connect(Box<Connect>, usize),
}

/// Reads the first packet of a connection.
///
/// # Errors
/// A first packet that is no CONNECT is refused without an answer; a malformed one is, too, unless
/// it is far enough along to show that the client speaks MQTT 5 or asks for an unknown version.
pub fn first_packet(bytes: &[u8], limits: &Limits) -> Result<First, Refusal> {
    let silent = |why| Refusal { answer: Vec::new(), connack: None, why };
    match bytes.first() {
        None => return Ok(First::Partial(None)),
        Some(byte) if byte >> 4 != PacketType::Connect as u8 => {
            let what = "the first packet is not a CONNECT";
            return Err(silent(Violation::new(ReasonCode::ProtocolError, "MQTT-3.1.0-1", what)));
        }
        Some(_) => {}
    }
    let (frame, size) = match next_frame(bytes, limits.first_packet_size) {
        Ok(Framed::Partial { size }) => return Ok(First::Partial(size)),
        Ok(Framed::Whole { frame, size }) => (frame, size),
        Err(error) if speaks_v5(bytes) => return Err(refuse(ProtocolVersion::V5, error.into())),
        Err(error) => return Err(silent(error.into())),
    };
    match Connect::decode(&frame, &DecodeLimits { user_properties: limits.user_properties }) {
        Ok(connect) => Ok(First::Connect(Box::new(connect), size)),
        Err(ConnectError { error, version, unsupported_level }) => Err(match (version, unsupported_level) {
            // Mosquitto's bridges set the highest bit of a 3.x level, and fall back to the plain one when they
            // are told so in 3.x.
            (_, Some(0x83 | 0x84)) => refuse(ProtocolVersion::V311, error.into()),
            // A client of a later version reads CONNACK as MQTT 5 has it, an earlier one as 3.1.1.
            (_, Some(level)) if level > 5 => refuse(ProtocolVersion::V5, error.into()),
            (_, Some(_)) => refuse(ProtocolVersion::V311, error.into()),
            (Some(ProtocolVersion::V5), None) => refuse(ProtocolVersion::V5, error.into()),
            // [MQTT-3.1.4-1] of 3.1.1: no CONNACK.
            _ => silent(error.into()),
        }),
    }
}

/// Whether a CONNECT that cannot be read to its end says that it is MQTT 5.
fn speaks_v5(bytes: &[u8]) -> bool {
    let length = bytes.iter().skip(1).take(4).take_while(|byte| **byte & 0x80 != 0).count() + 1;
    bytes.get(1 + length..).is_some_and(|body| body.starts_with(&[0, 4, b'M', b'Q', b'T', b'T', 5]))
}

/// A refusal with a CONNACK, of a client that is not known to take small packets only.
pub fn refuse(version: ProtocolVersion, why: Violation) -> Refusal {
    refuse_within(version, u32::MAX, why)
}

/// A refusal with a CONNACK of at most `maximum_packet_size` bytes, with the reason in words if they fit
/// [MQTT-3.2.2-19]; with nothing if not even the code fits. A reason that only DISCONNECT may hold (taken
/// over, shutting down) becomes "server unavailable" there [MQTT-3.2.2-8].
pub fn refuse_within(version: ProtocolVersion, maximum_packet_size: u32, why: Violation) -> Refusal {
    let mut answer = Vec::new();
    let reason =
        if why.reason.valid_in(PacketType::Connack) { why.reason } else { ReasonCode::ServerUnavailable };
    let properties =
        ConnackProperties { reason_string: Some(why.to_string()), ..ConnackProperties::default() };
    let connack = Connack { session_present: false, reason, properties };
    connack.encode(version, maximum_packet_size, &mut answer);
    if answer.len() > maximum_packet_size as usize {
        answer.clear();
    }
    let connack = (!answer.is_empty()).then(|| Box::new(connack));
    Refusal { answer, connack, why }
}

/// A CONNECT that is acceptable, with what the broker grants.
#[derive(Debug)]
pub struct Negotiated {
    /// Client id, given by the client or assigned.
    pub client_id: Arc<str>,
    /// User name that the client gave.
    pub user_name: Option<Arc<str>>,
    /// Whether an existing session is discarded.
    pub clean_start: bool,
    /// Session expiry interval granted, in seconds; `u32::MAX` never expires.
    pub session_expiry: u32,
    /// Whether another session expiry interval may come with DISCONNECT: not if CONNECT had 0 or none.
    expiry_may_change: bool,
    /// Keep alive in force, in seconds; 0 is none.
    pub keep_alive: u16,
    /// What is published if the connection ends without a clean DISCONNECT.
    pub will: Option<Will>,
    /// What bounds the packets sent to this client.
    pub terms: ClientTerms,
    connack: ConnackProperties,
}

impl Negotiated {
    /// Decides what a well-formed CONNECT gets. `assigned_id` is used if the client gave none.
    ///
    /// # Errors
    /// An authentication method (0x8C), a client id that is not acceptable (0x85), a will topic
    /// with too many levels (0x90).
    pub fn new(
        connect: Connect,
        limits: &Limits,
        assigned_id: impl FnOnce() -> String,
    ) -> Result<Negotiated, Refusal> {
        let version = connect.version;
        let maximum_packet_size = connect.properties.maximum_packet_size.unwrap_or(u32::MAX);
        let refusal = |reason, clause, what| {
            Err(refuse_within(version, maximum_packet_size, Violation::new(reason, clause, what)))
        };
        if let Err(Violation { reason, clause, what }) = check(&connect, limits) {
            return refusal(reason, clause, what);
        }
        let mut connack = ConnackProperties {
            receive_maximum: Some(limits.receive_maximum),
            maximum_packet_size: u32::try_from(limits.packet_size).ok(),
            topic_alias_maximum: Some(limits.topic_alias_maximum).filter(|maximum| *maximum > 0),
            ..ConnackProperties::default()
        };
        let client_id = if connect.client_id.is_empty() {
            let assigned = assigned_id();
            connack.assigned_client_id = Some(assigned.clone());
            assigned
        } else {
            connect.client_id
        };
        let session_expiry =
            granted_expiry(&connect.properties.session_expiry, version, connect.clean_start, limits);
        if version == ProtocolVersion::V5 && session_expiry != connect.properties.session_expiry.unwrap_or(0)
        {
            connack.session_expiry = Some(session_expiry);
        }
        let keep_alive = granted_keep_alive(connect.keep_alive, limits);
        if keep_alive != connect.keep_alive {
            connack.server_keep_alive = Some(keep_alive);
        }
        if connect.properties.request_response_information == Some(true) {
            connack.response_information = response_topics(&client_id);
        }
        let terms = ClientTerms {
            version,
            receive_maximum: connect.properties.receive_maximum.unwrap_or(u16::MAX),
            maximum_packet_size,
            topic_alias_maximum: connect.properties.topic_alias_maximum.unwrap_or(0),
            problem_information: connect.properties.request_problem_information.unwrap_or(true),
            lasting: session_expiry > 0,
        };
        if !fits(&mut connack, version, maximum_packet_size) {
            let what = "the CONNACK would be larger than the client's maximum packet size";
            return refusal(ReasonCode::PacketTooLarge, "MQTT-3.1.2-24", what);
        }
        let expiry_may_change = connect.properties.session_expiry.is_some_and(|asked| asked > 0);
        Ok(Negotiated {
            client_id: Arc::from(client_id),
            user_name: connect.user_name.map(Arc::from),
            clean_start: connect.clean_start,
            session_expiry,
            expiry_may_change,
            keep_alive,
            will: connect.will,
            terms,
            connack,
        })
    }

    /// What bounds the conversation that follows.
    pub fn agreed(&self) -> Agreed {
        Agreed {
            version: self.terms.version,
            maximum_packet_size: self.terms.maximum_packet_size,
            problem_information: self.terms.problem_information,
            expiry_may_change: self.expiry_may_change,
        }
    }

    /// The CONNACK of an accepted connection.
    pub fn connack(&self, session_present: bool) -> Connack {
        Connack { session_present, reason: ReasonCode::Success, properties: self.connack.clone() }
    }
}

/// What a well-formed CONNECT may ask for and this broker refuses.
fn check(connect: &Connect, limits: &Limits) -> Result<(), Violation> {
    if connect.properties.authentication_method.is_some() {
        let what = "this broker offers no enhanced authentication method";
        return Err(Violation::new(ReasonCode::BadAuthenticationMethod, "MQTT-4.12.0-1", what));
    }
    if let Some(will) = &connect.will {
        if will.topic.len() > limits.topic_bytes {
            let what = "the will topic is longer than limits.topic_bytes";
            return Err(Violation::new(ReasonCode::TopicNameInvalid, "", what));
        }
        aldis_topic::check_topic_name(&will.topic, limits.topic_levels)
            .map_err(|error| Violation::new(ReasonCode::TopicNameInvalid, error.clause, error.what))?;
    }
    let may_be_empty = match connect.version {
        ProtocolVersion::V31 => false,
        ProtocolVersion::V311 => connect.clean_start,
        ProtocolVersion::V5 => true,
    };
    if connect.client_id.is_empty() && !may_be_empty {
        let what = "an empty client id needs a clean session";
        return Err(Violation::new(ReasonCode::ClientIdentifierNotValid, "MQTT-3.1.3-8", what));
    }
    Ok(())
}

/// A proposal where responses could go, if the client id makes a topic name.
fn response_topics(client_id: &str) -> Option<String> {
    let topics = format!("response/{client_id}/");
    let is_plain = !client_id.chars().any(char::is_control);
    (is_plain && aldis_topic::check_topic_name(&topics, usize::MAX).is_ok()).then_some(topics)
}

/// Whether the client takes a CONNACK as large as this one, if need be without what is only a proposal.
fn fits(properties: &mut ConnackProperties, version: ProtocolVersion, maximum_packet_size: u32) -> bool {
    let size = |properties: &ConnackProperties| {
        let mut encoded = Vec::new();
        let connack = Connack { properties: properties.clone(), ..Connack::new(true, ReasonCode::Success) };
        connack.encode(version, maximum_packet_size, &mut encoded);
        encoded.len() as u64
    };
    if maximum_packet_size == u32::MAX {
        return true;
    }
    if size(properties) > u64::from(maximum_packet_size) {
        properties.response_information = None;
    }
    size(properties) <= u64::from(maximum_packet_size)
}

fn granted_expiry(asked: &Option<u32>, version: ProtocolVersion, clean: bool, limits: &Limits) -> u32 {
    let wanted = match version {
        ProtocolVersion::V5 => asked.unwrap_or(0),
        _ if clean => 0,
        _ => limits.session_expiry_default,
    };
    wanted.min(limits.session_expiry_max)
}

fn granted_keep_alive(asked: u16, limits: &Limits) -> u16 {
    match limits.keep_alive_max {
        0 => asked,
        cap if asked == 0 || asked > cap => cap,
        _ => asked,
    }
}
