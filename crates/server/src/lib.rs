//! The Aldis broker as a library: sockets, tasks and time around the pure crates.
//!
//! # Layout
//! * [`Server`]: starts, reloads and stops a broker on the runtime of the caller.
//! * `broker_task`: the loop around the Broker, the one owner of what is shared.
//! * `client`: the task of one connection, between its transport and the Broker.
//! * [`transport`]: moving bytes: TCP, and memory for what runs in the same process.
//! * `desk`: what a thread lends to the Client that runs on it.
//! * `commits`: after each commit of the log, whoever waited for it goes on.
//! * [`KeptState`]: what a store has kept, to begin with.
//! * [`Publisher`], [`Subscriber`]: publishing and subscribing from inside.
//!
//! ```no_run
//! use aldis_server::{Message, QoS, Server};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().start().await?;
//! server.publisher().publish(Message::new("hello/world", "hi").retained()).await?;
//! let mut subscriber = server.subscribe("hello/#", QoS::AtLeastOnce).await?;
//! assert_eq!(subscriber.recv().await.map(|message| message.topic).as_deref(), Some("hello/world"));
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod authentication;
mod broker_handle;
mod broker_task;
mod client;
mod clock;
mod commits;
mod desk;
mod drop_log;
mod greeting;
mod keep_alive;
mod kept_state;
mod link;
mod listener;
mod local;
mod metrics;
mod notices;
mod observer;
pub mod passwords;
mod places;
mod process;
mod publisher;
mod random;
mod reader;
mod reception;
mod server;
mod settings;
mod snapshot;
mod store;
mod sys_topics;
pub mod transport;
mod trends;

pub use aldis_client::Message as ReceivedMessage;
pub use aldis_packet::{QoS, ReasonCode};
pub use aldis_session::{
    Act, Counters, Denial, DropReason, FilterReason, Limits, RefuseReason, RetainedLimit, Rights, Verdict,
};
pub use aldis_store::{Cut, OpenError, Syncs};
pub use kept_state::{KeptState, ReadBodies};
pub use local::{SubscribeError, Subscriber};
pub use passwords::{PasswordFile, PasswordFileError};
pub use publisher::{Message, PublishError, Publisher};
pub use server::{Server, ServerBuilder, StartError};
pub use settings::{Authentication, DEFAULT_PORT, Listener, Settings};
pub use store::{Found, open_store};

/// Starts a task. Every task of the server ends with its connection or with the server.
#[expect(clippy::disallowed_methods, reason = "the one place where the server starts tasks")]
fn spawn<F>(task: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(task)
}
