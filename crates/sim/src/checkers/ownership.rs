//! Each piece of state has one owner: one writer a connection, one connection a session [MQTT-3.1.4-3].

use super::{Checker, Verdict};
use crate::census::Census;
use crate::ground::Ground;
use crate::watch::Fact;

pub(super) struct Ownership;

impl Checker for Ownership {
    fn name(&self) -> &'static str {
        "ownership"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::Writes { conn, alone: false } => {
                Err(format!("two write to {} at the same time", ground.name(ground.conns[*conn].client)))
            }
            Fact::Attached { conn: number } => {
                let client = ground.conns[*number].client;
                let holds = |(other, conn): &(usize, &crate::ground::Conn)| {
                    other != number
                        && conn.client == client
                        && conn.attached.is_some()
                        && conn.detached.is_none()
                };
                if let Some((other, _)) = ground.conns.iter().enumerate().find(holds) {
                    let name = ground.name(client);
                    return Err(format!(
                        "connection #{number} of {name} has its session while #{other} has it"
                    ));
                }
                let lives = ground.lives.iter().filter(|life| life.client == client).count();
                if ground.conns[*number].clean && lives > 1 {
                    census.count("a clean start over a session");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
