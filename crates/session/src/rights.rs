//! Who may do what: the one function that decides (law 11).
//!
//! [`Identity::judge`] is called on every path a message can take: publish, subscribe, and every
//! single delivery, whether live, retained, queued or shared, and for wills. What the policy says
//! is the business of whoever implements [`Rights`]; without one, everything is allowed.
//!
//! Nothing is counted, logged or answered here: whoever asked does that, with the [`Denial`] at hand.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

/// What a policy says. `true` and `false` become one, the latter without a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No.
    Denied {
        /// What says so, in words that its author finds again: "line 12 of acl.txt: topic deny #". It goes
        /// into a log line about a refused PUBLISH, SUBSCRIBE or will, and into none about [`Act::Receive`].
        /// Shared, because a client that may not publish can ask for it with every packet.
        rule: Option<Arc<str>>,
    },
}

impl Verdict {
    /// A no that names its rule.
    pub fn denied_by(rule: impl Into<Arc<str>>) -> Verdict {
        Verdict::Denied { rule: Some(rule.into()) }
    }
}

impl From<bool> for Verdict {
    fn from(allowed: bool) -> Verdict {
        if allowed { Verdict::Allowed } else { Verdict::Denied { rule: None } }
    }
}

/// A policy. Asked on the data path: it must not block, and need not allocate to say yes. If it panics, that
/// is a no.
pub trait Rights: Send + Sync {
    /// Whether the client with this id, logged in as `user_name`, may do `act` with `topic`.
    fn allows(&self, client_id: &str, user_name: Option<&str>, act: Act, topic: &str) -> Verdict;
}

/// Why a client may not do something; `Display` is the end of a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The broker alone speaks under `$SYS`.
    Sys,
    /// A rule of the policy.
    Rule(Arc<str>),
    /// The policy, which names no rule.
    Policy,
    /// The policy panicked, which counts as no.
    Panic,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denial::Sys => f.write_str("only the broker publishes under $SYS"),
            Denial::Rule(rule) => f.write_str(rule),
            Denial::Panic => f.write_str("the policy panicked when it was asked"),
            Denial::Policy => f.write_str("it is not authorized, by the policy of this broker"),
        }
    }
}

impl Denial {
    /// What the client itself is told: not which rule of the policy it is, nor what it says.
    pub fn words_for_client(&self) -> &'static str {
        match self {
            Denial::Sys => "only the broker publishes under $SYS",
            Denial::Rule(_) | Denial::Policy | Denial::Panic => "not authorized by the policy of this broker",
        }
    }
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
        self.judge(act, topic).is_ok()
    }

    /// The same, for whoever has to say why not.
    ///
    /// # Errors
    /// What stands against it.
    #[inline]
    pub fn judge(&self, act: Act, topic: &str) -> Result<(), Denial> {
        if act == Act::Publish && is_sys(topic) && !self.is_own_state(topic) {
            return Err(Denial::Sys);
        }
        let Some(rights) = &self.rights else { return Ok(()) };
        let ask = || rights.allows(&self.client_id, self.user_name.as_deref(), act, topic);
        // Somebody else's code, asked in the middle of a delivery to many or of a read full of packets, which
        // its panic must not end.
        let verdict = catch_unwind(AssertUnwindSafe(ask));
        match verdict {
            Ok(Verdict::Allowed) => Ok(()),
            Ok(Verdict::Denied { rule }) => Err(rule.map_or(Denial::Policy, Denial::Rule)),
            Err(_) => Err(Denial::Panic),
        }
    }

    /// `$SYS/broker/connection/<its client id>/state`. A bridge of Mosquitto has its will there unless it
    /// is told otherwise, and so could not connect at all. Nobody else may speak for it.
    fn is_own_state(&self, topic: &str) -> bool {
        let id = topic.strip_prefix("$SYS/broker/connection/").and_then(|rest| rest.strip_suffix("/state"));
        id == Some(&*self.client_id)
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
