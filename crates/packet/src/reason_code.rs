//! The reason codes of MQTT 5 (section 2.4) and what they become in 3.1 and 3.1.1. Not here: which of them the
//! broker sends when (crates `session` and `broker`).

use crate::packet_type::PacketType;
use std::fmt;

/// A reason code of MQTT 5, section 2.4. Values of 0x80 and above are failures.
///
/// 0x00 is called Success, Normal disconnection or Granted QoS 0, depending on the packet that carries it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub enum ReasonCode {
    Success = 0x00,
    GrantedQoS1,
    GrantedQoS2,
    DisconnectWithWill = 0x04,
    NoMatchingSubscribers = 0x10,
    NoSubscriptionExisted = 0x11,
    ContinueAuthentication = 0x18,
    ReAuthenticate,
    UnspecifiedError = 0x80,
    MalformedPacket,
    ProtocolError,
    ImplementationSpecificError,
    UnsupportedProtocolVersion,
    ClientIdentifierNotValid,
    BadUserNameOrPassword,
    NotAuthorized,
    ServerUnavailable,
    ServerBusy,
    Banned,
    ServerShuttingDown,
    BadAuthenticationMethod,
    KeepAliveTimeout,
    SessionTakenOver,
    TopicFilterInvalid,
    TopicNameInvalid,
    PacketIdentifierInUse = 0x91,
    PacketIdentifierNotFound,
    ReceiveMaximumExceeded,
    TopicAliasInvalid,
    PacketTooLarge,
    MessageRateTooHigh,
    QuotaExceeded,
    AdministrativeAction,
    PayloadFormatInvalid,
    RetainNotSupported,
    QoSNotSupported,
    UseAnotherServer,
    ServerMoved,
    SharedSubscriptionsNotSupported,
    ConnectionRateExceeded,
    MaximumConnectTime,
    SubscriptionIdentifiersNotSupported,
    WildcardSubscriptionsNotSupported,
}

use PacketType::{Auth, Connack, Disconnect, Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback};

/// A row of the table in section 2.4: the code, its name, the packets that may carry it.
type Row = (ReasonCode, &'static str, &'static [PacketType]);

