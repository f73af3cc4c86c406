//! After an UNSUBACK nothing is added for its filter [MQTT-3.10.4-2], and nobody gets what it never asked for.

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::Fact;

pub(super) struct Unsubscribed;

impl Checker for Unsubscribed {
    fn name(&self) -> &'static str {
        "unsubscribed"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, _: &mut Census) -> Verdict {
        let Fact::Down { conn, publish: Some(publish), .. } = fact else { return Ok(()) };
        let Some(life) = ground.conns[*conn].life else { return Ok(()) };
        if publish.dup {
            return Ok(());
        }
        let read_at = publish.message.and_then(|message| ground.messages[message].read_at);
        // A copy of a retained message is never kept waiting, but for the disk: it is added when it is sent.
        let waits = ground.is_stored && publish.qos > 0;
        let since = match read_at {
            _ if publish.retain && !waits && !ground.may_be_live(life, &publish.topic) => ground.moment,
            Some(read_at) => read_at,
            None => return Ok(()),
        };
        if ground.may_be_sent(life, &publish.topic, since) {
            return Ok(());
        }
        let name = ground.name(ground.conns[*conn].client);
        let what = if publish.retain { "a retained message" } else { "a message" };
        Err(format!(
            "{name} was sent {what} ({:?}) on {:?}, and was not subscribed when it came",
            publish.message, publish.topic
        ))
    }
}
