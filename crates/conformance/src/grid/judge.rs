//! What came after the packet, held against what had to come.

use super::GridCase;
use super::expect::{Answer, Expect};
use super::form::Form;
use crate::outcome::{Outcome, failed};
use crate::peer::{Frame, Peer};
use crate::wire::{Packet, decode_from_broker, first};
use std::time::Instant;

/// The part of the patience in which a broker may close before it is asked whether it still serves. That it
/// answers is the proof that it does; nobody has to wait for the whole patience to know it.
const BEFORE_ASKING: u32 = 25;

/// What is listened for after a packet.
pub(super) struct Judge<'a> {
    pub(super) case: &'a GridCase,
    pub(super) peer: &'a mut Peer,
    /// Good PINGREQ packets that were sent before the packet in the same write.
    pub(super) before: usize,
    /// And behind it.
    pub(super) behind: usize,
    /// The identifier in the packet.
    pub(super) packet_id: u16,
}

impl Judge<'_> {
    /// Reads until the case is decided.
    pub(super) fn judge(&mut self) -> Outcome {
        let first = self.is_first();
        match self.case.expect {
            Expect::Closed(codes) => self.closed(codes),
            Expect::Rejected(codes) => self.rejected(codes),
            Expect::NotTaken if first => self.closed(&ANY_REFUSAL),
            Expect::NotTaken => self.not_taken(false),
            Expect::ClosedOrRefused(_) => self.not_taken(true),
            Expect::Served(Answer::End { .. }) => self.ended(),
            Expect::Served(answer) => self.served(answer),
            Expect::Open => self.decided(),
        }
    }

    fn is_first(&self) -> bool {
        self.case.state.is_first(self.case.form)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.peer.patience
    }

    /// Closed, and nothing said that does not fit. A PINGREQ before it may have been answered.
    fn closed(&mut self, codes: &[u8]) -> Outcome {
        let mut deadline = Instant::now() + self.peer.patience / BEFORE_ASKING;
        let (mut asked, mut pings, mut said) = (false, 0, false);
        loop {
            match self.peer.frame(deadline)? {
                Frame::Closed => return Ok(()),
                Frame::Nothing if asked => return failed("the connection was not closed"),
                Frame::Nothing => {
                    asked = true;
                    self.peer.send(Packet::Pingreq)?;
                    deadline = self.deadline();
                }
                Frame::Whole(first::PINGRESP, _) if pings < self.before => pings += 1,
                Frame::Whole(first::PINGRESP, _) => {
                    return failed("a PINGRESP came: the connection goes on as if the packet was good");
                }
                Frame::Whole(..) if said => return failed("packets came after the one that said why"),
                Frame::Whole(byte, body) => {
                    said = true;
                    self.reason(byte, &body, codes)?;
                }
            }
        }
    }

    /// A packet that says why the connection is going to be closed, with one of these codes.
    fn reason(&self, byte: u8, body: &[u8], codes: &[u8]) -> Outcome {
        let first = self.is_first();
        let code = match byte {
            first::CONNACK if first => body.get(1).copied(),
            first::DISCONNECT if !first && self.case.version.is_5() => {
                Some(body.first().copied().unwrap_or(0))
            }
            _ => None,
        };
        // In whose words: a broker cannot know the version of what it could not read.
        let foreign = byte == first::CONNACK && matches!(code, Some(1..=5 | 0x84));
        let shown = match decode_from_broker(self.case.version, byte, body) {
            Ok(packet) => packet.name(),
            Err(_) if foreign => "CONNACK",
            Err(malformed) => return failed(format!("the broker sent {malformed}")),
        };
        match code {
            Some(code) if codes.contains(&code) => Ok(()),
            Some(code) => failed(format!(
                "{shown} 0x{code:02X} came, and should have been closed for one of {codes:02X?}"
            )),
            None => failed(format!("{shown} came where the connection was to be closed")),
        }
    }

    fn rejected(&mut self, codes: &[u8]) -> Outcome {
        match self.peer.frame(self.deadline())? {
            Frame::Whole(byte, body) => self.reason(byte, &body, codes)?,
            Frame::Closed => return failed(format!("closed without a CONNACK; one of {codes:02X?} was due")),
            Frame::Nothing => return failed("no CONNACK came"),
        }
        match self.peer.frame(self.deadline())? {
            Frame::Closed => Ok(()),
            Frame::Nothing => failed("the connection was not closed after the CONNACK"),
            Frame::Whole(..) => failed("packets came after the CONNACK that refuses"),
        }
    }

    /// Closed, or going on as if the packet had not come; or the filter is refused.
    fn not_taken(&mut self, suback: bool) -> Outcome {
        let (mut pings, mut refused) = (0, false);
        let deadline = self.deadline();
        loop {
            let done = pings == self.before + self.behind;
            if done && (refused || !suback) {
                return Ok(());
            }
            match self.peer.frame(deadline)? {
                Frame::Closed => return Ok(()),
                Frame::Nothing => return failed("neither closed, nor answered"),
                Frame::Whole(first::PINGRESP, _) => pings += 1,
                Frame::Whole(first::SUBACK, body)
                    if suback && body.last().is_some_and(|code| *code >= 0x80) =>
                {
                    refused = true;
                }
                Frame::Whole(byte, body) => {
                    let codes = match self.case.expect {
                        Expect::ClosedOrRefused(codes) => codes,
                        _ => &ANY_REFUSAL,
                    };
                    self.reason(byte, &body, codes)?;
                }
            }
        }
    }

    /// Closed, or the PINGREQ behind is answered.
    fn decided(&mut self) -> Outcome {
        let mut pings = 0;
        let deadline = self.deadline();
        while pings < self.before + self.behind || self.behind == 0 {
            match self.peer.frame(deadline)? {
                Frame::Closed => return Ok(()),
                Frame::Nothing => return failed("neither closed, nor answered"),
                Frame::Whole(first::PINGRESP, _) => pings += 1,
                Frame::Whole(..) => {}
            }
        }
        Ok(())
    }

    /// Closed, without a word, when the client closes as it has to; a broker may do so before.
    fn ended(&mut self) -> Outcome {
        self.peer.end();
        match self.peer.frame(self.deadline())? {
            Frame::Closed => Ok(()),
            Frame::Nothing => failed("the connection was not closed"),
            Frame::Whole(byte, _) => failed(format!("a packet 0x{byte:02X} came after a good DISCONNECT")),
        }
    }

    fn served(&mut self, answer: Answer) -> Outcome {
        let ping = usize::from(answer == Answer::Pingresp);
        let mut pings = self.before + self.behind + ping;
        let mut due = matches!(answer, Answer::Packet(_) | Answer::Connack);
        let deadline = self.deadline();
        while due || pings > 0 {
            let (byte, body) = match self.peer.frame(deadline)? {
                Frame::Whole(byte, body) => (byte, body),
                Frame::Closed => {
                    return failed("the connection was closed, and nothing is wrong with the packet");
                }
                Frame::Nothing => return failed("not all answers came to a packet that is good"),
            };
            match decode_from_broker(self.case.version, byte, &body) {
                Err(malformed) => return failed(format!("the broker sent {malformed}")),
                Ok(Packet::Pingresp) if pings > 0 => pings -= 1,
                Ok(packet) if due && answers(answer, byte, self.packet_id, &packet) => due = false,
                Ok(packet) => return failed(format!("{packet:?} came in answer to a good packet")),
            }
        }
        Ok(())
    }
}

