//! AUTH (section 3.15 of MQTT 5). Not here: the exchange it belongs to.

use crate::display::Hidden;
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
use bytes::Bytes;
use std::fmt;

/// An AUTH. Its `Debug` does not show the authentication data.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// The method; absent only in the short form of two bytes, which means Success and nothing else.
    pub authentication_method: Option<String>,
    /// What the method exchanges.
    pub authentication_data: Option<Bytes>,
    /// Words for a reader, not for a program.
    pub reason_string: Option<String>,
    /// Names and values, in order.
    pub user_properties: Vec<(String, String)>,
}

impl Auth {
    /// An AUTH without properties.
    #[must_use]
    pub fn new(reason: ReasonCode) -> Auth {
        Auth {
            reason,
            authentication_method: None,
            authentication_data: None,
            reason_string: None,
            user_properties: Vec::new(),
        }
    }

    pub(crate) fn decode(
        frame: &Frame<'_>,
        version: ProtocolVersion,
        limits: &DecodeLimits,
    ) -> Result<Auth, DecodeError> {
        if version != ProtocolVersion::V5 {
            return Err(DecodeError::malformed("", "AUTH exists in MQTT 5 only"));
        }
        check_flags(frame, version)?;
        let mut reader = Reader::new(frame.body, version);
        let mut auth = Auth::new(ReasonCode::Success);
        if reader.is_empty() {
            return Ok(auth);
        }
        let code = ReasonCode::from_u8(reader.byte()?);
        let Some(reason) = code.filter(|code| code.valid_in(PacketType::Auth)) else {
            return Err(DecodeError::protocol(
                "MQTT-3.15.2-1",
                "AUTH holds a reason code that it may not hold",
            ));
        };
        auth.reason = reason;
        let mut block = Properties::open(&mut reader, Allowed::AUTH, limits.user_properties)?;
        while let Some(property) = block.next()? {
            match property {
                Property::AuthenticationMethod(method) => {
                    auth.authentication_method = Some(method.to_owned())
                }
                Property::AuthenticationData(data) => {
                    auth.authentication_data = Some(Bytes::copy_from_slice(data));
                }
                Property::ReasonString(words) => auth.reason_string = Some(words.to_owned()),
                Property::UserProperty(name, value) => auth.user_properties.push(owned_pair(name, value)),
                _ => {}
            }
        }
        if auth.authentication_method.is_none() {
            return Err(DecodeError::protocol("", "AUTH has no authentication method"));
        }
        reader.end()?;
        Ok(auth)
    }

    /// Appends the whole packet; it exists in MQTT 5 only. The reason string and the user properties are left
    /// out where they would make the packet larger than `maximum_packet_size` bytes [MQTT-3.15.2-2],
    /// [MQTT-3.15.2-3]; `u32::MAX` is no limit.
    pub fn encode(&self, maximum_packet_size: u32, out: &mut Vec<u8>) {
        let mut block = Vec::new();
        if let Some(method) = &self.authentication_method {
            Property::AuthenticationMethod(method).encode(&mut block);
        }
        if let Some(data) = &self.authentication_data {
            Property::AuthenticationData(data).encode(&mut block);
        }
        let reason_string = self.reason_string.as_deref();
        put_what_fits(&mut block, reason_string, &self.user_properties, 1, maximum_packet_size);
        let mut body = Vec::new();
        if self.reason != ReasonCode::Success || !block.is_empty() {
            body.push(self.reason.value());
            put_block(&block, &mut body);
        }
        put_packet(PacketType::Auth, &body, out);
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("reason", &self.reason)
            .field("authentication_method", &self.authentication_method)
            .field("authentication_data", &Hidden(&self.authentication_data))
            .field("reason_string", &self.reason_string)
            .field("user_properties", &self.user_properties)
            .finish()
    }
}
