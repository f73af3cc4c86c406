//! Bytes cut into packets as they arrive: however a stream is split, the same packets come out of it, and the
//! same end.

use crate::choices::Choices;
use aldis_packet::{DecodeError, DecodeLimits, Frame, Framed, ProtocolVersion, decode, next_frame};

/// As [`next_frame`].
pub type NextFrame = for<'a> fn(&'a [u8], usize) -> Result<Framed<'a>, DecodeError>;

/// Versions by the first choice of an input.
pub(crate) const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V31, ProtocolVersion::V311, ProtocolVersion::V5];

/// What a stream was cut into.
#[derive(Debug, Default, PartialEq)]
struct Cut {
    /// First byte and body of each packet.
    packets: Vec<(u8, Vec<u8>)>,
    error: Option<DecodeError>,
    /// Bytes of a packet that is not whole.
    rest: Vec<u8>,
}

/// The target: [`check`] of Aldis' own framing.
pub fn stream(data: &[u8]) {
    check(data, next_frame);
}

/// Cuts the stream in `data` as a whole and in pieces. `next_frame` is the framing to be judged.
///
/// # Panics
/// The pieces give something else than the whole, or bytes are lost.
pub fn check(data: &[u8], next_frame: NextFrame) {
    let mut choices = Choices::new(data);
    let version = choices.pick(&VERSIONS);
    let limit = choices.pick(&[usize::MAX, 1 << 20, 130, 20]);
    let mut sizes = choices.clone();
    choices.bytes(4);
    let stream = choices.all();
    let whole = cut(&mut std::iter::once(stream), limit, next_frame);
    let mut left = stream;
    let pieces = cut(
        &mut std::iter::from_fn(|| {
            let size = (1 + sizes.below(9)).min(left.len());
            let (piece, rest) = left.split_at_checked(size).filter(|_| size > 0)?;
            left = rest;
            Some(piece)
        }),
        limit,
        next_frame,
    );
    assert_eq!(whole, pieces);
    let bytes = cut(&mut stream.chunks(1), limit, next_frame);
    assert_eq!(whole, bytes);
    check_bytes(&whole, stream);
    check_packets(&whole, version);
}

/// Feeds pieces to the framing the way a connection does.
fn cut(pieces: &mut dyn Iterator<Item = &[u8]>, limit: usize, next_frame: NextFrame) -> Cut {
    let mut cut = Cut::default();
    let mut expected = None;
    for piece in pieces {
        cut.rest.extend_from_slice(piece);
        if cut.error.is_some() {
            continue;
        }
        loop {
            match next_frame(&cut.rest, limit) {
                Ok(Framed::Whole { frame, size }) => {
                    assert!(expected.is_none_or(|expected| expected == size), "another size was announced");
                    expected = None;
                    assert!(size <= limit);
                    cut.packets.push(((frame.packet_type as u8) << 4 | frame.flags, frame.body.to_vec()));
                    cut.rest.drain(..size);
                }
                Ok(Framed::Partial { size }) => {
                    assert!(size.is_none_or(|size| size > cut.rest.len() && size <= limit));
                    assert!(expected.is_none() || expected == size, "an announced size is forgotten");
                    expected = size;
                    break;
                }
                Err(error) => {
                    assert_eq!(expected, None, "an error behind an announced size");
                    cut.error = Some(error);
                    break;
                }
            }
        }
    }
    cut
}

/// The packets, put together again, are the stream.
fn check_bytes(cut: &Cut, stream: &[u8]) {
    let mut again = Vec::new();
    for (first, body) in &cut.packets {
        again.push(*first);
        let mut length = body.len();
        while length >= 0x80 {
            again.push((length & 0x7F) as u8 | 0x80);
            length >>= 7;
        }
        again.push(length as u8);
        again.extend_from_slice(body);
    }
    again.extend_from_slice(&cut.rest);
    assert_eq!(again, stream);
}

/// Packets mean the same wherever they lie in memory: nothing is read beyond them.
fn check_packets(cut: &Cut, version: ProtocolVersion) {
    for (first, body) in &cut.packets {
        let mut bytes = Vec::from([*first, 0]);
        bytes.extend_from_slice(body);
        let header = [*first, 0];
        let Ok(Framed::Whole { frame, .. }) = next_frame(&header, usize::MAX) else { continue };
        let alone = Frame { body, ..frame };
        let inside = Frame { body: &bytes[2..], ..frame };
        let limits = DecodeLimits::default();
        assert_eq!(decode(&alone, version, &limits), decode(&inside, version, &limits));
    }
}
