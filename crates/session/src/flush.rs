//! Writing an Outbox to its socket, by whoever has it on the dirty list.
//!
//! The bytes are taken out under the lock and written without it. A publisher writes at most twice;
//! if more came meanwhile, the subscriber's own Client goes on, so that nobody becomes the writer
//! of somebody else for good.

use crate::outbox::AfterWrite;
use crate::segments::{Batch, Wrote};
use crate::session::Session;
use crate::workbench::Workbench;

/// Writes that one visit makes at most.
const ROUNDS: usize = 2;

/// Writes what the Outbox of `session` holds, if it is dirty.
pub fn flush(session: &Session, bench: &mut Workbench) {
    for _ in 0..ROUNDS {
        let Some(batch) = session.outbox.lock().take() else { return };
        match (Writing { session, bench, batch: Some(batch) }).write() {
            AfterWrite::Done => return,
            AfterWrite::MoreCame => {}
        }
    }
    session.outbox.lock().hand_over();
}

/// A write under way. A transport that panics has lost its connection: the Outbox is not left to a
/// writer that is gone.
struct Writing<'a> {
    session: &'a Session,
    bench: &'a mut Workbench,
    batch: Option<Batch>,
}

impl Writing<'_> {
    fn write(mut self) -> AfterWrite {
        let wrote = self.batch.as_mut().map_or(Wrote::All, Batch::write);
        self.wrote(wrote)
    }

    fn wrote(&mut self, wrote: Wrote) -> AfterWrite {
        let Some(batch) = self.batch.take() else { return AfterWrite::Done };
        self.bench.tally.bytes_sent += batch.sent as u64;
        self.session.outbox.lock().written(batch, wrote, self.bench)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.wrote(Wrote::Failed);
    }
}
