//! 6: MQTT over WebSocket.

use super::cases;
use crate::offers::Feature;
use crate::outcome::{Outcome, same};
use crate::peer::Peer;
use crate::stage::Stage;
use crate::web_socket::{BINARY, CONTINUATION, PING, TEXT};
use crate::wire::{Packet, Publish};

cases! {
    V311 "MQTT-6.0.0-1" packets_go_in_binary_frames_and_text_closes;
    V5 "MQTT-6.0.0-1" packets_go_in_binary_frames_and_text_closes;
    V311 "MQTT-6.0.0-2" frames_and_packets_need_not_agree;
    V5 "MQTT-6.0.0-2" frames_and_packets_need_not_agree;
    V311 "MQTT-6.0.0-4" the_subprotocol_is_mqtt;
    V5 "MQTT-6.0.0-4" the_subprotocol_is_mqtt;
}

fn opened(stage: &Stage<'_>, subprotocols: &str) -> Outcome<(Peer, Option<String>)> {
    let door = stage.door(Feature::WebSocket)?;
    Peer::open_web_socket(door, stage.version, stage.doors.patience, subprotocols)
}

/// The broker's frames are checked by the peer: one that is not binary fails the test that reads it.
fn packets_go_in_binary_frames_and_text_closes(stage: &Stage<'_>) -> Outcome {
    let connect = stage.connect("c").to_bytes(stage.version);
    let mut witness = stage.client("w")?;
    witness.subscribe(stage.topic("t"), 0)?;
    let (mut good, _) = opened(stage, "mqtt")?;
    good.send_bytes(&connect)?;
    same("CONNACK", &good.connack()?.code, &0)?;
    good.subscribe(stage.topic("t"), 1)?;
    good.publish(Publish::new(stage.topic("t"), "x").qos(1))?;
    same("a message", &good.receive()?.payload, &b"x".to_vec())?;
    // Both packets are good UTF-8: nothing is wrong but the kind of frame.
    good.send_frame(TEXT, true, &Publish::new(stage.topic("t"), "bad").to_bytes(stage.version))?;
    good.closed()?;
    let (mut bad, _) = opened(stage, "mqtt")?;
    bad.send_frame(TEXT, true, &connect)?;
    bad.closed()?;
    stage.client("q")?.publish(Publish::new(stage.topic("t"), "marker"))?;
    let got = witness.until("marker")?;
    same("what the witness got", &got.len(), &1)
}

/// One packet over many frames and many messages, many packets in one frame, a ping in between.
fn frames_and_packets_need_not_agree(stage: &Stage<'_>) -> Outcome {
    let topic = stage.topic("t");
    let (mut peer, _) = opened(stage, "mqtt")?;
    for byte in stage.connect("c").to_bytes(stage.version) {
        peer.send_frame(BINARY, true, &[byte])?;
    }
    same("CONNACK", &peer.connack()?.code, &0)?;
    peer.subscribe(&topic, 0)?;
    let fragments = Publish::new(&topic, vec![b'x'; 3_000]).to_bytes(stage.version);
    for (number, part) in fragments.chunks(700).enumerate() {
        let opcode = if number == 0 { BINARY } else { CONTINUATION };
        peer.send_frame(opcode, (number + 1) * 700 >= fragments.len(), part)?;
        peer.send_frame(PING, true, b"between")?;
    }
    same("a packet in fragments", &peer.message()?.payload.len(), &3_000)?;
    let many: Vec<u8> =
        (0..20).flat_map(|number| Publish::new(&topic, number.to_string()).to_bytes(stage.version)).collect();
    // The last packet's end comes in the next frame.
    let (most, rest) = many.split_at(many.len() - 3);
    peer.send_frame(BINARY, true, most)?;
    peer.send_frame(BINARY, true, &[rest, &Packet::Pingreq.to_bytes(stage.version)].concat())?;
    for number in 0..20 {
        same("one of many", &peer.message()?.payload, &number.to_string().into_bytes())?;
    }
    match peer.next("PINGRESP")? {
        Packet::Pingresp => Ok(()),
        other => crate::outcome::failed(format!("{other:?} came where PINGRESP was due")),
    }
}

fn the_subprotocol_is_mqtt(stage: &Stage<'_>) -> Outcome {
    for offered in ["mqtt", "chat, mqtt", "mqtt, superchat"] {
        let (mut peer, chosen) = opened(stage, offered)?;
        same(&format!("the subprotocol chosen from `{offered}`"), &chosen.as_deref(), &Some("mqtt"))?;
        peer.send(stage.connect("c"))?;
        same("CONNACK", &peer.connack()?.code, &0)?;
        peer.ping()?;
    }
    Ok(())
}
