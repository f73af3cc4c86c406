//! The lowest layer: moving bytes. It knows nothing of MQTT.
//!
//! A transport is two halves. The reading half belongs to the Client of the connection alone; the
//! writing half is shared, because publishers write to their subscribers' sockets themselves.

pub mod memory;
pub(crate) mod tcp;

use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use tokio::io::AsyncRead;

/// The reading half of a connection.
pub type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;

/// The writing half of a connection. Dropping it ends the stream of bytes to the peer.
pub trait WriteHalf: Send + Sync {
    /// Writes what is taken at once, without waiting; callable from any thread.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is taken now; anything else means that the connection is lost.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Waits until [`WriteHalf::try_write`] may take something; for one task at a time.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A connection as a listener hands it on.
pub struct Connection {
    /// Where its bytes come from.
    pub read: ReadHalf,
    /// Where its bytes go.
    pub write: Box<dyn WriteHalf>,
    /// Who is at the other end, for log lines.
    pub peer: String,
}
