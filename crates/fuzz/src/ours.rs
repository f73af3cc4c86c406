//! A packet of `aldis_packet` as a [`Reading`]. Filters are judged too, as SUBSCRIBE and UNSUBSCRIBE are refused
//! as a whole for a bad one.

use crate::reading::Reading;
use aldis_packet::{
    AckKind, Connack, Connect, Packet, Property, ProtocolVersion, Publish, QoS, SubscriptionOptions, Will,
    forwarded_properties,
};
use aldis_topic::{TopicError, TopicFilter};

/// Every field of a packet.
///
/// # Errors
/// It holds a bad filter.
pub fn read(packet: &Packet<'_>, version: ProtocolVersion) -> Result<Reading, TopicError> {
    Ok(match packet {
        Packet::Connect(connect) => connect_fields(connect),
        Packet::Connack(connack) => connack_fields(connack, version),
        Packet::Publish(publish) => publish_fields(publish),
        Packet::Ack(ack) => {
            let reading = Reading::new(match ack.kind {
                AckKind::Puback => "PUBACK",
                AckKind::Pubrec => "PUBREC",
                AckKind::Pubrel => "PUBREL",
                AckKind::Pubcomp => "PUBCOMP",
            });
            let reading = reading.number("id", ack.packet_id.get()).number("reason", ack.reason.value());
            let reading = reading.text_if("reason string", ack.reason_string.as_deref());
            pairs(reading, &ack.user_properties)
        }
        Packet::Subscribe(subscribe) => {
            let mut reading = Reading::new("SUBSCRIBE").number("id", subscribe.packet_id.get());
            for (filter, options) in &subscribe.filters {
                check(filter, version)?;
                reading = reading.filter(filter, byte(*options));
            }
            let reading = reading.number_if("subscription identifier", subscribe.subscription_id);
            pairs(reading, &subscribe.user_properties)
        }
        Packet::Suback(suback) => {
            let reading = Reading::new("SUBACK").number("id", suback.packet_id.get());
            let reading = reading.bytes("codes", &suback.reasons);
            pairs(reading.text_if("reason string", suback.reason_string.as_deref()), &suback.user_properties)
        }
        Packet::Unsubscribe(unsubscribe) => {
            let mut reading = Reading::new("UNSUBSCRIBE").number("id", unsubscribe.packet_id.get());
            for filter in &unsubscribe.filters {
                check(filter, version)?;
                reading = reading.filter(filter, 0);
            }
            pairs(reading, &unsubscribe.user_properties)
        }
        Packet::Unsuback(unsuback) => {
            let reading = Reading::new("UNSUBACK").number("id", unsuback.packet_id.get());
            let reading = reading.bytes("codes", &unsuback.reasons);
            pairs(
                reading.text_if("reason string", unsuback.reason_string.as_deref()),
                &unsuback.user_properties,
            )
        }
        Packet::Pingreq => Reading::new("PINGREQ"),
        Packet::Pingresp => Reading::new("PINGRESP"),
        Packet::Disconnect(disconnect) => {
            let reading = Reading::new("DISCONNECT").number("reason", disconnect.reason.value());
            let reading = reading
                .number_if("session expiry", disconnect.session_expiry)
                .text_if("reason string", disconnect.reason_string.as_deref())
                .text_if("server reference", disconnect.server_reference.as_deref());
            pairs(reading, &disconnect.user_properties)
        }
        Packet::Auth(auth) => {
            let reading = Reading::new("AUTH").number("reason", auth.reason.value());
            let reading = reading
                .text_if("authentication method", auth.authentication_method.as_deref())
                .bytes_if("authentication data", auth.authentication_data.as_deref())
                .text_if("reason string", auth.reason_string.as_deref());
            pairs(reading, &auth.user_properties)
        }
    })
}

/// In 3.x a bad shared subscription is a bad filter of MQTT 5 only.
fn check(filter: &str, version: ProtocolVersion) -> Result<(), TopicError> {
    match TopicFilter::parse(filter, usize::MAX) {
        Err(error) if version == ProtocolVersion::V5 || !error.is_about_sharing() => Err(error),
        _ => Ok(()),
    }
}

fn pairs(mut reading: Reading, pairs: &[(String, String)]) -> Reading {
    for (name, value) in pairs {
        reading = reading.pair("user property", name, value);
    }
    reading
}

fn byte(options: SubscriptionOptions) -> u8 {
    options.qos.value()
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | (options.retain_handling as u8) << 4
}

