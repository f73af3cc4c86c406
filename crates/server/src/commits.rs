//! After each commit: whatever waited for it leaves.
//!
//! One task for all sessions, woken once a commit. What a session does then (send its PUBACKs, deliver what is durable
//! now) is its own affair.

use crate::broker_handle::BrokerHandle;
use crate::desk::at_desk;
use aldis_packet::ReasonCode;
use aldis_session::Farewell;
use aldis_store::{Condition, Log};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Sessions seen to before others come.
const SESSIONS_AT_ONCE: usize = 64;

/// How often those are looked for that came to wait after the log had failed: no commit will say so.
const ABANDONED: Duration = Duration::from_millis(100);

/// Runs for as long as the broker.
pub(crate) async fn release_committed(broker: BrokerHandle, log: Arc<dyn Log>) {
    let committed = Arc::new(Notify::new());
    let bell = Arc::clone(&committed);
    log.on_commit(Box::new(move || bell.notify_one()));
    loop {
        match log.condition() {
            Condition::Failed => tokio::time::sleep(ABANDONED).await,
            Condition::Good | Condition::Full => committed.notified().await,
        }
        while release(&broker) {
            tokio::task::yield_now().await;
        }
        if log.condition() == Condition::Failed {
            abandon(&broker);
        }
    }
}

/// Lets the next sessions go on; true if there may be more.
fn release(broker: &BrokerHandle) -> bool {
    at_desk(broker, |desk| {
        for _ in 0..SESSIONS_AT_ONCE {
            if let Some(session) = broker.journal.released() {
                session.committed(&mut desk.bench);
            } else if let Some((session, found)) = broker.journal.found() {
                session.found(&found, &mut desk.bench);
            } else {
                return false;
            }
        }
        true
    })
}

/// What waits for a log that has failed waits for ever: whoever is owed an answer is told to go, and sends it again to a
/// broker that works.
fn abandon(broker: &BrokerHandle) {
    let farewell = Farewell::new(ReasonCode::ImplementationSpecificError, "the store has failed");
    while let Some(session) = broker.journal.abandoned() {
        let mut outbox = session.outbox.lock();
        if outbox.has_parked() {
            outbox.ask_to_close(farewell);
        }
    }
}
