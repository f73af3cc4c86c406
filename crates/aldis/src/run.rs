//! The life of the broker process: start, signals, reload, stop.
//!
//! Everything about MQTT is in `aldis_server`. This file only decides when it starts, what it is
//! started with, and what is done on each signal: TERM and INT stop cleanly (a second one at once),
//! HUP reads the configuration again, USR1 would write out what is buffered.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aldis_server::{KeptState, OpenError, Server, StartError, open_store};
use tokio::runtime::Builder;
use tracing::{error, info, warn};

use crate::announcement;
use crate::arguments::Arguments;
use crate::configuration::{self, Config, Keeping};
use crate::data_directory::{DataDirectory, DataDirectoryError};
use crate::logging::Log;
use crate::machine;
use crate::service::ServiceManager;
use crate::signals::{Meaning, Signals};

/// The server keeps its own deadline; this much later the process ends without waiting for it.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Runs the broker until it is told to stop, and returns what the process should exit with.
///
/// # Errors
/// The broker could not start; `Display` is the sentence to print.
pub fn run(arguments: &Arguments, config: Config) -> Result<ExitCode, RunError> {
    let log = Log::start(config.verbosity);
    // Until nothing runs any more that could write to it.
    let directory = hold_folder(&config).map_err(RunError::Folder)?;
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(RunError::Runtime)?;
    let result = runtime.block_on(serve(arguments, config, directory.as_ref(), &log));
    // A password may be being hashed; nobody waits for the answer any more.
    runtime.shutdown_background();
    drop(directory);
    result
}

/// Why the broker did not start.
#[derive(Debug)]
pub enum RunError {
    /// Tokio could not start its threads or its selector.
    Runtime(io::Error),
    /// The signal handlers could not be installed.
    Signals(io::Error),
    /// The folder of the store cannot be used.
    Folder(DataDirectoryError),
    /// The store in it cannot be opened.
    Store(PathBuf, OpenError),
    /// The server could not start: a port is taken, an address is not of this machine.
    Start(StartError),
}

