//! What the broker says about itself: who may connect, what to try first, how it ended, and what
//! `--check-config` finds.
//!
//! Only texts; who writes them where is in `run.rs`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aldis_server::{Cut, DEFAULT_PORT, Found, Listener, Syncs};
use aldis_session::Limits;

use crate::configuration::units::show_milliseconds;
use crate::configuration::{Config, Keeping, listen};
use crate::machine;

/// Said while there is no log on disk.
pub const IN_MEMORY_ONLY: &str = "state is in memory only: sessions, queues and retained messages are lost when \
     the broker stops, because durability is \"memory\"";

/// Where state is kept, and what was found there.
#[must_use]
pub fn kept(folder: &Path, syncs: Syncs, found: &Found) -> String {
    let safe = match syncs {
        Syncs::Always => "synced before it is acknowledged".to_owned(),
        Syncs::Every(interval) => {
            let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
            format!("synced every {}", show_milliseconds(interval))
        }
    };
    let Found { sessions, messages, retained, .. } = found;
    format!(
        "state is kept in {} ({safe}): {sessions} sessions, {messages} messages, {retained} of them retained",
        folder.display()
    )
}

/// What to say about a folder that was named and is not used.
#[must_use]
pub fn unused_folder(config: &Config) -> Option<String> {
    let folder = config.data_dir.as_ref().filter(|_| config.keeping == Keeping::Memory)?;
    Some(format!("data_dir {} is not used, because durability is \"memory\"", folder.display()))
}

/// What was at the end of the log and is left out.
#[must_use]
pub fn cut(cut: &Cut) -> String {
    format!(
        "the log ended in the middle of a write: {} bytes of {} from byte {} on are cut off; they were never \
         acknowledged",
        cut.bytes, cut.file, cut.offset
    )
}

/// A checkpoint that is damaged, and not needed.
#[must_use]
pub fn passed_over(file: &str) -> String {
    format!("{file} is damaged; the state was read from an older checkpoint and the whole log behind it")
}

/// What can be done about a store that is damaged, as the end of a sentence.
#[must_use]
pub fn way_out(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "to see all that is wrong: aldis store verify --data-dir {folder}, to save what can be \
         read: aldis store salvage --data-dir {folder} --into NEW-DIR"
    )
}

/// The answer to SIGUSR1, on which Mosquitto saves what it holds.
pub const NOTHING_TO_FLUSH: &str = "SIGUSR1: nothing is buffered that could be written out: log lines are \
     written as they come, and what has to be kept is on disk before it is acknowledged, unless durability is \"memory\"";

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
        (true, None, true) if config.says_who_is_anonymous() => (
            false,
            "anonymous clients are allowed, because auth.allow_anonymous is true; only this machine can connect"
                .to_owned(),
        ),
        (true, None, true) => (
            false,
            "anonymous clients are allowed, because only this machine can connect; to open up, listen with \
             --listen tcp://0.0.0.0:1883 and set auth.password_file (or auth.allow_anonymous = true)"
                .to_owned(),
        ),
        (true, Some(users), true) if config.says_who_is_anonymous() => (
            false,
            format!("{users} may connect, and anonymous clients too, because auth.allow_anonymous is true"),
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

/// What `--check-config` says: one line for each thing that is open or closed.
#[must_use]
pub fn summary(config: &Config) -> String {
    let mut lines: Vec<String> = Vec::new();
    for listener in &config.settings.listeners {
        let condition = if listener.optional { " where IPv6 exists" } else { "" };
        lines.push(format!("would listen on {}{condition}", listen::show(listener)));
    }
    let authentication = &config.settings.authentication;
    lines.push(match (authentication.allow_anonymous, &authentication.passwords) {
        (true, None) => "anonymous clients would be let in".to_owned(),
        (true, Some(users)) => format!("anonymous clients would be let in, and {} users", users.len()),
        (false, Some(users)) => format!("{} users would be let in, and nobody else", users.len()),
        (false, None) => "nobody would be let in: set auth.password_file or auth.allow_anonymous".to_owned(),
    });
    if let Some(address) = config.settings.metrics {
        lines.push(format!("would serve metrics on http://{address}/metrics"));
    }
    lines.push(match &config.keeping {
        Keeping::Memory => "state would be in memory only".to_owned(),
        Keeping::Folder(folder, _) => format!("state would be kept in {}", folder.display()),
    });
    if let Some((is_warning, line)) = open_files(machine::open_files_limit(), config) {
        lines.push(if is_warning { format!("warning: {line}") } else { line });
    }
    lines.push("configuration is good".to_owned());
    lines.join("\n")
}

/// What the limit of open files means for the connections, and whether that is a warning. `limit` as
/// the system gives it, `None` for no limit.
#[must_use]
pub fn open_files(limit: Option<u64>, config: &Config) -> Option<(bool, String)> {
    let limit = limit?;
    let room = machine::room_for_connections(limit);
    let connections = config.settings.limits.connections;
    if room == 0 {
        let line = format!(
            "this process may open {limit} files, too few to serve clients; raise the hard limit (systemd: \
             LimitNOFILE=, shell: ulimit -Hn)"
        );
        return Some((true, line));
    }
    if !config.says_how_many_connections() {
        let is_less = connections < Limits::default().connections;
        let line = format!(
            "at most {connections} connections, because this process may open {limit} files (ulimit -Hn, \
             LimitNOFILE=)"
        );
        return is_less.then_some((false, line));
    }
    if u64::try_from(connections).is_ok_and(|connections| connections <= room) {
        return None;
    }
    let line = format!(
        "this process may open {limit} files, which is room for {room} connections of limits.connections = \
         {connections}; raise the hard limit (systemd: LimitNOFILE=, shell: ulimit -Hn) or lower the setting"
    );
    Some((true, line))
}

/// The last line of a clean stop, and whether that is a warning.
#[must_use]
pub fn stopped(cut_off: usize, deadline: Duration) -> (bool, String) {
    let clients = match cut_off {
        0 => return (false, "stopped".to_owned()),
        1 => "1 client was cut off because it".to_owned(),
        more => format!("{more} clients were cut off because they"),
    };
    let deadline = show_milliseconds(u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX));
    (true, format!("stopped; {clients} did not read in time (shutdown_deadline = {deadline})"))
}
