//! 3.4 PUBACK, 3.5 PUBREC, 3.6 PUBREL, 3.7 PUBCOMP.

use super::cases;
use crate::offers::Feature;
use crate::outcome::{Outcome, ensure, failed, not_shown, same};
use crate::stage::Stage;
use crate::wire::property::{self, Properties};
use crate::wire::{Ack, Connect, Packet, Property, Publish, first, frame, reason};

cases! {
    V5 "MQTT-3.4.2-1" puback_has_one_of_its_codes;
    V5 "MQTT-3.4.2-2" puback_leaves_out_a_reason_string_that_is_too_large;
    V5 "MQTT-3.4.2-3" puback_leaves_out_user_properties_that_are_too_large;
    V5 "MQTT-3.5.2-1" pubrec_has_one_of_its_codes;
    V5 "MQTT-3.5.2-2" pubrec_leaves_out_a_reason_string_that_is_too_large;
    V5 "MQTT-3.5.2-3" pubrec_leaves_out_user_properties_that_are_too_large;
    V311 "MQTT-3.6.1-1" pubrel_with_other_flags_is_refused;
    V5 "MQTT-3.6.1-1" pubrel_with_other_flags_is_refused;
    V5 "MQTT-3.6.2-1" pubrel_has_one_of_its_codes;
    V5 "MQTT-3.6.2-2" pubrel_leaves_out_a_reason_string_that_is_too_large;
    V5 "MQTT-3.6.2-3" pubrel_leaves_out_user_properties_that_are_too_large;
    V5 "MQTT-3.7.2-1" pubcomp_has_one_of_its_codes;
    V5 "MQTT-3.7.2-2" pubcomp_leaves_out_a_reason_string_that_is_too_large;
    V5 "MQTT-3.7.2-3" pubcomp_leaves_out_user_properties_that_are_too_large;
}

/// Which acknowledgement, and how a client gets one that has something to say.
#[derive(Clone, Copy)]
enum Kind {
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
}

impl Kind {
    fn first(self) -> u8 {
        match self {
            Kind::Puback => first::PUBACK,
            Kind::Pubrec => first::PUBREC,
            Kind::Pubrel => first::PUBREL,
            Kind::Pubcomp => first::PUBCOMP,
        }
    }

    /// The codes that a broker may put into it, as the standard's table of the packet has them.
    fn codes(self) -> &'static [u8] {
        match self {
            Kind::Puback | Kind::Pubrec => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
            Kind::Pubrel | Kind::Pubcomp => &[0x00, 0x92],
        }
    }

    /// Provokes acknowledgements of this kind for a message that is not allowed, for one that nobody wants, and
    /// for an identifier that is unknown: those are the ones with something to say. Each on a connection of its
    /// own, with these properties in CONNECT, because a broker may close after it.
    fn provoke(self, stage: &Stage<'_>, properties: &[Property]) -> Outcome<Vec<Ack>> {
        let open =
            |door| stage.open_at(door, Connect { properties: properties.to_vec(), ..stage.connect("p") });
        let plain = stage.doors.plain;
        match self {
            Kind::Puback | Kind::Pubrec => {
                let qos = if matches!(self, Kind::Puback) { 1 } else { 2 };
                let unwanted = (stage.topic("unwanted"), plain);
                // A broker may close the connection of the first instead.
                let denied = (stage.doors.denied_topic.clone(), stage.doors.rights.unwrap_or(plain));
                let answer = |(topic, door)| {
                    let mut peer = open(door)?;
                    peer.send(Publish::new(topic, "x").qos(qos).id(1))?;
                    match peer.closed_or_next()? {
                        Some(Packet::Ack(ack)) if ack.first == self.first() && ack.packet_id == 1 => {
                            Ok(Some(ack))
                        }
                        Some(other) => failed(format!("{other:?} came where an acknowledgement was due")),
                        None => Ok(None),
                    }
                };
                let acks: Outcome<Vec<_>> = [denied, unwanted].into_iter().map(answer).collect();
                Ok(acks?.into_iter().flatten().collect())
            }
            Kind::Pubrel | Kind::Pubcomp => {
                let provoking = if matches!(self, Kind::Pubrel) { first::PUBREC } else { first::PUBREL };
                let mut peer = open(plain)?;
                peer.send(Ack::new(provoking, 4711))?;
                Ok(vec![peer.ack(self.first(), 4711)?])
            }
        }
    }
}

