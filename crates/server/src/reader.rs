//! The bytes of one connection on their way in: a borrowed buffer for what arrives, the
//! connection's own memory only for what is not whole yet.
//!
//! Each byte is counted as received when it is read, whatever becomes of it. Those of the first packet, and
//! what came with it, were read by the reception.

use crate::desk::READ_BUFFER;
use crate::transport::ReadHalf;
use aldis_session::{Counters, Input, Memory, Next, Turned};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Packets larger than this get a buffer of their own, which payloads are then shared from.
const LARGE: usize = 32 << 10;
const _: () = assert!(LARGE < READ_BUFFER);

/// Memory a connection that reads a large packet gets ahead of the bytes that came: an announced
/// length alone allocates no more than this.
const AHEAD: usize = 64 << 10;

/// Bytes that count as hearing from a client although its packet is not whole: a large one may take longer
/// than its keep alive, while one that drips single bytes is as good as silent.
const SIGN_OF_LIFE: usize = 1000;

/// Bytes that are thrown away at most before a connection is closed.
const DRAINED: usize = 1 << 20;

/// What is left over between two reads. All of it is counted as held, and boxed: an idle connection stays
/// small.
enum Rest {
    /// Nothing: an idle connection.
    Empty,
    /// The beginning of a packet.
    Partial(Box<Kept<Vec<u8>>>),
    /// Whole packets that come before anything that is read, from this position on.
    Unread(Box<Kept<Bytes>>),
    /// The beginning of a large packet.
    Large(Box<Large>),
}

/// Bytes that a connection keeps between two reads.
struct Kept<T> {
    bytes: T,
    /// What is allocated for them, counted as held.
    _memory: Memory,
}

impl Rest {
    fn partial(bytes: &[u8], counters: &Arc<Counters>) -> Rest {
        let _memory = Memory::of(bytes.len(), counters);
        Rest::Partial(Box::new(Kept { bytes: bytes.to_vec(), _memory }))
    }

    fn unread(bytes: Bytes, counters: &Arc<Counters>) -> Rest {
        let _memory = Memory::of(bytes.len(), counters);
        Rest::Unread(Box::new(Kept { bytes, _memory }))
    }
}

/// A large packet on its way in.
struct Large {
    bytes: BytesMut,
    /// Of the whole packet.
    size: usize,
    /// What is allocated for it, counted as held.
    memory: Memory,
}

/// The reading side of a connection.
pub(crate) struct Reader {
    half: ReadHalf,
    rest: Rest,
    /// Bytes read since the client was heard last.
    unheard: usize,
}

/// What a read brought.
pub(crate) enum Read {
    /// A turn was made.
    Turned(Next),
    /// The peer sends nothing more.
    End,
}

impl Reader {
    /// Reads from `half`, after `first`, which was read already.
    pub(crate) fn new(half: ReadHalf, first: Vec<u8>, counters: &Arc<Counters>) -> Reader {
        let rest = if first.is_empty() { Rest::Empty } else { Rest::unread(Bytes::from(first), counters) };
        Reader { half, rest, unheard: 0 }
    }

    /// Whether a whole packet came since this was asked last, or a good part of a large one.
    pub(crate) fn has_heard(&mut self) -> bool {
        let heard = self.unheard >= SIGN_OF_LIFE;
        if heard {
            self.unheard = 0;
        }
        heard
    }

    /// Whether bytes wait that were read already, and may be whole packets.
    pub(crate) fn has_unread(&self) -> bool {
        matches!(self.rest, Rest::Unread(_))
    }

    /// Reads once into `buffer` (behind what is left over) and gives the bytes to `turn`, which says
    /// how many it is done with. When memory is `crowded`, a large packet that is not whole gets no more of it:
    /// that is an error of the kind `OutOfMemory`.
    pub(crate) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        counters: &Arc<Counters>,
        crowded: bool,
        turn: impl FnOnce(Input<'_>, usize) -> Turned,
    ) -> Poll<io::Result<Read>> {
        match std::mem::replace(&mut self.rest, Rest::Empty) {
            Rest::Unread(unread) => Poll::Ready(Ok(self.go_on(unread, counters, turn))),
            Rest::Large(large) => self.poll_large(cx, large, counters, crowded, turn),
            Rest::Empty => self.poll_into(cx, buffer, &[], counters, turn),
            Rest::Partial(partial) => {
                let polled = self.poll_into(cx, buffer, &partial.bytes, counters, turn);
                if polled.is_pending() {
                    self.rest = Rest::Partial(partial);
                }
                polled
            }
        }
    }

    /// A turn was made over `input`, of which `read` bytes are new.
    fn turned(&mut self, turned: &Turned, read: usize) {
        self.unheard += if turned.consumed > 0 { SIGN_OF_LIFE } else { read };
    }

