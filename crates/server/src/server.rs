//! The server: what starts, reloads and stops a broker, and the [`Doors`] that everything else is reached
//! through.
//!
//! It serves nobody itself: accepting is up to `listener`, letting in to `reception`, the life of a
//! connection to `client`. It reads no file, and does not know where its settings come from.

use crate::authentication::{Authenticator, SharedAuthenticator};
use crate::broker_handle::{BrokerHandle, COMMANDS};
use crate::broker_task::broker_task;
use crate::clock::{self, Clock};
use crate::commits::release_committed;
use crate::drop_log::{self, DropLog};
use crate::keep_alive::KeepAlive;
use crate::kept_state::{Close, KeptState, Restored};
use crate::listener;
use crate::notices::Notices;
use crate::observer::Log;
use crate::places::Places;
use crate::publisher::{self, Publisher};
use crate::settings::Settings;
use crate::transport::{Connection, memory};
use crate::trends::Trends;
use aldis_broker::{Broker, Command};
use aldis_packet::{PacketType, ReasonCode};
use aldis_session::{Counters, Rights};
use aldis_store::{Log as Store, MemoryLog, OpenError};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Why a server does not start.
#[derive(Debug)]
pub enum StartError {
    /// A listener cannot be opened.
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The state that a store has kept cannot be read.
    Store(OpenError),
    /// The metrics listener cannot be opened.
    Metrics {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, address, error, other) = match self {
            StartError::Store(error) => return error.fmt(f),
            StartError::Listen { address, error } => ("listen on", address, error, "-p PORT or --listen"),
            StartError::Metrics { address, error } => ("serve metrics on", address, error, "--metrics"),
        };
        write!(f, "cannot {what} {address}: ")?;
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "the port is taken by another program; stop it, or choose another with {other}")
            }
            io::ErrorKind::PermissionDenied => {
                write!(f, "this user may not use the port; choose one above 1023 with {other}")
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "this machine does not have the address; choose another with {other}")
            }
            _ => write!(f, "{error}; choose another address with {other}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What every connection is served with.
pub(crate) struct Doors {
    pub(crate) broker: BrokerHandle,
    pub(crate) authenticator: SharedAuthenticator,
    pub(crate) keep_alive: Arc<KeepAlive>,
    pub(crate) clock: Clock,
    /// Log lines about what is refused.
    pub(crate) notices: Arc<Notices>,
    /// Log lines about what is dropped. A lock: taken once a second, and at the end.
    pub(crate) drop_log: parking_lot::Mutex<DropLog>,
    /// `limits.connections`.
    pub(crate) places: Arc<Places>,
    /// Connections without a whole CONNECT within `limits.first_packet_timeout`.
    pub(crate) first_packet_timeouts: AtomicU64,
    /// Connections that the broker refused or ended, by reason code.
    pub(crate) ended: Ended,
    /// What `$SYS` and metrics remember. A lock: written every few seconds, read by a scrape.
    pub(crate) trends: parking_lot::Mutex<Trends>,
    /// How long a client may take to read what waits for it when the server shuts down.
    drain: AtomicU64,
    /// Clients that did not read in time what they were owed when the server stops, or that it does.
    cut_off: AtomicUsize,
    closed: watch::Sender<bool>,
}

/// How many connections ended for each reason code that a server can give.
pub(crate) struct Ended(Vec<(ReasonCode, AtomicU64)>);

impl Default for Ended {
    fn default() -> Ended {
        let given = ReasonCode::all().filter(|reason| {
            reason.is_error()
                && (reason.valid_in(PacketType::Disconnect) || reason.valid_in(PacketType::Connack))
        });
        Ended(given.map(|reason| (reason, AtomicU64::new(0))).collect())
    }
}

impl Ended {
    pub(crate) fn count(&self, reason: ReasonCode) {
        if let Some((_, count)) = self.0.iter().find(|(known, _)| *known == reason) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Each reason code in the words of the standard, and its count.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let words = |reason: &ReasonCode| reason.to_string().to_lowercase().replace([' ', '-'], "_");
        self.0.iter().map(|(reason, count)| (words(reason), count.load(Relaxed))).collect()
    }
}

impl Doors {
    /// Resolves when the server shuts down.
    pub(crate) async fn closing(&self) {
        // An error means that the server is gone, which is the same.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Whether the server shuts down.
    pub(crate) fn is_closing(&self) -> bool {
        *self.closed.borrow()
    }

    /// How long a client may take to read what waits for it when the server shuts down.
    pub(crate) fn time_to_drain(&self) -> Duration {
        Duration::from_millis(self.drain.load(Relaxed))
    }

    /// A client does not read in time, and so does not get all that it is owed before the server stops.
    pub(crate) fn cuts_off(&self) {
        self.cut_off.fetch_add(1, Relaxed);
    }

    /// Writes the log lines that were held back: the server stops.
    fn write_held_back(&self) {
        self.notices.write_rest();
        self.drop_log.lock().write_rest(&self.broker.counters, clock::now());
    }
}

/// Puts a server together.
#[derive(Default)]
pub struct ServerBuilder {
    settings: Settings,
    rights: Option<Arc<dyn Rights>>,
    state: Option<KeptState>,
}

impl ServerBuilder {
    /// Uses these settings instead of the defaults.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> ServerBuilder {
        self.settings = settings;
        self
    }

    /// Asks `rights` on every path a message can take. Without it everything is allowed.
    #[must_use]
    pub fn rights(mut self, rights: Arc<dyn Rights>) -> ServerBuilder {
        self.rights = Some(rights);
        self
    }

    /// Records what changes to `log`, which is empty. Without a log or a store state is kept in memory only.
    #[must_use]
    pub fn log(self, log: Arc<dyn Store>) -> ServerBuilder {
        self.state(KeptState::empty(log))
    }

    /// Begins with what a store has kept, and goes on recording there.
    #[must_use]
    pub fn state(mut self, state: KeptState) -> ServerBuilder {
        self.state = Some(state);
        self
    }

    /// Opens the listeners and starts the broker on the Tokio runtime this is called on.
    ///
    /// # Errors
    /// A listener that cannot be opened; nothing is left running then.
    pub async fn start(self) -> Result<Server, StartError> {
        let state = self.state.unwrap_or_else(|| KeptState::empty(Arc::new(MemoryLog::default())));
        Server::start(self.settings, self.rights, state).await
    }
}

/// A running broker. Dropping it stops it in the background, as [`Server::shutdown`] does, which also
/// waits for the end.
pub struct Server {
    pub(crate) doors: Arc<Doors>,
    // Read and written by a reload, which may be called from anywhere, and read once by the stop; never
    // held while anything is awaited.
    settings: parking_lot::Mutex<Settings>,
    addresses: Vec<SocketAddr>,
    metrics_address: Option<SocketAddr>,
    sys_interval: watch::Sender<std::time::Duration>,
    tasks: Vec<JoinHandle<()>>,
    /// Ends the log of the store when nobody records any more.
    close: Option<Close>,
    /// Where all this runs: a server may be dropped elsewhere.
    runtime: Handle,
}

impl Server {
    /// A server yet to be started.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    async fn start(
        settings: Settings,
        rights: Option<Arc<dyn Rights>>,
        state: KeptState,
    ) -> Result<Server, StartError> {
        let listeners = listener::bind(&settings.listeners)?;
        let metrics = match settings.metrics {
            None => None,
            Some(address) => Some(
                tokio::net::TcpListener::bind(address)
                    .await
                    .map_err(|error| StartError::Metrics { address, error })?,
            ),
        };
        let addresses = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let metrics_address = metrics.as_ref().and_then(|listener| listener.local_addr().ok());

        let limits = Arc::new(settings.limits.clone());
        let counters = Arc::new(Counters::default());
        let notices = Arc::<Notices>::default();
        let observer = Arc::new(Log::new(Arc::clone(&notices)));
        let now = clock::now();
        let broker = Broker::new(Arc::clone(&limits), Arc::clone(&counters), now);
        let broker = broker.observed_by(Arc::clone(&observer) as _);
        let Restored { broker, journal, log, close } =
            state.restore(broker, rights.as_ref(), &counters, now).map_err(StartError::Store)?;
        let (commands, received) = mpsc::channel(COMMANDS);
        let handle = BrokerHandle::new(commands, &broker, counters, journal, observer, rights, limits);
        let doors = Arc::new(Doors {
            broker: handle.clone(),
            authenticator: Arc::new(Authenticator::new(settings.authentication.clone())),
            keep_alive: Arc::default(),
            clock: Clock::start(),
            notices: Arc::clone(&notices),
            drop_log: parking_lot::Mutex::default(),
            places: Arc::default(),
            first_packet_timeouts: AtomicU64::new(0),
            ended: Ended::default(),
            trends: parking_lot::Mutex::default(),
            drain: AtomicU64::new(0),
            cut_off: AtomicUsize::new(0),
            closed: watch::channel(false).0,
        });
        let (sys_interval, sys_intervals) = watch::channel(settings.sys_interval);
        let mut tasks = vec![
            crate::spawn(broker_task(broker, received, Arc::clone(&log), Arc::clone(&handle.counters))),
            crate::spawn(release_committed(handle.clone(), log)),
            crate::spawn(Arc::clone(&doors.keep_alive).run(doors.clock)),
            crate::spawn(publisher::publish_due(handle, Arc::clone(&notices))),
            crate::spawn(crate::sys_topics::run(Arc::clone(&doors), sys_intervals)),
            crate::spawn(drop_log::run(Arc::clone(&doors))),
            crate::spawn(async move { notices.run().await }),
        ];
        tasks.extend(
            listeners
                .into_iter()
                .map(|listener| crate::spawn(listener::accept(listener, Arc::clone(&doors)))),
        );
        tasks.extend(
            metrics.map(|listener| crate::spawn(crate::metrics::serve(listener, Arc::clone(&doors)))),
        );
        let settings = parking_lot::Mutex::new(settings);
        let runtime = Handle::current();
        Ok(Server { doors, settings, addresses, metrics_address, sys_interval, tasks, close, runtime })
    }

    /// Where it listens; ports chosen by the system are filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where metrics are served.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Applies new settings as far as that is possible without a restart, and says what needs one.
    ///
    /// Who may connect, the interval of `$SYS` and the deadline of a shutdown change at once. So do, for
    /// everybody, the limits on connections, on subscriptions, on retained messages and their bytes, and the
    /// memory watermark. All other limits hold for connections made from now on, and for a session that
    /// exists already those of its queue and window do not change.
    pub async fn reload(&self, new: Settings) -> Vec<&'static str> {
        let mut needs_restart = Vec::new();
        {
            let old = self.settings.lock();
            if old.listeners != new.listeners {
                needs_restart.push("listen");
            }
            if old.metrics != new.metrics {
                needs_restart.push("metrics");
            }
        }
        self.doors.authenticator.replace(new.authentication.clone());
        self.doors.broker.set_limits(Arc::new(new.limits.clone())).await;
        self.sys_interval.send_replace(new.sys_interval);
        let mut settings = self.settings.lock();
        let (listeners, metrics) = (std::mem::take(&mut settings.listeners), settings.metrics);
        *settings = Settings { listeners, metrics, ..new };
        needs_restart
    }

    /// Publishes into the broker without a connection.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.doors.broker.clone(), None)
    }

    /// A connection without a socket, for any MQTT client that runs over a stream. It needs no
    /// password: who has the server in hand is trusted. `capacity` bytes fit into each direction.
    pub fn connect(&self, capacity: usize) -> memory::MemoryStream {
        let (connection, stream, _) = memory::pair(capacity);
        self.accept(connection, true);
        stream
    }

    /// Serves a connection that came from elsewhere than the listeners. A `trusted` one needs no
    /// password.
    pub fn accept(&self, connection: Connection, trusted: bool) {
        listener::admit(connection, &self.doors, trusted);
    }

    /// What the broker has counted.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.doors.broker.counters)
    }

    /// Commands that the Broker was given since the start. A PUBLISH is one only if it is retained,
    /// and then together with those that were read with it (law 5).
    pub fn commands(&self) -> u64 {
        self.doors.broker.commands_sent()
    }

    /// Stops: no new connections, every client is told (0x8B) and gets what is written for it, all
    /// within the deadline of the settings. Answers how many connections were cut off, because their clients did
    /// not read in time or did not close.
    ///
    /// If the future is dropped before its end, the server goes on stopping by itself.
    pub async fn shutdown(mut self) -> usize {
        // A task that was aborted belongs to a runtime that ends: nothing is left to be cut off.
        self.stop().await.unwrap_or(0)
    }

    /// Stops in a task of its own, so that dropping a server ends it as properly as waiting for it.
    fn stop(&mut self) -> JoinHandle<usize> {
        let doors = Arc::clone(&self.doors);
        let (deadline, tasks) = (self.settings.lock().shutdown_deadline, std::mem::take(&mut self.tasks));
        let close = self.close.take();
        // The other half of the deadline is for the DISCONNECT and the end of the connection.
        let drain = u64::try_from(deadline.as_millis() / 2).unwrap_or(u64::MAX);
        doors.drain.store(drain, Relaxed);
        doors.closed.send_replace(true);
        self.runtime.spawn(async move {
            let stopped = timeout(deadline, async {
                doors.broker.send(Command::Shutdown).await;
                while doors.places.counts().open() > 0 {
                    // Connections are not counted down with a wake each: this runs once in a life.
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            });
            let _ = stopped.await;
            let cut_off = doors.places.counts().open() + doors.cut_off.load(Relaxed);
            for task in tasks {
                task.abort();
                // Over when this returns: who still has a publisher is told that the broker is gone.
                let _ = task.await;
            }
            // Nothing is refused, dropped or recorded any more.
            doors.write_held_back();
            if let Some(close) = close {
                // An error means that the runtime ends, and takes the broker with it.
                let _ = tokio::task::spawn_blocking(close).await;
            }
            cut_off
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.tasks.is_empty() {
            drop(self.stop());
        }
    }
}
