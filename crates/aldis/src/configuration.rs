//! From arguments, environment and file to what the broker is started with.
//!
//! Layers, later ones win: defaults, file, `ALDIS_…` variables, `--set`, other options. One table
//! (`setting`) holds every setting. [`load`] gives a whole, checked [`Config`] or one error; it
//! reads files and starts nothing, so it serves the start, `--check-config` and a reload alike.

mod draft;
mod elsewhere;
mod error;
mod general_table;
mod kind;
mod layers;
mod limits_table;
pub(crate) mod listen;
mod raw;
pub(crate) mod setting;
mod surroundings;
pub(crate) mod units;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aldis_server::{Authentication, DEFAULT_PORT, Listener, PasswordFile, Settings, Syncs};

use self::draft::Draft;
pub use self::elsewhere::Hint;
pub use self::error::{ConfigError, Origin};
use self::setting::Effect;
use self::surroundings::Surroundings;
use crate::arguments::Arguments;
use crate::machine;

/// The setting whose value is a file, which may change inside.
const PASSWORD_FILE: &str = "auth.password_file";

/// The least that half of the machine's memory is taken for, in bytes: below it a broker with a
/// few hundred clients would be slowing publishers all the time.
const MIN_WATERMARK: usize = 64 << 20;

/// A complete configuration: every setting has a value, and they fit each other.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the server is started with.
    pub settings: Settings,
    /// Folder for what is kept as it was named, if it was; where state is kept is in `keeping`.
    pub data_dir: Option<PathBuf>,
    /// Where state is kept, and how safely.
    pub keeping: Keeping,
    /// The password file as it was named, for messages; its contents are in `settings`.
    pub password_file: Option<PathBuf>,
    /// 0 (quiet), 1 (`-v`) or 2 (`-vv`).
    pub verbosity: u8,
    /// What it was made from, to decide again what depends on the listeners.
    draft: Draft,
}

/// Where state is kept, and how safely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keeping {
    /// Nowhere but in memory.
    Memory,
    /// In the folder of this whole path.
    Folder(PathBuf, Syncs),
}

impl Keeping {
    /// How safe it is; `None` in memory.
    fn syncs(&self) -> Option<Syncs> {
        match self {
            Keeping::Memory => None,
            Keeping::Folder(_, syncs) => Some(*syncs),
        }
    }
}

/// What a reload leads to: the new configuration as far as it can be applied now.
#[derive(Debug)]
pub struct Reload {
    /// To be applied: as it was read, but with the listeners, metrics address, folder and durability
    /// that the running broker has.
    pub config: Config,
    /// The settings that changed and hold from now on, as the log names them: `limits.packet_size
    /// (new connections)`.
    pub changed: Vec<String>,
    /// Names of the settings that changed and need a restart.
    pub needs_restart: Vec<&'static str>,
}

/// Reads every layer, with the environment of this process.
///
/// # Errors
/// The first thing that is wrong, as one sentence.
pub fn load(arguments: &Arguments) -> Result<Config, ConfigError> {
    load_with(arguments, std::env::vars_os())
}

