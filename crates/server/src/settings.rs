//! Everything the server can be told before it starts, as plain data.
//!
//! The binary fills these structures from its file, environment and flags; a program that embeds
//! the broker fills them itself. Nothing here reads a file, opens a socket or checks that one
//! setting fits another: a listener that the whole network can reach together with
//! `allow_anonymous` is the caller's decision (the binary refuses it unless it was said aloud).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aldis_session::Limits;

use crate::passwords::PasswordFile;

/// The port of MQTT without TLS, as registered.
pub const DEFAULT_PORT: u16 = 1883;

/// What a [`Server`](crate::Server) is started with, and what a reload hands to it again.
///
/// `Default` is what `aldis` does without any configuration: MQTT on loopback, anonymous clients
/// allowed, `$SYS` every 10 seconds, no metrics listener, and the default [`Limits`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where connections are accepted. Empty is legal: an embedded broker may have no socket.
    /// Only read at start; a change needs a restart.
    pub listeners: Vec<Listener>,
    /// Who may connect. Applies to connections made after a reload.
    pub authentication: Authentication,
    /// Every bound of the broker. Applied by a reload, to what exists already where that is
    /// possible without dropping a client.
    pub limits: Limits,
    /// Time between two publications of the `$SYS` topics; zero is "never".
    pub sys_interval: Duration,
    /// Where Prometheus text is served over HTTP. Only read at start. `None` is "nowhere".
    pub metrics: Option<SocketAddr>,
    /// Longest time that a shutdown may take to tell its clients and to flush what they are owed.
    pub shutdown_deadline: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            listeners: Listener::loopback(DEFAULT_PORT),
            authentication: Authentication { allow_anonymous: true, passwords: None },
            limits: Limits::default(),
            // Mosquitto's interval, which dashboards are drawn for.
            sys_interval: Duration::from_secs(10),
            metrics: None,
            // Service managers kill after 90 s (systemd) or 10 s (containers) by default.
            shutdown_deadline: Duration::from_secs(10),
        }
    }
}

/// One address on which MQTT over TCP is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Listener {
    /// The address of one interface, or the unspecified address for all. Port 0 lets the system
    /// choose. `[::]` takes IPv6 connections alone, `0.0.0.0` those of IPv4; both can be there on one port.
    pub address: SocketAddr,
    /// Whether the server starts without it when the machine lacks the address family or the
    /// address: so for the `[::1]` half of the default. A port that is taken is an error even then.
    pub optional: bool,
}

impl Listener {
    /// A listener without which the server does not start.
    #[must_use]
    pub fn tcp(address: SocketAddr) -> Listener {
        Listener { address, optional: false }
    }

    /// The default pair: `127.0.0.1` and, where there is IPv6, `[::1]`, on one port.
    #[must_use]
    pub fn loopback(port: u16) -> Vec<Listener> {
        vec![
            Listener { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), optional: false },
            Listener { address: SocketAddr::from((Ipv6Addr::LOCALHOST, port)), optional: true },
        ]
    }

    /// Whether only programs on this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }
}

/// Who may connect.
///
/// A client that sends a user name and a password is checked against `passwords`; one that sends no
/// user name is let in only if `allow_anonymous`.
#[derive(Debug, Clone)]
pub struct Authentication {
    /// Whether clients without a user name may connect.
    pub allow_anonymous: bool,
    /// The users and their password hashes. `None`: there are no users, and what a user name means
    /// is decided by `allow_anonymous` alone.
    pub passwords: Option<Arc<PasswordFile>>,
}
