//! Packets as one readable line, for logs. Never in it: payloads, passwords, authentication data, and text
//! that could break the line (topics and names are shown with their control characters escaped).

use crate::ack::Ack;
use crate::auth::Auth;
use crate::connack::Connack;
use crate::connect::Connect;
use crate::disconnect::Disconnect;
use crate::forwarded::forwarded_properties;
use crate::frame::Frame;
use crate::packet::Packet;
use crate::publish::Publish;
use crate::qos::QoS;
use crate::reason_code::ReasonCode;
use crate::suback::{Suback, Unsuback};
use crate::subscribe::{RetainHandling, Subscribe};
use crate::unsubscribe::Unsubscribe;
use crate::will::Will;
use bytes::Bytes;
use std::fmt::{self, Display, Formatter, Result};

/// Characters of a text that a log line shows.
const SHOWN: usize = 256;

/// Filters of one packet that a log line shows.
const FILTERS_SHOWN: usize = 16;

/// Text of a client as a log line shows it: in quotes, with everything escaped that could break the line, and cut
/// if it is long. A client may send 64 KiB, and each byte may need six to be shown.
pub struct Quoted<'a>(pub &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Quoted(text) = self;
        match text.char_indices().nth(SHOWN).and_then(|(end, _)| text.get(..end)) {
            None => write!(f, "{text:?}"),
            Some(beginning) => write!(f, "{beginning:?}… ({} bytes)", text.len()),
        }
    }
}

/// Shows how long a secret is, and nothing else of it.
pub(crate) struct Hidden<'a>(pub(crate) &'a Option<Bytes>);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            Some(secret) => write!(f, "Some({} bytes, hidden)", secret.len()),
            None => f.write_str("None"),
        }
    }
}

impl Display for Frame<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} flags {:04b}, {} bytes", self.packet_type, self.flags, self.body.len())
    }
}

impl Display for Packet<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Packet::Connect(packet) => packet.fmt(f),
            Packet::Connack(packet) => packet.fmt(f),
            Packet::Publish(packet) => packet.fmt(f),
            Packet::Ack(packet) => packet.fmt(f),
            Packet::Subscribe(packet) => packet.fmt(f),
            Packet::Suback(packet) => packet.fmt(f),
            Packet::Unsubscribe(packet) => packet.fmt(f),
            Packet::Unsuback(packet) => packet.fmt(f),
            Packet::Pingreq | Packet::Pingresp => f.write_str(self.packet_type().name()),
            Packet::Disconnect(packet) => packet.fmt(f),
            Packet::Auth(packet) => packet.fmt(f),
        }
    }
}

impl Display for Connect {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "CONNECT {} {} keep alive {}", self.version, Quoted(&self.client_id), self.keep_alive)?;
        flag(f, self.clean_start, "clean")?;
        if let Some(user_name) = &self.user_name {
            write!(f, " user {}", Quoted(user_name))?;
        }
        flag(f, self.password.is_some(), "with a password")?;
        number(f, "session expiry", self.properties.session_expiry)?;
        number(f, "receive maximum", self.properties.receive_maximum)?;
        number(f, "maximum packet size", self.properties.maximum_packet_size)?;
        number(f, "topic alias maximum", self.properties.topic_alias_maximum)?;
        quoted(f, "authentication method", self.properties.authentication_method.as_deref())?;
        self.will.as_ref().map_or(Ok(()), |will| write!(f, ", will {will}"))
    }
}

impl Display for Will {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} q{}", Quoted(&self.topic), self.qos.value())?;
        flag(f, self.retain, "retain")?;
        number(f, "delay", Some(self.delay).filter(|delay| *delay > 0))?;
        write!(f, ", {} bytes", self.payload.len())
    }
}

impl Display for Connack {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "CONNACK {}", Reason(self.reason))?;
        flag(f, self.session_present, "session present")?;
        number(f, "server keep alive", self.properties.server_keep_alive)?;
        quoted(f, "assigned client id", self.properties.assigned_client_id.as_deref())?;
        quoted(f, "reason", self.properties.reason_string.as_deref())
    }
}

impl Display for Publish<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "PUBLISH {} q{}", Quoted(self.topic), self.qos.value())?;
        number(f, "id", self.packet_id)?;
        flag(f, self.dup, "dup")?;
        flag(f, self.retain, "retain")?;
        number(f, "alias", self.properties.topic_alias)?;
        number(f, "expiry", self.properties.message_expiry)?;
        for id in &self.properties.subscription_ids {
            write!(f, " subscription {id}")?;
        }
        let forwarded = forwarded_properties(&self.properties.forwarded).count();
        number(f, "properties", Some(forwarded).filter(|count| *count > 0))?;
        write!(f, ", {} bytes", self.payload.len())
    }
}

