//! The last client of a run: it asks for everything that is retained, then takes it away.

use crate::ground::Message;
use crate::model::client::Client;
use crate::plan::Persona;
use crate::world::World;
use aldis_packet::{Packet, ProtocolVersion, QoS, Subscribe, SubscriptionOptions};

/// A client without habits.
pub fn new(number: usize, seed: u64) -> Client {
    let persona = Persona {
        version: ProtocolVersion::V311,
        publishes: 0,
        subscribes: 0,
        room: usize::MAX,
        is_slow: false,
        expiries: vec![0],
        receive_maximum: None,
        maximum_packet_size: None,
        alias_maximum: 0,
        keep_alive: 0,
        clean_in: 1,
        lost_in: usize::MAX,
        padding: 0,
    };
    Client::new(number, persona, seed)
}

/// Does the next thing; false when it was the last.
pub fn round(probe: &mut Client, round: usize, world: &World) -> bool {
    match round {
        0 => probe.connect(world),
        1 => ask(probe),
        _ => take_away(probe, world),
    }
    probe.send_some(world);
    round < 2 && probe.connection.is_some()
}

fn ask(probe: &mut Client) {
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    let packet_id = probe.next_id();
    let filters = vec![("r/#".to_owned(), options), ("w/#".to_owned(), options)];
    let subscribe = Subscribe { packet_id, filters, subscription_id: None, user_properties: Vec::new() };
    probe.encode(&Packet::Subscribe(subscribe));
}

fn take_away(probe: &mut Client, world: &World) {
    for topic in world.retained_topics() {
        let message = world.new_message(Message {
            publisher: probe.number,
            topic,
            qos: 0,
            retain: true,
            is_will: false,
            expires: false,
            removes: true,
            read_at: None,
            reads: 0,
            read_last: 0,
            answered_at: None,
            is_refused: false,
            may_have_come_again: false,
        });
        probe.encode_publish(message, None, false, None, world);
    }
}
