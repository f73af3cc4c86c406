//! CONNACK (section 3.2). Not here: what the server answers (crate `session`).

use crate::display::Hidden;
use crate::error::{DecodeError, DecodeLimits};
use crate::frame::Frame;
use crate::packet::check_flags;
use crate::packet_type::PacketType;
use crate::properties::{Allowed, Properties, owned_pair, put_block, put_what_fits};
use crate::property::Property;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::v31;
use crate::version::ProtocolVersion;
use crate::writer::put_packet;
use bytes::Bytes;
use std::fmt;

/// A CONNACK.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connack {
    /// Whether the server goes on with a session it has kept. Always false in MQTT 3.1.
    pub session_present: bool,
    /// The outcome. Before MQTT 5 one of six return codes, see [`ReasonCode::connect_return_code`].
    pub reason: ReasonCode,
    /// The properties; empty before MQTT 5.
    pub properties: ConnackProperties,
}

/// The properties of CONNACK (3.2.2.3 of MQTT 5). What is `None` was or will be absent, and has the standard's
/// default.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ConnackProperties {
    /// Seconds; `u32::MAX`: never.
    pub session_expiry: Option<u32>,
    /// At least 1.
    pub receive_maximum: Option<u16>,
    /// At most once or at least once; absent: all.
    pub maximum_qos: Option<QoS>,
    /// Whether messages may be retained.
    pub retain_available: Option<bool>,
    /// Bytes, at least 1.
    pub maximum_packet_size: Option<u32>,
    /// The client identifier that the server has chosen.
    pub assigned_client_id: Option<String>,
    /// The highest alias that the server takes; 0: none.
    pub topic_alias_maximum: Option<u16>,
    /// Words for a reader, not for a program.
    pub reason_string: Option<String>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
    /// Whether filters may hold wildcards.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether SUBSCRIBE may hold a subscription identifier.
    pub subscription_ids_available: Option<bool>,
    /// Whether `$share/…` filters are served.
    pub shared_subscription_available: Option<bool>,
    /// Seconds that replace the client's own keep alive.
    pub server_keep_alive: Option<u16>,
    /// A basis for response topics.
    pub response_information: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// The method of extended authentication.
    pub authentication_method: Option<String>,
    /// Only with a method.
    pub authentication_data: Option<Bytes>,
}

impl Connack {
    /// A CONNACK without properties.
    #[must_use]
    pub fn new(session_present: bool, reason: ReasonCode) -> Connack {
        Connack { session_present, reason, properties: ConnackProperties::default() }
    }

    pub(crate) fn decode(
        frame: &Frame<'_>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Connack, DecodeError> {
        check_flags(frame, version)?;
        let mut reader = Reader::new(frame.body, version);
        let first = reader.byte()?;
        let flags = if v31::has_no_session_present(version) { 0 } else { first };
        if flags > 1 {
            let clause = reader.clause("", "MQTT-3.2.2-1");
            return Err(DecodeError::malformed(clause, "reserved acknowledge flags are set"));
        }
        let session_present = flags == 1;
        let code = reader.byte()?;
        let reason = if reader.is_v5() {
            ReasonCode::from_u8(code).filter(|reason| reason.valid_in(PacketType::Connack))
        } else {
            ReasonCode::from_connect_return_code(code)
        };
        let Some(reason) = reason else {
            let clause = reader.clause("", "MQTT-3.2.2-8");
            return Err(DecodeError::protocol(clause, "CONNACK holds a code that it may not hold"));
        };
        if session_present && reason != ReasonCode::Success {
            let clause = reader.clause("MQTT-3.2.2-4", "MQTT-3.2.2-6");
            return Err(DecodeError::protocol(clause, "a refused connection has a session present"));
        }
        let properties = if reader.is_v5() {
            ConnackProperties::read(&mut reader, limits)?
        } else {
            ConnackProperties::default()
        };
        reader.end()?;
        Ok(Connack { session_present, reason, properties })
    }

    /// Appends the whole packet. 3.1 and 3.1.1 get two bytes, 3.1 without session present. In MQTT 5 the reason
    /// string and the user properties are left out where they would make the packet larger than
    /// `maximum_packet_size` bytes [MQTT-3.2.2-19], [MQTT-3.2.2-20]; `u32::MAX` is no limit.
    pub fn encode(&self, version: ProtocolVersion, maximum_packet_size: u32, out: &mut Vec<u8>) {
        let session_present = u8::from(
            self.session_present && !self.reason.is_error() && !v31::has_no_session_present(version),
        );
        if version != ProtocolVersion::V5 {
            let body = [session_present, self.reason.connect_return_code()];
            return put_packet(PacketType::Connack, &body, out);
        }
        let mut block = self.properties.encoded();
        let reason_string = self.properties.reason_string.as_deref();
        put_what_fits(&mut block, reason_string, &self.properties.user_properties, 2, maximum_packet_size);
        let mut body = vec![session_present, self.reason.value()];
        put_block(&block, &mut body);
        put_packet(PacketType::Connack, &body, out);
    }
}

