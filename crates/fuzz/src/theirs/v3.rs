//! Packets of MQTT 3.1 and 3.1.1.

use crate::reading::Reading;
use mqtt_proto::v3::{Connect, Packet, SubscribeReturnCode};

/// Every field of a packet.
pub(super) fn fields(packet: &Packet) -> Reading {
    let ack = |name, id: mqtt_proto::Pid| Reading::new(name).number("id", id.value()).number("reason", 0_u8);
    match packet {
        Packet::Connect(connect) => connect_fields(connect),
        Packet::Connack(connack) => Reading::new("CONNACK")
            .number("session present", connack.session_present)
            .number("reason", connack.code as u8),
        Packet::Publish(publish) => Reading::new("PUBLISH")
            .number("dup", publish.dup)
            .number("QoS", publish.qos_pid.qos() as u8)
            .number("retain", publish.retain)
            .text("topic", &publish.topic_name)
            .number_if("id", publish.qos_pid.pid().map(|id| id.value()))
            .bytes("payload", &publish.payload),
        Packet::Puback(id) => ack("PUBACK", *id),
        Packet::Pubrec(id) => ack("PUBREC", *id),
        Packet::Pubrel(id) => ack("PUBREL", *id),
        Packet::Pubcomp(id) => ack("PUBCOMP", *id),
        Packet::Subscribe(subscribe) => {
            let reading = Reading::new("SUBSCRIBE").number("id", subscribe.pid.value());
            subscribe.topics.iter().fold(reading, |reading, (filter, qos)| reading.filter(filter, *qos as u8))
        }
        Packet::Suback(suback) => {
            let code = |code: &SubscribeReturnCode| match code {
                SubscribeReturnCode::MaxLevel0 => 0,
                SubscribeReturnCode::MaxLevel1 => 1,
                SubscribeReturnCode::MaxLevel2 => 2,
                SubscribeReturnCode::Failure => 0x80,
            };
            let codes: Vec<u8> = suback.topics.iter().map(code).collect();
            Reading::new("SUBACK").number("id", suback.pid.value()).bytes("codes", &codes)
        }
        Packet::Unsubscribe(unsubscribe) => {
            let reading = Reading::new("UNSUBSCRIBE").number("id", unsubscribe.pid.value());
            unsubscribe.topics.iter().fold(reading, |reading, filter| reading.filter(filter, 0))
        }
        Packet::Unsuback(id) => Reading::new("UNSUBACK").number("id", id.value()).bytes("codes", &[]),
        Packet::Pingreq => Reading::new("PINGREQ"),
        Packet::Pingresp => Reading::new("PINGRESP"),
        Packet::Disconnect => Reading::new("DISCONNECT").number("reason", 0_u8),
    }
}

fn connect_fields(connect: &Connect) -> Reading {
    let reading = Reading::new("CONNECT")
        .number("level", connect.protocol as u8)
        .number("clean start", connect.clean_session)
        .number("keep alive", connect.keep_alive)
        .text("client identifier", &connect.client_id)
        .text_if("user name", connect.username.as_deref())
        .bytes_if("password", connect.password.as_deref());
    let Some(will) = &connect.last_will else { return reading };
    reading
        .number("will QoS", will.qos as u8)
        .number("will retain", will.retain)
        .text("will topic", &will.topic_name)
        .bytes("will payload", &will.message)
        .number("will delay", 0_u8)
}
