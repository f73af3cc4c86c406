//! The Broker: the one owner of sessions, subscriptions, retained messages and wills.
//!
//! # Layout
//! * [`Command`], [`Answer`], [`Effect`]: what can happen and what is done about it, each a closed list.
//! * [`Broker`]: the state machine, handled one command after the other by one task.
//! * [`Routes`] and [`Retained`]: what the Broker alone writes and every Client reads.
//! * [`Bodies`]: the messages that a start finds in the log ([`Broker::restore`]).
//! * [`Population`]: the sizes of its tables, for metrics.
//!
//! There is no socket, task or clock here, and no delivery: see `aldis-session` for that.

mod broker;
mod chore;
mod command;
mod connect;
mod population;
mod restore;
mod retained;
mod routes;
mod subscribe;
mod subscription_list;
mod timers;

pub use broker::Broker;
pub use command::{Answer, Command, Connected, Due, Effect};
pub use population::Population;
pub use restore::Bodies;
pub use retained::Retained;
pub use routes::Routes;
