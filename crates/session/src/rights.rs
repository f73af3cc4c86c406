//! Who may do what: the one function that decides (law 11).
//!
//! [`Identity::may`] is called on every path a message can take: publish, subscribe, and every
//! single delivery, whether live, retained, queued or shared, and for wills. What the policy says
//! is the business of whoever implements [`Rights`]; without one, everything is allowed.

use std::fmt;
use std::sync::Arc;

/// What somebody wants to do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Publish to a topic name; also asked for the topic of a will.
    Publish,
    /// Subscribe to a topic filter (without `$share/name/`).
    Subscribe,
    /// Receive a message with this topic name.
    Receive,
}

/// A policy. Asked on the data path: it must not block.
pub trait Rights: Send + Sync {
    /// Whether the client with this id, logged in as `user_name`, may do `act` with `topic`.
    fn allows(&self, client_id: &str, user_name: Option<&str>, act: Act, topic: &str) -> bool;
}

/// Whose connection or session it is.
#[derive(Clone)]
pub struct Identity {
    /// Client id.
    pub client_id: Arc<str>,
    /// User name that was verified, if any.
    pub user_name: Option<Arc<str>>,
    /// The policy; `None` allows everything.
    pub rights: Option<Arc<dyn Rights>>,
}

impl Identity {
    /// Whether this client may do `act` with `topic`.
    #[inline]
    pub fn may(&self, act: Act, topic: &str) -> bool {
        // The broker alone speaks under $SYS.
        if act == Act::Publish && is_sys(topic) {
            return false;
        }
        match &self.rights {
            None => true,
            Some(rights) => rights.allows(&self.client_id, self.user_name.as_deref(), act, topic),
        }
    }
}

fn is_sys(topic: &str) -> bool {
    topic.strip_prefix("$SYS").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}
