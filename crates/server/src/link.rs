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
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};
use std::task::{Context, Poll};

/// The Client reads, or would if something came.
const READS: u64 = u64::MAX;

/// The shared side of one connection.
pub(crate) struct Link {
    write: Box<dyn WriteHalf>,
    /// The Client that is called, and whether it was since it last listened.
    client: AtomicWaker,
    rung: AtomicBool,
    /// When the client was last heard, in milliseconds of the server's clock.
    last_heard: AtomicU64,
    /// Since when its Client does not read, for reasons that are the broker's own; or [`READS`].
    left_off: AtomicU64,
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
            left_off: AtomicU64::new(READS),
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

    /// From when on its keep alive counts; `None` while it stands still.
    pub(crate) fn last_heard(&self) -> Option<u64> {
        // Who sees that the Client reads again sees the time that is forgiven, too.
        (self.left_off.load(Acquire) == READS).then(|| self.last_heard.load(Relaxed))
    }

    /// The Client stops reading, and its client cannot help it: keep alive stands still.
    pub(crate) fn leave_off(&self, now: u64) {
        self.left_off.store(now, Relaxed);
    }

    /// The Client reads again. The time in which it did not is forgiven.
    pub(crate) fn go_on(&self, now: u64) {
        let left_off = self.left_off.load(Relaxed);
        if left_off != READS {
            self.last_heard.fetch_add(now.saturating_sub(left_off), Relaxed);
            self.left_off.store(READS, Release);
        }
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