/// The table of section 2.4, in the order of the codes.
const TABLE: [Row; 43] = {
    use ReasonCode as R;
    [
        (
            R::Success,
            "success",
            &[Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth],
        ),
        (R::GrantedQoS1, "granted QoS 1", &[Suback]),
        (R::GrantedQoS2, "granted QoS 2", &[Suback]),
        (R::DisconnectWithWill, "disconnect with will message", &[Disconnect]),
        (R::NoMatchingSubscribers, "no matching subscribers", &[Puback, Pubrec]),
        (R::NoSubscriptionExisted, "no subscription existed", &[Unsuback]),
        (R::ContinueAuthentication, "continue authentication", &[Auth]),
        (R::ReAuthenticate, "re-authenticate", &[Auth]),
        (R::UnspecifiedError, "unspecified error", &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
        (R::MalformedPacket, "malformed packet", &[Connack, Disconnect]),
        (R::ProtocolError, "protocol error", &[Connack, Disconnect]),
        (
            R::ImplementationSpecificError,
            "implementation specific error",
            &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect],
        ),
        (R::UnsupportedProtocolVersion, "unsupported protocol version", &[Connack]),
        (R::ClientIdentifierNotValid, "client identifier not valid", &[Connack]),
        (R::BadUserNameOrPassword, "bad user name or password", &[Connack]),
        (R::NotAuthorized, "not authorized", &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
        (R::ServerUnavailable, "server unavailable", &[Connack]),
        (R::ServerBusy, "server busy", &[Connack, Disconnect]),
        (R::Banned, "banned", &[Connack]),
        (R::ServerShuttingDown, "server shutting down", &[Disconnect]),
        (R::BadAuthenticationMethod, "bad authentication method", &[Connack, Disconnect]),
        (R::KeepAliveTimeout, "keep alive timeout", &[Disconnect]),
        (R::SessionTakenOver, "session taken over", &[Disconnect]),
        (R::TopicFilterInvalid, "topic filter invalid", &[Suback, Unsuback, Disconnect]),
        (R::TopicNameInvalid, "topic name invalid", &[Connack, Puback, Pubrec, Disconnect]),
        (R::PacketIdentifierInUse, "packet identifier in use", &[Puback, Pubrec, Suback, Unsuback]),
        (R::PacketIdentifierNotFound, "packet identifier not found", &[Pubrel, Pubcomp]),
        (R::ReceiveMaximumExceeded, "receive maximum exceeded", &[Disconnect]),
        (R::TopicAliasInvalid, "topic alias invalid", &[Disconnect]),
        (R::PacketTooLarge, "packet too large", &[Connack, Disconnect]),
        (R::MessageRateTooHigh, "message rate too high", &[Disconnect]),
        (R::QuotaExceeded, "quota exceeded", &[Connack, Puback, Pubrec, Suback, Disconnect]),
        (R::AdministrativeAction, "administrative action", &[Disconnect]),
        (R::PayloadFormatInvalid, "payload format invalid", &[Connack, Puback, Pubrec, Disconnect]),
        (R::RetainNotSupported, "retain not supported", &[Connack, Disconnect]),
        (R::QoSNotSupported, "QoS not supported", &[Connack, Disconnect]),
        (R::UseAnotherServer, "use another server", &[Connack, Disconnect]),
        (R::ServerMoved, "server moved", &[Connack, Disconnect]),
        (R::SharedSubscriptionsNotSupported, "shared subscriptions not supported", &[Suback, Disconnect]),
        (R::ConnectionRateExceeded, "connection rate exceeded", &[Connack, Disconnect]),
        (R::MaximumConnectTime, "maximum connect time", &[Disconnect]),
        (
            R::SubscriptionIdentifiersNotSupported,
            "subscription identifiers not supported",
            &[Suback, Disconnect],
        ),
        (R::WildcardSubscriptionsNotSupported, "wildcard subscriptions not supported", &[Suback, Disconnect]),
    ]
};

impl ReasonCode {
    /// Every code, in the order of their values.
    pub fn all() -> impl Iterator<Item = ReasonCode> {
        TABLE.iter().map(|row| row.0)
    }

    /// The byte that packets carry.
    #[inline]
    #[must_use]
    pub fn value(self) -> u8 {
        self as u8
    }

    /// The code that a byte means; `None` if the standard gives it no meaning.
    #[must_use]
    pub fn from_u8(value: u8) -> Option<ReasonCode> {
        if value == 0 {
            return Some(ReasonCode::Success);
        }
        TABLE.iter().map(|row| row.0).find(|code| code.value() == value)
    }

    /// Whether the code tells of a failure, 0x80 and above.
    #[inline]
    #[must_use]
    pub fn is_error(self) -> bool {
        self.value() >= 0x80
    }

    /// Whether a packet of this type may carry the code, by the table in section 2.4 of MQTT 5.
    #[must_use]
    pub fn valid_in(self, packet_type: PacketType) -> bool {
        TABLE.iter().any(|row| row.0 == self && row.2.contains(&packet_type))
    }

    /// The CONNACK return code of MQTT 3.1 and 3.1.1 (Table 3.1 of 3.1.1) that comes nearest: 0 for success,
    /// 1 unacceptable protocol version, 2 identifier rejected, 3 server unavailable (also for whatever has no
    /// code of its own), 4 bad user name or password, 5 not authorised.
    #[must_use]
    pub fn connect_return_code(self) -> u8 {
        match self {
            ReasonCode::UnsupportedProtocolVersion => 1,
            ReasonCode::ClientIdentifierNotValid => 2,
            ReasonCode::BadUserNameOrPassword => 4,
            ReasonCode::NotAuthorized | ReasonCode::Banned => 5,
            code if code.is_error() => 3,
            _ => 0,
        }
    }

    /// The code that a CONNACK return code of MQTT 3.1 and 3.1.1 means; `None` above 5.
    #[must_use]
    pub fn from_connect_return_code(value: u8) -> Option<ReasonCode> {
        Some(match value {
            0 => ReasonCode::Success,
            1 => ReasonCode::UnsupportedProtocolVersion,
            2 => ReasonCode::ClientIdentifierNotValid,
            3 => ReasonCode::ServerUnavailable,
            4 => ReasonCode::BadUserNameOrPassword,
            5 => ReasonCode::NotAuthorized,
            _ => return None,
        })
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = TABLE.iter().find(|row| row.0 == *self).map_or("", |row| row.1);
        f.pad(name)
    }
}
