//! Writing an Outbox to its socket, by whoever has it on the dirty list.
//!
//! The bytes are taken out under the lock and written without it. A publisher writes at most twice;
//! if more came meanwhile, the subscriber's own Client goes on, so that nobody becomes the writer
//! of somebody else for good.

use crate::outbox::AfterWrite;
use crate::segments::{Batch, Wrote};
use crate::session::Session;
use crate::workbench::Workbench;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Writes that one visit makes at most.
const ROUNDS: usize = 2;

/// Writes what the Outbox of `session` holds, if it is dirty.
pub fn flush(session: &Session, bench: &mut Workbench) {
    for _ in 0..ROUNDS {
        let Some(mut batch) = session.outbox.lock().take() else { return };
        let wrote = write(&mut batch);
        bench.tally.bytes_sent += batch.sent as u64;
        match session.outbox.lock().written(batch, wrote, bench) {
            AfterWrite::Done => return,
            AfterWrite::MoreCame => {}
        }
    }
    session.outbox.lock().hand_over();
}

/// A transport may be somebody else's code. One that panics has lost its connection, and keeps nobody from
/// writing to all others.
fn write(batch: &mut Batch) -> Wrote {
    catch_unwind(AssertUnwindSafe(|| batch.write())).unwrap_or(Wrote::Failed)
}
