//! Who is connected to the metrics listener, and who of them may be sent away for somebody else.
//!
//! What they ask is not looked at, only when.

use crate::clock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::{AbortHandle, JoinSet};

/// Whether a connection is being answered, or since when it asks nothing.
#[derive(Debug)]
pub(crate) struct Asks {
    // Written twice for each request, read when a place is needed.
    idle_since: Mutex<Option<Instant>>,
}

impl Asks {
    fn new() -> Asks {
        Asks { idle_since: Mutex::new(Some(clock::now())) }
    }

    /// A request has come.
    pub(crate) fn begin(&self) {
        *self.idle_since.lock() = None;
    }

    /// It has its answer.
    pub(crate) fn end(&self) {
        *self.idle_since.lock() = Some(clock::now());
    }

    fn idle_since(&self) -> Option<Instant> {
        *self.idle_since.lock()
    }
}

/// The tasks of all connections. Dropping it ends them.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    tasks: JoinSet<()>,
    all: Vec<(AbortHandle, Arc<Asks>)>,
}

impl Visitors {
    /// Resolves when one has left; never while nobody is here.
    pub(crate) async fn leave(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
        self.all.retain(|(task, _)| !task.is_finished());
    }

    /// Whether there is a place among `places` for one more. If need be the one that has been idle for
    /// longest makes room.
    pub(crate) fn make_room(&mut self, places: usize) -> bool {
        if self.all.len() < places {
            return true;
        }
        let idle = self.all.iter().enumerate();
        let idle = idle.filter_map(|(at, (_, asks))| asks.idle_since().map(|since| (since, at)));
        let Some((_, at)) = idle.min() else { return false };
        let (task, _) = self.all.swap_remove(at);
        task.abort();
        true
    }

    /// Serves one more.
    pub(crate) fn enter<F>(&mut self, serve: impl FnOnce(Arc<Asks>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let asks = Arc::new(Asks::new());
        let task = self.tasks.spawn(serve(Arc::clone(&asks)));
        self.all.push((task, asks));
    }
}
