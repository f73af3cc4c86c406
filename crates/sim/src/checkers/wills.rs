//! A will is published when its connection ends without a DISCONNECT [MQTT-3.1.2-8], after its delay or with the
//! session if that ends first [MQTT-3.1.3-9], once; and not at all if its client says goodbye [MQTT-3.14.4-3] or is
//! back in time.

use super::{Checker, Verdict};
use crate::agenda::{SECOND, Time};
use crate::census::Census;
use crate::ground::{Conn, Ground};
use crate::watch::Fact;
use std::collections::BTreeSet;

#[derive(Default)]
pub struct Wills {
    fired: BTreeSet<usize>,
}

/// When the will of a connection is due.
fn due(conn: &Conn) -> Option<Time> {
    Some(conn.detached? + Time::from(conn.will_delay.min(conn.expiry)) * SECOND)
}

/// The connection with which the client came back to the same session, first after `number`.
fn back<'a>(number: usize, ground: &'a Ground) -> Option<&'a Conn> {
    let client = ground.conns[number].client;
    let after = ground.conns.iter().skip(number + 1);
    after.filter(|conn| conn.client == client).find(|conn| conn.attached.is_some())
}

fn is_due(&(ref number, ref conn): &(usize, &Conn), ground: &Ground) -> Verdict {
    let name = ground.name(conn.client);
    let Some(due) = due(conn) else {
        return Err(format!("the will of {name} #{number} is due while it is connected"));
    };
    let later = |conn: &&Conn| conn.client == ground.conns[*number].client && conn.has_connect;
    let is_taken_over = ground.conns.iter().skip(number + 1).any(|conn| later(&conn));
    if conn.goodbye.is_some_and(|goodbye| !goodbye.with_will) && !is_taken_over {
        return Err(format!("{name} #{number} has said goodbye, and its will is published"));
    }
    if let Some(back) = back(*number, ground)
        && back.session_present
        && back.attached.is_some_and(|at| at < due)
    {
        return Err(format!("{name} #{number} was back in time, and its will is published"));
    }
    let starts_clean = |conn: &Conn| later(&conn) && conn.clean;
    if ground.now < due && !ground.conns.iter().skip(number + 1).any(starts_clean) {
        let early = due - ground.now;
        return Err(format!("the will of {name} #{number} is published {early} microseconds too early"));
    }
    Ok(())
}

impl Wills {
    fn end(&self, ground: &Ground, census: &mut Census) -> Verdict {
        for (number, conn) in ground.conns.iter().enumerate() {
            let (Some(will), Some(due)) = (conn.will, due(conn)) else { continue };
            let has_fired = self.fired.contains(&will);
            if conn.goodbye.is_some_and(|goodbye| !goodbye.with_will) {
                census.count("a will was cancelled by DISCONNECT");
                continue;
            }
            // Whoever comes back when it is due may be in time, or not.
            let back = back(number, ground).filter(|conn| conn.session_present);
            let may_be_cancelled = back.is_some();
            if has_fired {
                census.count("a will was published");
                if conn.will_delay > 0 {
                    census.count("a delayed will was published");
                }
            } else if may_be_cancelled && conn.will_delay > 0 {
                if back.and_then(|conn| conn.attached).is_some_and(|at| at < due) {
                    census.count("a delayed will was cancelled by coming back");
                }
            } else {
                return Err(format!(
                    "{} #{number} was lost without a word, and its will (message {will}) never came",
                    ground.name(conn.client)
                ));
            }
        }
        Ok(())
    }
}

impl Checker for Wills {
    fn name(&self) -> &'static str {
        "wills"
    }

    fn see(&mut self, fact: &Fact<'_>, ground: &Ground, census: &mut Census) -> Verdict {
        match fact {
            Fact::WillDue { message } => {
                if !self.fired.insert(*message) {
                    return Err(format!("the will in message {message} is published twice"));
                }
                let conn = ground.conns.iter().enumerate().find(|(_, conn)| conn.will == Some(*message));
                conn.map_or(Ok(()), |conn| is_due(&conn, ground))
            }
            Fact::End(_) => self.end(ground, census),
            _ => Ok(()),
        }
    }
}
