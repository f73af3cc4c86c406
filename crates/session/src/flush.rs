//! Writing an Outbox to its socket, by whoever has it on the dirty list.
//!
//! The bytes are taken out under the lock and written without it. A publisher writes at most twice;
//! if more came meanwhile, the subscriber's own Client goes on, so that nobody becomes the writer
//! of somebody else for good.

use crate::outbox::AfterWrite;
use crate::session::Session;
use crate::workbench::Workbench;

/// Writes that one visit makes at most.
const ROUNDS: usize = 2;

/// Writes what the Outbox of `session` holds, if it is dirty.
pub fn flush(session: &Session, bench: &mut Workbench) {
    for _ in 0..ROUNDS {
        let Some(mut batch) = session.outbox.lock().take() else { return };
        let wrote = batch.write();
        bench.tally.bytes_sent += batch.sent as u64;
        match session.outbox.lock().written(batch, wrote, bench) {
            AfterWrite::Done => return,
            AfterWrite::MoreCame => {}
        }
    }
    session.outbox.lock().hand_over();
}
