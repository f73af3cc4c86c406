//! What a connection shares with the rest of the broker: its writing half, and the bell that calls
//! its Client.

use crate::transport::WriteHalf;
use aldis_session::Wire;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// The shared side of one connection.
pub(crate) struct Link {
    write: Box<dyn WriteHalf>,
    bell: Notify,
    /// When the client was last heard, in milliseconds of the server's clock.
    last_heard: AtomicU64,
    /// Keep alive has passed without a packet.
    silent: std::sync::atomic::AtomicBool,
}

impl Link {
    pub(crate) fn new(write: Box<dyn WriteHalf>, now: u64) -> Link {
        Link { write, bell: Notify::new(), last_heard: AtomicU64::new(now), silent: false.into() }
    }

    /// Waits for the bell; one ring that came before is remembered.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.poll_writable(cx)
    }

    /// The client was heard at `now`.
    pub(crate) fn heard(&self, now: u64) {
        self.last_heard.store(now, Relaxed);
    }

    pub(crate) fn last_heard(&self) -> u64 {
        self.last_heard.load(Relaxed)
    }

    /// Keep alive has passed: the Client is to end the connection.
    pub(crate) fn call_silent(&self) {
        self.silent.store(true, Relaxed);
        self.bell.notify_one();
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Relaxed)
    }
}

impl Wire for Link {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write.try_write(slices)
    }

    fn wake(&self) {
        self.bell.notify_one();
    }
}
