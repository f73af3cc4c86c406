//! What a client sends, against the conversation that answers it: however its bytes are split, the same answers,
//! the same deliveries to a subscriber, the same messages waiting for retention, and the same end.
//!
//! Answers of a kind keep their order; a PINGRESP may pass an acknowledgement that waits for the end of its
//! batch, so the kinds are compared one by one. The client is not subscribed to what it publishes: it could
//! acknowledge a delivery that it has seen in one run and cannot have seen in the other.

use crate::choices::Choices;
use aldis_packet::{AckKind, Framed, Packet, Publish, QoS, ReasonCode, Suback, Unsuback, next_frame};
use aldis_session::{Ending, Input, Limits, Next, Request, Turned};
use bytes::Bytes;

#[path = "../../session/tests/talk/mod.rs"]
#[allow(missing_docs, reason = "it is documented as a part of tests is")]
mod talk;

use talk::scripted_wire::{Seen, publish};
use talk::{Stage, V5, V311};

/// Makes a turn over what has arrived.
pub type Turn = fn(&mut Stage, &[u8], bool) -> Turned;

pub use talk::Stage as ConversationStage;

/// What came of a stream.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    acks: Vec<Seen>,
    releases: Vec<Seen>,
    publishes: Vec<Seen>,
    pings: usize,
    others: Vec<Seen>,
    delivered: Vec<Seen>,
    asked: Vec<String>,
    end: Option<Ending>,
    left: usize,
}

/// The target: [`check`] of the turns as they are.
pub fn conversation(data: &[u8]) {
    check(data, turn);
}

/// Gives the stream in `data` to a conversation as a whole and in pieces. `turn` is the turn to be judged.
///
/// # Panics
/// The pieces lead to something else than the whole.
pub fn check(data: &[u8], turn: Turn) {
    let mut choices = Choices::new(data);
    let setting = (choices.byte(), choices.byte());
    let mut sizes = Choices::new(choices.bytes(4));
    let stream = stream(&mut choices);
    let whole = converse(setting, &mut std::iter::once(&stream[..]), turn);
    let mut left = &stream[..];
    let mut pieces = std::iter::from_fn(|| {
        let size = (1 + sizes.below(64)).min(left.len());
        let (piece, rest) = left.split_at_checked(size).filter(|_| size > 0)?;
        left = rest;
        Some(piece)
    });
    let pieces = converse(setting, &mut pieces, turn);
    assert_eq!(whole, pieces);
}

/// A turn as it is, over a buffer that is read into again or over one that is shared.
pub fn turn(stage: &mut Stage, bytes: &[u8], shared: bool) -> Turned {
    if shared {
        let bytes = Bytes::copy_from_slice(bytes);
        stage.conversation.turn(Input::Shared(&bytes), &stage.routes, &mut stage.bench)
    } else {
        stage.conversation.turn(Input::Borrowed(bytes), &stage.routes, &mut stage.bench)
    }
}

fn converse((version, limits): (u8, u8), pieces: &mut dyn Iterator<Item = &[u8]>, turn: Turn) -> Outcome {
    let version = if version & 1 == 0 { V5 } else { V311 };
    let limits = Limits {
        packet_size: if limits & 1 == 0 { 1 << 20 } else { 64 },
        receive_maximum: u16::MAX,
        ..Limits::default()
    };
    let mut stage = Stage::new(version, limits);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtLeastOnce] {
        publish(&stage.conversation.session, "waits for its acknowledgement", qos, &mut stage.bench);
    }
    let mut outcome = Outcome::default();
    let mut arrived = Vec::new();
    for (number, piece) in pieces.enumerate() {
        arrived.extend_from_slice(piece);
        while outcome.end.is_none() && go_on(&mut stage, &mut arrived, number % 2 == 1, turn, &mut outcome) {}
    }
    for seen in stage.peer.read() {
        match seen {
            Seen::Pingresp => outcome.pings += 1,
            Seen::Ack(AckKind::Pubrel, ..) => outcome.releases.push(seen),
            Seen::Ack(..) => outcome.acks.push(seen),
            Seen::Publish(_) => outcome.publishes.push(seen),
            _ => outcome.others.push(seen),
        }
    }
    outcome.delivered = stage.subscriber.read();
    outcome.left = if outcome.end.is_some() { 0 } else { arrived.len() };
    outcome
}

