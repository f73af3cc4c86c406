//! CONNECT (section 3.1). Not here: whether the client is let in, and rules that need more than the packet's
//! form, such as the empty client identifier [MQTT-3.1.3-8] (crate `session`).

use crate::display::Hidden;
use crate::error::{DecodeError, DecodeLimits};
use crate::frame::Frame;
use crate::packet::check_flags;
use crate::packet_type::PacketType;
use crate::properties::{Allowed, Properties, owned_pair, put_block, put_user_properties};
use crate::property::Property;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::v31;
use crate::version::ProtocolVersion;
use crate::will::Will;
use crate::writer::{put_binary, put_packet, put_text, put_u16};
use bytes::Bytes;
use std::fmt;

/// A CONNECT. Its `Debug` shows neither the password nor authentication data.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// The version that protocol name and level ask for.
    pub version: ProtocolVersion,
    /// Clean Session before MQTT 5, Clean Start in it.
    pub clean_start: bool,
    /// Seconds; 0: none.
    pub keep_alive: u16,
    /// The client identifier; may be empty.
    pub client_id: String,
    /// The will, if there is one.
    pub will: Option<Will>,
    /// The user name, if there is one.
    pub user_name: Option<String>,
    /// The password, if there is one. Without a user name only in MQTT 5.
    pub password: Option<Bytes>,
    /// The properties; empty before MQTT 5.
    pub properties: ConnectProperties,
}

/// The properties of CONNECT (3.1.2.11 of MQTT 5). What is `None` was absent.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ConnectProperties {
    /// Seconds; `u32::MAX`: never.
    pub session_expiry: Option<u32>,
    /// At least 1.
    pub receive_maximum: Option<u16>,
    /// Bytes, at least 1.
    pub maximum_packet_size: Option<u32>,
    /// The highest alias that the client takes; 0: none.
    pub topic_alias_maximum: Option<u16>,
    /// Whether the client asks for response information.
    pub request_response_information: Option<bool>,
    /// Whether reason strings and user properties may be on every packet [MQTT-3.1.2-29].
    pub request_problem_information: Option<bool>,
    /// The method of extended authentication.
    pub authentication_method: Option<String>,
    /// Only with a method.
    pub authentication_data: Option<Bytes>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

