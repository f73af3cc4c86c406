//! How many there are of what the Broker owns: figures for metrics, written by it alone, but for the wills, which the
//! in-process publisher counts.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Sizes of the Broker's tables. Anyone may read them at any time.
#[derive(Debug, Default)]
pub struct Population {
    /// Sessions, connected or not.
    pub sessions: AtomicUsize,
    /// Sessions with a connection.
    pub connected: AtomicUsize,
    /// Most sessions with a connection at one time.
    pub connected_maximum: AtomicUsize,
    /// Sessions that ended because their expiry interval passed.
    pub expired: AtomicUsize,
    /// Connections that were ended because their client id connected anew.
    pub taken_over: AtomicUsize,
    /// Subscriptions, shared ones included.
    pub subscriptions: AtomicUsize,
    /// Subscriptions that are members of a shared subscription.
    pub shared_subscriptions: AtomicUsize,
    /// Wills published: offered to all that their topics lead to, not merely handed out.
    pub wills: AtomicUsize,
}

pub(crate) fn add(count: &AtomicUsize) {
    count.fetch_add(1, Relaxed);
}

pub(crate) fn subtract(count: &AtomicUsize) {
    count.fetch_sub(1, Relaxed);
}
