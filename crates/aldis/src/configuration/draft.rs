//! The settings while the layers are laid over each other: typed values, some still open.
//!
//! What depends on several settings at once (who may connect) or on the machine (memory, open files) stays `None` here
//! and is decided when the draft is complete.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use std::net::SocketAddr;

use aldis_server::{Listener, Settings};
use aldis_session::Limits;

use super::error::Origin;

/// Every setting, with the defaults of those that have one of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) listen: Option<Vec<Listener>>,
    pub(crate) data_dir: Option<PathBuf>,
    /// The folder for state where `data_dir` is not set; `None` if nothing suggests one.
    pub(crate) standard_dir: Option<PathBuf>,
    /// 0 `fsync`, 1 `interval`, 2 `memory`.
    pub(crate) durability: Option<usize>,
    pub(crate) durability_interval: Duration,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) sys_interval: Duration,
    pub(crate) shutdown_deadline: Duration,
    pub(crate) allow_anonymous: Option<bool>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) verbosity: u8,
    /// `connections` and `memory_watermark` in here are not used; see below.
    pub(crate) limits: Limits,
    /// `None`: as many as the limit of open files has room for, up to the default.
    pub(crate) connections: Option<usize>,
    /// `None`: half of the machine's memory.
    pub(crate) memory_watermark: Option<usize>,
    /// Where each setting that was given was given last, by its name.
    pub(crate) origins: BTreeMap<&'static str, Origin>,
}

impl Default for Draft {
    fn default() -> Draft {
        let defaults = Settings::default();
        Draft {
            listen: None,
            data_dir: None,
            standard_dir: None,
            durability: None,
            durability_interval: Duration::from_secs(1),
            metrics: defaults.metrics,
            sys_interval: defaults.sys_interval,
            shutdown_deadline: defaults.shutdown_deadline,
            allow_anonymous: None,
            password_file: None,
            verbosity: 0,
            limits: defaults.limits,
            connections: None,
            memory_watermark: None,
            origins: BTreeMap::new(),
        }
    }
}
