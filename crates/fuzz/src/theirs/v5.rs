//! Packets of MQTT 5.

use super::pairs;
use crate::reading::Reading;
use mqtt_proto::v5::{Connack, Connect, LastWill, Packet, Publish, UserProperty};
use std::sync::Arc;

/// Every field of a packet.
pub(super) fn fields(packet: &Packet) -> Reading {
    match packet {
        Packet::Connect(connect) => connect_fields(connect),
        Packet::Connack(connack) => connack_fields(connack),
        Packet::Publish(publish) => publish_fields(publish),
        Packet::Puback(_) | Packet::Pubrec(_) | Packet::Pubrel(_) | Packet::Pubcomp(_) => ack_fields(packet),
        Packet::Subscribe(subscribe) => {
            let reading = Reading::new("SUBSCRIBE").number("id", subscribe.pid.value());
            let reading = subscribe
                .topics
                .iter()
                .fold(reading, |reading, (filter, options)| reading.filter(filter, options.to_u8()));
            let id = subscribe.properties.subscription_id.map(|id| id.value());
            users(reading.number_if("subscription identifier", id), &subscribe.properties.user_properties)
        }
        Packet::Suback(suback) => {
            let codes: Vec<u8> = suback.topics.iter().map(|code| *code as u8).collect();
            let reading = Reading::new("SUBACK").number("id", suback.pid.value()).bytes("codes", &codes);
            reasons(reading, suback.properties.reason_string.as_ref(), &suback.properties.user_properties)
        }
        Packet::Unsubscribe(unsubscribe) => {
            let reading = Reading::new("UNSUBSCRIBE").number("id", unsubscribe.pid.value());
            let reading =
                unsubscribe.topics.iter().fold(reading, |reading, filter| reading.filter(filter, 0));
            users(reading, &unsubscribe.properties.user_properties)
        }
        Packet::Unsuback(unsuback) => {
            let codes: Vec<u8> = unsuback.topics.iter().map(|code| *code as u8).collect();
            let reading = Reading::new("UNSUBACK").number("id", unsuback.pid.value()).bytes("codes", &codes);
            reasons(reading, unsuback.properties.reason_string.as_ref(), &unsuback.properties.user_properties)
        }
        Packet::Pingreq => Reading::new("PINGREQ"),
        Packet::Pingresp => Reading::new("PINGRESP"),
        Packet::Disconnect(disconnect) => {
            let properties = &disconnect.properties;
            let reading = Reading::new("DISCONNECT")
                .number("reason", disconnect.reason_code as u8)
                .number_if("session expiry", properties.session_expiry_interval)
                .text_if("server reference", properties.server_reference.as_deref());
            reasons(reading, properties.reason_string.as_ref(), &properties.user_properties)
        }
        Packet::Auth(auth) => {
            let properties = &auth.properties;
            let reading = Reading::new("AUTH")
                .number("reason", auth.reason_code as u8)
                .text_if("authentication method", properties.auth_method.as_deref())
                .bytes_if("authentication data", properties.auth_data.as_deref());
            reasons(reading, properties.reason_string.as_ref(), &properties.user_properties)
        }
    }
}

fn users(reading: Reading, user_properties: &[UserProperty]) -> Reading {
    pairs(reading, "user property", user_properties)
}

