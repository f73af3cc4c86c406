//! A small asynchronous MQTT client (3.1, 3.1.1 and 5.0) for tests, tools and in-process use.
//!
//! A [`Client`] speaks over any stream that is [`AsyncRead`](tokio::io::AsyncRead) and
//! [`AsyncWrite`](tokio::io::AsyncWrite): TCP, TLS, or a `tokio::io::DuplexStream` to a broker in the same
//! process.
//!
//! ```no_run
//! use aldis_client::{Client, Options, Outgoing};
//! use aldis_packet::{QoS, SubscriptionOptions};
//!
//! # async fn example() -> Result<(), aldis_client::ClientError> {
//! let options = Options::new("kitchen").keep_alive(60);
//! let (mut client, connack) = Client::tcp("127.0.0.1:1883", options).await?;
//! assert!(!connack.session_present);
//!
//! let at_least_once = SubscriptionOptions::new(QoS::AtLeastOnce);
//! client.subscribe(&[("home/+/temperature", at_least_once)], None).await?;
//!
//! let warm = Outgoing::new("home/kitchen/temperature", "21.5").qos(QoS::AtLeastOnce).retain();
//! let reason = client.publish_and_wait(warm).await?;
//! assert!(!reason.is_error());
//!
//! let message = client.next_message().await?;
//! assert_eq!((message.topic.as_str(), &message.payload[..]), ("home/kitchen/temperature", &b"21.5"[..]));
//! client.acknowledge(&message).await?;
//! client.disconnect().await
//! # }
//! ```
//!
//! # Nothing happens by itself
//! There is no task behind a client, no timer and no queue towards the broker: it sends what it is told to send,
//! and reads when it is asked to receive. So a test can do everything wrong that a client can do wrong, at the
//! moment it chooses. What that means for everybody else:
//! - Messages are acknowledged by hand, with [`Client::acknowledge`] or step by step with [`Client::send_ack`].
//! - PINGREQ is sent by [`Client::ping`] only; with a keep alive, somebody has to call it in time.
//! - Nothing the caller sends is checked against what the broker allows (receive maximum, packet size, topic
//!   aliases, quality of service): CONNACK says what that is. What the *broker* sends is checked strictly.
//! - While a `send` waits for a broker that takes nothing, the client does not read. Who publishes much and
//!   receives much at the same time uses the two halves that [`Client::split`] gives.
//! - A connection that is lost is lost. Connecting again, with [`Options::resume`], and sending again what was
//!   not acknowledged, with [`Outgoing::repeated`], is up to the caller.
//!
//! # Waiting
//! [`Client::receive`], [`Client::receive_within`] and [`Client::next_message`] are cancel-safe: they can stand
//! in a `select!` and lose nothing. The methods that do a whole exchange ([`Client::publish_and_wait`],
//! [`Client::subscribe`], …) keep what else arrives meanwhile, up to [`MAXIMUM_KEPT`] bytes, and `receive` gives
//! it afterwards in order. None has a limit of time of its own.
//!
//! # Where things are
//! `inbound` reads and decodes, `outbound` encodes and writes, `client` joins the two, `exchange` is built on
//! top of them; `kept` and `packet_ids` are what has to be remembered.
//!
//! Deliberately absent: reconnecting, a queue of messages to send, TLS and WebSocket (give the client a stream
//! that does it), extended authentication beyond sending and receiving AUTH by hand.

mod client;
mod error;
mod exchange;
mod halves;
mod inbound;
mod kept;
mod message;
mod options;
mod outbound;
mod outgoing;
mod packet_ids;
mod received;

pub use client::Client;
pub use error::ClientError;
pub use halves::{Receiver, Sender};
pub use kept::MAXIMUM_KEPT;
pub use message::Message;
pub use options::Options;
pub use outgoing::Outgoing;
pub use received::Received;
