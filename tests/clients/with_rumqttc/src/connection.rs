//! rumqttc's two clients, for MQTT 3.1.1 and for 5, behind one face: what happened is one closed enum.
//!
//! Keeps no list of what happened and waits for nothing; see `peer.rs` for that.

use crate::expect::{CONTROL_DEADLINE, Settings};
use crate::message::Message;
use rumqttc::v5;
use rumqttc::v5::mqttbytes::v5 as five;
use rumqttc::{self as four, Outgoing};
use std::fmt::Display;

/// Packets of this size pass: scenarios publish up to 1 MiB, and rumqttc's own limit is 10 KiB.
const PACKET_LIMIT: u32 = 2 * 1024 * 1024;

/// Messages that rumqttc has in flight at most, if the broker allows as many. It holds a place for each.
const IN_FLIGHT: u16 = 100;

/// Requests that wait for rumqttc's event loop; whoever publishes more waits.
const REQUESTS: usize = 64;

/// How a client connects.
pub(crate) struct Options {
    /// Clean session, or clean start.
    pub(crate) clean: bool,
    /// Session expiry in seconds, in MQTT 5.
    pub(crate) expiry: u32,
    pub(crate) will: Option<Message>,
    /// Seconds that the will waits, in MQTT 5.
    pub(crate) will_delay: Option<u32>,
    /// Whether the client leaves messages unacknowledged.
    pub(crate) is_manual: bool,
}

impl Options {
    pub(crate) const CLEAN: Self =
        Self { clean: true, expiry: 0, will: None, will_delay: None, is_manual: false };
    pub(crate) const LASTING: Self = Self { clean: false, expiry: 300, ..Self::CLEAN };
}

/// What a subscription asks for besides its QoS, in MQTT 5.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) identifier: Option<usize>,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Retain handling: 0 (default), 1 or 2.
    pub(crate) retain_handling: u8,
}

/// What the event loop reports, as far as a scenario asks.
pub(crate) enum Happened {
    Connected {
        session_present: bool,
    },
    Received(Message),
    /// A QoS 2 message was received before, and its PUBCOMP is sent.
    Completed,
    /// A message of QoS 0 is sent.
    Sent,
    /// PUBACK or PUBCOMP: a message of QoS 1 or 2 is the broker's; or the reason why it is not.
    Acknowledged(Result<(), String>),
    /// SUBACK: the QoS granted to each filter, or the refusal.
    Granted(Vec<Result<u8, String>>),
    Unsubscribed,
    Other,
}

/// Why a connection is over.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) why: String,
    /// The reason of the broker's DISCONNECT, if it sent one.
    pub(crate) disconnect: Option<five::DisconnectReasonCode>,
}

/// The part that asks.
pub(crate) enum Requests {
    Four(four::AsyncClient),
    Five(v5::AsyncClient),
}

/// The part that talks to the broker, while somebody asks it what happened.
pub(crate) enum EventLoop {
    Four(Box<four::EventLoop>),
    Five(Box<v5::EventLoop>),
}

/// A client that connects when its event loop is first asked.
pub(crate) fn open(
    settings: &Settings,
    is_five: bool,
    client_id: &str,
    options: Options,
) -> (Requests, EventLoop) {
    if is_five {
        let (requests, event_loop) =
            v5::AsyncClient::new(options_of_five(settings, client_id, options), REQUESTS);
        return (Requests::Five(requests), EventLoop::Five(Box::new(event_loop)));
    }
    let mut given = four::MqttOptions::new(client_id, &settings.host, settings.port);
    given.set_clean_session(options.clean).set_manual_acks(options.is_manual).set_inflight(IN_FLIGHT);
    let limit = PACKET_LIMIT as usize;
    given.set_max_packet_size(limit, limit);
    if let Some(will) = options.will {
        let qos = qos_of_four(will.qos);
        given.set_last_will(four::LastWill::new(will.topic, will.payload, qos, will.retain));
    }
    let (requests, mut event_loop) = four::AsyncClient::new(given, REQUESTS);
    let mut network = event_loop.network_options();
    network.set_connection_timeout(CONTROL_DEADLINE.as_secs());
    event_loop.set_network_options(network);
    (Requests::Four(requests), EventLoop::Four(Box::new(event_loop)))
}