    fn go_on(
        &mut self,
        mut unread: Box<Kept<Bytes>>,
        counters: &Arc<Counters>,
        turn: impl FnOnce(Input<'_>, usize) -> Turned,
    ) -> Read {
        let bytes = &mut unread.bytes;
        let turned = turn(Input::Borrowed(bytes), 0);
        self.turned(&turned, 0);
        bytes.advance(turned.consumed.min(bytes.len()));
        self.rest = match unread {
            unread if unread.bytes.is_empty() => Rest::Empty,
            // All of it stays allocated, and counted, to the end.
            unread if goes_on(&turned.next) => Rest::Unread(unread),
            unread => keep(&unread.bytes, turned.expects, counters),
        };
        Read::Turned(turned.next)
    }

    fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        partial: &[u8],
        counters: &Arc<Counters>,
        turn: impl FnOnce(Input<'_>, usize) -> Turned,
    ) -> Poll<io::Result<Read>> {
        let Some((before, behind)) = buffer.split_at_mut_checked(partial.len()) else {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        };
        let mut read = ReadBuf::new(behind);
        ready!(Pin::new(&mut self.half).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            return Poll::Ready(Ok(Read::End));
        }
        counters.bytes_received.fetch_add(count as u64, Relaxed);
        before.copy_from_slice(partial);
        let all = buffer.get(..partial.len() + count).unwrap_or_default();
        let turned = turn(Input::Borrowed(all), count);
        self.turned(&turned, count);
        let rest = all.get(turned.consumed..).unwrap_or_default();
        self.rest = match rest {
            [] => Rest::Empty,
            rest if goes_on(&turned.next) => Rest::unread(Bytes::copy_from_slice(rest), counters),
            rest => keep(rest, turned.expects, counters),
        };
        Poll::Ready(Ok(Read::Turned(turned.next)))
    }

    fn poll_large(
        &mut self,
        cx: &mut Context<'_>,
        mut large: Box<Large>,
        counters: &Arc<Counters>,
        crowded: bool,
        turn: impl FnOnce(Input<'_>, usize) -> Turned,
    ) -> Poll<io::Result<Read>> {
        let mut read = 0;
        while large.bytes.len() < large.size {
            match self.poll_more(cx, &mut large, counters, crowded) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Read::End)),
                Poll::Ready(Ok(count)) => read += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.rest = Rest::Large(large);
                    return Poll::Pending;
                }
            }
        }
        let mut bytes = large.bytes.freeze();
        let turned = turn(Input::Shared(&bytes), read);
        self.turned(&turned, 0);
        bytes.advance(turned.consumed.min(bytes.len()));
        if !bytes.is_empty() {
            self.rest = Rest::unread(bytes, counters);
        }
        Poll::Ready(Ok(Read::Turned(turned.next)))
    }

    /// Reads once towards the end of a large packet.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        large: &mut Large,
        counters: &Arc<Counters>,
        crowded: bool,
    ) -> Poll<io::Result<usize>> {
        let bytes = &mut large.bytes;
        let missing = large.size - bytes.len();
        if bytes.capacity() == bytes.len() {
            if crowded {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
            bytes.reserve(missing.min(AHEAD.max(bytes.len())));
            large.memory = Memory::of(bytes.capacity(), counters);
        }
        let have = bytes.len();
        let room = missing.min(bytes.capacity() - have);
        bytes.resize(have + room, 0);
        let mut read = ReadBuf::new(bytes.get_mut(have..).unwrap_or_default());
        let polled = Pin::new(&mut self.half).poll_read(cx, &mut read);
        let count = read.filled().len();
        bytes.truncate(have + count);
        counters.bytes_received.fetch_add(count as u64, Relaxed);
        self.unheard += count;
        polled.map_ok(|()| count)
    }

    /// Reads and throws away until the peer has closed its side too: closing a socket with unread
    /// bytes resets it, and the peer might lose what was just sent to it.
    pub(crate) async fn drain(&mut self) {
        self.rest = Rest::Empty;
        let mut scrap = [0; 512];
        for _ in 0..DRAINED / scrap.len() {
            let mut read = ReadBuf::new(&mut scrap);
            let polled = std::future::poll_fn(|cx| Pin::new(&mut self.half).poll_read(cx, &mut read)).await;
            if polled.is_err() || read.filled().is_empty() {
                return;
            }
        }
    }
}

/// Whether the bytes that are left come before anything that is read.
fn goes_on(next: &Next) -> bool {
    matches!(next, Next::Ask(_) | Next::Yield)
}

/// Keeps the beginning of a packet, in a buffer of its own size if it will be large.
fn keep(rest: &[u8], expects: Option<usize>, counters: &Arc<Counters>) -> Rest {
    match expects {
        Some(size) if size > LARGE => {
            let mut bytes = BytesMut::with_capacity(size.min(rest.len() + AHEAD));
            bytes.extend_from_slice(rest);
            let memory = Memory::of(bytes.capacity(), counters);
            Rest::Large(Box::new(Large { bytes, size, memory }))
        }
        _ => Rest::partial(rest, counters),
    }
}

#[cfg(test)]
mod tests;