/// Reads every layer, with this environment.
///
/// # Errors
/// The first thing that is wrong, as one sentence.
pub fn load_with(
    arguments: &Arguments,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigError> {
    let environment: Vec<(OsString, OsString)> = environment.into_iter().collect();
    let draft = blank(&environment);
    whole(layers::read(arguments, environment, draft)?)
}

/// Reads one layer over the defaults: what is in a file. `path` is named in errors, and relative paths are
/// relative to its folder. Of the environment only what suggests a data directory counts.
///
/// # Errors
/// The first thing that is wrong, as one sentence.
pub fn load_contents(
    contents: Vec<u8>,
    path: &Path,
    environment: &[(OsString, OsString)],
) -> Result<Config, ConfigError> {
    let mut draft = blank(environment);
    layers::read_contents(contents, path, &mut draft)?;
    whole(draft)
}

/// The defaults, with those that come from where this process runs.
fn blank(environment: &[(OsString, OsString)]) -> Draft {
    let surroundings = Surroundings::new(environment, machine::is_root());
    Draft { standard_dir: surroundings.data_directory(), ..Draft::default() }
}

/// Checks what must fit together, with the default listeners where none are set.
fn whole(draft: Draft) -> Result<Config, ConfigError> {
    let listeners = draft.listen.clone().unwrap_or_else(|| Listener::loopback(DEFAULT_PORT));
    if let Some(address) = draft.metrics
        && let Some(listener) = listeners.iter().find(|listener| listen::collide(listener.address, address))
    {
        let origin_of = |name| draft.origins.get(name).cloned();
        return Err(ConfigError::MetricsCollide {
            address,
            // An address that is set was set somewhere.
            origin: origin_of("metrics").unwrap_or(Origin::Set),
            listener: listen::show(listener),
            listener_origin: origin_of("listen"),
        });
    }
    complete(draft, listeners)
}

impl Config {
    /// This configuration, freshly read, as a running broker can take it over.
    ///
    /// Who may connect is decided by the listeners that are open, not by those of the new file: a
    /// file that moves to loopback must not let strangers in through the old, public listener.
    ///
    /// # Errors
    /// With the listeners that are open the new settings would expose the broker.
    pub fn replacing(self, running: &Config) -> Result<Reload, ConfigError> {
        let mut needs_restart = Vec::new();
        if self.settings.listeners != running.settings.listeners {
            needs_restart.push("listen");
        }
        if self.settings.metrics != running.settings.metrics {
            needs_restart.push("metrics");
        }
        if self.data_dir != running.data_dir {
            needs_restart.push("data_dir");
        }
        match (self.keeping.syncs(), running.keeping.syncs()) {
            (fresh, old) if fresh == old => {}
            (Some(Syncs::Every(_)), Some(Syncs::Every(_))) => needs_restart.push("durability_interval"),
            // A folder that was named, or is no more, brings its durability along.
            _ if self.draft.durability == running.draft.durability => {}
            _ => needs_restart.push("durability"),
        }
        let mut config = complete(self.draft, running.settings.listeners.clone())?;
        config.settings.metrics = running.settings.metrics;
        config.data_dir.clone_from(&running.data_dir);
        config.keeping.clone_from(&running.keeping);
        Ok(Reload { changed: changes(&config, running), config, needs_restart })
    }

    /// Whether `auth.allow_anonymous` was set, rather than following from the listeners.
    #[must_use]
    pub fn says_who_is_anonymous(&self) -> bool {
        self.draft.allow_anonymous.is_some()
    }

    /// Whether `limits.connections` was set to a number, rather than following from the open files.
    #[must_use]
    pub fn says_how_many_connections(&self) -> bool {
        self.draft.connections.is_some()
    }
}

/// What holds from now on, in the order of the documentation.
fn changes(config: &Config, running: &Config) -> Vec<String> {
    let passwords = |config: &Config| config.settings.authentication.passwords.clone();
    let changed = setting::all().filter(|setting| {
        let is_new_inside = setting.name == PASSWORD_FILE && passwords(config) != passwords(running);
        let is_new = setting.kind.differs(&config.draft, &running.draft) || is_new_inside;
        is_new && setting.effect != Effect::Restart
    });
    let mut names = Vec::new();
    for setting in changed {
        let users = passwords(config).filter(|_| setting.name == PASSWORD_FILE);
        let users = users.map(|users| match users.len() {
            1 => "1 user".to_owned(),
            more => format!("{more} users"),
        });
        let remarks: Vec<String> =
            users.into_iter().chain(setting.effect.remark().map(str::to_owned)).collect();
        names.push(match &remarks[..] {
            [] => setting.name.to_owned(),
            remarks => format!("{} ({})", setting.name, remarks.join("; ")),
        });
    }
    names
}

/// Decides what depends on several settings.
fn complete(draft: Draft, listeners: Vec<Listener>) -> Result<Config, ConfigError> {
    let public = listeners.iter().find(|listener| !listener.is_loopback());
    if let Some(listener) = public
        && draft.allow_anonymous.is_none()
        && draft.password_file.is_none()
    {
        return Err(ConfigError::Exposed(listen::show(listener)));
    }
    let passwords = read_passwords(&draft)?;
    let mut limits = draft.limits.clone();
    limits.connections = draft.connections.unwrap_or_else(|| fitting(limits.connections));
    limits.memory_watermark = draft.memory_watermark.unwrap_or_else(|| half_of(machine::memory()));
    let settings = Settings {
        authentication: Authentication {
            allow_anonymous: draft.allow_anonymous.unwrap_or(public.is_none()),
            passwords: passwords.map(Arc::new),
        },
        listeners,
        limits,
        sys_interval: draft.sys_interval,
        metrics: draft.metrics,
        shutdown_deadline: draft.shutdown_deadline,
    };
    Ok(Config {
        settings,
        data_dir: draft.data_dir.clone(),
        keeping: keeping(&draft)?,
        password_file: draft.password_file.clone(),
        verbosity: draft.verbosity,
        draft,
    })
}

/// State is kept in the folder that was named, or in the one that the surroundings suggest, unless it is said otherwise.
fn keeping(draft: &Draft) -> Result<Keeping, ConfigError> {
    let syncs = match draft.durability {
        Some(2) => return Ok(Keeping::Memory),
        Some(1) => Syncs::Every(draft.durability_interval),
        _ => Syncs::Always,
    };
    let folder = draft.data_dir.as_ref().or(draft.standard_dir.as_ref()).ok_or(ConfigError::NoFolder)?;
    // A relative path would not say where it is.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
    Ok(Keeping::Folder(folder, syncs))
}

fn read_passwords(draft: &Draft) -> Result<Option<PasswordFile>, ConfigError> {
    let Some(path) = &draft.password_file else { return Ok(None) };
    // An error with a relative path would not say where the file was looked for.
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
    PasswordFile::load(&whole).map(Some).map_err(|error| {
        // A path that is set was set somewhere.
        let origin = draft.origins.get(PASSWORD_FILE).cloned().unwrap_or(Origin::Set);
        ConfigError::Passwords { origin, error }
    })
}

/// The default of connections, or as many as this process may open files for.
fn fitting(default: usize) -> usize {
    let room = machine::open_files_limit().map(machine::room_for_connections);
    room.and_then(|room| usize::try_from(room).ok()).map_or(default, |room| default.min(room).max(1))
}

/// The memory watermark of a machine with so many bytes.
fn half_of(memory: Option<u64>) -> usize {
    let default = aldis_session::Limits::default().memory_watermark;
    match memory {
        Some(bytes) => usize::try_from(bytes / 2).unwrap_or(usize::MAX).max(MIN_WATERMARK),
        None => default,
    }
}
