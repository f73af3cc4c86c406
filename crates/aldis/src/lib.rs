//! The parts of the `aldis` binary: command line, configuration, logs, and running the server.
//!
//! The broker itself is in the crate `aldis_server`, which other programs embed; nothing here is
//! needed for that. This is a library only so that `main.rs` stays thin and tests reach the parts.

pub mod announcement;
pub mod arguments;
pub mod configuration;
pub mod data_directory;
pub mod documentation;
pub mod logging;
pub mod machine;
pub mod run;
mod service;
mod signals;
pub mod store_command;