/// Why a CONNECT was refused, and how far its version is known: what an answer depends on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ConnectError {
    /// What is wrong.
    pub error: DecodeError,
    /// The version, once protocol name and level were read and are spoken here.
    pub version: Option<ProtocolVersion>,
    /// The level, if this name and level are not spoken here; the reason code is then Unsupported Protocol
    /// Version.
    pub unsupported_level: Option<u8>,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unsupported_level {
            Some(level) => write!(f, "{} (level {level})", self.error),
            None => self.error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

/// The connect flags byte (3.1.2.3), checked.
struct ConnectFlags {
    clean_start: bool,
    /// QoS and RETAIN of the will.
    will: Option<(QoS, bool)>,
    user_name: bool,
    password: bool,
}

impl Connect {
    /// Reads a CONNECT of any version.
    ///
    /// # Errors
    /// Everything in section 3.1 that can be judged by the packet alone. Unsupported Protocol Version for any
    /// pair of protocol name and level but `MQIsdp` 3, `MQTT` 4 and `MQTT` 5 [MQTT-3.1.2-1], [MQTT-3.1.2-2].
    pub fn decode(frame: &Frame<'_>, limits: &DecodeLimits) -> Result<Connect, ConnectError> {
        let unknown = |error| ConnectError { error, version: None, unsupported_level: None };
        if frame.packet_type != PacketType::Connect {
            return Err(unknown(DecodeError::protocol("MQTT-3.1.0-1", "the packet is not CONNECT")));
        }
        let mut reader = Reader::new(frame.body, ProtocolVersion::V311);
        let name = reader.binary().map_err(unknown)?;
        let level = reader.byte().map_err(unknown)?;
        let version = version_of(name, level).map_err(|error| ConnectError {
            error,
            version: None,
            unsupported_level: Some(level),
        })?;
        reader.version = version;
        check_flags(frame, version)
            .and_then(|()| Connect::read(&mut reader, limits))
            .map_err(|error| ConnectError { error, version: Some(version), unsupported_level: None })
    }

    /// Reads what follows the protocol level.
    fn read(reader: &mut Reader<'_>, limits: &DecodeLimits) -> Result<Connect, DecodeError> {
        let version = reader.version;
        let flags = ConnectFlags::read(reader)?;
        let keep_alive = reader.two_byte_integer()?;
        let mut user_properties_left = limits.user_properties;
        let properties = if version == ProtocolVersion::V5 {
            ConnectProperties::read(reader, &mut user_properties_left)?
        } else {
            ConnectProperties::default()
        };
        let client_id = reader.text()?.to_owned();
        let will = match flags.will {
            Some((qos, retain)) => Some(Will::read(reader, qos, retain, user_properties_left)?),
            None => None,
        };
        let is_there = |flag: bool, reader: &Reader<'_>| {
            flag && !(reader.is_empty() && v31::string_may_be_missing(version))
        };
        let user_name =
            if is_there(flags.user_name, reader) { Some(reader.text()?.to_owned()) } else { None };
        let password = if is_there(flags.password, reader) {
            Some(Bytes::copy_from_slice(reader.binary()?))
        } else {
            None
        };
        reader.end()?;
        let clean_start = flags.clean_start;
        Ok(Connect { version, clean_start, keep_alive, client_id, will, user_name, password, properties })
    }

    /// Appends the whole packet, for `self.version`. Properties are written for MQTT 5 only. Whether the fields
    /// go together (a password without a user name in 3.1.1, say) is up to the caller.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let v5 = self.version == ProtocolVersion::V5;
        let mut body = Vec::with_capacity(32 + self.client_id.len());
        put_text(self.version.protocol_name(), &mut body);
        body.push(self.version.level());
        let will = self
            .will
            .as_ref()
            .map_or(0, |will| 0b0000_0100 | will.qos.value() << 3 | u8::from(will.retain) << 5);
        body.push(
            u8::from(self.clean_start) << 1
                | will
                | u8::from(self.password.is_some()) << 6
                | u8::from(self.user_name.is_some()) << 7,
        );
        put_u16(self.keep_alive, &mut body);
        if v5 {
            put_block(&self.properties.encoded(), &mut body);
        }
        put_text(&self.client_id, &mut body);
        if let Some(will) = &self.will {
            will.put(self.version, &mut body);
        }
        if let Some(user_name) = &self.user_name {
            put_text(user_name, &mut body);
        }
        if let Some(password) = &self.password {
            put_binary(password, &mut body);
        }
        put_packet(PacketType::Connect, &body, out);
    }
}

fn version_of(name: &[u8], level: u8) -> Result<ProtocolVersion, DecodeError> {
    let (clause, what) = match (name, level) {
        (b"MQIsdp", 3) => return Ok(ProtocolVersion::V31),
        (b"MQTT", 4) => return Ok(ProtocolVersion::V311),
        (b"MQTT", 5) => return Ok(ProtocolVersion::V5),
        (b"MQIsdp" | b"MQTT", _) => ("MQTT-3.1.2-2", "the protocol level is not supported"),
        _ => ("MQTT-3.1.2-1", "the protocol name is not MQTT"),
    };
    Err(DecodeError::new(ReasonCode::UnsupportedProtocolVersion, clause, what))
}

