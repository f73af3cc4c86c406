//! Does a feature answer on the wire, whatever is declared?

use crate::offers::Feature;
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::scram;
use crate::stage::Doors;
use crate::wire::property::{self, Properties};
use crate::wire::{Connect, Packet, Property, Publish, Version, reason};
use std::net::SocketAddr;

/// Whether a broker shows the feature at any of its doors.
#[must_use]
pub fn answers(feature: Feature, doors: &Doors) -> bool {
    let all = [Some(doors.plain), doors.login, doors.limited, doors.websocket];
    let mut at = all.into_iter().flatten();
    match feature {
        Feature::WebSocket => {
            at.any(|door| Peer::open_web_socket(door, Version::V5, doors.patience, "mqtt").is_ok())
        }
        Feature::EnhancedAuthentication => at.any(|door| asks_for_more(door, doors).unwrap_or(false)),
        Feature::Rights => refuses_to_publish(doors).unwrap_or(false),
        Feature::Login => at.any(|door| refuses_strangers(door, doors).unwrap_or(false)),
        Feature::MaximumQos => at.any(|door| announces(door, doors, property::MAXIMUM_QOS, |qos| qos < 2)),
        Feature::NoRetain => at.any(|door| announces(door, doors, property::RETAIN_AVAILABLE, |is| is == 0)),
        Feature::ServerKeepAlive => {
            at.any(|door| announces(door, doors, property::SERVER_KEEP_ALIVE, |_| true))
        }
        Feature::TopicAliases => {
            at.any(|door| announces(door, doors, property::TOPIC_ALIAS_MAXIMUM, |maximum| maximum > 0))
        }
    }
}

fn open(door: SocketAddr, doors: &Doors) -> Outcome<Peer> {
    Peer::open(door, Version::V5, doors.patience)
}

fn connect(doors: &Doors) -> Connect {
    let mut connect = Connect::new(Version::V5, "conformanceProbe");
    connect.user_name = Some(doors.user.clone().into_bytes());
    connect.password = Some(doors.password.clone().into_bytes());
    connect
}

fn announces(door: SocketAddr, doors: &Doors, id: u8, is: impl Fn(u32) -> bool) -> bool {
    let connack = open(door, doors).and_then(|mut peer| {
        peer.send(connect(doors))?;
        peer.connack()
    });
    connack.is_ok_and(|connack| connack.properties.number(id).is_some_and(is))
}

fn asks_for_more(door: SocketAddr, doors: &Doors) -> Outcome<bool> {
    let mut peer = open(door, doors)?;
    let client = scram::Client::new(&doors.user, &doors.password, "conformanceProbe");
    let connect = Connect::new(Version::V5, "conformanceProbe")
        .with(Property::text(property::AUTHENTICATION_METHOD, scram::METHOD))
        .with(Property::binary(property::AUTHENTICATION_DATA, client.first()));
    peer.send(connect)?;
    Ok(matches!(peer.next("CONNACK or AUTH")?, Packet::Auth(_)))
}

fn refuses_to_publish(doors: &Doors) -> Outcome<bool> {
    let mut peer = open(doors.rights.unwrap_or(doors.plain), doors)?;
    peer.send(Connect::new(Version::V5, "conformanceProbe"))?;
    peer.connack()?;
    let code = peer.publish(Publish::new(&doors.denied_topic, "probe").qos(1))?;
    Ok(code == reason::NOT_AUTHORISED)
}

fn refuses_strangers(door: SocketAddr, doors: &Doors) -> Outcome<bool> {
    let mut peer = open(door, doors)?;
    peer.send(Connect::new(Version::V5, "conformanceProbe"))?;
    let code = peer.connack()?.code;
    Ok(matches!(code, reason::BAD_USER_NAME_OR_PASSWORD | reason::NOT_AUTHORISED))
}
