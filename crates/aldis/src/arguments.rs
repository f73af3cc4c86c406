//! The command line of the broker, and nothing of what it means.
//!
//! What an option does to the configuration is decided in [`configuration`](crate::configuration),
//! where options are the last of four layers. Options whose values can be wrong in interesting ways
//! (`-p`, `--listen`, `--set`, `--metrics`) are plain text here, so that the same checks and the same
//! sentences hold for them as for the file. A later subcommand becomes an `Option<Command>` field
//! with `#[command(subcommand)]`; without one, `aldis` stays the broker.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

const AFTER: &str = "\
Examples:
  aldis                                    on 127.0.0.1:1883 and [::1]:1883, for this machine
  aldis -p 1884 -v                         on another port, logging who connects
  mosquitto_passwd -c users alice          a password file (Debian: in the package mosquitto), and
  aldis --listen tcp://0.0.0.0:1883 --set auth.password_file=users
                                           a broker for the network that asks for passwords
  aldis --data-dir /srv/aldis              what has to be kept is kept there, on disk when acknowledged
  aldis --durability memory                nothing is kept and nothing made on disk
  aldis -c /etc/aldis/aldis.toml           with a configuration file; none is read unless named
  aldis -c aldis.toml --check-config       only say whether the file is good
  aldis --set limits.queue_messages=1000   any setting of the file

Later ones win: the file, then environment variables (ALDIS_LIMITS__QUEUE_MESSAGES=1000), then
--set, then the other options. All settings: docs/configuration.md.
The log goes to standard error; at the start it says where state is kept. There is no TLS yet.
Signals: TERM and INT (Ctrl-C) stop cleanly, a second one at once; HUP reads settings again.
Exit codes: 0 stopped or checked, 1 did not start or was stopped at once, 2 no such option.";

/// What was asked for on the command line.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "aldis", version, about = "The Aldis MQTT broker (MQTT 3.1, 3.1.1 and 5.0)", after_help = AFTER)]
pub struct Arguments {
    /// Read settings from this TOML file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Port of the default listeners on loopback [default: 1883]
    #[arg(short, long, value_name = "PORT", allow_negative_numbers = true)]
    pub port: Option<String>,

    /// Accept MQTT here and nowhere else, for example tcp://0.0.0.0:1883 (may be repeated)
    #[arg(long, value_name = "tcp://HOST:PORT")]
    pub listen: Vec<String>,

    /// Give one setting a value, whatever the file says (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Check the configuration, say what it would do, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Keep sessions, queues and retained messages in this folder [default: in memory only]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// What a crash may lose of what was acknowledged: nothing, what came in the last second (if the machine
    /// crashes), or everything [default: fsync with a data directory]
    #[arg(long, value_name = "fsync|interval|memory")]
    pub durability: Option<String>,

    /// Log connects, subscribes and disconnects; twice: every packet
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Serve Prometheus metrics, /healthz and /readyz over HTTP here, for example 127.0.0.1:9234 [default: off]
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<String>,
}