impl ConnackProperties {
    fn read(reader: &mut Reader<'_>, limits: &DecodeLimits) -> Result<ConnackProperties, DecodeError> {
        let mut block = Properties::open(reader, Allowed::CONNACK, limits.user_properties)?;
        let mut found = ConnackProperties::default();
        let owned = |text: &str| Some(text.to_owned());
        while let Some(property) = block.next()? {
            match property {
                Property::SessionExpiryInterval(seconds) => found.session_expiry = Some(seconds),
                Property::ReceiveMaximum(maximum) => found.receive_maximum = Some(maximum),
                Property::MaximumQoS(qos) => found.maximum_qos = Some(qos),
                Property::RetainAvailable(yes) => found.retain_available = Some(yes),
                Property::MaximumPacketSize(size) => found.maximum_packet_size = Some(size),
                Property::AssignedClientIdentifier(id) => found.assigned_client_id = owned(id),
                Property::TopicAliasMaximum(maximum) => found.topic_alias_maximum = Some(maximum),
                Property::ReasonString(words) => found.reason_string = owned(words),
                Property::UserProperty(name, value) => found.user_properties.push(owned_pair(name, value)),
                Property::WildcardSubscriptionAvailable(yes) => {
                    found.wildcard_subscription_available = Some(yes);
                }
                Property::SubscriptionIdentifierAvailable(yes) => {
                    found.subscription_ids_available = Some(yes);
                }
                Property::SharedSubscriptionAvailable(yes) => found.shared_subscription_available = Some(yes),
                Property::ServerKeepAlive(seconds) => found.server_keep_alive = Some(seconds),
                Property::ResponseInformation(text) => found.response_information = owned(text),
                Property::ServerReference(text) => found.server_reference = owned(text),
                Property::AuthenticationMethod(method) => found.authentication_method = owned(method),
                Property::AuthenticationData(data) => {
                    found.authentication_data = Some(Bytes::copy_from_slice(data));
                }
                _ => {}
            }
        }
        if found.authentication_data.is_some() && found.authentication_method.is_none() {
            return Err(DecodeError::protocol("", "there is authentication data without a method"));
        }
        Ok(found)
    }

    /// The properties that may not be left out, without the length of the block.
    fn encoded(&self) -> Vec<u8> {
        let single = [
            self.session_expiry.map(Property::SessionExpiryInterval),
            self.receive_maximum.map(Property::ReceiveMaximum),
            self.maximum_qos.map(Property::MaximumQoS),
            self.retain_available.map(Property::RetainAvailable),
            self.maximum_packet_size.map(Property::MaximumPacketSize),
            self.assigned_client_id.as_deref().map(Property::AssignedClientIdentifier),
            self.topic_alias_maximum.map(Property::TopicAliasMaximum),
            self.wildcard_subscription_available.map(Property::WildcardSubscriptionAvailable),
            self.subscription_ids_available.map(Property::SubscriptionIdentifierAvailable),
            self.shared_subscription_available.map(Property::SharedSubscriptionAvailable),
            self.server_keep_alive.map(Property::ServerKeepAlive),
            self.response_information.as_deref().map(Property::ResponseInformation),
            self.server_reference.as_deref().map(Property::ServerReference),
            self.authentication_method.as_deref().map(Property::AuthenticationMethod),
            self.authentication_data.as_deref().map(Property::AuthenticationData),
        ];
        let mut block = Vec::new();
        for property in single.into_iter().flatten() {
            property.encode(&mut block);
        }
        block
    }
}

impl fmt::Debug for ConnackProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnackProperties")
            .field("session_expiry", &self.session_expiry)
            .field("receive_maximum", &self.receive_maximum)
            .field("maximum_qos", &self.maximum_qos)
            .field("retain_available", &self.retain_available)
            .field("maximum_packet_size", &self.maximum_packet_size)
            .field("assigned_client_id", &self.assigned_client_id)
            .field("topic_alias_maximum", &self.topic_alias_maximum)
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .field("wildcard_subscription_available", &self.wildcard_subscription_available)
            .field("subscription_ids_available", &self.subscription_ids_available)
            .field("shared_subscription_available", &self.shared_subscription_available)
            .field("server_keep_alive", &self.server_keep_alive)
            .field("response_information", &self.response_information)
            .field("server_reference", &self.server_reference)
            .field("authentication_method", &self.authentication_method)
            .field("authentication_data", &Hidden(&self.authentication_data))
            .finish()
    }
}