fn reasons(reading: Reading, string: Option<&Arc<str>>, user_properties: &[UserProperty]) -> Reading {
    users(reading.text_if("reason string", string.map(|string| &**string)), user_properties)
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP: four types of the same fields.
fn ack_fields(packet: &Packet) -> Reading {
    let (name, id, reason, string, user_properties) = match packet {
        Packet::Puback(ack) => {
            let properties = &ack.properties;
            ("PUBACK", ack.pid, ack.reason_code as u8, &properties.reason_string, &properties.user_properties)
        }
        Packet::Pubrec(ack) => {
            let properties = &ack.properties;
            ("PUBREC", ack.pid, ack.reason_code as u8, &properties.reason_string, &properties.user_properties)
        }
        Packet::Pubrel(ack) => {
            let properties = &ack.properties;
            ("PUBREL", ack.pid, ack.reason_code as u8, &properties.reason_string, &properties.user_properties)
        }
        Packet::Pubcomp(ack) => {
            let properties = &ack.properties;
            (
                "PUBCOMP",
                ack.pid,
                ack.reason_code as u8,
                &properties.reason_string,
                &properties.user_properties,
            )
        }
        other => panic!("{other:?} is no acknowledgement"),
    };
    let reading = Reading::new(name).number("id", id.value()).number("reason", reason);
    reasons(reading, string.as_ref(), user_properties)
}

fn connect_fields(connect: &Connect) -> Reading {
    let properties = &connect.properties;
    let reading = Reading::new("CONNECT")
        .number("level", connect.protocol as u8)
        .number("clean start", connect.clean_start)
        .number("keep alive", connect.keep_alive)
        .text("client identifier", &connect.client_id)
        .text_if("user name", connect.username.as_deref())
        .bytes_if("password", connect.password.as_deref())
        .number_if("session expiry", properties.session_expiry_interval)
        .number_if("receive maximum", properties.receive_max)
        .number_if("maximum packet size", properties.max_packet_size)
        .number_if("topic alias maximum", properties.topic_alias_max)
        .number_if("request response information", properties.request_response_info)
        .number_if("request problem information", properties.request_problem_info)
        .text_if("authentication method", properties.auth_method.as_deref())
        .bytes_if("authentication data", properties.auth_data.as_deref());
    let reading = users(reading, &properties.user_properties);
    match &connect.last_will {
        Some(will) => will_fields(reading, will),
        None => reading,
    }
}

fn will_fields(reading: Reading, will: &LastWill) -> Reading {
    let properties = &will.properties;
    let reading = reading
        .number("will QoS", will.qos as u8)
        .number("will retain", will.retain)
        .text("will topic", &will.topic_name)
        .bytes("will payload", &will.payload)
        .number("will delay", properties.delay_interval.unwrap_or(0))
        .number_if("will message expiry", properties.message_expiry_interval)
        .number_if("will payload format", properties.payload_is_utf8)
        .text_if("will content type", properties.content_type.as_deref())
        .text_if("will response topic", properties.response_topic.as_deref())
        .bytes_if("will correlation data", properties.correlation_data.as_deref());
    pairs(reading, "will user property", &properties.user_properties)
}

fn connack_fields(connack: &Connack) -> Reading {
    let properties = &connack.properties;
    let reading = Reading::new("CONNACK")
        .number("session present", connack.session_present)
        .number("reason", connack.reason_code as u8)
        .number_if("session expiry", properties.session_expiry_interval)
        .number_if("receive maximum", properties.receive_max)
        .number_if("maximum QoS", properties.max_qos.map(|qos| qos as u8))
        .number_if("retain available", properties.retain_available)
        .number_if("maximum packet size", properties.max_packet_size)
        .text_if("assigned client identifier", properties.assigned_client_id.as_deref())
        .number_if("topic alias maximum", properties.topic_alias_max)
        .number_if("wildcard subscription available", properties.wildcard_subscription_available)
        .number_if("subscription identifiers available", properties.subscription_id_available)
        .number_if("shared subscription available", properties.shared_subscription_available)
        .number_if("server keep alive", properties.server_keep_alive)
        .text_if("response information", properties.response_info.as_deref())
        .text_if("server reference", properties.server_reference.as_deref())
        .text_if("authentication method", properties.auth_method.as_deref())
        .bytes_if("authentication data", properties.auth_data.as_deref());
    reasons(reading, properties.reason_string.as_ref(), &properties.user_properties)
}

fn publish_fields(publish: &Publish) -> Reading {
    let properties = &publish.properties;
    let reading = Reading::new("PUBLISH")
        .number("dup", publish.dup)
        .number("QoS", publish.qos_pid.qos() as u8)
        .number("retain", publish.retain)
        .text("topic", &publish.topic_name)
        .number_if("id", publish.qos_pid.pid().map(|id| id.value()))
        .bytes("payload", &publish.payload)
        .number_if("message expiry", properties.message_expiry_interval)
        .number_if("topic alias", properties.topic_alias)
        .number_if("subscription identifier", properties.subscription_id.map(|id| id.value()))
        .number_if("payload format", properties.payload_is_utf8)
        .text_if("content type", properties.content_type.as_deref())
        .text_if("response topic", properties.response_topic.as_deref())
        .bytes_if("correlation data", properties.correlation_data.as_deref());
    users(reading, &properties.user_properties)
}
