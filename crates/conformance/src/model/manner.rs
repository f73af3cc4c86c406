//! What the standards leave to a broker. The model knows a few ways to behave within them: a test that fails one of
//! them asks for more than the standards do.

/// A way to behave that breaks no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Offers all there is and says all it may. A client whose subscriptions overlap gets one copy of a message.
    OneCopy,
    /// The same, with a copy for each subscription (3.3.4).
    CopyEach,
    /// Offers no more than it must, and says no more: it closes without a word, leaves it to the client to close
    /// after a DISCONNECT, gives no reasons, grants no more than QoS 1, has no aliases, no shared subscriptions, and no
    /// identifiers for subscriptions.
    Sparing,
}

impl Manner {
    pub(super) fn is_sparing(self) -> bool {
        self == Manner::Sparing
    }

    /// The highest QoS that a subscription is granted.
    pub(super) fn granted(self) -> u8 {
        if self.is_sparing() { 1 } else { 2 }
    }

    /// How many QoS 2 messages of a client may be open at a time.
    pub(super) fn receive_maximum(self) -> u16 {
        if self.is_sparing() { 2 } else { 20 }
    }

    /// The highest alias a client may use.
    pub(super) fn topic_alias_maximum(self) -> u16 {
        if self.is_sparing() { 0 } else { 10 }
    }
}
