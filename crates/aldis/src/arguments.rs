//! The command line of the broker, and nothing of what it means.
//!
//! What an option does to the configuration is decided in [`configuration`](crate::configuration),
//! where options are the last of four layers. Options whose values can be wrong in interesting ways
//! (`-p`, `--listen`, `--set`, `--metrics`) are plain text here, so that the same checks and the same
//! sentences hold for them as for the file. A later subcommand becomes an `Option<Command>` field
//! with `#[command(subcommand)]`; without one, `aldis` stays the broker.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

const EXAMPLES: &str = "\
Examples:
  aldis                                    on 127.0.0.1:1883 and [::1]:1883, for this machine
  aldis -p 1884 -v                         on another port, logging who connects
  aldis --listen tcp://0.0.0.0:1883 --set auth.password_file=users
                                           for the network, with passwords made by mosquitto_passwd
  aldis -c /etc/aldis/aldis.toml           with a configuration file
  aldis -c aldis.toml --check-config       only say whether the file is good
  aldis --set limits.queue_messages=1000   any setting of the file

Later ones win: the file, then environment variables (ALDIS_LIMITS__QUEUE_MESSAGES=1000), then
--set, then the other options. All settings: docs/configuration.md.
Signals: HUP reads the configuration again, TERM and INT stop cleanly.";

/// What was asked for on the command line.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "aldis", version, about = "The Aldis MQTT broker (MQTT 3.1, 3.1.1 and 5.0)", after_help = EXAMPLES)]
pub struct Arguments {
    /// Read settings from this TOML file
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Port of the default listeners on loopback, instead of 1883
    #[arg(short, long, value_name = "PORT", allow_negative_numbers = true)]
    pub port: Option<String>,

    /// Accept MQTT here instead, for example tcp://0.0.0.0:1883 (may be repeated)
    #[arg(long, value_name = "tcp://HOST:PORT")]
    pub listen: Vec<String>,

    /// Give one setting of the file a value (may be repeated)
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,

    /// Check the configuration, say what it would do, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Folder for what the broker keeps
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Log connects, subscribes and disconnects; twice: every packet
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Serve Prometheus metrics, /healthz and /readyz over HTTP here, for example 127.0.0.1:9234
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<String>,
}
