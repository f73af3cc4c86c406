//! What each thread lends to whichever Client runs on it: one read buffer and one workbench.
//!
//! An idle connection owns no buffer; it borrows this one for the moment in which it reads and
//! handles packets. There is no `await` while it is borrowed, so a Client always leaves the desk as
//! empty as it found it.

use crate::broker_handle::BrokerHandle;
use crate::clock;
use aldis_session::{Observer, Session, Workbench};
use std::cell::RefCell;
use std::sync::Arc;

/// Bytes read at once. As much as a socket's buffer usually holds.
pub(crate) const READ_BUFFER: usize = 128 << 10;

/// Outboxes that one turn writes itself; more go in parts of this size to tasks of their own, so
/// that a message for 100,000 subscribers does not keep a thread for half a second.
const WRITES_A_TURN: usize = 64;

pub(crate) struct Desk {
    pub(crate) buffer: Box<[u8]>,
    pub(crate) bench: Workbench,
}

thread_local! {
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
}

/// Does `work` at this thread's desk and then writes what it appended.
pub(crate) fn at_desk<T>(broker: &BrokerHandle, work: impl FnOnce(&mut Desk) -> T) -> T {
    DESK.with(|desk| {
        let mut desk = desk.borrow_mut();
        let foreign = desk.as_ref().is_some_and(|desk| !Arc::ptr_eq(desk.bench.counters(), &broker.counters));
        if foreign {
            // Two servers share this thread, as tests do.
            *desk = None;
        }
        let desk = desk.get_or_insert_with(|| Desk {
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            bench: Workbench::new(
                Arc::clone(&broker.counters),
                Arc::clone(&broker.observer) as Arc<dyn Observer>,
                clock::now(),
            )
            .recording_in(Arc::clone(&broker.journal)),
        });
        desk.bench.begin(clock::now(), broker.memory_full());
        let visit = Visit { broker, desk };
        work(visit.desk)
    })
}

/// One visit of a Client to its thread's desk. However it ends, also by a panic, what was appended
/// is written: an Outbox on the list belongs to nobody else.
struct Visit<'a> {
    broker: &'a BrokerHandle,
    desk: &'a mut Desk,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        write_out(self.broker, &mut self.desk.bench);
    }
}

fn write_out(broker: &BrokerHandle, bench: &mut Workbench) {
    while bench.dirty_count() > WRITES_A_TURN {
        let part = Part { broker: broker.clone(), dirty: bench.give_away(WRITES_A_TURN) };
        broker.runtime.spawn(async move { drop(part) });
    }
    bench.finish();
}

/// Outboxes that nobody else will write. They are written when this is dropped: by the task that it was
/// given to, or by whoever ends a runtime that never ran it.
struct Part {
    broker: BrokerHandle,
    dirty: Vec<Arc<Session>>,
}

impl Drop for Part {
    fn drop(&mut self) {
        let broker = &self.broker;
        let observer = Arc::clone(&broker.observer) as Arc<dyn Observer>;
        // Not this thread's desk: somebody may be sitting at it.
        let bench = Workbench::new(Arc::clone(&broker.counters), observer, clock::now());
        let mut bench = bench.recording_in(Arc::clone(&broker.journal));
        bench.begin(clock::now(), broker.memory_full());
        bench.take_over(std::mem::take(&mut self.dirty));
    }
}