fn options_of_five(settings: &Settings, client_id: &str, options: Options) -> v5::MqttOptions {
    let mut given = v5::MqttOptions::new(client_id, &settings.host, settings.port);
    given.set_clean_start(options.clean).set_manual_acks(options.is_manual);
    given.set_outgoing_inflight_upper_limit(IN_FLIGHT).set_connection_timeout(CONTROL_DEADLINE.as_secs());
    given.set_session_expiry_interval(Some(options.expiry));
    given.set_max_packet_size(Some(PACKET_LIMIT));
    if let Some(will) = options.will {
        let carried = five::LastWillProperties {
            delay_interval: options.will_delay,
            payload_format_indicator: will.properties.payload_format_indicator,
            message_expiry_interval: will.properties.message_expiry_interval,
            content_type: will.properties.content_type,
            response_topic: will.properties.response_topic,
            correlation_data: will.properties.correlation_data,
            user_properties: will.properties.user_properties,
        };
        let qos = qos_of_five(will.qos);
        given.set_last_will(five::LastWill::new(will.topic, will.payload, qos, will.retain, Some(carried)));
    }
    given
}

impl Requests {
    /// Asks for a PUBLISH. The error says that the event loop is gone, or what rumqttc will not send.
    pub(crate) async fn publish(&self, message: Message) -> Result<(), String> {
        let Message { topic, payload, qos, retain, dup: _, properties } = message;
        match self {
            Self::Four(client) => told(client.publish_bytes(topic, qos_of_four(qos), retain, payload).await),
            // rumqttc has a way of its own for messages without properties.
            Self::Five(client) if properties == five::PublishProperties::default() => {
                told(client.publish_bytes(topic, qos_of_five(qos), retain, payload).await)
            }
            Self::Five(client) => {
                let qos = qos_of_five(qos);
                told(client.publish_bytes_with_properties(topic, qos, retain, payload, properties).await)
            }
        }
    }

    /// Asks for a SUBSCRIBE with one filter. What MQTT 3.1.1 has not is left out there.
    pub(crate) async fn subscribe(&self, filter: String, qos: u8, wishes: Wishes) -> Result<(), String> {
        match self {
            Self::Four(client) => told(client.subscribe(filter, qos_of_four(qos)).await),
            Self::Five(client) => {
                let mut asked = five::Filter::new(filter, qos_of_five(qos));
                asked.nolocal = wishes.no_local;
                asked.preserve_retain = wishes.retain_as_published;
                asked.retain_forward_rule = match wishes.retain_handling {
                    0 => five::RetainForwardRule::OnEverySubscribe,
                    1 => five::RetainForwardRule::OnNewSubscribe,
                    _ => five::RetainForwardRule::Never,
                };
                if wishes.identifier.is_none() {
                    return told(client.subscribe_many([asked]).await);
                }
                let carried =
                    five::SubscribeProperties { id: wishes.identifier, user_properties: Vec::new() };
                told(client.subscribe_many_with_properties([asked], carried).await)
            }
        }
    }

    pub(crate) async fn unsubscribe(&self, filter: String) -> Result<(), String> {
        match self {
            Self::Four(client) => told(client.unsubscribe(filter).await),
            Self::Five(client) => told(client.unsubscribe(filter).await),
        }
    }

    pub(crate) async fn disconnect(&self) -> Result<(), String> {
        match self {
            Self::Four(client) => told(client.disconnect().await),
            Self::Five(client) => told(client.disconnect().await),
        }
    }
}

impl EventLoop {
    /// Talks to the broker until something happens. After an error it would connect again.
    pub(crate) async fn next(&mut self) -> Result<Happened, Ended> {
        match self {
            Self::Four(event_loop) => match event_loop.poll().await {
                Ok(four::Event::Incoming(packet)) => Ok(received_by_four(packet)),
                Ok(four::Event::Outgoing(sent)) => Ok(has_sent(&sent)),
                Err(error) => Err(Ended { why: error.to_string(), disconnect: None }),
            },
            Self::Five(event_loop) => match event_loop.poll().await {
                Ok(v5::Event::Incoming(packet)) => Ok(received_by_five(packet)),
                Ok(v5::Event::Outgoing(sent)) => Ok(has_sent(&sent)),
                Err(error) => Err(Ended { why: error.to_string(), disconnect: disconnect_in(&error) }),
            },
        }
    }
}

