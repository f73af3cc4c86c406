//! What Aldis records, and the log it records it to.
//!
//! # Layout
//! * [`Record`]: one change of durable state. Nothing durable exists outside of these.
//! * [`Fold`]: the state that records make, which a start begins with.
//! * [`Log`]: where records go, and how far they are durable; [`MemoryLog`] keeps nothing.
//! * [`Gate`]: answers that wait until the records they stand for are durable.
//! * [`Stage`]: where records gather, and [`Committer`]: who writes them, makes them durable and keeps the log short.
//! * [`Lookup`]: how what waits on disk is read back.
//! * [`SegmentLog`]: the log on a [`Disk`], of which [`FileDisk`] is the one of the operating system; [`Recovery`] makes
//!   the fold of what it holds.
//! * [`Survey`]: a store looked at from outside, damaged or not; [`write_anew`] and [`compact`]: what is live in it, and
//!   nothing else.
//! * [`frame`]: how records lie on disk, and [`scan`]: where a log on disk ends after a crash.

mod codec;
mod committer;
mod disk;
mod file_disk;
mod fold;
pub mod frame;
mod gate;
mod log;
mod lookup;
mod record;
mod record_codec;
mod recovery;
pub mod scan;
mod segments;
mod stage;

pub use committer::{Committer, Errand, Pace, Syncs, apply};
pub use disk::Disk;
pub use file_disk::FileDisk;
pub use fold::{
    Deliveries, DeliveryState, Fold, GroupState, OwedWill, Rare, SessionState, Standing, SubscriptionState,
    WillState,
};
pub use gate::Gate;
pub use log::{Bell, Condition, Log, MemoryLog, Sequence, Written};
pub use lookup::{Found, FoundDelivery, Head, LookedUp, Lookup, Wanted};
pub use record::{Origin, Put, Queue, Record, SharePlace, Wall, WillRecord};
pub use recovery::Recovery;
pub use segments::{
    CheckpointFacts, CheckpointJob, Cut, Damage, Losses, OpenError, Opened, Preparation, Reader, Rewritten,
    SegmentFacts, SegmentLog, Space, Survey, compact, is_full, is_store, write_anew,
};
pub use stage::{Batch, Stage};
