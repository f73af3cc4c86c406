//! Wills in the fold.

use crate::record::WillRecord;
use aldis_packet::QoS;

/// A will that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WillState {
    /// Number of the will.
    pub number: u64,
    /// Topic name.
    pub topic: Box<str>,
    /// Application payload.
    pub payload: Box<[u8]>,
    /// Encoded MQTT 5 properties that are passed on.
    pub properties: Box<[u8]>,
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Will delay interval in seconds.
    pub delay: u32,
    /// Message expiry interval in seconds, if it has one.
    pub message_expiry: Option<u32>,
}

impl WillState {
    pub(super) fn new(will: &WillRecord<'_>) -> WillState {
        WillState {
            number: will.number,
            topic: will.topic.into(),
            payload: will.payload.into(),
            properties: will.properties.into(),
            qos: will.qos,
            retain: will.retain,
            delay: will.delay,
            message_expiry: will.message_expiry,
        }
    }

    pub(super) fn record(&self) -> WillRecord<'_> {
        WillRecord {
            number: self.number,
            topic: &self.topic,
            payload: &self.payload,
            properties: &self.properties,
            qos: self.qos,
            retain: self.retain,
            delay: self.delay,
            message_expiry: self.message_expiry,
        }
    }
}

/// A will that is due and not published yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedWill {
    /// Client id of whose will it is.
    pub client_id: Box<str>,
    /// User name that was verified.
    pub user_name: Option<Box<str>>,
    /// The will.
    pub will: WillState,
}
