//! The bytes of one connection on their way in: a borrowed buffer for what arrives, the
//! connection's own memory only for what is not whole yet.

use crate::desk::READ_BUFFER;
use crate::transport::ReadHalf;
use aldis_session::{Input, Next, Turned};
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Packets larger than this get a buffer of their own, which payloads are then shared from.
const LARGE: usize = 32 << 10;
const _: () = assert!(LARGE < READ_BUFFER);

/// Memory a connection that reads a large packet gets ahead of the bytes that came: an announced
/// length alone allocates no more than this.
const AHEAD: usize = 64 << 10;

/// Bytes that are thrown away at most before a connection is closed.
const DRAINED: usize = 1 << 20;

/// What is left over between two reads.
enum Rest {
    /// Nothing: an idle connection.
    Empty,
    /// The beginning of a packet.
    Partial(Vec<u8>),
    /// Whole packets that come before anything that is read, from this position on.
    Unread(Bytes),
    /// The beginning of a large packet, and its whole size.
    Large(BytesMut, usize),
}

/// The reading side of a connection.
pub(crate) struct Reader {
    half: ReadHalf,
    rest: Rest,
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
    pub(crate) fn new(half: ReadHalf, first: Vec<u8>) -> Reader {
        let rest = if first.is_empty() { Rest::Empty } else { Rest::Unread(Bytes::from(first)) };
        Reader { half, rest }
    }

    /// Reads once into `buffer` (behind what is left over) and gives the bytes to `turn`, which says
    /// how many it is done with.
    pub(crate) fn poll_turn(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        turn: impl FnOnce(Input<'_>, usize) -> Turned,
    ) -> Poll<io::Result<Read>> {
        match std::mem::replace(&mut self.rest, Rest::Empty) {
            Rest::Unread(bytes) => Poll::Ready(Ok(self.go_on(bytes, turn))),
            Rest::Large(bytes, size) => self.poll_large(cx, bytes, size, turn),
            Rest::Empty => self.poll_into(cx, buffer, &[], turn),
            Rest::Partial(partial) => {
                let polled = self.poll_into(cx, buffer, &partial, turn);
                if polled.is_pending() {
                    self.rest = Rest::Partial(partial);
                }
                polled
            }
        }
    }

    fn go_on(&mut self, mut bytes: Bytes, turn: impl FnOnce(Input<'_>, usize) -> Turned) -> Read {
        let turned = turn(Input::Borrowed(&bytes), 0);
        bytes.advance(turned.consumed.min(bytes.len()));
        let asked = matches!(turned.next, Next::Ask(_));
        self.rest = match bytes {
            bytes if bytes.is_empty() => Rest::Empty,
            bytes if asked => Rest::Unread(bytes),
            bytes => keep(&bytes, turned.expects),
        };
        Read::Turned(turned.next)
    }

    fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        partial: &[u8],
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
        before.copy_from_slice(partial);
        let all = buffer.get(..partial.len() + count).unwrap_or_default();
        let turned = turn(Input::Borrowed(all), count);
        let rest = all.get(turned.consumed..).unwrap_or_default();
        self.rest = match (rest.is_empty(), &turned.next) {
            (true, _) => Rest::Empty,
            (false, Next::Ask(_)) => Rest::Unread(Bytes::copy_from_slice(rest)),
            (false, _) => keep(rest, turned.expects),
        };
        Poll::Ready(Ok(Read::Turned(turned.next)))
    }

    fn poll_large(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: BytesMut,
        size: usize,
        turn: impl FnOnce(Input<'_>, usize) -> Turned,
    ) -> Poll<io::Result<Read>> {
        let mut read = 0;
        while bytes.len() < size {
            match self.poll_more(cx, &mut bytes, size) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(Read::End)),
                Poll::Ready(Ok(count)) => read += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.rest = Rest::Large(bytes, size);
                    return Poll::Pending;
                }
            }
        }
        let mut bytes = bytes.freeze();
        let turned = turn(Input::Shared(&bytes), read);
        bytes.advance(turned.consumed.min(bytes.len()));
        if !bytes.is_empty() {
            self.rest = Rest::Unread(bytes);
        }
        Poll::Ready(Ok(Read::Turned(turned.next)))
    }

    /// Reads once towards the end of a large packet.
    fn poll_more(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut BytesMut,
        size: usize,
    ) -> Poll<io::Result<usize>> {
        let missing = size - bytes.len();
        if bytes.capacity() == bytes.len() {
            bytes.reserve(missing.min(AHEAD.max(bytes.len())));
        }
        let have = bytes.len();
        let room = missing.min(bytes.capacity() - have);
        bytes.resize(have + room, 0);
        let mut read = ReadBuf::new(bytes.get_mut(have..).unwrap_or_default());
        let polled = Pin::new(&mut self.half).poll_read(cx, &mut read);
        let count = read.filled().len();
        bytes.truncate(have + count);
        polled.map_ok(|()| count)
    }

    /// Reads and throws away until the peer has closed its side too: closing a socket with unread
    /// bytes resets it, and the peer might lose what was just sent to it.
    pub(crate) async fn drain(&mut self) {
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

/// Keeps the beginning of a packet, in a buffer of its own size if it will be large.
fn keep(rest: &[u8], expects: Option<usize>) -> Rest {
    match expects {
        Some(size) if size > LARGE => {
            let mut bytes = BytesMut::with_capacity(size.min(rest.len() + AHEAD));
            bytes.extend_from_slice(rest);
            Rest::Large(bytes, size)
        }
        _ => Rest::Partial(rest.to_vec()),
    }
}
