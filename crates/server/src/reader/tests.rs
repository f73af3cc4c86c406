//! However the bytes of a client arrive and however its turns end, the same packets come out of a [`Reader`],
//! memory is counted while it is held, and none is held at the end.

#[path = "../../../topic/tests/random/mod.rs"]
#[allow(dead_code, reason = "topics are not what is drawn here")]
mod random;

use super::{AHEAD, LARGE, Read, Reader};
use crate::desk::READ_BUFFER;
use aldis_packet::{Framed, next_frame};
use aldis_session::{Counters, Input, Next, Turned};
use random::Random;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, ReadBuf};

const SEEDS: u64 = 200;

/// A socket that brings its bytes in pieces, and sometimes nothing yet.
struct Socket {
    bytes: Vec<u8>,
    brought: usize,
    random: Random,
    /// Bytes that a piece has at most.
    largest: usize,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.random.below(4) == 0 {
            return Poll::Pending;
        }
        let largest = self.largest;
        let left = self.bytes.len() - self.brought;
        let count = (1 + self.random.below(largest)).min(left).min(buffer.remaining());
        let start = self.brought;
        buffer.put_slice(&self.bytes[start..start + count]);
        self.brought += count;
        Poll::Ready(Ok(()))
    }
}

/// A PUBLISH whose body has so many bytes.
fn packet(size: usize, byte: u8) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut length = size;
    while length >= 0x80 {
        packet.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend(std::iter::repeat_n(byte, size));
    packet
}

/// Packets of all sizes at which a reader does something else, one behind the other.
fn packets(random: &mut Random) -> Vec<Vec<u8>> {
    let count = 1 + random.below(12);
    let size = |random: &mut Random| match random.below(8) {
        0 => LARGE - 4 + random.below(8),
        1 => READ_BUFFER - 4 + random.below(8),
        2 => AHEAD + random.below(3 * AHEAD),
        _ => random.below(300),
    };
    (0..count).map(|number| packet(size(random), number as u8)).collect()
}

/// A turn that takes some of the whole packets, and then reads on or lets others go first.
fn turn(input: Input<'_>, random: &mut Random, taken: &mut Vec<Vec<u8>>) -> Turned {
    let bytes: &[u8] = match input {
        Input::Borrowed(bytes) => bytes,
        Input::Shared(bytes) => bytes,
    };
    let mut consumed = 0;
    loop {
        let rest = &bytes[consumed..];
        match next_frame(rest, usize::MAX).unwrap() {
            Framed::Partial { size } => return Turned { consumed, next: Next::Read, expects: size },
            Framed::Whole { .. } if random.below(4) == 0 => {
                return Turned { consumed, next: Next::Yield, expects: None };
            }
            Framed::Whole { size, .. } => {
                taken.push(rest[..size].to_vec());
                consumed += size;
            }
        }
    }
}

#[test]
fn any_way_the_bytes_arrive_gives_the_same_packets_and_leaves_nothing() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let sent = packets(&mut random);
        let mut bytes = sent.concat();
        // Some are cut off: the end of the stream comes within a packet.
        let lost = if seed % 3 == 0 { 1 + random.below(20).min(bytes.len() - 1) } else { 0 };
        bytes.truncate(bytes.len() - lost);
        let first = random.below(bytes.len().min(600));
        let rest = bytes.split_off(first);
        let (most, to_read) = (bytes.len() + rest.len(), rest.len() as u64);
        // A buffer that grows doubles; what came with one read may all have to wait.
        let allowed = 2 * sent.iter().map(Vec::len).max().unwrap_or(0) + AHEAD + READ_BUFFER;
        let largest = [3, 50, 700, READ_BUFFER, 2 * READ_BUFFER][random.below(5)];
        let socket = Socket { bytes: rest, brought: 0, random: Random::new(SEEDS + seed), largest };
        let counters = Arc::new(Counters::default());
        let mut reader = Reader::new(Box::new(socket), bytes, &counters);
        let mut buffer = vec![0xAA; READ_BUFFER];
        let mut taken = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let polled = reader.poll_turn(&mut cx, &mut buffer, &counters, false, |input, _| {
                turn(input, &mut random, &mut taken)
            });
            let held = counters.held_bytes.load(Relaxed);
            assert!((0..=allowed as i64).contains(&held), "seed {seed}: {held} bytes, {allowed} are allowed");
            match polled {
                Poll::Ready(Ok(Read::End)) => break,
                Poll::Ready(Err(error)) => panic!("seed {seed}: {error}"),
                Poll::Ready(Ok(Read::Turned(_))) | Poll::Pending => {}
            }
        }
        let whole = sent.len() - usize::from(lost > 0);
        let mut expected = sent;
        if lost > 0 {
            // What was lost may have been more than the last packet.
            let mut left = most;
            let fits = expected.iter().take_while(|packet| {
                let fits = packet.len() <= left;
                left = left.saturating_sub(packet.len());
                fits
            });
            let fits = fits.count();
            assert!(fits <= whole);
            expected.truncate(fits);
        }
        assert!(taken == expected, "seed {seed}: {} packets of {}", taken.len(), expected.len());
        drop(reader);
        assert_eq!(counters.held_bytes.load(Relaxed), 0, "seed {seed}");
        assert_eq!(counters.bytes_received.load(Relaxed), to_read, "seed {seed}");
    }
}

#[test]
fn when_memory_is_crowded_a_large_packet_gets_no_more_of_it_and_a_small_one_comes_whole() {
    for (size, is_refused) in [(100, false), (LARGE - 100, false), (AHEAD - 100, false), (4 * AHEAD, true)] {
        let packet = packet(size, 7);
        let mut turns = Random::new(1);
        let socket =
            Socket { bytes: packet.clone(), brought: 0, random: Random::new(size as u64), largest: 1_000 };
        let counters = Arc::new(Counters::default());
        let mut reader = Reader::new(Box::new(socket), Vec::new(), &counters);
        let (mut buffer, mut taken) = (vec![0; READ_BUFFER], Vec::new());
        let mut cx = Context::from_waker(Waker::noop());
        let end = loop {
            let polled = reader.poll_turn(&mut cx, &mut buffer, &counters, true, |input, _| {
                turn(input, &mut turns, &mut taken)
            });
            assert!(counters.held_bytes.load(Relaxed) <= (2 * AHEAD) as i64);
            match polled {
                Poll::Ready(Ok(Read::End)) => break None,
                Poll::Ready(Err(error)) => break Some(error.kind()),
                Poll::Ready(Ok(Read::Turned(_))) | Poll::Pending => {}
            }
        };
        assert_eq!(end, is_refused.then_some(io::ErrorKind::OutOfMemory), "{size} bytes");
        assert!(taken.concat() == if is_refused { Vec::new() } else { packet });
    }
}