fn connect_fields(connect: &Connect) -> Reading {
    let properties = &connect.properties;
    let reading = Reading::new("CONNECT")
        .number("level", connect.version.level())
        .number("clean start", connect.clean_start)
        .number("keep alive", connect.keep_alive)
        .text("client identifier", &connect.client_id)
        .text_if("user name", connect.user_name.as_deref())
        .bytes_if("password", connect.password.as_deref())
        .number_if("session expiry", properties.session_expiry)
        .number_if("receive maximum", properties.receive_maximum)
        .number_if("maximum packet size", properties.maximum_packet_size)
        .number_if("topic alias maximum", properties.topic_alias_maximum)
        .number_if("request response information", properties.request_response_information)
        .number_if("request problem information", properties.request_problem_information)
        .text_if("authentication method", properties.authentication_method.as_deref())
        .bytes_if("authentication data", properties.authentication_data.as_deref());
    let reading = pairs(reading, &properties.user_properties);
    match &connect.will {
        Some(will) => will_fields(reading, will),
        None => reading,
    }
}

fn will_fields(reading: Reading, will: &Will) -> Reading {
    let reading = reading
        .number("will QoS", will.qos.value())
        .number("will retain", will.retain)
        .text("will topic", &will.topic)
        .bytes("will payload", &will.payload)
        .number("will delay", will.delay)
        .number_if("will message expiry", will.message_expiry);
    forwarded_properties(&will.forwarded).fold(reading, |reading, property| match property {
        Property::PayloadFormatIndicator(value) => reading.number("will payload format", value),
        Property::ContentType(text) => reading.text("will content type", text),
        Property::ResponseTopic(text) => reading.text("will response topic", text),
        Property::CorrelationData(bytes) => reading.bytes("will correlation data", bytes),
        Property::UserProperty(name, value) => reading.pair("will user property", name, value),
        other => panic!("{} is not forwarded", other.name()),
    })
}

fn connack_fields(connack: &Connack, version: ProtocolVersion) -> Reading {
    let properties = &connack.properties;
    let reason = if version == ProtocolVersion::V5 {
        connack.reason.value()
    } else {
        connack.reason.connect_return_code()
    };
    let reading = Reading::new("CONNACK")
        .number("session present", connack.session_present)
        .number("reason", reason)
        .number_if("session expiry", properties.session_expiry)
        .number_if("receive maximum", properties.receive_maximum)
        .number_if("maximum QoS", properties.maximum_qos.map(QoS::value))
        .number_if("retain available", properties.retain_available)
        .number_if("maximum packet size", properties.maximum_packet_size)
        .text_if("assigned client identifier", properties.assigned_client_id.as_deref())
        .number_if("topic alias maximum", properties.topic_alias_maximum)
        .text_if("reason string", properties.reason_string.as_deref())
        .number_if("wildcard subscription available", properties.wildcard_subscription_available)
        .number_if("subscription identifiers available", properties.subscription_ids_available)
        .number_if("shared subscription available", properties.shared_subscription_available)
        .number_if("server keep alive", properties.server_keep_alive)
        .text_if("response information", properties.response_information.as_deref())
        .text_if("server reference", properties.server_reference.as_deref())
        .text_if("authentication method", properties.authentication_method.as_deref())
        .bytes_if("authentication data", properties.authentication_data.as_deref());
    pairs(reading, &properties.user_properties)
}

fn publish_fields(publish: &Publish<'_>) -> Reading {
    let properties = &publish.properties;
    let mut reading = Reading::new("PUBLISH")
        .number("dup", publish.dup)
        .number("QoS", publish.qos.value())
        .number("retain", publish.retain)
        .text("topic", publish.topic)
        .number_if("id", publish.packet_id.map(|id| id.get()))
        .bytes("payload", publish.payload)
        .number_if("message expiry", properties.message_expiry)
        .number_if("topic alias", properties.topic_alias);
    for id in &properties.subscription_ids {
        reading = reading.number("subscription identifier", *id);
    }
    forwarded_properties(&properties.forwarded).fold(reading, |reading, property| match property {
        Property::PayloadFormatIndicator(value) => reading.number("payload format", value),
        Property::ContentType(text) => reading.text("content type", text),
        Property::ResponseTopic(text) => reading.text("response topic", text),
        Property::CorrelationData(bytes) => reading.bytes("correlation data", bytes),
        Property::UserProperty(name, value) => reading.pair("user property", name, value),
        other => panic!("{} is not forwarded", other.name()),
    })
}