impl fmt::Display for RunError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Runtime(error) => write!(
                out,
                "cannot start worker threads: {error}; allow this process more threads or open files"
            ),
            RunError::Signals(error) => {
                write!(out, "cannot receive signals: {error}; allow this process more open files")
            }
            RunError::Folder(error) => error.fmt(out),
            RunError::Store(folder, error) => {
                write!(out, "{}: {error}", folder.display())?;
                if error.is_damage() {
                    write!(out, "; {}", announcement::way_out(folder))?;
                }
                Ok(())
            }
            RunError::Start(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for RunError {}

async fn serve(
    arguments: &Arguments,
    mut config: Config,
    directory: Option<&DataDirectory>,
    log: &Log,
) -> Result<ExitCode, RunError> {
    // Before anything that takes time, so that no signal is lost to its default action.
    let mut signals = Signals::install().map_err(RunError::Signals)?;
    let mut service = ServiceManager::from_environment();

    let open_files = machine::raise_open_files().unwrap_or_else(|error| {
        warn!("cannot raise the limit of open files: {error}");
        None
    });
    let mut builder = Server::builder().settings(config.settings.clone());
    let mut kept_line = None;
    if let Some((state, line)) = open_kept(&config, directory)? {
        builder = builder.state(state);
        kept_line = Some(line);
    }
    let server = builder.start().await.map_err(|error| not_started(error, directory))?;
    announce(&server, &config, open_files, kept_line.as_deref());
    // Under a service manager nobody is there to try things.
    if !service.is_there() {
        print_what_to_try(&server, &config);
    }
    service.ready();

    let reason = loop {
        let meaning = tokio::select! {
            // A signal comes before a sign of life.
            biased;
            meaning = signals.next() => meaning,
            never = service.keep_alive() => match never {},
        };
        match meaning {
            Meaning::Stop(name) => break name,
            Meaning::Reload => {
                service.reloading();
                reload(arguments, &mut config, &server, log, open_files).await;
                service.ready();
            }
            Meaning::Flush => info!("{}", announcement::NOTHING_TO_FLUSH),
            Meaning::Nothing(name) => info!("{name} is ignored; {}", announcement::SIGNALS),
        }
    };

    info!("stopping on {reason}");
    service.stopping();
    let deadline = config.settings.shutdown_deadline.saturating_add(SHUTDOWN_GRACE);
    tokio::select! {
        // Whoever asks twice does not want to wait.
        biased;
        reason = signals.next_stop() => {
            warn!("stopped at once on a second {reason}; some clients were not told");
            Ok(ExitCode::FAILURE)
        }
        finished = tokio::time::timeout(deadline, server.shutdown()) => {
            let deadline = config.settings.shutdown_deadline;
            match finished.map(|cut_off| announcement::stopped(cut_off, deadline)) {
                Ok((false, line)) => info!("{line}"),
                Ok((true, line)) => warn!("{line}"),
                // The server keeps its deadline; where it does not, nobody counted.
                Err(_) => warn!("stopped after the shutdown_deadline; some clients were not told"),
            }
            Ok(ExitCode::SUCCESS)
        }
        never = service.keep_alive() => match never {},
    }
}

/// The bodies of messages are read at the very start of the server.
fn not_started(error: StartError, directory: Option<&DataDirectory>) -> RunError {
    match (error, directory) {
        (StartError::Store(error), Some(directory)) => RunError::Store(directory.folder().to_owned(), error),
        (error, _) => RunError::Start(error),
    }
}

/// The folder to keep state in, if it is to be kept, for this process alone.
fn hold_folder(config: &Config) -> Result<Option<DataDirectory>, DataDirectoryError> {
    let Keeping::Folder(folder, _) = &config.keeping else { return Ok(None) };
    let directory = DataDirectory::open(folder)?;
    if directory.is_in_memory() {
        warn!("data_dir {} is in memory (tmpfs): it is lost when the machine stops", folder.display());
    }
    Ok(Some(directory))
}

/// Opens the store in the folder, and says what was wrong with it. The state to begin with, and a line about it.
fn open_kept(
    config: &Config,
    directory: Option<&DataDirectory>,
) -> Result<Option<(KeptState, String)>, RunError> {
    let (Some(directory), Keeping::Folder(_, syncs)) = (directory, &config.keeping) else { return Ok(None) };
    let folder = directory.folder();
    let (state, found) =
        open_store(folder, *syncs).map_err(|error| RunError::Store(folder.to_owned(), error))?;
    if let Some(cut) = &found.cut {
        warn!("{}", announcement::cut(cut));
    }
    for file in &found.passed_over {
        warn!("{}", announcement::passed_over(file));
    }
    Ok(Some((state, announcement::kept(folder, *syncs, &found))))
}

/// Says on the log what runs now.
fn announce(server: &Server, config: &Config, open_files: Option<u64>, kept: Option<&str>) {
    for address in server.addresses() {
        info!("listening on tcp://{address}");
    }
    if let Some(address) = server.metrics_address() {
        info!("metrics on http://{address}/metrics");
    }
    log_who_may_connect(config);
    log_open_files(config, open_files);
    if let Some(line) = announcement::unused_folder(config) {
        warn!("{line}");
    }
    // The last line of the start: whoever watches knows that it is complete.
    match kept {
        Some(line) => info!("{line}"),
        None => warn!("{}", announcement::IN_MEMORY_ONLY),
    }
}

/// For whoever started it by hand, on standard output.
fn print_what_to_try(server: &Server, config: &Config) {
    let mut out = io::stdout().lock();
    // A closed standard output is no reason not to run.
    let _ = out.write_all(announcement::try_next(server.addresses(), config).as_bytes());
    let _ = out.flush();
}

/// Reads every layer again and applies what can be applied. A configuration that is bad changes
/// nothing. Reads files on the main thread, which only waits for signals otherwise.
async fn reload(
    arguments: &Arguments,
    running: &mut Config,
    server: &Server,
    log: &Log,
    open_files: Option<u64>,
) {
    let read = configuration::load(arguments).and_then(|fresh| fresh.replacing(running));
    let reload = match read {
        Ok(reload) => reload,
        Err(error) => {
            error!("configuration not changed: {error}");
            return;
        }
    };
    let before = std::mem::replace(running, reload.config);
    server.reload(running.settings.clone()).await;
    log.set_verbosity(running.verbosity);
    match (&reload.changed[..], &reload.needs_restart[..]) {
        ([], []) => info!("configuration read again; nothing changed"),
        ([], _) => info!("configuration read again"),
        (changed, _) => info!("configuration read again; changed: {}", changed.join(", ")),
    }
    for name in reload.needs_restart {
        warn!("\"{name}\" changed, which needs a restart; until then the old value holds");
    }
    if announcement::who_may_connect(running) != announcement::who_may_connect(&before) {
        log_who_may_connect(running);
    }
    if running.settings.limits.connections != before.settings.limits.connections {
        log_open_files(running, open_files);
    }
}

fn log_who_may_connect(config: &Config) {
    match announcement::who_may_connect(config) {
        (true, line) => warn!("{line}"),
        (false, line) => info!("{line}"),
    }
}

fn log_open_files(config: &Config, open_files: Option<u64>) {
    match announcement::open_files(open_files, config) {
        Some((true, line)) => warn!("{line}"),
        Some((false, line)) => info!("{line}"),
        None => {}
    }
}