/// One turn, and what the Broker would do; false when it has read all that can be read.
fn go_on(stage: &mut Stage, arrived: &mut Vec<u8>, shared: bool, turn: Turn, outcome: &mut Outcome) -> bool {
    let turned = turn(stage, arrived, shared);
    assert!(turned.consumed <= arrived.len(), "more bytes are done with than there were");
    arrived.drain(..turned.consumed);
    stage.bench.finish();
    match turned.next {
        Next::Read => {
            let rest = next_frame(arrived, usize::MAX);
            assert!(matches!(rest, Ok(Framed::Partial { .. })), "a whole packet is left lying");
            return false;
        }
        Next::Yield => assert!(turned.consumed > 0, "a turn that does nothing and asks for another"),
        Next::End(end) => outcome.end = Some(end),
        Next::Ask(Request::Subscribe(asked)) => {
            outcome.asked.push(format!("{asked:?}"));
            let codes = asked.filters.iter().map(|(filter, options)| match filter {
                Ok(_) => options.qos.value(),
                Err(code) => code.value(),
            });
            let suback = Suback::new(asked.packet_id, codes.collect());
            stage.conversation.append(&Packet::Suback(suback), &mut stage.bench);
        }
        Next::Ask(Request::Unsubscribe(asked)) => {
            outcome.asked.push(format!("{asked:?}"));
            let codes =
                asked.filters.iter().map(|filter| filter.as_ref().map_or_else(|code| code.value(), |_| 0));
            let unsuback = Unsuback::new(asked.packet_id, codes.collect());
            stage.conversation.append(&Packet::Unsuback(unsuback), &mut stage.bench);
        }
        Next::Ask(Request::Retain(held)) => {
            let mut held = held.into_iter().enumerate();
            while !stage.conversation.release(&mut held, &[], &stage.routes, &mut stage.bench) {}
            outcome.end = stage.conversation.ends_after_release();
        }
    }
    stage.bench.finish();
    true
}

/// Bytes as they are, or packets put together, of which a few are spoilt.
fn stream(choices: &mut Choices<'_>) -> Vec<u8> {
    if choices.below(4) == 0 {
        return choices.all().to_vec();
    }
    let version = if choices.below(2) == 0 { V5 } else { V311 };
    let mut stream = Vec::new();
    while !choices.is_empty() {
        let from = stream.len();
        let id = 1 + choices.below(6) as u16;
        match choices.below(16) {
            0..8 => {
                let topic = choices.pick(&["sub/a", "sub/b", "no/a", "else"]);
                let qos = choices.below(3) as u8;
                let flags = choices.byte();
                let publish = talk::a_publish(topic, "payload", qos, id);
                let publish = Publish { retain: flags & 3 == 0, dup: qos > 0 && flags & 12 == 0, ..publish };
                publish.encode(version, &mut stream);
            }
            8 => stream.extend(talk::ack(AckKind::Puback, id)),
            9 => stream.extend(talk::ack(AckKind::Pubrec, id)),
            10 => stream.extend(talk::ack(AckKind::Pubrel, id)),
            11 => stream.extend(talk::ack(AckKind::Pubcomp, id)),
            12 => stream.extend(talk::ping()),
            13 => stream.extend(talk::subscribe(choices.pick(&["a/b", "#", "a/#/b", "$share/g/a", "no/x"]))),
            14 => {
                let filters = vec![choices.pick(&["a", "b/+", "+b", "$share//a"]).to_owned()];
                let packet_id = talk::scripted_wire::packet_id(id);
                let packet = aldis_packet::Unsubscribe { packet_id, filters, user_properties: vec![] };
                packet.encode(version, &mut stream);
            }
            _ if choices.below(8) == 0 => stream.extend(talk::disconnect(ReasonCode::Success, None)),
            _ => {
                let at = from.saturating_sub(1 + choices.below(12));
                if let Some(byte) = stream.get_mut(at) {
                    *byte = choices.byte();
                }
            }
        }
    }
    stream
}
