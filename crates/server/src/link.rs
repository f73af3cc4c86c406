//! What a connection shares with the rest of the broker: its writing half, and the bell that calls
//! its Client.
//!
//! What is written, and when, is the Outbox's business; what a ring means is found out by the Client that
//! hears it. Nothing is queued here.

use crate::transport::WriteHalf;
use aldis_session::Wire;
use atomic_waker::AtomicWaker;
use std::io::{self, IoSlice};
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Relaxed, Release},
};
use std::task::{Context, Poll};

/// The shared side of one connection.
pub(crate) struct Link {
    write: Box<dyn WriteHalf>,
    /// The Client that is called, and whether it was since it last listened.
    client: AtomicWaker,
    rung: AtomicBool,
    /// When the client was last heard, in milliseconds of the server's clock.
    last_heard: AtomicU64,
    /// Where it stands among the watched connections.
    pub(crate) watched_at: AtomicU64,
    /// Keep alive has passed without a packet.
    silent: AtomicBool,
}

impl Link {
    pub(crate) fn new(write: Box<dyn WriteHalf>, now: u64) -> Link {
        Link {
            write,
            client: AtomicWaker::new(),
            rung: AtomicBool::new(false),
            last_heard: AtomicU64::new(now),
            watched_at: AtomicU64::new(0),
            silent: AtomicBool::new(false),
        }
    }

    /// Waits for the bell; one ring that came before is remembered.
    pub(crate) async fn rung(&self) {
        std::future::poll_fn(|cx| self.poll_rung(cx)).await;
    }

    pub(crate) fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        // Registered before the look, so that no ring falls between.
        self.client.register(cx.waker());
        if self.rung.swap(false, AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn ring(&self) {
        self.rung.store(true, Release);
        self.client.wake();
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
        self.ring();
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
        self.ring();
    }
}
