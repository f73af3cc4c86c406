//! What the broker says about itself when it starts: who may connect, and what to try first.
//!
//! Only texts; who writes them where is in `run.rs`.

use std::net::SocketAddr;
use std::time::Duration;

use aldis_server::{DEFAULT_PORT, Listener};

use crate::configuration::Config;
use crate::configuration::units::show_milliseconds;
use crate::machine;

/// Said while there is no log on disk.
pub const IN_MEMORY_ONLY: &str =
    "state is in memory only: sessions, queues and retained messages are lost when the broker stops";

/// The answer to SIGUSR1, on which Mosquitto saves what it holds.
pub const NOTHING_TO_FLUSH: &str = "SIGUSR1: nothing is buffered that could be written out: log lines are \
     written as they come, and state is in memory only";

/// What the other signals are for, said to whoever sends one that does nothing.
pub const SIGNALS: &str = "HUP reads the configuration again, TERM and INT stop cleanly";

/// Who may connect, in one line, and whether that is a warning.
#[must_use]
pub fn who_may_connect(config: &Config) -> (bool, String) {
    let authentication = &config.settings.authentication;
    let local = config.settings.listeners.iter().all(Listener::is_loopback);
    let users = match (&authentication.passwords, &config.password_file) {
        (Some(users), Some(file)) => Some(format!("{} users from {}", users.len(), file.display())),
        (Some(users), None) => Some(format!("{} users", users.len())),
        (None, _) => None,
    };
    match (authentication.allow_anonymous, users, local) {
        (true, None, true) => (
            false,
            "anonymous clients are allowed, because only this machine can connect; to open up, listen with \
             --listen tcp://0.0.0.0:1883 and set auth.password_file (or auth.allow_anonymous = true)"
                .to_owned(),
        ),
        (true, Some(users), true) => {
            (false, format!("{users} may connect, and anonymous clients too, because only this machine can connect"))
        }
        (true, None, false) => {
            (true, "every machine that can reach the listeners may connect: auth.allow_anonymous is true".to_owned())
        }
        (true, Some(users), false) => {
            (true, format!("{users} may connect, and anonymous clients too: auth.allow_anonymous is true"))
        }
        (false, Some(users), _) => (false, format!("{users} may connect, and nobody else")),
        (false, None, _) => (
            true,
            "nobody may connect: auth.allow_anonymous is false and there is no auth.password_file; set one of them"
                .to_owned(),
        ),
    }
}

/// Two commands that show the broker at work, for the addresses it listens on. Empty if there are
/// none.
#[must_use]
pub fn try_next(addresses: &[SocketAddr], config: &Config) -> String {
    // An address that the clients' default host `localhost` reaches needs no `-h`.
    let is_local = |address: &&SocketAddr| {
        let ip = address.ip().to_canonical();
        ip.is_loopback() || ip.is_unspecified()
    };
    let (address, host) = match (addresses.iter().find(is_local), addresses.first()) {
        (Some(local), _) => (local, String::new()),
        (None, Some(first)) => (first, format!(" -h {}", first.ip())),
        (None, None) => return String::new(),
    };
    let port = match address.port() {
        DEFAULT_PORT => String::new(),
        port => format!(" -p {port}"),
    };
    let authentication = &config.settings.authentication;
    let user = match (authentication.allow_anonymous, &authentication.passwords) {
        (false, Some(_)) => " -u USER -P PASSWORD",
        _ => "",
    };
    format!(
        "try next, in two terminals:\n  mosquitto_sub{host}{port}{user} -t 'hello/#' -v\n  \
         mosquitto_pub{host}{port}{user} -t hello/world -m hi\n"
    )
}

/// What to say if the process may not open a file for each connection. `limit` as the system gives
/// it, `None` for no limit.
#[must_use]
pub fn too_few_open_files(limit: Option<u64>, connections: usize) -> Option<String> {
    let limit = limit?;
    let room = machine::room_for_connections(limit);
    if u64::try_from(connections).is_ok_and(|connections| connections <= room) {
        return None;
    }
    Some(format!(
        "this process may open {limit} files, which is room for {room} connections of limits.connections = \
         {connections}; raise the hard limit (systemd: LimitNOFILE=, shell: ulimit -Hn) or lower the setting"
    ))
}

/// The last line of a clean stop, and whether that is a warning.
#[must_use]
pub fn stopped(cut_off: usize, deadline: Duration) -> (bool, String) {
    let clients = match cut_off {
        0 => return (false, "stopped".to_owned()),
        1 => "1 client was".to_owned(),
        more => format!("{more} clients were"),
    };
    let deadline = show_milliseconds(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
    (true, format!("stopped; {clients} cut off without being told (shutdown_deadline = {deadline})"))
}
