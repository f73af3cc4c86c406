//! TCP. The owned reading half clears its readiness after a short read, which saves the second
//! receive call that finds nothing; the writing half writes from any thread.

use super::{Connection, WriteHalf};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// The two halves of an accepted socket.
pub(crate) fn connection(stream: TcpStream, peer: SocketAddr) -> io::Result<Connection> {
    // Batches are ours to form; waiting for more (Nagle) would only add latency.
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    Ok(Connection { read: Box::new(read), write: Box::new(Tcp(write)), peer: peer.to_string() })
}

struct Tcp(OwnedWriteHalf);

impl WriteHalf for Tcp {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => self.0.try_write(one),
            several => self.0.try_write_vectored(several),
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_ref().poll_write_ready(cx)
    }
}
