//! The `$SYS` topics.
use crate::server::Doors;
use std::sync::Arc;
pub(crate) async fn run(doors: Arc<Doors>, _intervals: tokio::sync::watch::Receiver<std::time::Duration>) {
    doors.closing().await
}
