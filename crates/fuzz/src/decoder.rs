//! The decoder: no bytes make it panic, what it accepts comes back from its own encoding as it was, and a
//! second decoder that others wrote reads the same in both, but for what [`differences`](crate::differences)
//! lists.

use crate::differences::{self, Case};
use crate::ours;
use crate::stream::VERSIONS;
use crate::theirs;
use aldis_packet::{
    DecodeError, DecodeLimits, Frame, Framed, Packet, PacketType, ProtocolVersion, decode, next_frame,
};
use aldis_topic::TopicError;

/// As [`decode`](fn@decode).
pub type Decode = for<'a> fn(&Frame<'a>, ProtocolVersion, &DecodeLimits) -> Result<Packet<'a>, DecodeError>;

/// The other decoder has no such limit.
const LIMITS: DecodeLimits = DecodeLimits { user_properties: usize::MAX };

/// Why our side refuses a packet: its form, or a filter in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// By the decoder.
    Packet(DecodeError),
    /// By the crate `topic`.
    Filter(TopicError),
}

/// The target: [`check`] of Aldis' own decoder.
pub fn decoder(data: &[u8]) {
    check(data, decode);
}

/// Decodes the packet in `data`: a byte for the version, the first byte of the packet, and what stands behind
/// its Remaining Length. `decode` is the decoder to be judged.
///
/// # Panics
/// The decoder breaks one of its promises.
pub fn check(data: &[u8], decode: Decode) {
    let [version, first, body @ ..] = data else { return };
    let version = VERSIONS[usize::from(*version) % VERSIONS.len()];
    let Some(packet_type) = PacketType::from_u8(first >> 4) else { return };
    let frame = Frame { packet_type, flags: first & 0x0F, body };
    compare(&frame, version, decode);
    let Ok(packet) = decode(&frame, version, &LIMITS) else { return };
    assert_eq!(packet.packet_type(), packet_type);
    assert!(!packet.to_string().contains('\n'), "a log line of several lines: {packet}");
    let mut encoded = Vec::new();
    packet.encode(version, &mut encoded);
    let Ok(Framed::Whole { frame: again, size }) = next_frame(&encoded, usize::MAX) else {
        panic!("{packet} was encoded as {encoded:02x?}, which is no packet");
    };
    assert_eq!(size, encoded.len(), "{packet} was encoded as more than one packet");
    assert_eq!(decode(&again, version, &LIMITS).as_ref(), Ok(&packet), "another packet came back");
    compare(&again, version, decode);
}

/// Both decoders say the same, or the difference is listed.
fn compare(frame: &Frame<'_>, version: ProtocolVersion, decode: Decode) {
    let case = case(frame, version, decode);
    let agree = match (&case.ours, &case.theirs) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (Err(_), Err(_)) => true,
        _ => false,
    };
    assert!(agree || differences::explains(&case).is_some(), "a difference that is not listed: {case:02x?}");
}

/// What both decoders say about a packet.
pub fn case<'a>(frame: &Frame<'a>, version: ProtocolVersion, decode: Decode) -> Case<'a> {
    let first = (frame.packet_type as u8) << 4 | frame.flags;
    let packet = decode(frame, version, &LIMITS);
    let ours = packet
        .map_err(Refused::Packet)
        .and_then(|packet| ours::read(&packet, version).map_err(Refused::Filter));
    let theirs = theirs::read(first, frame.body, version == ProtocolVersion::V5);
    Case { version, first, body: frame.body, ours, theirs }
}
