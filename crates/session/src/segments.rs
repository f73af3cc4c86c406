//! The encoded bytes that wait for a socket.
//!
//! Small packets are copied one behind the other into one buffer; large payloads are shared and
//! stand between such buffers. A [`Batch`] is what one writer took out and writes while the Outbox
//! is unlocked.

use crate::wire::Wire;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// Payloads of this many bytes and more are shared instead of copied. Below it a copy costs less
/// than the reference count and the extra slice of the write.
pub const SHARE_FROM: usize = 4096;

/// Slices given to one write call; Linux takes 1,024 at most and gains little beyond a few dozen.
const SLICES: usize = 64;

#[derive(Debug)]
enum Segment {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Segment::Copied(bytes) => bytes,
            Segment::Shared(bytes) => bytes,
        }
    }
}

/// Encoded packets in the order in which they leave.
#[derive(Debug, Default)]
pub struct Segments {
    done: VecDeque<Segment>,
    open: Vec<u8>,
    done_len: usize,
    /// QoS 0 messages among the packets: complete when written, dropped when never written.
    pub qos0: u32,
}

impl Segments {
    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.done_len + self.open.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.done_len == 0 && self.open.is_empty()
    }

    /// The buffer to encode into; an idle Outbox borrows one from `spare`.
    #[inline]
    pub fn open(&mut self, spare: &mut Vec<Vec<u8>>) -> &mut Vec<u8> {
        if self.open.capacity() == 0
            && let Some(buffer) = spare.pop()
        {
            self.open = buffer;
        }
        &mut self.open
    }

    /// Appends bytes that are shared with others, without copying them.
    pub fn share(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.done_len += open.len();
            self.done.push_back(Segment::Copied(open));
        }
        self.done_len += bytes.len();
        self.done.push_back(Segment::Shared(bytes));
    }

    /// Puts `later` behind these bytes.
    fn append(&mut self, mut later: Segments) {
        if self.is_empty() {
            later.qos0 += self.qos0;
            *self = later;
            return;
        }
        if later.is_empty() {
            return;
        }
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.done_len += open.len();
            self.done.push_back(Segment::Copied(open));
        }
        self.done_len += later.done_len;
        self.done.append(&mut later.done);
        self.open = later.open;
        self.qos0 += later.qos0;
    }
}

/// What a writer took out of an Outbox, with the connection that it belongs to.
pub struct Batch {
    segments: Segments,
    /// Bytes of the first segment that are written already.
    written: usize,
    wire: Arc<dyn Wire>,
    /// Number of the connection that the bytes were encoded for.
    pub connection: u32,
    /// Bytes written in all.
    pub sent: usize,
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// Every byte is with the operating system.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The connection is lost.
    Failed,
}

impl Batch {
    /// Bytes for one write to the connection number `connection`.
    pub fn new(segments: Segments, wire: Arc<dyn Wire>, connection: u32) -> Batch {
        Batch { segments, written: 0, wire, connection, sent: 0 }
    }

    /// Writes until everything is written or the socket takes no more.
    pub fn write(&mut self) -> Wrote {
        loop {
            if self.segments.is_empty() {
                return Wrote::All;
            }
            match self.write_once() {
                Ok(0) => return Wrote::Failed,
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Wrote::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Wrote::Failed,
            }
        }
    }

    fn write_once(&self) -> io::Result<usize> {
        if self.segments.done.is_empty() {
            let rest = self.segments.open.get(self.written..).unwrap_or_default();
            return self.wire.try_write(&[IoSlice::new(rest)]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut filled = 0;
        let all = self.segments.done.iter().map(Segment::bytes).chain([self.segments.open.as_slice()]);
        for (slot, bytes) in slices.iter_mut().zip(all) {
            let from = if filled == 0 { self.written } else { 0 };
            *slot = IoSlice::new(bytes.get(from..).unwrap_or_default());
            filled += 1;
        }
        self.wire.try_write(slices.get(..filled).unwrap_or_default())
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        self.written += count;
        while let Some(first) = self.segments.done.front() {
            let len = first.bytes().len();
            if self.written < len {
                return;
            }
            self.written -= len;
            self.segments.done_len -= len;
            self.segments.done.pop_front();
        }
        if self.written >= self.segments.open.len() {
            self.segments.open.clear();
            self.written = 0;
        }
    }

    /// QoS 0 messages that this batch was asked to write.
    pub fn qos0(&self) -> u32 {
        self.segments.qos0
    }

    /// The emptied buffer, to be used again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.segments.open
    }

    /// What is left, without the bytes that are written, in front of what came meanwhile.
    pub fn rest_before(mut self, later: Segments) -> Segments {
        if self.written > 0 {
            // Cut the written part off the first segment, so that a rest begins at its first byte.
            if let Some(first) = self.segments.done.front_mut() {
                self.segments.done_len -= self.written;
                match first {
                    Segment::Copied(bytes) => drop(bytes.drain(..self.written)),
                    Segment::Shared(bytes) => drop(bytes.split_to(self.written)),
                }
            } else {
                self.segments.open.drain(..self.written);
            }
        }
        let mut rest = self.segments;
        rest.append(later);
        rest
    }
}
