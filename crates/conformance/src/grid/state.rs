//! The states that a packet is tried in.

use super::form::Form;

/// What the client has done before, and how the packet is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing: the packet is the first.
    First,
    /// It has its CONNACK.
    Connected,
    /// It has sent a PUBLISH at QoS 2 and has its PUBREC.
    InExchange,
    /// It has a subscription.
    Subscribed,
    /// As [`State::Connected`], and the packet comes in two writes. A CONNECT is the first packet.
    Halves,
    /// As [`State::Connected`], with good packets before and behind in the same write. A CONNECT is the first
    /// packet, and has them behind it.
    Between,
}

impl State {
    /// All of them.
    pub const ALL: [State; 6] =
        [State::First, State::Connected, State::InExchange, State::Subscribed, State::Halves, State::Between];

    /// In words.
    #[must_use]
    pub fn name(self, form: Form) -> &'static str {
        match self {
            State::First => "as the first packet",
            State::Connected => "connected",
            State::InExchange => "in a QoS 2 exchange",
            State::Subscribed => "subscribed",
            State::Halves => "in two halves",
            State::Between if form == Form::Connect => "with good packets behind",
            State::Between => "between good packets",
        }
    }

    /// Whether nothing is sent on the connection before a packet of this form.
    #[must_use]
    pub fn is_first(self, form: Form) -> bool {
        match self {
            State::First => true,
            State::Halves | State::Between => form == Form::Connect,
            State::Connected | State::InExchange | State::Subscribed => false,
        }
    }
}