impl Display for Ack {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} id {} {}", self.kind.packet_type(), self.packet_id, Reason(self.reason))?;
        quoted(f, "reason", self.reason_string.as_deref())
    }
}

impl Display for Subscribe {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "SUBSCRIBE id {}", self.packet_id)?;
        number(f, "subscription", self.subscription_id)?;
        for (filter, options) in self.filters.iter().take(FILTERS_SHOWN) {
            write!(f, " {} q{}", Quoted(filter), options.qos.value())?;
            flag(f, options.no_local, "no local")?;
            flag(f, options.retain_as_published, "retain as published")?;
            match options.retain_handling {
                RetainHandling::Send => {}
                RetainHandling::SendIfNew => f.write_str(" retained if new")?,
                RetainHandling::DoNotSend => f.write_str(" no retained")?,
            }
        }
        more(f, self.filters.len())
    }
}

impl Display for Unsubscribe {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "UNSUBSCRIBE id {}", self.packet_id)?;
        let mut shown = self.filters.iter().take(FILTERS_SHOWN);
        shown.try_for_each(|filter| write!(f, " {}", Quoted(filter)))?;
        more(f, self.filters.len())
    }
}

impl Display for Suback {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "SUBACK id {}", self.packet_id)?;
        for &code in self.reasons.iter().take(FILTERS_SHOWN) {
            match QoS::from_u8(code) {
                Some(qos) => write!(f, " q{}", qos.value())?,
                None => write!(f, " 0x{code:02X}")?,
            }
        }
        more(f, self.reasons.len())?;
        quoted(f, "reason", self.reason_string.as_deref())
    }
}

impl Display for Unsuback {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "UNSUBACK id {}", self.packet_id)?;
        let mut shown = self.reasons.iter().take(FILTERS_SHOWN);
        shown.try_for_each(|code| write!(f, " 0x{code:02X}"))?;
        more(f, self.reasons.len())?;
        quoted(f, "reason", self.reason_string.as_deref())
    }
}

impl Display for Disconnect {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.reason {
            ReasonCode::Success => f.write_str("DISCONNECT normal")?,
            reason => write!(f, "DISCONNECT {}", Reason(reason))?,
        }
        number(f, "session expiry", self.session_expiry)?;
        quoted(f, "server reference", self.server_reference.as_deref())?;
        quoted(f, "reason", self.reason_string.as_deref())
    }
}

impl Display for Auth {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "AUTH {}", Reason(self.reason))?;
        quoted(f, "authentication method", self.authentication_method.as_deref())?;
        quoted(f, "reason", self.reason_string.as_deref())
    }
}

/// `0x97 quota exceeded`; `ok` for success.
struct Reason(ReasonCode);

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0 {
            ReasonCode::Success => f.write_str("ok"),
            reason => write!(f, "0x{:02X} {reason}", reason.value()),
        }
    }
}

fn flag(f: &mut Formatter<'_>, is_set: bool, word: &str) -> Result {
    if is_set { write!(f, " {word}") } else { Ok(()) }
}

/// Says how many filters, or answers to them, are not shown.
fn more(f: &mut Formatter<'_>, count: usize) -> Result {
    match count.saturating_sub(FILTERS_SHOWN) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

fn number(f: &mut Formatter<'_>, word: &str, value: Option<impl Display>) -> Result {
    value.map_or(Ok(()), |value| write!(f, " {word} {value}"))
}

fn quoted(f: &mut Formatter<'_>, word: &str, text: Option<&str>) -> Result {
    text.map_or(Ok(()), |text| write!(f, " {word} {}", Quoted(text)))
}

#[cfg(test)]
mod tests {
    use super::Quoted;

    #[test]
    fn long_text_is_cut_between_two_characters_and_says_how_long_it_was() {
        let shown = |text: &str| Quoted(text).to_string();
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        let (whole, longer) = ("\u{e4}".repeat(256), "\u{e4}".repeat(257));
        assert_eq!(shown(&whole), format!("\"{whole}\""));
        assert_eq!(shown(&longer), format!("\"{whole}\"\u{2026} (514 bytes)"));
    }
}
