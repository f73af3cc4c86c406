//! One MQTT client's protocol as pure state machines: no socket, no clock, no task.
//!
//! # Layout
//! * [`first_packet`] and [`Negotiated`]: from the first byte to an accepted CONNECT.
//! * [`Conversation`]: one connection; a read buffer of packets in, answers and deliveries out.
//! * [`Session`]: what outlives the connection, in two halves: [`Inbound`], which only its Client
//!   touches, and the [`Outbox`] with its [`Outbound`], which publishers append to.
//! * [`Route`], [`Subscription`], [`Group`]: where a topic leads.
//! * [`Workbench`]: the scratch space of the thread that does all this, and [`flush()`], which
//!   writes what it appended.
//!
//! Time is an argument ([`Workbench::now`]), randomness comes from the caller, and the only
//! mutable things that tasks share are the [`Outbox`] and the [`Group`], each behind its mutex.

#[macro_use]
mod plant;
#[cfg(feature = "planted-faults")]
pub mod planted;

mod acknowledge;
mod alias;
mod away;
mod conversation;
mod counters;
mod delivery;
mod filters;
mod flush;
mod group;
mod handshake;
mod inbound;
mod journal;
mod limits;
mod line;
mod memory;
mod outbound;
mod outbox;
mod publication;
mod publishing;
mod queue;
mod recording;
mod remains;
mod replay;
mod rights;
mod route;
mod segments;
mod session;
mod share;
mod stamp;
mod violation;
mod window;
mod wire;
mod workbench;

pub use alias::{AliasUse, AliasesIn, AliasesOut};
pub use away::{Away, kept_terms};
pub use conversation::{Agreed, Conversation, Input, Next, Request, Turned};
pub use counters::{Counters, DropReason, FilterReason, Ledger, RefuseReason, Tally};
pub use delivery::{Delivery, SubscriptionIds, Terms};
pub use filters::{FilterRefusal, Subscribing, Unsubscribing};
pub use flush::flush;
pub use group::{Carried, Group};
pub use handshake::{First, Negotiated, Refusal, first_packet, refuse, refuse_within};
pub use inbound::Inbound;
pub use journal::Journal;
pub use limits::{Limits, RetainedLimit};
pub use memory::Memory;
pub use outbound::{ClientTerms, Offered, Outbound, Passage};
pub use outbox::{AfterWrite, Errands, Outbox, State};
pub use publication::{Offering, Publication};
pub use publishing::{Held, HeldBatch, deliver};
pub use queue::Queue;
pub use recording::Kept;
pub use remains::{Discarded, GivenBack, Remains};
pub use replay::Replay;
pub use rights::{Act, Denial, Identity, Rights, Verdict};
pub use route::{Granted, Route, Router, Subscription, Target};
pub use segments::{Batch, SHARE_FROM, Segments, Wrote};
pub use session::Session;
pub use share::Share;
pub use stamp::Stamp;
pub use violation::{Ending, Farewell, Violation};
pub use window::{Published, Slot, Window};
pub use wire::Wire;
pub use workbench::{NoObserver, Observer, Workbench};
