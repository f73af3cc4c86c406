//! The command line of the broker, and nothing of what it means.
//!
//! What an option does to the configuration is decided in [`configuration`](crate::configuration),
//! where options are the last of four layers. Options whose values can be wrong in interesting ways
//! (`-p`, `--listen`, `--set`, `--metrics`) are plain text here, so that the same checks and the same
//! sentences hold for them as for the file. Without a subcommand, `aldis` is the broker.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

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
  aldis store inspect --data-dir DIR       what is kept there; verify, compact and salvage: aldis store --help

Later ones win: the file, then environment variables (ALDIS_LIMITS__QUEUE_MESSAGES=1000), then
--set, then the other options. All settings: docs/configuration.md.
The log goes to standard error; at the start it says where state is kept. There is no TLS yet.
Signals: TERM and INT (Ctrl-C) stop cleanly, a second one at once; HUP reads settings again.
Exit codes: 0 stopped or checked, 1 did not start or was stopped at once, 2 no such option.";

/// What was asked for on the command line.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "aldis", version, about = "The Aldis MQTT broker (MQTT 3.1, 3.1.1 and 5.0)", after_help = AFTER, args_conflicts_with_subcommands = true)]
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

    /// What to do instead of running the broker.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What `aldis` does beside being the broker.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Look into the folder of a store, repair it, save what is left of it
    #[command(subcommand)]
    Store(StoreCommand),
}

/// What can be done with a store. No broker may use it meanwhile.
#[derive(Debug, Clone, Subcommand)]
pub enum StoreCommand {
    /// Say what is in it: segments, sessions and their queues, retained messages; changes nothing
    Inspect {
        /// The folder
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Read all of it, the body of every message too, and name all that is damaged; changes nothing.
    /// Exit code 0 if all is well, else 1
    Verify {
        /// The folder
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Write it anew, so that it takes no more of the disk than it needs; may be stopped at any moment
    Compact {
        /// The folder
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Copy what can be read of a damaged store into a new folder, and list what is lost; the old one stays as it is.
    /// Exit code 0 if nothing is lost, 3 if something is, 1 if there is no new store
    Salvage {
        /// The folder of the damaged store
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The folder to be made; it must not be there, or be empty
        #[arg(long, value_name = "DIR")]
        into: PathBuf,
    },
}
