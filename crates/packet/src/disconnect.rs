//! DISCONNECT (section 3.14).

use crate::error::{DecodeError, DecodeLimits};
use crate::frame::Frame;
use crate::packet::check_flags;
use crate::packet_type::PacketType;
use crate::properties::{Allowed, Properties, owned_pair, put_block, put_what_fits};
use crate::property::Property;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::ProtocolVersion;
use crate::writer::put_packet;

/// A DISCONNECT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disconnect {
    /// Why; Success (Normal disconnection) before MQTT 5.
    pub reason: ReasonCode,
    /// Seconds; only from a client [MQTT-3.14.2-2], the caller checks that.
    pub session_expiry: Option<u32>,
    /// Words for a reader, not for a program.
    pub reason_string: Option<String>,
    /// Another server to use.
    pub server_reference: Option<String>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

impl Disconnect {
    /// A DISCONNECT without properties.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Disconnect {
        Disconnect {
            reason,
            session_expiry: None,
            reason_string: None,
            server_reference: None,
            user_properties: Vec::new(),
        }
    }

    /// Whether it holds what the table of its reason codes (3.14.2.1) gives to servers alone: a reason code (taken over, shutting down and
    /// the like) or a server reference.
    #[must_use]
    pub fn only_a_server_sends_it(&self) -> bool {
        use ReasonCode::*;
        self.server_reference.is_some()
            || matches!(
                self.reason,
                NotAuthorized
                    | ServerBusy
                    | ServerShuttingDown
                    | KeepAliveTimeout
                    | SessionTakenOver
                    | TopicFilterInvalid
                    | RetainNotSupported
                    | QoSNotSupported
                    | UseAnotherServer
                    | ServerMoved
                    | SharedSubscriptionsNotSupported
                    | ConnectionRateExceeded
                    | MaximumConnectTime
                    | SubscriptionIdentifiersNotSupported
                    | WildcardSubscriptionsNotSupported
            )
    }

    pub(crate) fn decode(
        frame: &Frame<'_>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Disconnect, DecodeError> {
        check_flags(frame, version)?;
        let mut reader = Reader::new(frame.body, version);
        let mut disconnect = Disconnect::new(ReasonCode::Success);
        if reader.is_v5() && !reader.is_empty() {
            let code = ReasonCode::from_u8(reader.byte()?);
            let Some(reason) = code.filter(|code| code.valid_in(PacketType::Disconnect)) else {
                return Err(DecodeError::protocol(
                    "MQTT-3.14.2-1",
                    "DISCONNECT holds a reason code that it may not hold",
                ));
            };
            disconnect.reason = reason;
            if !reader.is_empty() {
                disconnect.read_properties(&mut reader, limits)?;
            }
        }
        reader.end()?;
        Ok(disconnect)
    }

    fn read_properties(&mut self, reader: &mut Reader<'_>, limits: &DecodeLimits) -> Result<(), DecodeError> {
        let mut block = Properties::open(reader, Allowed::DISCONNECT, limits.user_properties)?;
        while let Some(property) = block.next()? {
            match property {
                Property::SessionExpiryInterval(seconds) => self.session_expiry = Some(seconds),
                Property::ReasonString(words) => self.reason_string = Some(words.to_owned()),
                Property::ServerReference(text) => self.server_reference = Some(text.to_owned()),
                Property::UserProperty(name, value) => self.user_properties.push(owned_pair(name, value)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends the whole packet, two bytes before MQTT 5. In MQTT 5 the reason string and the user properties
    /// are left out where they would make the packet larger than `maximum_packet_size` bytes [MQTT-3.14.2-3],
    /// [MQTT-3.14.2-4]; `u32::MAX` is no limit.
    pub fn encode(&self, version: ProtocolVersion, maximum_packet_size: u32, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        if version == ProtocolVersion::V5 {
            let mut block = Vec::new();
            if let Some(seconds) = self.session_expiry {
                Property::SessionExpiryInterval(seconds).encode(&mut block);
            }
            if let Some(text) = &self.server_reference {
                Property::ServerReference(text).encode(&mut block);
            }
            let reason_string = self.reason_string.as_deref();
            put_what_fits(&mut block, reason_string, &self.user_properties, 1, maximum_packet_size);
            if self.reason != ReasonCode::Success || !block.is_empty() {
                body.push(self.reason.value());
            }
            if !block.is_empty() {
                put_block(&block, &mut body);
            }
        }
        put_packet(PacketType::Disconnect, &body, out);
    }
}
