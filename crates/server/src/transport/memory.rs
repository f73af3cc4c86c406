//! Connections inside the process: for programs that embed the broker, and for tests with virtual
//! time. Each direction is a bounded pipe; the broker's side counts its writes.

use super::{Connection, WriteHalf};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One direction. A lock, because either end may be on any thread; held to copy bytes.
#[derive(Clone)]
struct Shared(Arc<Mutex<Pipe>>);

impl Shared {
    fn new(capacity: usize) -> Shared {
        Shared(Arc::new(Mutex::new(Pipe { capacity, ..Pipe::default() })))
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock();
        if pipe.bytes.is_empty() {
            if pipe.closed {
                return Poll::Ready(Ok(()));
            }
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = pipe.bytes.len().min(buf.remaining());
        let (front, back) = pipe.bytes.as_slices();
        let from_front = count.min(front.len());
        buf.put_slice(front.get(..from_front).unwrap_or_default());
        buf.put_slice(back.get(..count - from_front).unwrap_or_default());
        pipe.bytes.drain(..count);
        wake(pipe.writer.take());
        Poll::Ready(Ok(()))
    }

    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut pipe = self.0.lock();
        if pipe.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut written = 0;
        for slice in slices {
            let room = pipe.capacity.saturating_sub(pipe.bytes.len());
            let part = slice.get(..slice.len().min(room)).unwrap_or_default();
            pipe.bytes.extend(part);
            written += part.len();
        }
        if written == 0 && slices.iter().any(|slice| !slice.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wake(pipe.reader.take());
        Ok(written)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.lock();
        if pipe.closed || pipe.bytes.len() < pipe.capacity {
            return Poll::Ready(Ok(()));
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn close(&self) {
        let mut pipe = self.0.lock();
        pipe.closed = true;
        wake(pipe.reader.take());
        wake(pipe.writer.take());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// What the broker's side of a memory connection did.
#[derive(Debug, Default)]
pub struct Counts {
    /// Calls that wrote something, or tried to.
    pub writes: AtomicUsize,
    /// Calls that read something.
    pub reads: AtomicUsize,
}

/// A connection to a broker in this process: `capacity` bytes fit into each direction. The second
/// value is the client's side, the third counts what the broker does on its own.
pub fn pair(capacity: usize) -> (Connection, MemoryStream, Arc<Counts>) {
    let (to_broker, to_client) = (Shared::new(capacity), Shared::new(capacity));
    let counts = Arc::new(Counts::default());
    let connection = Connection {
        read: Box::new(BrokerRead { pipe: to_broker.clone(), counts: Arc::clone(&counts) }),
        write: Box::new(BrokerWrite { pipe: to_client.clone(), counts: Arc::clone(&counts) }),
        peer: "this process".to_owned(),
    };
    (connection, MemoryStream { read: to_client, write: to_broker }, counts)
}

struct BrokerRead {
    pipe: Shared,
    counts: Arc<Counts>,
}

impl AsyncRead for BrokerRead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = self.pipe.poll_read(cx, buf);
        if polled.is_ready() {
            self.counts.reads.fetch_add(1, Relaxed);
        }
        polled
    }
}

impl Drop for BrokerRead {
    fn drop(&mut self) {
        self.pipe.close();
    }
}

struct BrokerWrite {
    pipe: Shared,
    counts: Arc<Counts>,
}

impl WriteHalf for BrokerWrite {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.counts.writes.fetch_add(1, Relaxed);
        self.pipe.try_write(slices)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_writable(cx)
    }
}

impl Drop for BrokerWrite {
    fn drop(&mut self) {
        self.pipe.close();
    }
}

/// The client's side of a connection inside the process: a stream like a socket.
pub struct MemoryStream {
    read: Shared,
    write: Shared,
}

impl AsyncRead for MemoryStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.read.poll_read(cx, buf)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.write.try_write(&[IoSlice::new(buf)]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match self.write.poll_writable(cx) {
                Poll::Ready(_) => Poll::Ready(self.write.try_write(&[IoSlice::new(buf)])),
                Poll::Pending => Poll::Pending,
            },
            other => Poll::Ready(other),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.close();
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.read.close();
        self.write.close();
    }
}
