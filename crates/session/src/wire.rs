//! The write side of a transport, as the pure crates see it.

use std::io::{self, IoSlice};

/// Where the bytes of one connection go. The server implements it for sockets, tests for memory.
pub trait Wire: Send + Sync {
    /// Writes as many bytes as are taken at once, without waiting. Callable from any thread.
    ///
    /// # Errors
    /// `WouldBlock` when nothing can be taken now; anything else means that the connection is lost.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Makes the Client that owns the connection look at its Outbox: there is an errand.
    fn wake(&self);
}