fn received_by_four(packet: four::Packet) -> Happened {
    match packet {
        four::Packet::ConnAck(answer) => Happened::Connected { session_present: answer.session_present },
        four::Packet::Publish(got) => Happened::Received(Message {
            topic: got.topic,
            payload: got.payload,
            qos: got.qos as u8,
            retain: got.retain,
            dup: got.dup,
            properties: five::PublishProperties::default(),
        }),
        four::Packet::PubAck(_) | four::Packet::PubComp(_) => Happened::Acknowledged(Ok(())),
        four::Packet::SubAck(answer) => Happened::Granted(
            answer
                .return_codes
                .into_iter()
                .map(|code| match code {
                    four::SubscribeReasonCode::Success(qos) => Ok(qos as u8),
                    refused @ four::SubscribeReasonCode::Failure => Err(format!("{refused:?}")),
                })
                .collect(),
        ),
        four::Packet::UnsubAck(_) => Happened::Unsubscribed,
        _ => Happened::Other,
    }
}

fn received_by_five(packet: five::Packet) -> Happened {
    use five::{PubAckReason, PubCompReason, PubRecReason};
    match packet {
        five::Packet::ConnAck(answer) => Happened::Connected { session_present: answer.session_present },
        five::Packet::Publish(got) => Happened::Received(Message {
            topic: String::from_utf8_lossy(&got.topic).into_owned(),
            payload: got.payload,
            qos: got.qos as u8,
            retain: got.retain,
            dup: got.dup,
            properties: got.properties.unwrap_or_default(),
        }),
        five::Packet::PubAck(answer) => Happened::Acknowledged(match answer.reason {
            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
            refused => Err(format!("{refused:?}")),
        }),
        five::Packet::PubRec(answer) => match answer.reason {
            PubRecReason::Success | PubRecReason::NoMatchingSubscribers => Happened::Other,
            refused => Happened::Acknowledged(Err(format!("{refused:?}"))),
        },
        five::Packet::PubComp(answer) => Happened::Acknowledged(match answer.reason {
            PubCompReason::Success => Ok(()),
            refused => Err(format!("{refused:?}")),
        }),
        five::Packet::SubAck(answer) => Happened::Granted(
            answer
                .return_codes
                .into_iter()
                .map(|code| match code {
                    five::SubscribeReasonCode::Success(qos) => Ok(qos as u8),
                    refused => Err(format!("{refused:?}")),
                })
                .collect(),
        ),
        five::Packet::UnsubAck(_) => Happened::Unsubscribed,
        _ => Happened::Other,
    }
}

/// rumqttc reports a packet that it sends after it has written it.
fn has_sent(packet: &Outgoing) -> Happened {
    match packet {
        Outgoing::Publish(0) => Happened::Sent,
        Outgoing::PubComp(_) => Happened::Completed,
        _ => Happened::Other,
    }
}

fn disconnect_in(error: &v5::ConnectionError) -> Option<five::DisconnectReasonCode> {
    match error {
        v5::ConnectionError::MqttState(v5::StateError::ServerDisconnect { reason_code, .. }) => {
            Some(*reason_code)
        }
        _ => None,
    }
}

fn told<E: Display>(outcome: Result<(), E>) -> Result<(), String> {
    outcome.map_err(|error| error.to_string())
}

fn qos_of_four(qos: u8) -> four::QoS {
    match qos {
        0 => four::QoS::AtMostOnce,
        1 => four::QoS::AtLeastOnce,
        _ => four::QoS::ExactlyOnce,
    }
}

fn qos_of_five(qos: u8) -> v5::mqttbytes::QoS {
    match qos {
        0 => v5::mqttbytes::QoS::AtMostOnce,
        1 => v5::mqttbytes::QoS::AtLeastOnce,
        _ => v5::mqttbytes::QoS::ExactlyOnce,
    }
}
