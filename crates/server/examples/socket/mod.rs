//! What chapters 4 and 5 know of sockets: reading a CONNECT, writing from any task, and waiting for
//! something to do. Nothing here depends on what MQTT says after the CONNECT.

use aldis_session::{Ending, First, Limits, Negotiated, NoObserver, Session, Wire, Workbench, first_packet};
use std::io::{self, IoSlice};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes that one read may bring: the more, the larger the batches, and the fewer the writes.
const READ: usize = 64 << 10;

/// Scratch space for one client: a list of the Outboxes it owes a write, and counts that nobody reads.
pub(crate) fn workbench() -> Workbench {
    Workbench::new(Arc::default(), Arc::new(NoObserver), Instant::now().into_std())
}

/// The writing half of a connection: anybody may write, and the bell calls the client it belongs to.
pub(crate) struct Link {
    write: OwnedWriteHalf,
    bell: Notify,
}

impl Wire for Link {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write.try_write_vectored(slices)
    }
    fn wake(&self) {
        self.bell.notify_one();
    }
}

/// A connection, as its own client holds it.
pub(crate) struct Socket {
    read: OwnedReadHalf,
    /// What was read and is not handled yet.
    pub(crate) bytes: Vec<u8>,
    pub(crate) link: Arc<Link>,
}

impl Socket {
    /// Reads the CONNECT; `None` if there comes none that can be accepted.
    pub(crate) async fn greet(
        stream: TcpStream,
        limits: &Limits,
        number: u64,
    ) -> Option<(Socket, Negotiated)> {
        stream.set_nodelay(true).ok()?;
        let (mut read, write) = stream.into_split();
        let mut bytes = Vec::new();
        let (connect, size) = loop {
            match first_packet(&bytes, limits).ok()? {
                First::Connect(connect, size) => break (connect, size),
                First::Partial(_) if read.read_buf(&mut bytes).await.ok()? == 0 => return None,
                First::Partial(_) => {}
            }
        };
        bytes.drain(..size);
        let negotiated = Negotiated::new(*connect, limits, || format!("client-{number}")).ok()?;
        let link = Arc::new(Link { write, bell: Notify::new() });
        Some((Socket { read, bytes, link }, negotiated))
    }

    /// Writes each Outbox that `bench` owes a write, once, and waits until there is something to do.
    /// True if the session has messages that nobody else will send: a replay of retained ones.
    pub(crate) async fn wait(
        &mut self,
        session: &Arc<Session>,
        connection: u32,
        bench: &mut Workbench,
    ) -> Result<bool, Ending> {
        let errands = session.outbox.lock().errands(connection);
        if let Some(farewell) = errands.close {
            return Err(Ending::Closed(farewell));
        }
        if errands.lost {
            return Err(Ending::Lost);
        }
        if errands.flush {
            bench.owe(session);
        }
        bench.finish();
        self.bytes.reserve(READ);
        // Errands first, then what waits to be written, which frees memory, then what brings more.
        tokio::select! {
            biased;
            () = self.link.bell.notified() => {}
            () = tokio::task::yield_now(), if errands.pump => {}
            _ = self.link.write.writable(), if errands.blocked => {
                if session.outbox.lock().unblocked(connection, bench) {
                    bench.owe(session);
                }
            }
            count = self.read.read_buf(&mut self.bytes) => {
                if !matches!(count, Ok(1..)) {
                    return Err(Ending::Lost);
                }
            }
        }
        Ok(errands.pump)
    }
}
