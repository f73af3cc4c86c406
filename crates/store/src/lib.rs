//! What Aldis records, and the log it records it to.
//!
//! # Layout
//! * [`Record`]: one change of durable state. Nothing durable exists outside of these.
//! * [`Log`]: where records go, and how far they are durable; [`MemoryLog`] keeps nothing.
//! * [`Gate`]: answers that wait until the records they stand for are durable.
//! * [`frame`]: how records will lie on disk, and [`scan`]: where a log on disk ends after a crash.
//!
//! Today the only log is the one in memory: state is lost when the broker stops, and `aldis` says so
//! at its start. The Broker already records every change it makes and its answers already wait for
//! the log; messages themselves are not recorded yet.

pub mod frame;
mod gate;
mod log;
mod record;
pub mod scan;

pub use gate::Gate;
pub use log::{Bell, Log, MemoryLog, Sequence};
pub use record::Record;