fn has_one_of_its_codes(stage: &Stage<'_>, kind: Kind) -> Outcome {
    let mut acks = kind.provoke(stage, &[])?;
    let mut peer = stage.client("p")?;
    // And of an exchange that goes well, from both sides.
    let topic = stage.topic("t");
    let mut subscriber = stage.client("s")?;
    subscriber.subscribe(&topic, 2)?;
    match kind {
        Kind::Puback => {
            peer.send(Publish::new(&topic, "x").qos(1).id(900))?;
            acks.push(peer.ack(first::PUBACK, 900)?);
        }
        Kind::Pubrec | Kind::Pubcomp => {
            peer.send(Publish::new(&topic, "x").qos(2).id(900))?;
            let pubrec = peer.ack(first::PUBREC, 900)?;
            peer.send(Ack::new(first::PUBREL, 900))?;
            let pubcomp = peer.ack(first::PUBCOMP, 900)?;
            acks.push(if matches!(kind, Kind::Pubrec) { pubrec } else { pubcomp });
        }
        Kind::Pubrel => {
            peer.publish(Publish::new(&topic, "x").qos(2).id(900))?;
            let id = subscriber.message()?.packet_id.unwrap_or_default();
            subscriber.send(Ack::new(first::PUBREC, id))?;
            acks.push(subscriber.ack(first::PUBREL, id)?);
        }
    }
    for ack in &acks {
        ensure(kind.codes().contains(&ack.code), || {
            format!("code 0x{:02X} in a {}", ack.code, Packet::from(ack.clone()).name())
        })?;
    }
    let last = acks.last().map_or(0xFF, |ack| ack.code);
    same("the code of an exchange that went well", &last, &reason::SUCCESS)
}

fn puback_has_one_of_its_codes(stage: &Stage<'_>) -> Outcome {
    has_one_of_its_codes(stage, Kind::Puback)
}

fn pubrec_has_one_of_its_codes(stage: &Stage<'_>) -> Outcome {
    has_one_of_its_codes(stage, Kind::Pubrec)
}

fn pubrel_has_one_of_its_codes(stage: &Stage<'_>) -> Outcome {
    has_one_of_its_codes(stage, Kind::Pubrel)
}

fn pubcomp_has_one_of_its_codes(stage: &Stage<'_>) -> Outcome {
    has_one_of_its_codes(stage, Kind::Pubcomp)
}

/// With room for everything an acknowledgement has the property; for a client whose packets are a byte too small
/// for it alone, the same acknowledgement comes without it.
fn leaves_out_what_is_too_large(stage: &Stage<'_>, kind: Kind, id: u8) -> Outcome {
    if matches!(kind, Kind::Puback | Kind::Pubrec) {
        stage.door(Feature::Rights)?;
    }
    let full = kind.provoke(stage, &[])?;
    let Some((place, shown)) = full.iter().enumerate().find(|(_, ack)| ack.properties.find(id).is_some())
    else {
        return not_shown("no acknowledgement of this kind came with the property");
    };
    let alone: Vec<_> = shown.properties.iter().filter(|property| property.id == id).cloned().collect();
    let size = Packet::from(Ack { properties: alone, ..shown.clone() }).to_bytes(stage.version).len() as u32;
    let limit = Property::four(property::MAXIMUM_PACKET_SIZE, size - 1);
    let acks = kind.provoke(stage, &[limit])?;
    let found = acks.get(place).cloned().unwrap_or_else(|| Ack::new(kind.first(), 0));
    same("the code of the smaller acknowledgement", &found.code, &shown.code)?;
    let small = Packet::from(found.clone()).to_bytes(stage.version).len() as u32;
    ensure(small < size, || format!("{small} bytes came, and the client takes {}", size - 1))
}

fn puback_leaves_out_a_reason_string_that_is_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out_what_is_too_large(stage, Kind::Puback, property::REASON_STRING)
}

fn puback_leaves_out_user_properties_that_are_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out_what_is_too_large(stage, Kind::Puback, property::USER_PROPERTY)
}

fn pubrec_leaves_out_a_reason_string_that_is_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out_what_is_too_large(stage, Kind::Pubrec, property::REASON_STRING)
}

fn pubrec_leaves_out_user_properties_that_are_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out_what_is_too_large(stage, Kind::Pubrec, property::USER_PROPERTY)
}

fn pubrel_leaves_out_a_reason_string_that_is_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out_what_is_too_large(stage, Kind::Pubrel, property::REASON_STRING)
}

fn pubrel_leaves_out_user_properties_that_are_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out_what_is_too_large(stage, Kind::Pubrel, property::USER_PROPERTY)
}

fn pubcomp_leaves_out_a_reason_string_that_is_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out_what_is_too_large(stage, Kind::Pubcomp, property::REASON_STRING)
}

fn pubcomp_leaves_out_user_properties_that_are_too_large(stage: &Stage<'_>) -> Outcome {
    leaves_out_what_is_too_large(stage, Kind::Pubcomp, property::USER_PROPERTY)
}

/// The message is still owned afterwards: a good PUBREL on a new connection is answered.
fn pubrel_with_other_flags_is_refused(stage: &Stage<'_>) -> Outcome {
    for flags in [0x60, 0x61, 0x63, 0x66, 0x6A, 0x6F] {
        let mut publisher = stage.client("p")?;
        for id in [1, 2] {
            publisher.send(Publish::new(stage.topic("t"), "x").qos(2).id(id))?;
            publisher.ack(first::PUBREC, id)?;
        }
        publisher.send_bytes(&frame(first::PUBREL, 1_u16.to_be_bytes()))?;
        publisher.ack(first::PUBCOMP, 1)?;
        publisher.send_bytes(&frame(flags, 2_u16.to_be_bytes()))?;
        publisher.refused(&[reason::MALFORMED, reason::PROTOCOL_ERROR])?;
    }
    Ok(())
}