/// Every code that refuses, in the versions that say what it is.
const ANY_REFUSAL: [u8; 21] = [
    1, 2, 3, 4, 5, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x8F, 0x90, 0x95, 0x99, 0x9A,
    0x9B,
];

/// Whether that packet is the answer, and one of success.
fn answers(answer: Answer, byte: u8, packet_id: u16, packet: &Packet) -> bool {
    let wanted = match answer {
        Answer::Packet(first) => first,
        Answer::Connack => first::CONNACK,
        _ => return false,
    };
    wanted == byte
        && match packet {
            Packet::Connack(connack) => connack.code == 0,
            Packet::Ack(ack) => ack.packet_id == packet_id && ack.code < 0x80,
            Packet::Suback(suback) => {
                suback.packet_id == packet_id && suback.codes.iter().all(|code| *code < 0x80)
            }
            Packet::Unsuback(unsuback) => {
                unsuback.packet_id == packet_id && unsuback.codes.iter().all(|code| *code < 0x80)
            }
            _ => false,
        }
}

/// The topic and the packet identifier that a good packet has, each if there is one.
pub(super) fn named_in(form: Form, packet: &[u8]) -> (Vec<u8>, u16) {
    let lengths = packet.iter().skip(1).take_while(|byte| **byte & 0x80 != 0).count();
    let mut rest = packet.get(2 + lengths..).unwrap_or_default();
    let two = |bytes: &[u8]| bytes.iter().take(2).fold(0_u16, |value, byte| value << 8 | u16::from(*byte));
    let mut topic = Vec::new();
    if form == Form::Publish {
        let length = usize::from(two(rest));
        topic = rest.get(2..2 + length).unwrap_or_default().to_vec();
        rest = rest.get(2 + length..).unwrap_or_default();
    }
    (topic, two(rest))
}