impl ConnectFlags {
    fn read(reader: &mut Reader<'_>) -> Result<ConnectFlags, DecodeError> {
        let version = reader.version;
        let byte = reader.byte()?;
        let is_set = |bit: u8| byte & (1 << bit) != 0;
        if is_set(0) && !v31::ignores_reserved_connect_flag(version) {
            return Err(DecodeError::malformed("MQTT-3.1.2-3", "the reserved connect flag is set"));
        }
        let (qos, retain) = ((byte >> 3) & 0b11, is_set(5));
        let will = if is_set(2) {
            let Some(qos) = QoS::from_u8(qos) else {
                let clause = reader.clause("MQTT-3.1.2-14", "MQTT-3.1.2-12");
                return Err(DecodeError::malformed(clause, "the will's QoS is 3"));
            };
            Some((qos, retain))
        } else if v31::disregards_unused_will_settings(version) {
            None
        } else if qos != 0 {
            let clause = reader.clause("MQTT-3.1.2-13", "MQTT-3.1.2-11");
            return Err(DecodeError::malformed(clause, "there is a will QoS without a will"));
        } else if retain {
            let clause = reader.clause("MQTT-3.1.2-15", "MQTT-3.1.2-13");
            return Err(DecodeError::malformed(clause, "there is a will retain flag without a will"));
        } else {
            None
        };
        let (user_name, password) = (is_set(7), is_set(6));
        if password && !user_name && !reader.is_v5() {
            return Err(DecodeError::malformed("MQTT-3.1.2-22", "there is a password without a user name"));
        }
        Ok(ConnectFlags { clean_start: is_set(1), will, user_name, password })
    }
}

impl ConnectProperties {
    fn read(
        reader: &mut Reader<'_>,
        user_properties_left: &mut usize,
    ) -> Result<ConnectProperties, DecodeError> {
        let mut block = Properties::open(reader, Allowed::CONNECT, *user_properties_left)?;
        let mut found = ConnectProperties::default();
        while let Some(property) = block.next()? {
            match property {
                Property::SessionExpiryInterval(seconds) => found.session_expiry = Some(seconds),
                Property::ReceiveMaximum(maximum) => found.receive_maximum = Some(maximum),
                Property::MaximumPacketSize(size) => found.maximum_packet_size = Some(size),
                Property::TopicAliasMaximum(maximum) => found.topic_alias_maximum = Some(maximum),
                Property::RequestResponseInformation(yes) => found.request_response_information = Some(yes),
                Property::RequestProblemInformation(yes) => found.request_problem_information = Some(yes),
                Property::AuthenticationMethod(method) => {
                    found.authentication_method = Some(method.to_owned());
                }
                Property::AuthenticationData(data) => {
                    found.authentication_data = Some(Bytes::copy_from_slice(data));
                }
                Property::UserProperty(name, value) => found.user_properties.push(owned_pair(name, value)),
                _ => {}
            }
        }
        *user_properties_left = block.user_properties_left();
        if found.authentication_data.is_some() && found.authentication_method.is_none() {
            return Err(DecodeError::protocol("", "there is authentication data without a method"));
        }
        Ok(found)
    }

    /// The properties, without the length of the block.
    fn encoded(&self) -> Vec<u8> {
        let method = self.authentication_method.as_deref();
        let data = self.authentication_data.as_deref();
        let single = [
            self.session_expiry.map(Property::SessionExpiryInterval),
            self.receive_maximum.map(Property::ReceiveMaximum),
            self.maximum_packet_size.map(Property::MaximumPacketSize),
            self.topic_alias_maximum.map(Property::TopicAliasMaximum),
            self.request_response_information.map(Property::RequestResponseInformation),
            self.request_problem_information.map(Property::RequestProblemInformation),
            method.map(Property::AuthenticationMethod),
            data.map(Property::AuthenticationData),
        ];
        let mut block = Vec::new();
        for property in single.into_iter().flatten() {
            property.encode(&mut block);
        }
        put_user_properties(&self.user_properties, &mut block);
        block
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .field("password", &Hidden(&self.password))
            .field("properties", &self.properties)
            .finish()
    }
}

impl fmt::Debug for ConnectProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectProperties")
            .field("session_expiry", &self.session_expiry)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("request_response_information", &self.request_response_information)
            .field("request_problem_information", &self.request_problem_information)
            .field("authentication_method", &self.authentication_method)
            .field("authentication_data", &Hidden(&self.authentication_data))
            .field("user_properties", &self.user_properties)
            .finish()
    }
}
