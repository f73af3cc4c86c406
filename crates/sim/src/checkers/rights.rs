//! Nobody receives what it may not, and nothing is delivered that its publisher may not publish (law 11).

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::seams::Policy;
use crate::watch::Fact;
use aldis_session::Act;

pub(super) struct Rights;

impl Checker for Rights {
    fn name(&self) -> &'static str {
        "rights"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, _: &mut Census) -> Verdict {
        let Fact::Down { conn, publish: Some(publish), .. } = fact else { return Ok(()) };
        let client = ground.conns[*conn].client;
        if !Policy::allows(client, Act::Receive, &publish.topic) {
            return Err(format!("{} was sent a message on {:?}", ground.name(client), publish.topic));
        }
        let Some(number) = publish.message else { return Ok(()) };
        let publisher = ground.messages[number].publisher;
        if !Policy::allows(publisher, Act::Publish, &publish.topic) {
            let name = ground.name(publisher);
            return Err(format!("message {number} of {name} was delivered, who may not publish it"));
        }
        Ok(())
    }
}
