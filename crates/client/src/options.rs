//! What a connection is opened with. Not here: what the broker makes of it, which stands in the CONNACK.

use aldis_packet::{Connect, ConnectProperties, ProtocolVersion, Will};
use bytes::Bytes;
use std::fmt;

/// The fields of a CONNECT (section 3.1), filled by [`Options::new`] with what most connections want. Its
/// `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    /// The version of MQTT.
    pub version: ProtocolVersion,
    /// The client identifier; may be empty where the version allows it.
    pub client_id: String,
    /// Clean Session before MQTT 5, Clean Start in it.
    pub clean_start: bool,
    /// Seconds; 0: none. The client sends no PINGREQ by itself: see [`Client::ping`](crate::Client::ping).
    pub keep_alive: u16,
    /// The will, if there is one.
    pub will: Option<Will>,
    /// The user name, if there is one.
    pub user_name: Option<String>,
    /// The password, if there is one.
    pub password: Option<Bytes>,
    /// The properties; sent in MQTT 5 only.
    pub properties: ConnectProperties,
}

impl Options {
    /// MQTT 5, a clean start, no keep alive, no will, nobody's name, no properties.
    #[must_use]
    pub fn new(client_id: impl Into<String>) -> Options {
        Options {
            version: ProtocolVersion::V5,
            client_id: client_id.into(),
            clean_start: true,
            keep_alive: 0,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::default(),
        }
    }

    /// Another version than 5.0.
    #[must_use]
    pub fn version(self, version: ProtocolVersion) -> Options {
        Options { version, ..self }
    }

    /// Goes on with the session that the broker may have kept, instead of discarding it. In MQTT 5 the broker
    /// keeps a session after the connection only as long as [`Options::session_expiry`] says.
    #[must_use]
    pub fn resume(self) -> Options {
        Options { clean_start: false, ..self }
    }

    /// Seconds that the broker is to keep the session after the connection; `u32::MAX`: for ever. MQTT 5.
    #[must_use]
    pub fn session_expiry(mut self, seconds: u32) -> Options {
        self.properties.session_expiry = Some(seconds);
        self
    }

    /// Seconds after which the broker may take a silent client for lost; 0: never.
    #[must_use]
    pub fn keep_alive(self, seconds: u16) -> Options {
        Options { keep_alive: seconds, ..self }
    }

    /// What is published when the connection ends without DISCONNECT: a [`Will`], or an
    /// [`Outgoing`](crate::Outgoing) that is made one.
    #[must_use]
    pub fn will(self, will: impl Into<Will>) -> Options {
        Options { will: Some(will.into()), ..self }
    }

    /// User name and password.
    #[must_use]
    pub fn login(self, user_name: impl Into<String>, password: impl AsRef<[u8]>) -> Options {
        let password = Some(Bytes::copy_from_slice(password.as_ref()));
        Options { user_name: Some(user_name.into()), password, ..self }
    }

    /// How many QoS 1 and 2 messages the broker may send unacknowledged, at least 1. MQTT 5.
    #[must_use]
    pub fn receive_maximum(mut self, packets: u16) -> Options {
        self.properties.receive_maximum = Some(packets);
        self
    }

    /// Bytes of the largest packet that the broker may send, at least 1; a larger one is an error of the broker.
    /// MQTT 5.
    #[must_use]
    pub fn maximum_packet_size(mut self, bytes: u32) -> Options {
        self.properties.maximum_packet_size = Some(bytes);
        self
    }

    /// The highest topic alias that the broker may use; without this it may use none. MQTT 5.
    #[must_use]
    pub fn topic_alias_maximum(mut self, maximum: u16) -> Options {
        self.properties.topic_alias_maximum = Some(maximum);
        self
    }

    /// The CONNECT that these options stand for.
    #[must_use]
    pub fn into_connect(self) -> Connect {
        Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: self.client_id,
            will: self.will,
            user_name: self.user_name,
            password: self.password,
            properties: self.properties,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Options").field(&self.clone().into_connect()).finish()
    }
}
